//! The parameters of the stage: requirements on a table beyond its signature.
//!
//! Each requirement has two places: at the top, where a table that does not meet it ends the run,
//! and under `warn`, where it does not. The two have the same keys.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use stagewright_kit::Failure;

/// The default share of nulls that a column may have.
const MOST_NULLS: f64 = 0.1;

/// Defines a type with all requirements, and a view of them.
macro_rules! requirements {
    ($(#[$about:meta])* pub struct $name:ident { $($own:tt)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            /// The least number of rows. An error at 1 if neither this nor `more_than_rows` is
            /// given.
            pub min_rows: Option<u64>,
            /// The table must have more rows than this.
            pub more_than_rows: Option<u64>,
            /// The largest change of the number of rows against `expected_rows`, as a share of it,
            /// up or down: 0.2 for a fifth.
            #[schemars(extend("minimum" = 0))]
            pub max_row_change: Option<f64>,
            /// The largest share of nulls of each column. An error above 0.1 if neither this nor
            /// `null_ratio_below` is given.
            #[schemars(extend("minimum" = 0, "maximum" = 1))]
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
            /// Regular expressions that match the whole of each text, by column. They have no
            /// look-around and no back references.
            #[schemars(extend("x-column-types" = ["utf8", "categorical"]))]
            pub patterns: BTreeMap<String, String>,
            /// The share of a column's values that may be outside its range, its allowed values or
            /// its pattern.
            #[schemars(range(min = 0.0, max = 1.0))]
            pub max_out_of_range_ratio: f64,
            /// The columns in which no value may occur twice, and lists of columns in which no
            /// combination of values may.
            pub unique: Vec<Columns>,
            /// Columns whose values must occur in another table.
            pub references: Vec<Reference>,
            /// The greatest age of the latest time, by column.
            #[schemars(extend("x-column-types" = ["timestamp"]))]
            pub freshness: BTreeMap<String, Freshness>,
            /// Comparisons that hold in each row: `end >= start`, `amount > 0`, `kind != 'test'`.
            pub rules: Vec<String>,
            /// The share of rows that may break a rule.
            #[schemars(range(min = 0.0, max = 1.0))]
            pub max_broken_ratio: f64,
            /// The largest population stability index of each column in `profiles`. An error above
            /// 0.25 if this is not given.
            #[schemars(extend("minimum" = 0))]
            pub max_psi: Option<f64>,
            /// The largest share of values that are not among the `values` of a column's profile.
            #[schemars(extend("minimum" = 0, "maximum" = 1))]
            pub max_unseen_ratio: Option<f64>,
            /// The shares of the target's classes.
            pub target_balance: Option<Balance>,
            $($own)*
        }

        impl $name {
            /// Returns the requirements.
            pub(crate) fn requirements(&self) -> Requirements<'_> {
                Requirements {
                    min_rows: self.min_rows,
                    more_than_rows: self.more_than_rows,
                    max_row_change: self.max_row_change,
                    nulls: Limit { inclusive: self.max_null_ratio, strict: self.null_ratio_below },
                    columns: &self.columns,
                    ranges: &self.ranges,
                    allowed: &self.allowed,
                    patterns: &self.patterns,
                    max_out_of_range_ratio: self.max_out_of_range_ratio,
                    unique: &self.unique,
                    references: &self.references,
                    freshness: &self.freshness,
                    rules: &self.rules,
                    max_broken_ratio: self.max_broken_ratio,
                    max_psi: self.max_psi,
                    max_unseen_ratio: self.max_unseen_ratio,
                    target_balance: self.target_balance,
                }
            }
        }
    };
}

requirements! {
    /// The requirements on a table.
    pub struct Parameters {
        /// The treatment of columns that the signature does not have.
        pub extra_columns: ExtraColumns,
        /// The number of rows that `max_row_change` compares with.
        #[schemars(extend("minimum" = 1))]
        pub expected_rows: Option<u64>,
        /// How the values of columns were distributed when the profile was taken, by column.
        pub profiles: BTreeMap<String, Profile>,
        /// Requirements that only warn.
        pub warn: Warnings,
    }
}

requirements! {
    /// Requirements that only warn: the run continues if a table does not meet them.
    pub struct Warnings {}
}

