//! The fitted state, as JSON: docs/formats/transform-state.md.
//!
//! This module defines the format and checks it. A state is data only: loading one runs nothing.
//! Categories are stored as strings, never as codes.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use stagewright_kit::{DataType, Failure, Field};

use crate::parameters::{DatePart, Encoding, InteractionKind, Unseen, ZeroDivision};

/// The name of the format, which distinguishes it from the states of other stages.
const FORMAT: &str = "stagewright/transform-table";
/// The version of the format, and the previous version, which has no parts of timestamps. A state
/// is written in the oldest version that can hold it, so states that version 1 can hold keep their
/// bytes.
const VERSION: u32 = 2;
const WITHOUT_PARTS: u32 = 1;

/// A fitted transformation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    format: String,
    version: u32,
    /// The feature columns that `fit` saw, in order.
    pub(crate) inputs: Vec<Input>,
    /// The steps that make the features, in order.
    pub(crate) steps: Vec<Step>,
}

/// A feature column of the raw table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) data_type: InputType,
}

/// The type of a raw column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InputType {
    Boolean,
    Int64,
    Float64,
    /// utf8 or categorical, which this stage treats alike.
    Text,
    Timestamp,
}

impl From<DataType> for InputType {
    fn from(data_type: DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Int64 => Self::Int64,
            DataType::Float64 => Self::Float64,
            DataType::Utf8 | DataType::Categorical => Self::Text,
            DataType::Timestamp => Self::Timestamp,
        }
    }
}

/// A step that makes one or more features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    Numeric(Numeric),
    Categorical(Categorical),
}

impl Step {
    fn is_part(&self) -> bool {
        matches!(self, Self::Numeric(Numeric { source: Source::Part { .. }, .. }))
    }
}

/// A feature that is a number. The source's value is clipped, filled if missing, centred and
/// scaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Numeric {
    /// The name of the feature.
    pub(crate) name: String,
    pub(crate) source: Source,
    pub(crate) missing: MissingNumber,
    /// The least and the greatest value after clipping.
    pub(crate) clip: Option<[f64; 2]>,
    /// The number that is subtracted.
    pub(crate) center: f64,
    /// The number that divides.
    pub(crate) scale: f64,
}

/// The source of a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Source {
    /// A column.
    Column { column: String },
    /// One column divided by another.
    Ratio { numerator: String, denominator: String, zero_division: ZeroDivision },
    /// A combination of two columns.
    Interaction { left: String, right: String, kind: InteractionKind },
    /// A part of a timestamp.
    Part { column: String, part: DatePart },
}

impl Source {
    /// Returns the columns that it reads.
    pub(crate) fn columns(&self) -> Vec<&str> {
        match self {
            Self::Column { column } | Self::Part { column, .. } => vec![column],
            Self::Ratio { numerator, denominator, .. } => vec![numerator, denominator],
            Self::Interaction { left, right, .. } => vec![left, right],
        }
    }
}

/// The treatment of a missing number.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MissingNumber {
    /// It is replaced by this number.
    Fill(f64),
    /// It remains NaN.
    Keep,
    /// It is an error.
    Error,
}

/// A column of text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Categorical {
    pub(crate) column: String,
    pub(crate) encoding: Encoding,
    pub(crate) unseen: Unseen,
    pub(crate) missing: MissingText,
    /// The categories, distinct and sorted by bytes.
    pub(crate) categories: Vec<String>,
}

/// The treatment of a missing text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MissingText {
    /// It is replaced by this category.
    Fill(String),
    /// It is a category of its own, after the others.
    Category,
    /// It is treated like an unseen category, since no training row had one.
    Unseen,
    /// It is an error.
    Error,
}

impl Categorical {
    /// Returns the number of codes, which is the number of features if one-hot.
    pub(crate) fn codes(&self) -> usize {
        self.categories.len()
            + usize::from(self.missing == MissingText::Category)
            + usize::from(self.unseen == Unseen::Bucket)
    }

    /// Returns the names of its features.
    fn feature_names(&self) -> Vec<String> {
        if self.encoding == Encoding::Ordinal {
            return vec![self.column.clone()];
        }
        let missing = (self.missing == MissingText::Category).then_some("(missing)");
        let unseen = (self.unseen == Unseen::Bucket).then_some("(unseen)");
        let labels = self.categories.iter().map(String::as_str).chain(missing).chain(unseen);
        labels.map(|label| format!("{}={label}", self.column)).collect()
    }
}

