//! The members of an object that is a row, or that holds rows.

use crate::error::DataFault;
use crate::json::{Kind, NotJson, Raw, Scanner};
use crate::rows::plan::{Found, RowPlan};

/// The member of an object that holds rows: `{"rows": [...]}`.
const ROWS: &str = "rows";

/// The members of a row, before they are decoded: the last of several with one name wins, and a
/// value that nobody reads is never parsed.
pub(crate) struct Members<'a> {
    /// By slot of the plan.
    pub(crate) values: Vec<Option<Raw<'a>>>,
    /// The value of a member [`ROWS`], where it is neither a column nor kept.
    rows: Option<Raw<'a>>,
    /// Names that are refused, at most some.
    unknown: Vec<String>,
    /// A name that is no text.
    pub(crate) unreadable: Option<serde_json::Error>,
}

/// The order in which the members of the rows so far came. The next row mostly has the same.
#[derive(Default)]
pub(crate) struct MemberOrder {
    /// The places of the names in the plan, by the number of the member.
    places: Vec<usize>,
}

/// The place among the members of a row.
#[derive(Clone, Copy, Default)]
struct At {
    /// How many members came.
    count: usize,
    /// The place behind that of the last known name.
    next: usize,
}

impl MemberOrder {
    #[inline]
    fn place_of(&mut self, plan: &RowPlan, name: &str, at: &mut At) -> Option<usize> {
        let member = at.count;
        at.count += 1;
        let likely = self.places.get(member).copied();
        let place = plan.place_of(name, likely.unwrap_or(at.next))?;
        at.next = place + 1;
        if likely != Some(place) {
            self.note_place(plan, member, place);
        }
        Some(place)
    }

    /// Notes the place of the name of a member.
    fn note_place(&mut self, plan: &RowPlan, member: usize, place: usize) {
        // An object may have any number of members.
        if member < 2 * plan.names() {
            self.places.resize(self.places.len().max(member + 1), usize::MAX);
            self.places[member] = place;
        }
    }
}

impl<'a> Members<'a> {
    pub(crate) fn new(plan: &RowPlan) -> Self {
        Self { values: vec![None; plan.slots], rows: None, unknown: Vec::new(), unreadable: None }
    }

    /// Reads the object that begins here, in place of the one before. Of the names that the plan
    /// refuses, it keeps at most `most_unknown`.
    ///
    /// # Errors
    /// The text is not JSON.
    #[inline]
    pub(crate) fn scan(
        &mut self,
        plan: &RowPlan,
        scanner: &mut Scanner<'a>,
        order: &mut MemberOrder,
        most_unknown: usize,
    ) -> Result<(), NotJson> {
        self.values.fill(None);
        self.rows = None;
        self.unknown.clear();
        self.unreadable = None;
        let mut at = At::default();
        scanner.members(|name, value| self.take(plan, order, &mut at, name, value, most_unknown))
    }

    #[inline]
    fn take(
        &mut self,
        plan: &RowPlan,
        order: &mut MemberOrder,
        at: &mut At,
        name: Raw<'a>,
        value: Raw<'a>,
        most_unknown: usize,
    ) {
        let name = match name.string() {
            Ok(name) => name,
            Err(error) => {
                self.unreadable = Some(error);
                return;
            }
        };
        match plan.found(order.place_of(plan, &name, at)) {
            Found::Slot(slot) => self.values[slot] = Some(value),
            Found::NotRead => {}
            Found::Unknown if *name == *ROWS => self.rows = Some(value),
            Found::Unknown if plan.refuses_unknown && self.unknown.len() < most_unknown => {
                self.unknown.push(name.into_owned());
            }
            Found::Unknown => {}
        }
    }

    /// Returns the array of rows in an object that is no row itself: it has a member [`ROWS`], and
    /// no feature. If the signature has a column of that name, or the value of that name is kept,
    /// every object is a row.
    ///
    /// # Errors
    /// The member holds something else.
    pub(crate) fn wrapped(&self, plan: &RowPlan) -> Result<Option<Raw<'a>>, DataFault> {
        let has_feature = self.values[..plan.columns()].iter().any(Option::is_some);
        match self.rows {
            Some(rows) if !has_feature && !plan.has_name(ROWS) => match rows.kind {
                Kind::Array => Ok(Some(rows)),
                _ => Err(DataFault::of_value(rows.text, "is not an array of rows").in_column(ROWS)),
            },
            _ => Ok(None),
        }
    }

    /// Returns the names that are refused in an object that holds rows.
    pub(super) fn take_unknown(&mut self) -> Vec<String> {
        std::mem::take(&mut self.unknown)
    }

    /// Returns the names that are refused in a row.
    #[inline]
    pub(super) fn unknown_of_row(&self, plan: &RowPlan) -> Vec<String> {
        let rows = self.rows.filter(|_| plan.refuses_unknown).map(|_| ROWS.to_owned());
        self.unknown.iter().cloned().chain(rows).collect()
    }
}
