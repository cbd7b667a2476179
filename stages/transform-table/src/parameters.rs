//! The stage's parameters: what a manifest may say. Every one has a default, so that `{}` fits any table.
//!
//! Owns their shapes and defaults. What they mean for one column is decided in [`crate::plan`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How raw columns become features.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// Columns of numbers, and ratios and interactions.
    pub numeric: Numeric,
    /// Columns of text.
    pub categorical: Categorical,
    /// Columns of moments.
    pub timestamp: Timestamp,
    /// What single columns, ratios or interactions do differently, by name.
    pub columns: BTreeMap<String, Override>,
    /// Features that divide one column by another.
    pub ratios: Vec<Ratio>,
    /// Features that combine two columns.
    pub interactions: Vec<Interaction>,
    /// Makes up training rows of rare classes (SMOTE). Absent: no.
    pub smote: Option<Smote>,
}

/// What is done with columns of numbers.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Numeric {
    /// What stands in for a null or NaN.
    pub missing: NumericMissing,
    /// What is done with values far from the others.
    pub outliers: Outliers,
    /// How values are scaled.
    pub scale: Scale,
}

impl Default for Numeric {
    fn default() -> Self {
        Self { missing: NumericMissing::Median, outliers: Outliers::None, scale: Scale::Standard }
    }
}

/// What stands in for a number that is missing: null or NaN.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NumericMissing {
    /// The mean of the training rows.
    Mean,
    /// The median of the training rows.
    Median,
    /// 0.
    Zero,
    /// This number.
    Constant(f64),
    /// NaN: trees know what to do with it.
    Keep,
    /// Nothing: a missing value is an error.
    Error,
}

/// What is done with values far from the others. Bounds are learnt from the training rows.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outliers {
    /// They stay.
    None,
    /// Clipped to two quantiles.
    Clip(Quantiles),
    /// Clipped to the quartiles, widened by a multiple of their distance (Tukey's fences).
    Iqr(Fences),
}

/// The quantiles that values are clipped to.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quantiles {
    /// The lower one.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub lower: f64,
    /// The upper one.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub upper: f64,
}

impl Default for Quantiles {
    fn default() -> Self {
        Self { lower: 0.01, upper: 0.99 }
    }
}

/// How wide Tukey's fences are.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fences {
    /// The multiple of the distance between the quartiles.
    #[schemars(range(min = 0.0))]
    pub factor: f64,
}

impl Default for Fences {
    fn default() -> Self {
        Self { factor: 1.5 }
    }
}

/// How numbers are scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// To mean 0 and standard deviation 1 over the training rows. A constant column becomes 0.
    Standard,
    /// Not at all.
    None,
}

/// What is done with columns of text.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Categorical {
    /// How categories become numbers.
    pub encoding: Encoding,
    /// What becomes of a category that the training rows did not have.
    pub unseen: Unseen,
    /// What stands in for a null.
    pub missing: CategoricalMissing,
    /// How many categories a column keeps, the most frequent ones; the others count as unseen.
    #[schemars(range(min = 1, max = 10_000))]
    pub max_categories: u32,
}

impl Default for Categorical {
    fn default() -> Self {
        Self {
            encoding: Encoding::OneHot,
            unseen: Unseen::Ignore,
            missing: CategoricalMissing::Category,
            max_categories: 100,
        }
    }
}

/// How categories become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// A feature of 0 and 1 for each category, called `column=category`.
    OneHot,
    /// One feature: the category's place in alphabetical order, from 0.
    Ordinal,
}

/// What becomes of a category that the training rows did not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unseen {
    /// No feature is 1; the ordinal code is -1.
    Ignore,
    /// It is an error.
    Error,
    /// A feature of its own, `column=(unseen)`; an ordinal code of its own, after all others.
    Bucket,
}

/// What stands in for a text that is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CategoricalMissing {
    /// A category of its own, `column=(missing)`, where training rows have nulls; unseen where they have none.
    Category,
    /// The most frequent category of the training rows.
    MostFrequent,
    /// Nothing: a null is an error.
    Error,
}