/// A view of the requirements of one severity.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requirements<'a> {
    pub(crate) min_rows: Option<u64>,
    pub(crate) more_than_rows: Option<u64>,
    pub(crate) max_row_change: Option<f64>,
    pub(crate) nulls: Limit,
    pub(crate) columns: &'a BTreeMap<String, ColumnLimits>,
    pub(crate) ranges: &'a BTreeMap<String, Range>,
    pub(crate) allowed: &'a BTreeMap<String, Vec<Allowed>>,
    pub(crate) patterns: &'a BTreeMap<String, String>,
    pub(crate) max_out_of_range_ratio: f64,
    pub(crate) unique: &'a [Columns],
    pub(crate) references: &'a [Reference],
    pub(crate) freshness: &'a BTreeMap<String, Freshness>,
    pub(crate) rules: &'a [String],
    pub(crate) max_broken_ratio: f64,
    pub(crate) max_psi: Option<f64>,
    pub(crate) max_unseen_ratio: Option<f64>,
    pub(crate) target_balance: Option<Balance>,
}

/// A limit on a count or a share: inclusive, exclusive, or both.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Limit {
    /// The last number that passes.
    pub(crate) inclusive: Option<f64>,
    /// The first number that fails.
    pub(crate) strict: Option<f64>,
}

impl Limit {
    /// Returns the limit itself, or `default` if nothing is given.
    fn or(self, default: Self) -> Self {
        if self.is_none() { default } else { self }
    }

    /// Returns whether nothing is limited.
    pub(crate) fn is_none(self) -> bool {
        self.inclusive.is_none() && self.strict.is_none()
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
    /// Replaces `max_out_of_range_ratio` for all columns.
    #[schemars(extend("minimum" = 0, "maximum" = 1))]
    pub max_out_of_range_ratio: Option<f64>,
    /// Replaces `max_psi` for all columns.
    #[schemars(extend("minimum" = 0))]
    pub max_psi: Option<f64>,
    /// Replaces `max_unseen_ratio` for all columns.
    #[schemars(extend("minimum" = 0, "maximum" = 1))]
    pub max_unseen_ratio: Option<f64>,
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

/// One column, or several that count together.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Columns {
    /// One column.
    One(String),
    /// Several columns.
    Several(Vec<String>),
}

impl Columns {
    /// Returns the names.
    pub(crate) fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }
}

/// Columns whose values must occur in another table.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// The column, or the columns, of the table that is checked. Rows with a null in one of them
    /// are left out.
    pub columns: Columns,
    /// The other table: a name under the stage's `inputs`.
    pub table: String,
    /// The columns of the other table, in the order of `columns`, if they have other names there.
    #[serde(default)]
    pub key: Option<Columns>,
    /// The share of rows whose values the other table may lack.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub max_missing_ratio: f64,
}

/// The greatest age of the latest time of a column, against the manifest's `as-of`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Freshness {
    /// A whole number and a unit (`s`, `min`, `h`, `days`): `36 h`. An age of exactly this passes.
    pub max_age: String,
    /// How far after `as-of` the latest time may be. Nothing at all by default: data of after
    /// `as-of` most often means that nobody told the run what time it is.
    #[serde(default)]
    pub max_ahead: Option<String>,
}

/// How the values of a column were distributed. Numbers and timestamps have `edges`, texts and
/// flags have `values`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// The ends of the bins, ascending. The first bin is everything below the first edge, the last
    /// one the last edge and everything above it. A value at an edge belongs to the bin above.
    pub edges: Vec<f64>,
    /// The values that were seen.
    pub values: Vec<String>,
    /// The share of each bin, one more than there are edges, or of each value. They sum to 1. The
    /// shares of values may sum to less, if there were others.
    pub shares: Vec<f64>,
}

/// The least and the greatest share of each class of the target, both inclusive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
#[serde(deny_unknown_fields, default)]
pub struct Balance {
    /// The least share of each class.
    #[schemars(extend("minimum" = 0, "maximum" = 1))]
    pub min_share: Option<f64>,
    /// The greatest share of each class.
    #[schemars(extend("minimum" = 0, "maximum" = 1))]
    pub max_share: Option<f64>,
}

/// The treatment of columns that the signature does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExtraColumns {
    /// They fail the check.
    #[default]
    Error,
    /// They are ignored.
    Ignore,
}

