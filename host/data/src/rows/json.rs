//! Rows from JSON: an object, arrays of objects, objects one after another, `{"rows": [...]}`.
//!
//! A row is scanned as a whole before a value of it is decoded: the last of several members with
//! one name wins, and a value that nobody reads is never parsed.

use crate::error::{DataFault, listed};
use crate::json::{self, Halt, Kind, Raw, Scanner, Unread};
use crate::rows::RowsBuilder;
use crate::rows::plan::{Found, ROWS, RowPlan};

/// The members of a row, before they are decoded.
struct Members<'a> {
    /// By slot of the plan.
    values: Vec<Option<Raw<'a>>>,
    /// The value of a member [`ROWS`], where it is no column.
    rows: Option<Raw<'a>>,
    /// Names that are refused, at most some.
    unknown: Vec<String>,
    /// A name that is no text.
    unreadable: Option<serde_json::Error>,
    /// How many members came.
    count: usize,
    /// The places of the names in the rows so far, by the number of the member.
    order: Vec<usize>,
    /// The place behind that of the last known name.
    next: usize,
}

impl<'a> Members<'a> {
    fn new(plan: &RowPlan) -> Self {
        Self {
            values: vec![None; plan.slots],
            rows: None,
            unknown: Vec::new(),
            unreadable: None,
            count: 0,
            order: Vec::new(),
            next: 0,
        }
    }

    fn clear(&mut self) {
        self.values.fill(None);
        self.rows = None;
        self.unknown.clear();
        self.unreadable = None;
        self.count = 0;
        self.next = 0;
    }

    #[inline]
    fn take(&mut self, plan: &RowPlan, name: Raw<'a>, value: Raw<'a>, most_unknown: usize) {
        let name = match name.string() {
            Ok(name) => name,
            Err(error) => {
                self.unreadable = Some(error);
                return;
            }
        };
        match plan.found(self.place_of(plan, &name)) {
            Found::Slot(slot) => self.values[slot] = Some(value),
            Found::NotRead => {}
            Found::Unknown if *name == *ROWS => self.rows = Some(value),
            Found::Unknown if plan.refuses_unknown && self.unknown.len() < most_unknown => {
                self.unknown.push(name.into_owned());
            }
            Found::Unknown => {}
        }
    }

    #[inline]
    fn place_of(&mut self, plan: &RowPlan, name: &str) -> Option<usize> {
        let member = self.count;
        self.count += 1;
        let likely = self.order.get(member).copied();
        let place = plan.place_of(name, likely.unwrap_or(self.next))?;
        self.next = place + 1;
        if likely != Some(place) {
            self.note_place(plan, member, place);
        }
        Some(place)
    }

    /// Notes the place of the name of a member.
    fn note_place(&mut self, plan: &RowPlan, member: usize, place: usize) {
        // An object may have any number of members.
        if member < 2 * plan.names() {
            self.order.resize(self.order.len().max(member + 1), usize::MAX);
            self.order[member] = place;
        }
    }
}

