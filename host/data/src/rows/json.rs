//! Rows from JSON: an object, arrays of objects, objects one after another, `{"rows": [...]}`.
//!
//! A row is scanned as a whole before a value of it is decoded ([`super::members`]).

use crate::error::{DataFault, listed};
use crate::json::{self, Halt, Kind, Raw, Scanner, Unread};
use crate::rows::RowsBuilder;
use crate::rows::members::{MemberOrder, Members};

impl RowsBuilder<'_> {
    /// Appends the rows of a text. Faults of rows are collected.
    ///
    /// # Errors
    /// [`Unread`] if the text is not JSON, whatever faults its first rows have.
    pub(crate) fn append_json(&mut self, text: &[u8]) -> Result<(), Unread> {
        json::read(text, |scanner| self.json_rows(scanner))
    }

    fn json_rows<'a>(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Halt> {
        let (mut members, mut order) = (Members::new(self.plan), MemberOrder::default());
        while let Some(first) = scanner.peek() {
            match first {
                b'{' => {
                    self.scan_object(scanner, &mut members, &mut order)?;
                    match members.wrapped(self.plan).map_err(Halt::Fault)? {
                        Some(rows) => {
                            // In a row, such a name is a fault of the row.
                            if let Some(error) = &members.unreadable {
                                return Err(Halt::Fault(DataFault::new(format!("the text is not JSON: {error}"))));
                            }
                            let unknown = members.take_unknown();
                            if !unknown.is_empty() {
                                self.collect_unknown(unknown);
                            }
                            let mut rows = Scanner::new(rows.text);
                            rows.elements(|scanner| self.element(scanner, &mut members, &mut order))?;
                        }
                        None => self.object(&members)?,
                    }
                }
                b'[' => scanner.elements(|scanner| self.element(scanner, &mut members, &mut order))?,
                _ => self.no_object(scanner.top_value()?)?,
            }
        }
        Ok(())
    }

    /// Reads an element of an array of rows.
    #[inline]
    fn element<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        members: &mut Members<'a>,
        order: &mut MemberOrder,
    ) -> Result<(), Halt> {
        if scanner.peek() == Some(b'{') {
            self.scan_object(scanner, members, order)?;
            self.object(members)
        } else {
            self.no_object(scanner.value()?)
        }
    }

    #[inline]
    fn scan_object<'a>(
        &self,
        scanner: &mut Scanner<'a>,
        members: &mut Members<'a>,
        order: &mut MemberOrder,
    ) -> Result<(), Halt> {
        let most_unknown = self.limits.map_or(usize::MAX, |limits| limits.faults.saturating_add(1));
        Ok(members.scan(self.plan, scanner, order, most_unknown)?)
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
            for (kept, place) in self.plan.kept.iter().enumerate() {
                self.keep_json(self.decoder.rows(), kept, members.values[place.slot]);
            }
        }
        self.decoder.end_row();
        Ok(())
    }

    /// Collects the faults of a row's names.
    #[inline]
    fn check_members(&mut self, members: &Members<'_>) {
        if let Some(error) = &members.unreadable {
            let fault = DataFault::new(format!("the text is not JSON: {error}"));
            self.collect(fault.in_row(self.decoder.row()));
        }
        if self.limits.is_none() {
            self.collect_all_absent(&members.values);
        }
        if self.plan.refuses_unknown {
            let unknown = members.unknown_of_row(self.plan);
            if !unknown.is_empty() {
                self.collect_unknown(unknown);
            }
        }
    }

    /// Collects one fault for all values that are absent.
    fn collect_all_absent(&mut self, values: &[Option<Raw<'_>>]) {
        let plan = self.plan;
        let fields = plan.schema().fields().iter().zip(values);
        let absent = fields.filter(|(_, value)| value.is_none()).map(|(field, _)| &field.name);
        let names: Vec<&String> = absent.collect();
        if !names.is_empty() {
            let message =
                format!("the object has no {}\nhint: write null for a value that is not known", listed(&names));
            self.collect(DataFault::new(message).in_row(self.decoder.row()));
        }
    }

    /// Decodes a value of row `row`, and collects its fault.
    #[inline]
    pub(super) fn decode_json(&mut self, row: usize, column: usize, value: Raw<'_>) {
        if let Err(fault) = value.with_cell(|cell| self.decode(row, column, cell)) {
            let name = &self.plan.decoder.schema().fields()[column].name;
            self.collect(fault.in_column(name).in_row(row as u64));
        }
    }

    /// Keeps a value of row `row`; none if it did not come.
    pub(super) fn keep_json(&mut self, row: usize, kept: usize, value: Option<Raw<'_>>) {
        match value.filter(|value| value.kind != Kind::Null).map(Raw::kept_text) {
            None => self.kept[kept].push(None),
            Some(Ok(text)) => self.keep(row, kept, &text),
            Some(Err(fault)) => self.refuse_kept(row, kept, *fault),
        }
    }
}