impl Parameters {
    /// Returns the requirements that end a run, with their defaults.
    pub(crate) fn errors(&self) -> Requirements<'_> {
        let mut requirements = self.requirements();
        requirements.nulls = requirements.nulls.or(Limit { inclusive: Some(MOST_NULLS), strict: None });
        if requirements.min_rows.is_none() && requirements.more_than_rows.is_none() {
            requirements.min_rows = Some(1);
        }
        requirements.max_psi = requirements.max_psi.or(Some(0.25));
        requirements
    }

    /// Returns the requirements that only warn.
    pub(crate) fn warnings(&self) -> Requirements<'_> {
        self.warn.requirements()
    }

    /// Checks what the JSON Schema cannot.
    ///
    /// # Errors
    /// `parameter`, for the first parameter that is wrong.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.requirements().check("")?;
        self.warn.requirements().check("warn.")?;
        if self.expected_rows == Some(0) {
            return Err(Failure::parameter("expected_rows", "no change can be told against 0 rows"));
        }
        for (at, change) in [("", self.max_row_change), ("warn.", self.warn.max_row_change)] {
            if change.is_some() && self.expected_rows.is_none() {
                let message = "say with `expected_rows` what the number of rows is compared with";
                return Err(Failure::parameter(format!("{at}max_row_change"), message));
            }
        }
        self.profiles.iter().try_for_each(|(name, profile)| profile.check(name))
    }
}

impl Profile {
    /// The most bins or values.
    const MOST: usize = 1000;

    fn check(&self, name: &str) -> Result<(), Failure> {
        let wrong = |key: &str, message: String| Err(Failure::parameter(format!("profiles.{name}.{key}"), message));
        if self.edges.is_empty() == self.values.is_empty() {
            return wrong("edges", "give `edges` for numbers and times, or `values` for texts and flags".to_owned());
        }
        if self.shares.len() > Self::MOST {
            return wrong("shares", format!("there are at most {} bins or values", Self::MOST));
        }
        let bins = if self.values.is_empty() { self.edges.len() + 1 } else { self.values.len() };
        if self.shares.len() != bins {
            return wrong("shares", format!("{} shares for {bins} bins or values", self.shares.len()));
        }
        if !self.edges.is_sorted_by(|a, b| a < b) || self.edges.iter().any(|edge| !edge.is_finite()) {
            return wrong("edges", "they are finite and ascend".to_owned());
        }
        let mut values: Vec<&String> = self.values.iter().collect();
        values.sort_unstable();
        if let Some(pair) = values.windows(2).find(|pair| pair[0] == pair[1]) {
            return wrong("values", format!("`{}` is there twice", pair[0]));
        }
        let sum: f64 = self.shares.iter().sum();
        let least = if self.values.is_empty() { 0.99 } else { 0.0 };
        if self.shares.iter().any(|share| !(0.0..=1.0).contains(share)) || !(least..=1.01).contains(&sum) {
            return wrong("shares", format!("they are from 0 to 1 and sum to 1, not to {sum}"));
        }
        Ok(())
    }
}

