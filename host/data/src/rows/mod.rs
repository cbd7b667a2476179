//! Decodes rows that arrive at once, such as the body of a request.
//!
//! [`RowsBuilder`] puts cells into columns. It stops at the first fault, or collects all of them
//! for an answer that names each ([`RowLimits`]). [`RowPlan`] is what rows of one signature have in
//! common. `json` reads rows from JSON; sources pass their cells as to every visitor.

mod arrays;
mod json;
mod json_cells;
mod members;
mod names;
mod plan;
mod visit;

use arrow_array::RecordBatch;
use stagewright_store::DataType;

use crate::cell::Cell;
use crate::decoder::{Decoder, MISSING};
use crate::error::{DataError, DataFault};
pub use json_cells::JsonColumn;
pub(crate) use members::{MemberOrder, Members};
pub(crate) use plan::RowPlan;

/// The most bytes of decoded rows. More rows must be predicted in parts.
const MAX_BYTES: usize = 1 << 30;

/// Decoded rows.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    /// The features, in the signature's order.
    pub(crate) batch: RecordBatch,
    /// For each kept value of the plan, its text in each row, never empty; none at all if the field
    /// did not come.
    pub(crate) kept: Vec<KeptTexts>,
}

/// The texts of a kept value.
pub(crate) type KeptTexts = Vec<Option<Box<str>>>;

/// The limits of rows whose faults are all collected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowLimits {
    /// The most faults that are collected.
    pub(crate) faults: usize,
    /// The most rows.
    pub(crate) rows: usize,
    /// The most bytes of text.
    pub(crate) text: usize,
}

/// A limit that rows exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    Rows,
    Text,
}

/// The faults of rows.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// In the order of the rows.
    pub(crate) found: Vec<DataFault>,
    /// Whether there are more than the limit.
    pub(crate) is_cut: bool,
}

/// Collects rows: columns in the decoder, kept values beside it.
#[derive(Debug)]
pub(crate) struct RowsBuilder<'p> {
    plan: &'p RowPlan,
    decoder: Decoder,
    kept: Vec<KeptTexts>,
    /// Of rows with a header: the kept values whose columns came.
    kept_columns: Vec<usize>,
    /// The bytes of the kept texts.
    kept_bytes: usize,
    faults: Faults,
    /// `None` if the first fault is the last.
    limits: Option<RowLimits>,
    excess: Option<Excess>,
    /// Whether the columns do not suffice, so that no row can be decoded.
    lacks_columns: bool,
}

impl<'p> RowsBuilder<'p> {
    /// Returns a builder that stops at the first fault.
    pub(crate) fn new(plan: &'p RowPlan) -> Self {
        Self::with_room(plan, None, 0)
    }

    /// Returns a builder that collects all faults, with room for `rows` rows.
    pub(crate) fn of_request(plan: &'p RowPlan, limits: RowLimits, rows: usize) -> Self {
        Self::with_room(plan, Some(limits), rows.min(limits.rows))
    }

    fn with_room(plan: &'p RowPlan, limits: Option<RowLimits>, rows: usize) -> Self {
        Self {
            plan,
            decoder: plan.decoder.decoder(rows).of_all_rows(MAX_BYTES),
            kept: vec![Vec::new(); plan.kept.len()],
            kept_columns: Vec::new(),
            kept_bytes: 0,
            faults: Faults::default(),
            limits,
            excess: None,
            lacks_columns: false,
        }
    }

    /// Returns the rows.
    ///
    /// # Errors
    /// The first fault.
    pub(crate) fn finish(mut self) -> Result<Rows, DataError> {
        match self.faults.found.pop() {
            Some(fault) => Err(fault.into()),
            None => Ok(Rows { batch: self.decoder.finish()?, kept: self.kept }),
        }
    }

    /// Returns how many rows came.
    pub(crate) fn count(&self) -> usize {
        self.decoder.rows()
    }

    /// Returns the limit that the rows exceed, if they exceed one.
    pub(crate) fn excess(&self) -> Option<Excess> {
        self.excess
    }

    /// Returns the faults that were found, in the order of the rows.
    pub(crate) fn take_faults(&mut self) -> Faults {
        let mut faults = std::mem::take(&mut self.faults);
        faults.found.sort_by_key(|fault| fault.row);
        faults
    }

    /// Returns whether nothing that follows could change the result, unless it cannot be read.
    #[inline]
    fn is_done(&self) -> bool {
        match self.limits {
            None => !self.faults.found.is_empty(),
            Some(_) => self.faults.is_cut || self.excess.is_some() || self.lacks_columns,
        }
    }

    /// Collects a fault.
    #[cold]
    fn collect(&mut self, fault: DataFault) {
        let most = self.limits.map_or(1, |limits| limits.faults.max(1));
        if self.faults.found.len() < most {
            self.faults.found.push(fault);
        } else {
            self.faults.is_cut = true;
        }
    }

    /// Decodes a cell of row `row` of the batch, and collects its fault.
    #[inline]
    fn decode(&mut self, row: usize, column: usize, cell: Cell<'_>) {
        if let Err(fault) = self.decoder.cell(column, cell) {
            self.collect_cell(row, column, *fault);
        }
        self.check_text();
    }

    #[cold]
    fn collect_cell(&mut self, row: usize, column: usize, mut fault: DataFault) {
        if self.limits.is_some() && fault.message == MISSING {
            fault.message = format!("the value is missing, and {}", self.needed(column));
        }
        self.collect(fault.in_row(row as u64));
    }

    /// Notes whether there is more text than the limits allow.
    #[inline]
    fn check_text(&mut self) {
        if self.limits.is_some_and(|limits| self.decoder.text_bytes() + self.kept_bytes > limits.text) {
            self.excess.get_or_insert(Excess::Text);
        }
    }

    /// Notes whether there are more rows than the limits allow.
    #[inline]
    fn check_rows(&mut self, rows: usize) {
        if self.limits.is_some_and(|limits| rows > limits.rows) {
            self.excess = Some(Excess::Rows);
        }
    }

    /// Returns what a column needs, for messages.
    fn needed(&self, column: usize) -> String {
        let field = &self.plan.decoder.schema().fields()[column];
        let needed = match field.data_type {
            DataType::Boolean => "a boolean",
            DataType::Int64 => "an int64",
            DataType::Float64 => "a float64",
            DataType::Utf8 | DataType::Categorical => "a text",
            DataType::Timestamp => "a timestamp",
        };
        format!("{needed} is needed{}", if field.nullable { ", or null" } else { "" })
    }

    /// Keeps a text of row `row`. An empty one is none.
    fn keep(&mut self, row: usize, kept: usize, text: &str) {
        let (bytes, most) = (text.len(), self.plan.kept[kept].most_bytes);
        if bytes > most {
            let message = format!("the text has {bytes} bytes, and at most {most} of this field are kept: shorten it");
            return self.refuse_kept(row, kept, DataFault::new(message));
        }
        self.kept_bytes += bytes;
        self.kept[kept].push(Some(text.into()).filter(|_| bytes > 0));
        self.check_text();
    }

    #[cold]
    fn refuse_kept(&mut self, row: usize, kept: usize, fault: DataFault) {
        self.collect(fault.in_column(&self.plan.kept[kept].name).in_row(row as u64));
    }

    /// Returns the kept value in a column behind those of the decoder.
    fn kept_in(&self, column: usize) -> Option<usize> {
        Some(self.kept_columns[column.checked_sub(self.plan.columns())?])
    }
}
