//! The parameters of the stage: requirements on a table beyond its signature.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use stagewright_kit::Failure;

/// The default share of nulls that a column may have.
const MOST_NULLS: f64 = 0.1;

/// The requirements on a table.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The least number of rows; 1 if neither this nor `more_than_rows` is given.
    pub min_rows: Option<u64>,
    /// The table must have more rows than this.
    pub more_than_rows: Option<u64>,
    /// The largest share of nulls of each column; 0.1 if neither this nor `null_ratio_below` is
    /// given.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_null_ratio: Option<f64>,
    /// The share of nulls of each column must be less than this.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub null_ratio_below: Option<f64>,
    /// Requirements on single columns, by name.
    pub columns: BTreeMap<String, ColumnLimits>,
    /// The ranges of numbers, by column. Text and flags have no range.
    #[schemars(extend("x-column-types" = ["int64", "float64", "timestamp"]))]
    pub ranges: BTreeMap<String, Range>,
    /// The allowed values, by column.
    #[schemars(extend("x-column-types" = ["boolean", "int64", "float64", "utf8", "categorical"]))]
    pub allowed: BTreeMap<String, Vec<Allowed>>,
    /// The share of a column's values that may be outside its range or its allowed values.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_out_of_range_ratio: f64,
    /// The treatment of columns that the signature does not have.
    pub extra_columns: ExtraColumns,
    /// The columns in which no value may occur twice.
    pub unique: Vec<String>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            min_rows: None,
            more_than_rows: None,
            max_null_ratio: None,
            null_ratio_below: None,
            columns: BTreeMap::new(),
            ranges: BTreeMap::new(),
            allowed: BTreeMap::new(),
            max_out_of_range_ratio: 0.0,
            extra_columns: ExtraColumns::Error,
            unique: Vec::new(),
        }
    }
}

/// A limit on a count or a share: inclusive, exclusive, or both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Limit {
    /// The last number that passes.
    pub(crate) inclusive: Option<f64>,
    /// The first number that fails.
    pub(crate) strict: Option<f64>,
}

impl Limit {
    /// Returns the given limits, or `default` inclusively if both are absent.
    fn or(inclusive: Option<f64>, strict: Option<f64>, default: Self) -> Self {
        if inclusive.is_none() && strict.is_none() { default } else { Self { inclusive, strict } }
    }
}

/// The requirements on one column.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ColumnLimits {
    /// The largest share of nulls. This or `null_ratio_below` replaces the limits for all columns.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_null_ratio: Option<f64>,
    /// The share of nulls must be less than this.
    #[schemars(extend("exclusiveMinimum" = 0, "maximum" = 1))]
    pub null_ratio_below: Option<f64>,
}

/// A range of numbers, both ends inclusive. One end must be given. Timestamps are in microseconds
/// since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
#[serde(deny_unknown_fields, default)]
pub struct Range {
    /// The least number.
    pub min: Option<f64>,
    /// The greatest number.
    pub max: Option<f64>,
}

/// An allowed value.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Allowed {
    /// True or false.
    Flag(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// The treatment of columns that the signature does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExtraColumns {
    /// They fail the check.
    Error,
    /// They are ignored.
    Ignore,
}

impl Parameters {
    /// Checks what the JSON Schema cannot.
    ///
    /// # Errors
    /// `parameter`, for the first parameter that is wrong.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let general = [("max_null_ratio", self.max_null_ratio), ("null_ratio_below", self.null_ratio_below)];
        let general = general.into_iter().map(|(key, ratio)| (key.to_owned(), ratio));
        let own = self.columns.iter().flat_map(|(name, limits)| {
            let keys = [("max_null_ratio", limits.max_null_ratio), ("null_ratio_below", limits.null_ratio_below)];
            keys.into_iter().map(move |(key, ratio)| (format!("columns.{name}.{key}"), ratio))
        });
        for (parameter, ratio) in general.chain(own).filter_map(|(parameter, ratio)| Some((parameter, ratio?))) {
            if !(0.0..=1.0).contains(&ratio) {
                return Err(Failure::parameter(parameter, format!("`{ratio}` is not a share from 0 to 1")));
            }
            if ratio == 0.0 && parameter.ends_with("null_ratio_below") {
                let message = "no share is less than 0: `max_null_ratio = 0` allows no nulls";
                return Err(Failure::parameter(parameter, message));
            }
        }
        if !(0.0..=1.0).contains(&self.max_out_of_range_ratio) {
            return Err(Failure::parameter(
                "max_out_of_range_ratio",
                format!("`{}` is not from 0 to 1", self.max_out_of_range_ratio),
            ));
        }
        for (name, range) in &self.ranges {
            if range.min.is_none() && range.max.is_none() {
                return Err(Failure::parameter(format!("ranges.{name}"), "give `min`, `max` or both"));
            }
            if let (Some(min), Some(max)) = (range.min, range.max)
                && min > max
            {
                return Err(Failure::parameter(
                    format!("ranges.{name}"),
                    format!("`min` = {min} is greater than `max` = {max}"),
                ));
            }
        }
        if let Some(name) = self.allowed.iter().find(|(_, allowed)| allowed.is_empty()).map(|(name, _)| name) {
            return Err(Failure::parameter(format!("allowed.{name}"), "name at least one value"));
        }
        Ok(())
    }

    /// Returns the share of nulls that column `name` may have.
    pub(crate) fn null_limit(&self, name: &str) -> Limit {
        let most = Limit { inclusive: Some(MOST_NULLS), strict: None };
        let general = Limit::or(self.max_null_ratio, self.null_ratio_below, most);
        match self.columns.get(name) {
            Some(own) => Limit::or(own.max_null_ratio, own.null_ratio_below, general),
            None => general,
        }
    }

    /// Returns the limit on the number of rows. Numbers of rows up to 2^53 are exact in a double.
    pub(crate) fn row_limit(&self) -> Limit {
        let count = |rows: Option<u64>| rows.map(|rows| rows as f64);
        Limit::or(count(self.min_rows), count(self.more_than_rows), Limit { inclusive: Some(1.0), strict: None })
    }
}
