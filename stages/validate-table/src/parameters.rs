//! The stage's parameters: what a manifest may demand of a table beyond its signature.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use stagewright_kit::Failure;

/// What a table must be like.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The table must have more rows than this.
    pub min_rows: u64,
    /// In each column, the share of nulls must be less than this.
    #[schemars(range(min = 0.0))]
    pub max_null_ratio: f64,
    /// What single columns demand, by name.
    pub columns: BTreeMap<String, ColumnLimits>,
    /// Where the numbers of a column must lie, by name.
    pub ranges: BTreeMap<String, Range>,
    /// Which values a column may have, by name.
    pub allowed: BTreeMap<String, Vec<Allowed>>,
    /// Up to this share of a column's values may lie outside its range or its allowed values.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_out_of_range_ratio: f64,
    /// What is done about columns that the signature does not have.
    pub extra_columns: ExtraColumns,
    /// Columns, each without a value that stands there twice.
    pub unique: Vec<String>,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            min_rows: 0,
            max_null_ratio: 0.1,
            columns: BTreeMap::new(),
            ranges: BTreeMap::new(),
            allowed: BTreeMap::new(),
            max_out_of_range_ratio: 0.0,
            extra_columns: ExtraColumns::Error,
            unique: Vec::new(),
        }
    }
}

/// What one column demands.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ColumnLimits {
    /// The share of nulls must be less than this.
    #[schemars(range(min = 0.0))]
    pub max_null_ratio: Option<f64>,
}

/// Where numbers must lie. Both ends are allowed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Range {
    /// The least one.
    pub min: Option<f64>,
    /// The greatest one.
    pub max: Option<f64>,
}

/// A value that a column may have.
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

/// What is done about columns that the signature does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExtraColumns {
    /// They fail the check.
    Error,
    /// They are ignored.
    Ignore,
}

impl Parameters {
    /// Checks what the JSON Schema cannot say.
    ///
    /// # Errors
    /// `parameter`.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let ratios = self
            .columns
            .iter()
            .filter_map(|(name, limits)| Some((format!("columns.{name}.max_null_ratio"), limits.max_null_ratio?)));
        for (parameter, ratio) in ratios.chain([("max_null_ratio".to_owned(), self.max_null_ratio)]) {
            if ratio.is_nan() || ratio < 0.0 {
                return Err(Failure::parameter(parameter, format!("`{ratio}` is not a share")));
            }
        }
        if !(0.0..=1.0).contains(&self.max_out_of_range_ratio) {
            return Err(Failure::parameter(
                "max_out_of_range_ratio",
                format!("`{}` is not from 0 to 1", self.max_out_of_range_ratio),
            ));
        }
        for (name, range) in &self.ranges {
            if let (Some(min), Some(max)) = (range.min, range.max)
                && min > max
            {
                return Err(Failure::parameter(
                    format!("ranges.{name}"),
                    format!("`min` = {min} is greater than `max` = {max}"),
                ));
            }
        }
        Ok(())
    }

    /// The share of nulls that column `name` must stay below.
    pub(crate) fn null_limit(&self, name: &str) -> f64 {
        self.columns.get(name).and_then(|limits| limits.max_null_ratio).unwrap_or(self.max_null_ratio)
    }
}