/// What is done with columns of moments.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timestamp {
    /// The parts that become features, called `column.part`; in UTC. A part that all training rows have in common makes none.
    pub parts: Vec<DatePart>,
}

impl Default for Timestamp {
    fn default() -> Self {
        Self { parts: DatePart::ALL.to_vec() }
    }
}

/// A part of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatePart {
    /// The year.
    Year,
    /// The month, from 1.
    Month,
    /// The day of the month, from 1.
    Day,
    /// The day of the week, from 0 for Monday.
    Weekday,
    /// The hour, from 0.
    Hour,
}

impl DatePart {
    /// All parts, the longest first.
    pub const ALL: [Self; 5] = [Self::Year, Self::Month, Self::Day, Self::Weekday, Self::Hour];

    /// The name in parameters and features.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Month => "month",
            Self::Day => "day",
            Self::Weekday => "weekday",
            Self::Hour => "hour",
        }
    }
}

/// What one column does differently. `missing` takes the words of its kind.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Override {
    /// Leaves the column out. Ratios and interactions may still use it.
    pub drop: bool,
    /// Reads the column as another type.
    #[serde(rename = "as")]
    pub read_as: Option<ReadAs>,
    /// What stands in for a missing value.
    pub missing: Option<Missing>,
    /// What is done with values far from the others (numbers).
    pub outliers: Option<Outliers>,
    /// How values are scaled (numbers).
    pub scale: Option<Scale>,
    /// How categories become numbers (text).
    pub encoding: Option<Encoding>,
    /// What becomes of unseen categories (text).
    pub unseen: Option<Unseen>,
    /// How many categories are kept (text).
    #[schemars(range(min = 1, max = 10_000))]
    pub max_categories: Option<u32>,
    /// The parts that become features (timestamps).
    pub parts: Option<Vec<DatePart>>,
}

/// The type that a column is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadAs {
    /// Numbers. Text is parsed, blank is missing; a timestamp becomes seconds since 1970.
    Float64,
    /// Text. Numbers become what they are written as.
    Categorical,
}

/// What stands in for a missing value, of numbers or of text.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Numbers: the mean of the training rows.
    Mean,
    /// Numbers: their median.
    Median,
    /// Numbers: 0.
    Zero,
    /// Numbers: this one.
    Constant(f64),
    /// Numbers: NaN.
    Keep,
    /// Text: a category of its own.
    Category,
    /// Text: the most frequent category.
    MostFrequent,
    /// An error.
    Error,
}

/// A feature that divides one column by another. 0 / 0 is 0; it is never infinite.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    /// The feature's name.
    pub name: String,
    /// The column above.
    pub numerator: String,
    /// The column below.
    pub denominator: String,
    /// What x / 0 is, for x other than 0.
    #[serde(default)]
    pub zero_division: ZeroDivision,
}

/// What x / 0 is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ZeroDivision {
    /// 0.
    #[default]
    Zero,
    /// Missing.
    Null,
    /// This number.
    Constant(f64),
}

/// A feature that combines two columns.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Interaction {
    /// The feature's name.
    pub name: String,
    /// One column.
    pub left: String,
    /// The other.
    pub right: String,
    /// How.
    #[serde(default)]
    pub kind: InteractionKind,
}

/// How two columns are combined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InteractionKind {
    /// Left times right.
    #[default]
    Product,
    /// Left minus right.
    Difference,
    /// Left plus right.
    Sum,
}

/// How rows of rare classes are made up: Chawla et al., "SMOTE", JAIR 16 (2002).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Smote {
    /// False switches it off, whatever else is said.
    pub enabled: bool,
    /// Among how many nearest neighbours one is drawn.
    #[schemars(range(min = 1, max = 1000))]
    pub k_neighbors: u32,
    /// How many rows each class shall have at least, as a share of the largest class.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sampling_strategy: f64,
}

impl Default for Smote {
    fn default() -> Self {
        Self { enabled: true, k_neighbors: 5, sampling_strategy: 1.0 }
    }
}
