//! The parameters of the stage: steps, each of which makes a table.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// The preparation, as steps in their order. The table of the last step is the result.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The input column that the target is made of, if no input has a column with the target's
    /// name. An input column with that name is known to be the target.
    pub target: Option<String>,
    /// The steps.
    #[schemars(length(min = 1, max = 256))]
    pub steps: Vec<Step>,
}

/// A step: one operation on a table, which makes another table.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    /// The table that the step works on: an input, or the table of an earlier step. The table of
    /// the step before if absent; in the first step, the only input.
    pub table: Option<String>,
    /// The name of the step's table. That of the table it works on if absent.
    #[serde(rename = "as")]
    pub result: Option<String>,
    /// Adds the columns of another table, by equal keys.
    pub join: Option<Join>,
    /// Adds the columns of the latest earlier row of another table, by equal keys.
    pub as_of: Option<AsOf>,
    /// Keeps the rows for which all conditions hold.
    pub filter: Option<Filter>,
    /// Adds or replaces columns that are computed row by row.
    pub derive: Option<Derive>,
    /// Makes one row for each distinct key.
    pub group: Option<Group>,
    /// Adds aggregates of the rows in a span of time that ends at the row's own time.
    pub window: Option<Window>,
    /// Adds values of an earlier row of the same key.
    pub lag: Option<Lag>,
    /// Keeps the latest row of each key.
    pub latest: Option<Latest>,
    /// Adds parts of a timestamp, such as the hour.
    pub time_parts: Option<TimeParts>,
    /// Keeps these columns, in this order.
    pub select: Option<Select>,
    /// Removes columns.
    pub drop: Option<Drop>,
    /// Gives columns other names.
    pub rename: Option<Rename>,
    /// Appends the rows of other tables with the same columns.
    pub union: Option<Union>,
    /// Orders the rows.
    pub sort: Option<Sort>,
}

