//! A signature, prepared for decoding rows that arrive at once.

use std::collections::HashMap;

use stagewright_store::Schema;

use crate::decoder::DecoderPlan;
use crate::signature::{ExtraColumns, Signature, Strictness};

/// Everything about rows that no row changes.
///
/// A row's values are put into slots before they are decoded. The first slots are those of the
/// decoder's columns; the next hold values that are kept and no column of the decoder.
#[derive(Debug)]
pub(crate) struct RowPlan {
    pub(super) signature: Signature,
    pub(super) strictness: Strictness,
    pub(super) decoder: DecoderPlan,
    pub(crate) kept: Vec<Kept>,
    pub(crate) slots: usize,
    /// Whether names that are neither in the signature nor kept are faults.
    pub(super) refuses_unknown: bool,
    /// The names that may come: first those of the signature, in order.
    names: Vec<Name>,
    by_name: HashMap<Box<str>, usize>,
}

/// A value to keep.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) name: String,
    pub(crate) slot: usize,
    /// The most bytes of its text in a request.
    pub(super) most_bytes: usize,
}

#[derive(Debug)]
struct Name {
    text: Box<str>,
    /// `None` if the value is not read.
    slot: Option<usize>,
}

/// The thing that a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Slot(usize),
    /// A column of the signature that is not read, such as the target.
    NotRead,
    Unknown,
}

impl RowPlan {
    /// Prepares a signature. Values of the names in `keep` are kept.
    pub(crate) fn new(signature: &Signature, strictness: Strictness, keep: &[String]) -> Self {
        let decoder = DecoderPlan::new(signature, strictness);
        let schema = decoder.schema();
        let name = |text: &String| Name { text: text.as_str().into(), slot: schema.index_of(text) };
        let names: Vec<Name> = signature.fields.fields().iter().map(|field| name(&field.name)).collect();
        let by_name = names.iter().enumerate().map(|(place, name)| (name.text.clone(), place)).collect();
        let refuses_unknown = strictness == Strictness::Ingest && signature.extra_columns == ExtraColumns::Error;
        let slots = schema.len();
        let signature = signature.clone();
        let mut plan =
            Self { signature, strictness, decoder, kept: Vec::new(), slots, refuses_unknown, names, by_name };
        keep.iter().for_each(|name| plan.keep(name, usize::MAX));
        plan
    }

    /// Prepares a signature for requests, which may have values for the names in `keep` in each
    /// row. Each is given with the most bytes of its text.
    pub(crate) fn of_requests(signature: &Signature, keep: &[(&str, usize)], refuses_unknown: bool) -> Self {
        let mut plan = Self { refuses_unknown, ..Self::new(signature, Strictness::Predict, &[]) };
        keep.iter().for_each(|(name, most_bytes)| plan.keep(name, *most_bytes));
        plan
    }

    fn keep(&mut self, name: &str, most_bytes: usize) {
        let place = *self.by_name.entry(name.into()).or_insert_with(|| {
            self.names.push(Name { text: name.into(), slot: None });
            self.names.len() - 1
        });
        let slot = *self.names[place].slot.get_or_insert_with(|| {
            self.slots += 1;
            self.slots - 1
        });
        self.kept.push(Kept { name: name.to_owned(), slot, most_bytes });
    }

    /// Returns the columns of the decoder.
    pub(crate) fn schema(&self) -> &Schema {
        self.decoder.schema()
    }

    /// Returns how many columns the decoder has.
    #[inline]
    pub(crate) fn columns(&self) -> usize {
        self.decoder.schema().len()
    }

    /// Returns how many names may come.
    pub(super) fn names(&self) -> usize {
        self.names.len()
    }

    /// Returns whether a name may come: of a column of the signature, or of a kept value.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Returns the place of a name among those that may come. `likely` is compared first.
    #[inline]
    pub(super) fn place_of(&self, name: &str, likely: usize) -> Option<usize> {
        match self.names.get(likely) {
            Some(next) if *next.text == *name => Some(likely),
            _ => self.by_name.get(name).copied(),
        }
    }

    /// Returns what the name at a place stands for.
    #[inline]
    pub(super) fn found(&self, place: Option<usize>) -> Found {
        place.map_or(Found::Unknown, |place| self.names[place].slot.map_or(Found::NotRead, Found::Slot))
    }
}