impl RowsBuilder<'_> {
    /// Appends the rows of a text. Faults of rows are collected.
    ///
    /// # Errors
    /// [`Unread`] if the text is not JSON, whatever faults its first rows have.
    pub(crate) fn append_json(&mut self, text: &[u8]) -> Result<(), Unread> {
        json::read(text, |scanner| self.json_rows(scanner))
    }

    fn json_rows<'a>(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Halt> {
        let mut members = Members::new(self.plan);
        while let Some(first) = scanner.peek() {
            match first {
                b'{' => {
                    self.scan_object(scanner, &mut members)?;
                    match self.wrapped(&members) {
                        Some(rows) => self.wrapped_rows(rows, &mut members)?,
                        None => self.object(&members)?,
                    }
                }
                b'[' => scanner.elements(|scanner| self.element(scanner, &mut members))?,
                _ => self.no_object(scanner.top_value()?)?,
            }
        }
        Ok(())
    }

    /// Reads an element of an array of rows.
    #[inline]
    fn element<'a>(&mut self, scanner: &mut Scanner<'a>, members: &mut Members<'a>) -> Result<(), Halt> {
        if scanner.peek() == Some(b'{') {
            self.scan_object(scanner, members)?;
            self.object(members)
        } else {
            self.no_object(scanner.value()?)
        }
    }

    #[inline]
    fn scan_object<'a>(&self, scanner: &mut Scanner<'a>, members: &mut Members<'a>) -> Result<(), Halt> {
        let plan = self.plan;
        let most_unknown = self.limits.map_or(usize::MAX, |limits| limits.faults.saturating_add(1));
        members.clear();
        scanner.members(|name, value| members.take(plan, name, value, most_unknown))?;
        Ok(())
    }

    /// Returns the rows in an object that is no row itself: it has a member [`ROWS`] and no value
    /// that is read.
    fn wrapped<'a>(&self, members: &Members<'a>) -> Option<Raw<'a>> {
        let rows = members.rows.filter(|_| self.plan.admits_wrapper())?;
        members.values[..self.plan.columns()].iter().all(Option::is_none).then_some(rows)
    }

    fn wrapped_rows<'a>(&mut self, rows: Raw<'a>, members: &mut Members<'a>) -> Result<(), Halt> {
        if rows.kind != Kind::Array {
            return Err(Halt::Fault(DataFault::of_value(rows.text, "is not an array of rows").in_column(ROWS)));
        }
        if !members.unknown.is_empty() {
            self.collect_unknown(std::mem::take(&mut members.unknown));
        }
        Scanner::new(rows.text).elements(|scanner| self.element(scanner, members))
    }

    /// Ends a row that is no object.
    #[cold]
    fn no_object(&mut self, row: Raw<'_>) -> Result<(), Halt> {
        self.begin_row()?;
        let fault = DataFault::of_value(row.text, "is not an object with a value for each column");
        self.collect(fault.in_row(self.decoder.row()));
        self.decoder.end_row();
        Ok(())
    }

    /// Begins a row.
    ///
    /// # Errors
    /// [`Halt::Done`] if there are too many.
    #[inline]
    pub(super) fn begin_row(&mut self) -> Result<(), Halt> {
        self.check_rows(self.decoder.rows() + 1);
        if self.excess.is_some() { Err(Halt::Done) } else { Ok(()) }
    }

    /// Decodes the members of a row.
    #[inline]
    fn object(&mut self, members: &Members<'_>) -> Result<(), Halt> {
        self.begin_row()?;
        // The rest of the text is read only to know whether it is JSON.
        if !self.is_done() {
            self.check_members(members);
            for (column, value) in members.values[..self.plan.columns()].iter().enumerate() {
                if self.is_done() {
                    break;
                }
                match value {
                    Some(value) => self.decode_json(self.decoder.rows(), column, *value),
                    None => self.collect_absent(self.decoder.row(), column),
                }
            }
            for kept in 0..self.plan.kept.len() {
                let value = members.values[self.plan.kept[kept].slot];
                self.keep_json(kept, value);
            }
        }
        self.decoder.end_row();
        Ok(())
    }

    /// Collects the faults of a row's names.
    #[inline]
    fn check_members(&mut self, members: &Members<'_>) {
        if let Some(error) = &members.unreadable {
            self.collect(unread(error).in_row(self.decoder.row()));
        }
        if self.limits.is_none() {
            self.collect_all_absent(&members.values);
        }
        if !members.unknown.is_empty() || (members.rows.is_some() && self.plan.refuses_unknown) {
            let rows = members.rows.map(|_| ROWS.to_owned());
            self.collect_unknown(members.unknown.iter().cloned().chain(rows).collect());
        }
    }

    /// Collects one fault for all values that are absent.
    fn collect_all_absent(&mut self, values: &[Option<Raw<'_>>]) {
        let plan = self.plan;
        let fields = plan.schema().fields().iter().zip(values);
        let absent = fields.filter(|(_, value)| value.is_none()).map(|(field, _)| &field.name);
        let kept = plan.kept.iter().filter(|kept| kept.is_needed && values[kept.slot].is_none());
        let names: Vec<&String> = absent.chain(kept.map(|kept| &kept.name)).collect();
        if !names.is_empty() {
            let message =
                format!("the object has no {}\nhint: write null for a value that is not known", listed(&names));
            self.collect(DataFault::new(message).in_row(self.decoder.row()));
        }
    }

    /// Decodes a value of row `row`, and collects its fault.
    #[inline]
    pub(super) fn decode_json(&mut self, row: usize, column: usize, value: Raw<'_>) {
        if let Err(error) = value.with_cell(|cell| self.decode(row, column, cell)) {
            let name = &self.plan.decoder.schema().fields()[column].name;
            self.collect(unread(&error).in_column(name).in_row(row as u64));
        }
    }

    /// Keeps a value; null if it did not come.
    pub(super) fn keep_json(&mut self, kept: usize, value: Option<Raw<'_>>) {
        let kept_value = value.map_or(Ok(serde_json::Value::Null), Raw::kept);
        let result = match kept_value {
            Ok(kept_value) => self.keep(kept, value.map_or(0, |value| value.text.len()), kept_value),
            Err(error) => Err(unread(&error).in_column(&self.kept[kept].name).in_row(self.decoder.row())),
        };
        if let Err(fault) = result {
            self.collect(fault);
        }
    }
}

fn unread(error: &serde_json::Error) -> DataFault {
    DataFault::new(format!("the text is not JSON: {error}"))
}