/// An operation on tables, with its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operation<'a> {
    /// Adds the columns of another table, by equal keys.
    Join(&'a Join),
    /// Adds the columns of the latest earlier row of another table, by equal keys.
    AsOf(&'a AsOf),
    /// Keeps the rows for which all conditions hold.
    Filter(&'a Filter),
    /// Adds or replaces columns that are computed row by row.
    Derive(&'a Derive),
    /// Makes one row for each distinct key.
    Group(&'a Group),
    /// Adds aggregates of the rows in a span of time that ends at the row's own time.
    Window(&'a Window),
    /// Adds values of an earlier row of the same key.
    Lag(&'a Lag),
    /// Keeps the latest row of each key.
    Latest(&'a Latest),
    /// Adds parts of a timestamp, such as the hour.
    TimeParts(&'a TimeParts),
    /// Keeps these columns, in this order.
    Select(&'a Select),
    /// Removes columns.
    Drop(&'a Drop),
    /// Gives columns other names.
    Rename(&'a Rename),
    /// Appends the rows of other tables with the same columns.
    Union(&'a Union),
    /// Orders the rows.
    Sort(&'a Sort),
}

impl Step {
    /// Returns the step's operation with its name. None if the step has no operation, or several.
    pub fn operation(&self) -> Option<(&'static str, Operation<'_>)> {
        let all = [
            self.join.as_ref().map(|found| ("join", Operation::Join(found))),
            self.as_of.as_ref().map(|found| ("as_of", Operation::AsOf(found))),
            self.filter.as_ref().map(|found| ("filter", Operation::Filter(found))),
            self.derive.as_ref().map(|found| ("derive", Operation::Derive(found))),
            self.group.as_ref().map(|found| ("group", Operation::Group(found))),
            self.window.as_ref().map(|found| ("window", Operation::Window(found))),
            self.lag.as_ref().map(|found| ("lag", Operation::Lag(found))),
            self.latest.as_ref().map(|found| ("latest", Operation::Latest(found))),
            self.time_parts.as_ref().map(|found| ("time_parts", Operation::TimeParts(found))),
            self.select.as_ref().map(|found| ("select", Operation::Select(found))),
            self.drop.as_ref().map(|found| ("drop", Operation::Drop(found))),
            self.rename.as_ref().map(|found| ("rename", Operation::Rename(found))),
            self.union.as_ref().map(|found| ("union", Operation::Union(found))),
            self.sort.as_ref().map(|found| ("sort", Operation::Sort(found))),
        ];
        let mut found = all.into_iter().flatten();
        found.next().filter(|_| found.next().is_none())
    }
}

/// The rows of a join.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// All rows; the added columns are null where the other table has no such key.
    #[default]
    Left,
    /// The rows whose key the other table has.
    Inner,
}

/// The treatment of a key that the other table has more than once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// The row is there once for each, and the report says how many keys there are.
    #[default]
    Report,
    /// They are an error.
    Refuse,
}

/// Adds the columns of another table, by equal keys.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The other table.
    pub with: String,
    /// The columns with the key, of the same names in both tables. A null equals nothing.
    #[schemars(length(min = 1))]
    pub on: Vec<String>,
    /// The rows that are kept.
    #[serde(default)]
    pub how: How,
    /// The columns to add. All but the key if absent.
    pub columns: Option<Vec<String>>,
    /// Precedes the names of the added columns.
    #[serde(default)]
    pub prefix: String,
    /// The treatment of a key that the other table has more than once.
    #[serde(default)]
    pub duplicates: Duplicates,
    /// Whether the other table was known at all times, as a date of birth is. Otherwise, if both
    /// tables have times and none is in `on`, its rows may be later ones, and the names of the
    /// added columns begin with `all_time_`.
    #[serde(default)]
    pub timeless: bool,
}

/// Adds the columns of the latest earlier row of another table, by equal keys.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AsOf {
    /// The other table.
    pub with: String,
    /// The columns with the key, of the same names in both tables.
    #[serde(default)]
    pub by: Vec<String>,
    /// The timestamp of the row.
    pub time: String,
    /// The timestamp of the other table's rows. `time` if absent.
    pub with_time: Option<String>,
    /// The age beyond which a row is not used, such as `7d`.
    pub tolerance: Option<String>,
    /// Whether a row of the same time counts as earlier.
    #[serde(default)]
    pub until: Until,
    /// The columns to add. All but the key and the time if absent.
    pub columns: Option<Vec<String>>,
    /// Precedes the names of the added columns.
    #[serde(default)]
    pub prefix: String,
}

/// Whether rows of the same time are included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// They are included, the row itself too.
    #[default]
    Now,
    /// They are not included.
    Before,
}

/// Keeps the rows for which all conditions hold.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// The conditions. None of them holds for a null, except `null = true`. NaN is neither below
    /// nor above a number.
    #[serde(rename = "where")]
    #[schemars(length(min = 1, max = 256))]
    pub conditions: Vec<Condition>,
}

/// A condition on a column: exactly one of its members beside `column`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Condition {
    /// The column.
    pub column: String,
    /// It is this value.
    pub equal: Option<Literal>,
    /// It is another value.
    pub not_equal: Option<Literal>,
    /// It is less, or earlier.
    pub below: Option<Literal>,
    /// It is not greater, or not later.
    pub at_most: Option<Literal>,
    /// It is greater, or later.
    pub above: Option<Literal>,
    /// It is not less, or not earlier.
    pub at_least: Option<Literal>,
    /// It is one of these values.
    #[schemars(length(max = 10_000))]
    pub one_of: Option<Vec<Literal>>,
    /// It is none of these values.
    #[schemars(length(max = 10_000))]
    pub none_of: Option<Vec<Literal>>,
    /// It is null, or is not.
    pub null: Option<bool>,
    /// A part of the text has this form, a regular expression.
    pub matches: Option<String>,
}

/// A value. A timestamp is a text in RFC 3339, or a date.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Literal {
    /// True or false.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A number.
    Number(f64),
    /// Text, or a timestamp.
    Text(String),
}

/// Adds or replaces columns that are computed row by row.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Derive {
    /// The columns, by their names. All are computed from the columns that were there before.
    pub columns: BTreeMap<String, Formula>,
}

/// A value that is computed from a row. It is null if an operand is, unless stated otherwise.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Formula {
    /// The sum of columns.
    Sum(#[schemars(length(min = 1, max = 256))] Vec<String>),
    /// The first column less the second.
    Difference([String; 2]),
    /// The product of columns.
    Product(#[schemars(length(min = 1, max = 256))] Vec<String>),
    /// A column divided by another.
    Ratio(Ratio),
    /// ln(1 + x).
    Log1p(String),
    /// The absolute value.
    Absolute(String),
    /// The seconds from the first timestamp to the second.
    SecondsBetween([String; 2]),
    /// The text in lower case, without white space at its ends.
    Lower(String),
    /// Whether a part of the text has this form.
    Matches(Pattern),
    /// The part of the text that the first group of the form matches, or null.
    Extract(Pattern),
    /// Whether the value is null.
    IsNull(String),
    /// The first value that is not null.
    Coalesce(#[schemars(length(min = 1, max = 256))] Vec<String>),
    /// This value, in every row.
    Constant(Literal),
}

/// A column divided by another. 0/0 is 0.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    /// The dividend.
    pub numerator: String,
    /// The divisor.
    pub denominator: String,
    /// The value where the divisor is 0.
    #[serde(default)]
    pub zero_division: ZeroDivision,
}

/// The value of a ratio whose divisor is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ZeroDivision {
    /// 0.
    #[default]
    Zero,
    /// Null.
    Null,
    /// This number.
    Constant(f64),
}

/// A text and the form of its parts.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pattern {
    /// The column.
    pub column: String,
    /// A regular expression, in the syntax of Rust's crate `regex`.
    pub pattern: String,
}

/// Makes one row for each distinct key, in the order of keys.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The columns with the key.
    #[schemars(length(min = 1))]
    pub by: Vec<String>,
    /// The timestamp that orders rows. `first` and `last` need it.
    pub time: Option<String>,
    /// The aggregates, by the names of their columns.
    pub columns: BTreeMap<String, Aggregate>,
}

/// An aggregate of a column over rows.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// The column. A `count` without it counts rows.
    pub of: Option<String>,
    /// The aggregate. Nulls are left out.
    pub aggregate: Function,
}

/// A function of the values of several rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// The number of values.
    Count,
    /// The number of distinct values.
    Distinct,
    /// The sum; 0 without values.
    Sum,
    /// The mean; null without values.
    Mean,
    /// The standard deviation of a sample; null with fewer than two values.
    Std,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The value of the earliest row.
    First,
    /// The value of the latest row.
    Last,
}