impl State {
    pub(crate) fn new(inputs: &[Field], steps: Vec<Step>) -> Self {
        let inputs = inputs.iter().map(|field| Input { name: field.name.clone(), data_type: field.data_type.into() });
        let version = if steps.iter().any(Step::is_part) { VERSION } else { WITHOUT_PARTS };
        Self { format: FORMAT.to_owned(), version, inputs: inputs.collect(), steps }
    }

    /// Returns the index of the raw column called `name`.
    pub(crate) fn input(&self, name: &str) -> Option<usize> {
        self.inputs.iter().position(|input| input.name == name)
    }

    /// Returns the names of all features, in order. They are distinct and valid in a table.
    pub(crate) fn feature_names(&self) -> Vec<String> {
        let mut taken = HashSet::new();
        let mut names = Vec::new();
        for step in &self.steps {
            let own = match step {
                Step::Numeric(numeric) => vec![numeric.name.clone()],
                Step::Categorical(categorical) => categorical.feature_names(),
            };
            names.extend(own.into_iter().map(|name| distinct(presentable(&name), &mut taken)));
        }
        names
    }

    /// Checks what the types do not ensure.
    ///
    /// # Errors
    /// `internal` if `fit` does not write such a state.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let broken = |what: String| Err(Failure::internal(format!("the state cannot be read: {what}")));
        if self.format != FORMAT || !(WITHOUT_PARTS..=VERSION).contains(&self.version) {
            return broken(format!(
                "`{}` version {} instead of `{FORMAT}` up to version {VERSION}",
                self.format, self.version
            ));
        }
        if self.version == WITHOUT_PARTS && self.steps.iter().any(Step::is_part) {
            return broken(format!("version {WITHOUT_PARTS} has no parts of dates"));
        }
        let known = |name: &&str| self.input(name).is_none();
        for step in &self.steps {
            let fault = match step {
                Step::Numeric(numeric) => numeric
                    .source
                    .columns()
                    .into_iter()
                    .find(known)
                    .map(|name| format!("no input `{name}`"))
                    .or_else(|| self.part_fault(&numeric.source))
                    .or_else(|| numeric.fault()),
                Step::Categorical(text) if self.input(&text.column).is_none() => {
                    Some(format!("no input `{}`", text.column))
                }
                Step::Categorical(text) => text.fault(),
            };
            if let Some(fault) = fault {
                return broken(fault);
            }
        }
        Ok(())
    }
}

impl State {
    fn part_fault(&self, source: &Source) -> Option<String> {
        let Source::Part { column, .. } = source else { return None };
        let input = self.input(column).and_then(|place| self.inputs.get(place));
        let is_timestamp = input.is_some_and(|input| input.data_type == InputType::Timestamp);
        (!is_timestamp).then(|| format!("`{column}` has no timestamps to take parts of"))
    }
}

impl Numeric {
    fn fault(&self) -> Option<String> {
        let scaled = self.center.is_finite() && self.scale.is_finite() && self.scale > 0.0;
        let clipped = self.clip.is_none_or(|[low, high]| low <= high);
        (!scaled || !clipped).then(|| format!("the scale or bounds of `{}` are not numbers in order", self.name))
    }
}

impl Categorical {
    fn fault(&self) -> Option<String> {
        let sorted = self.categories.is_sorted_by(|left, right| left < right);
        let filled = match &self.missing {
            MissingText::Fill(category) => self.categories.binary_search(category).is_ok(),
            _ => true,
        };
        (!sorted || !filled)
            .then(|| format!("the categories of `{}` are not sorted, distinct and complete", self.column))
    }
}

/// Converts a text to the name of a field, which has at most 256 bytes and no control characters; a
/// category may have any text.
fn presentable(name: &str) -> String {
    const LENGTH: usize = 240; // leaves room for a number that tells equal ones apart
    let mut shown = String::with_capacity(name.len());
    for character in name.chars() {
        let length = shown.len();
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
        if shown.len() > LENGTH {
            shown.truncate(length);
            break;
        }
    }
    shown
}

fn distinct(name: String, taken: &mut HashSet<String>) -> String {
    let mut candidate = name.clone();
    let mut number = 2;
    while !taken.insert(candidate.clone()) {
        candidate = format!("{name}#{number}");
        number += 1;
    }
    candidate
}
