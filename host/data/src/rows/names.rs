//! Finds the columns of a table by the names in its header, and says which are missing or surplus.

use crate::error::{DataFault, listed, shown};
use crate::rows::RowsBuilder;
use crate::rows::plan::Found;

impl RowsBuilder<'_> {
    /// Finds the columns of the decoder among names, then those that are kept: returns the place of
    /// each. Collects a fault for each name that is missing, repeated or unknown; then the places
    /// are `None`.
    pub(crate) fn bind_each<T: AsRef<str>>(&mut self, names: &[T]) -> Option<Vec<usize>> {
        let plan = self.plan;
        let mut places = vec![None; plan.slots];
        for (place, name) in names.iter().map(AsRef::as_ref).enumerate() {
            let fault = match plan.found(plan.place_of(name, place)) {
                Found::Slot(slot) if places[slot].replace(place).is_none() => continue,
                Found::Slot(_) => DataFault::new("more than one column has this name").in_column(name),
                Found::Unknown if plan.refuses_unknown => unknown(name),
                Found::NotRead | Found::Unknown => continue,
            };
            self.lacks_columns = true;
            self.collect(fault.in_row(0));
            if self.faults.is_cut {
                return None;
            }
        }
        for column in (0..plan.columns()).filter(|column| places[*column].is_none()) {
            self.lacks_columns = true;
            self.collect_absent(0, column);
        }
        if self.lacks_columns {
            return None;
        }
        self.kept_columns = (0..plan.kept.len()).filter(|kept| places[plan.kept[*kept].slot].is_some()).collect();
        let kept = plan.kept.iter().map(|kept| places[kept.slot]);
        Some(places[..plan.columns()].iter().copied().chain(kept).flatten().collect())
    }

    /// Collects the fault of a column that did not come.
    pub(super) fn collect_absent(&mut self, row: u64, column: usize) {
        let message = format!("the field is absent, and {}", self.needed(column));
        let name = &self.plan.decoder.schema().fields()[column].name;
        self.collect(DataFault::new(message).in_column(name).in_row(row));
    }

    /// Collects the faults of names that are neither in the signature nor kept.
    #[cold]
    pub(super) fn collect_unknown(&mut self, mut names: Vec<String>) {
        let row = self.decoder.row();
        names.sort_unstable();
        names.dedup();
        if self.limits.is_some() {
            names.iter().for_each(|name| self.collect(unknown(name).in_row(row)));
        } else {
            let message =
                format!("the signature does not name {}, and says that extra columns are an error", listed(&names));
            self.collect(DataFault::new(message).in_row(row));
        }
    }
}

fn unknown(name: &str) -> DataFault {
    DataFault::new("the model has no field of this name; leave it out").in_column(&shown(name))
}