/// Adds aggregates of the rows in a span of time that ends at the row's own time. A later row
/// counts never.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// The table whose rows are aggregated. The same table if absent.
    pub from: Option<String>,
    /// The columns with the key, of the same names in both tables.
    #[serde(default)]
    pub by: Vec<String>,
    /// The timestamp of the row.
    pub time: String,
    /// The timestamp of the rows of `from`. `time` if absent.
    pub from_time: Option<String>,
    /// The span, such as `30d`. Its beginning does not belong to it with `until = "now"`, and
    /// belongs to it with `until = "before"`.
    pub length: String,
    /// Whether rows of the same time are included.
    #[serde(default)]
    pub until: Until,
    /// The aggregates, by the names of their columns.
    pub columns: BTreeMap<String, Aggregate>,
}

/// Adds values of an earlier row of the same key.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lag {
    /// The columns with the key.
    #[serde(default)]
    pub by: Vec<String>,
    /// The timestamp that orders rows. Two rows of a key have different times.
    pub time: String,
    /// The number of rows to go back.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub rows: u32,
    /// The columns whose values are added, by the names of the new columns.
    pub columns: BTreeMap<String, String>,
}

fn one() -> u32 {
    1
}

/// Keeps the latest row of each key.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latest {
    /// The columns with the key.
    #[schemars(length(min = 1))]
    pub by: Vec<String>,
    /// The timestamp that orders rows. Two rows of a key have different times.
    pub time: String,
}

/// Adds parts of a timestamp.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TimeParts {
    /// The timestamp.
    pub column: String,
    /// The parts.
    #[schemars(length(min = 1))]
    pub parts: Vec<TimePart>,
    /// The time zone of the parts, by its name in the IANA database.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// Precedes the names of the parts.
    #[serde(default)]
    pub prefix: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// A part of a timestamp. Its column has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimePart {
    /// The year.
    Year,
    /// The quarter, 1 to 4.
    Quarter,
    /// The month, 1 to 12.
    Month,
    /// The day of the month, from 1.
    Day,
    /// The day of the year, from 1.
    DayOfYear,
    /// The day of the week, from Monday, which is 0.
    DayOfWeek,
    /// Whether it is Saturday or Sunday.
    IsWeekend,
    /// The hour, 0 to 23.
    Hour,
    /// The minute, 0 to 59.
    Minute,
}

/// Keeps these columns, in this order.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Select {
    /// The columns.
    #[schemars(length(min = 1))]
    pub columns: Vec<String>,
}

/// Removes columns.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drop {
    /// The columns.
    #[schemars(length(min = 1))]
    pub columns: Vec<String>,
}

/// Gives columns other names.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rename {
    /// The new names, by the old ones.
    pub columns: BTreeMap<String, String>,
}

/// Appends the rows of other tables with the same columns.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Union {
    /// The other tables.
    #[schemars(length(min = 1))]
    pub with: Vec<String>,
}

/// Orders the rows.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sort {
    /// The columns, from the most significant. Nulls come first.
    #[schemars(length(min = 1))]
    pub by: Vec<String>,
    /// Whether the greatest comes first.
    #[serde(default)]
    pub descending: bool,
}
