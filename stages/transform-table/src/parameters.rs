//! The parameters of the stage. Each has a default, so `{}` fits any table.
//!
//! This defines their types and defaults. [`crate::plan`] decides what they mean for a column.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The transformation of raw columns into features.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The treatment of numbers, ratios and interactions.
    pub numeric: Numeric,
    /// The treatment of text.
    pub categorical: Categorical,
    /// The treatment of timestamps.
    pub timestamp: Timestamp,
    /// Overrides for single columns, ratios or interactions, by name.
    pub columns: BTreeMap<String, Override>,
    /// Features that divide one column by another.
    pub ratios: Vec<Ratio>,
    /// Features that combine two columns.
    pub interactions: Vec<Interaction>,
    /// Adds synthetic training rows of rare classes (SMOTE). Off if absent.
    pub smote: Option<Smote>,
}

/// The treatment of columns of numbers.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Numeric {
    /// The replacement of null and NaN.
    pub missing: NumericMissing,
    /// The treatment of values far from the others.
    pub outliers: Outliers,
    /// The scaling of values.
    pub scale: Scale,
}

impl Default for Numeric {
    fn default() -> Self {
        Self { missing: NumericMissing::Median, outliers: Outliers::None, scale: Scale::Standard }
    }
}

/// The replacement of a missing number: null or NaN.
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
    /// NaN, which trees can handle.
    Keep,
    /// A missing value is an error.
    Error,
}

/// The treatment of values far from the others. Bounds are learnt from the training rows.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outliers {
    /// They are kept.
    None,
    /// They are clipped to two quantiles.
    Clip(Quantiles),
    /// They are clipped to the quartiles, widened by a multiple of their distance (Tukey's fences).
    Iqr(Fences),
}

/// The quantiles that values are clipped to.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Quantiles {
    /// The lower quantile.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub lower: f64,
    /// The upper quantile.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub upper: f64,
}

impl Default for Quantiles {
    fn default() -> Self {
        Self { lower: 0.01, upper: 0.99 }
    }
}

/// The width of Tukey's fences.
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

/// The scaling of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// To mean 0 and standard deviation 1 over the training rows. A constant column becomes 0.
    Standard,
    /// They are not scaled.
    None,
}

/// The treatment of columns of text.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Categorical {
    /// The encoding of categories.
    pub encoding: Encoding,
    /// The treatment of a category that the training rows did not have.
    pub unseen: Unseen,
    /// The replacement of null.
    pub missing: CategoricalMissing,
    /// The most categories of a column. The most frequent ones are kept; others count as unseen.
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

/// The encoding of categories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// A feature of 0 and 1 for each category, called `column=category`.
    OneHot,
    /// One feature: the index of the category in alphabetical order, from 0.
    Ordinal,
}

/// The treatment of a category that the training rows did not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unseen {
    /// No feature is 1; the ordinal code is -1.
    Ignore,
    /// It is an error.
    Error,
    /// A feature `column=(unseen)`; an ordinal after all others.
    Bucket,
}

/// The replacement of a text that is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CategoricalMissing {
    /// A category `column=(missing)` if training rows have nulls; unseen otherwise.
    Category,
    /// The most frequent category of the training rows.
    MostFrequent,
    /// A null is an error.
    Error,
}

/// The treatment of timestamps.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timestamp {
    /// The parts that become features, called `column.part`, in UTC. A part that all training rows
    /// have in common makes no feature.
    pub parts: Vec<DatePart>,
}

impl Default for Timestamp {
    fn default() -> Self {
        Self { parts: DatePart::ALL.to_vec() }
    }
}

/// A part of a timestamp.
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

    /// Returns the name in parameters and features.
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

/// Overrides for one column. `missing` takes the words of its type.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Override {
    /// Leaves the column out. Ratios and interactions may still use it.
    pub drop: bool,
    /// Reads the column as another type.
    #[serde(rename = "as")]
    pub read_as: Option<ReadAs>,
    /// The replacement of missing values.
    pub missing: Option<Missing>,
    /// The treatment of values far from the others (numbers).
    pub outliers: Option<Outliers>,
    /// The scaling of values (numbers).
    pub scale: Option<Scale>,
    /// The encoding of categories (text).
    pub encoding: Option<Encoding>,
    /// The treatment of unseen categories (text).
    pub unseen: Option<Unseen>,
    /// The most categories (text).
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
    /// Text. Numbers become their usual notation.
    Categorical,
}

/// The replacement of a missing value, of numbers or of text.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// Numbers: the mean of the training rows.
    Mean,
    /// Numbers: the median of the training rows.
    Median,
    /// Numbers: 0.
    Zero,
    /// Numbers: this number.
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
    /// The column of the numerator.
    pub numerator: String,
    /// The column of the denominator.
    pub denominator: String,
    /// The value of x / 0, for x other than 0.
    #[serde(default)]
    pub zero_division: ZeroDivision,
}

/// The value of x / 0.
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
    /// The left column.
    pub left: String,
    /// The right column.
    pub right: String,
    /// The combination.
    #[serde(default)]
    pub kind: InteractionKind,
}

/// The combination of two columns.
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

/// Synthetic rows of rare classes: Chawla et al., "SMOTE", JAIR 16 (2002).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Smote {
    /// Whether SMOTE is on.
    pub enabled: bool,
    /// The number of nearest neighbours from which one is drawn.
    #[schemars(range(min = 1, max = 1000))]
    pub k_neighbors: u32,
    /// The least number of rows of each class, as a share of the largest class.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub sampling_strategy: f64,
}

impl Default for Smote {
    fn default() -> Self {
        Self { enabled: true, k_neighbors: 5, sampling_strategy: 1.0 }
    }
}