impl Requirements<'_> {
    /// Checks what the JSON Schema cannot. `at` is the prefix of the parameters' names.
    fn check(&self, at: &str) -> Result<(), Failure> {
        let of = |parameter: &str, ratio| (format!("{at}{parameter}"), ratio);
        let general = [
            of("max_null_ratio", self.nulls.inclusive),
            of("null_ratio_below", self.nulls.strict),
            of("max_out_of_range_ratio", Some(self.max_out_of_range_ratio)),
            of("max_broken_ratio", Some(self.max_broken_ratio)),
            of("max_unseen_ratio", self.max_unseen_ratio),
            of("target_balance.min_share", self.target_balance.and_then(|balance| balance.min_share)),
            of("target_balance.max_share", self.target_balance.and_then(|balance| balance.max_share)),
        ];
        let own = self.columns.iter().flat_map(|(name, limits)| {
            let keys = [
                ("max_null_ratio", limits.max_null_ratio),
                ("null_ratio_below", limits.null_ratio_below),
                ("max_out_of_range_ratio", limits.max_out_of_range_ratio),
                ("max_unseen_ratio", limits.max_unseen_ratio),
            ];
            keys.into_iter().map(move |(key, ratio)| (format!("{at}columns.{name}.{key}"), ratio))
        });
        let places = self.references.iter().enumerate();
        let missing = places
            .map(|(place, it)| (format!("{at}references[{place}].max_missing_ratio"), Some(it.max_missing_ratio)));
        let ratios = general.into_iter().chain(own).chain(missing);
        for (parameter, ratio) in ratios.filter_map(|(parameter, ratio)| Some((parameter, ratio?))) {
            if !(0.0..=1.0).contains(&ratio) {
                return Err(Failure::parameter(parameter, format!("`{ratio}` is not a share from 0 to 1")));
            }
            if ratio == 0.0 && parameter.ends_with("null_ratio_below") {
                let message = "no share is less than 0: `max_null_ratio = 0` allows no nulls";
                return Err(Failure::parameter(parameter, message));
            }
        }
        for (name, range) in self.ranges {
            if range.min.is_none() && range.max.is_none() {
                return Err(Failure::parameter(format!("{at}ranges.{name}"), "give `min`, `max` or both"));
            }
            if let (Some(min), Some(max)) = (range.min, range.max)
                && min > max
            {
                return Err(Failure::parameter(
                    format!("{at}ranges.{name}"),
                    format!("`min` = {min} is greater than `max` = {max}"),
                ));
            }
        }
        if let Some(Balance { min_share: None, max_share: None }) = self.target_balance {
            return Err(Failure::parameter(format!("{at}target_balance"), "give `min_share`, `max_share` or both"));
        }
        if let Some(name) = self.allowed.iter().find(|(_, allowed)| allowed.is_empty()).map(|(name, _)| name) {
            return Err(Failure::parameter(format!("{at}allowed.{name}"), "name at least one value"));
        }
        for (place, columns) in self.unique.iter().enumerate() {
            check_columns(columns, &format!("{at}unique[{place}]"))?;
        }
        for (place, reference) in self.references.iter().enumerate() {
            let parameter = format!("{at}references[{place}]");
            check_columns(&reference.columns, &format!("{parameter}.columns"))?;
            if let Some(key) = &reference.key
                && key.names().len() != reference.columns.names().len()
            {
                let message = "it has as many columns as `columns`, in the same order";
                return Err(Failure::parameter(format!("{parameter}.key"), message));
            }
        }
        Ok(())
    }

    /// Returns every column that the requirements name, each with the parameter that does.
    pub(crate) fn named_columns(&self) -> impl Iterator<Item = (String, &str)> {
        let single = [
            ("columns", self.columns.keys().collect::<Vec<_>>()),
            ("ranges", self.ranges.keys().collect()),
            ("allowed", self.allowed.keys().collect()),
            ("patterns", self.patterns.keys().collect()),
            ("freshness", self.freshness.keys().collect()),
        ];
        let single = single.into_iter().flat_map(|(section, names)| {
            names.into_iter().map(move |name| (format!("{section}.{name}"), name.as_str()))
        });
        let unique = self.unique.iter().flat_map(Columns::names).map(|name| (format!("unique.{name}"), name.as_str()));
        let references = self.references.iter().enumerate();
        let references = references.flat_map(|(place, reference)| {
            let names = reference.columns.names().iter();
            names.map(move |name| (format!("references[{place}].columns"), name.as_str()))
        });
        single.chain(unique).chain(references)
    }

    /// Returns the share of nulls that column `name` may have.
    pub(crate) fn null_limit(&self, name: &str) -> Limit {
        let own = self.columns.get(name);
        let own = own.map(|own| Limit { inclusive: own.max_null_ratio, strict: own.null_ratio_below });
        own.unwrap_or_default().or(self.nulls)
    }

    /// Returns the share of column `name`'s values that may be outside.
    pub(crate) fn outside_ratio(&self, name: &str) -> f64 {
        let own = self.columns.get(name).and_then(|own| own.max_out_of_range_ratio);
        own.unwrap_or(self.max_out_of_range_ratio)
    }

    /// Returns the largest index of column `name`.
    pub(crate) fn psi_limit(&self, name: &str) -> Option<f64> {
        self.columns.get(name).and_then(|own| own.max_psi).or(self.max_psi)
    }

    /// Returns the largest share of values of column `name` that its profile does not have.
    pub(crate) fn unseen_limit(&self, name: &str) -> Option<f64> {
        self.columns.get(name).and_then(|own| own.max_unseen_ratio).or(self.max_unseen_ratio)
    }

    /// Returns the limit on the number of rows. Numbers of rows up to 2^53 are exact in a double.
    pub(crate) fn row_limit(&self) -> Limit {
        let count = |rows: Option<u64>| rows.map(|rows| rows as f64);
        Limit { inclusive: count(self.min_rows), strict: count(self.more_than_rows) }
    }
}

/// The most columns that count together.
const MOST_TOGETHER: usize = 16;

fn check_columns(columns: &Columns, parameter: &str) -> Result<(), Failure> {
    let mut names: Vec<&String> = columns.names().iter().collect();
    if names.is_empty() || names.len() > MOST_TOGETHER {
        return Err(Failure::parameter(parameter, format!("name one to {MOST_TOGETHER} columns")));
    }
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Failure::parameter(parameter, format!("`{}` is there twice", pair[0]))),
        None => Ok(()),
    }
}
