//! The ways in which a batch from a stage can be wrong.

use std::fmt;

use crate::schema::DataType;

/// A batch that does not fit its schema or breaks Arrow's layout. The stage that sent it is at
/// fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchFault {
    /// The column's name, if the problem is in one column.
    pub column: Option<String>,
    /// The row within the batch, from 0, if the problem is in one row.
    pub row: Option<usize>,
    /// The problem.
    pub problem: BatchProblem,
}

/// A problem of a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchProblem {
    /// More or fewer columns than the schema has.
    #[error("the batch has {found} columns where the table has {expected}")]
    ColumnCount {
        /// Columns in the batch.
        found: usize,
        /// Columns in the schema.
        expected: usize,
    },
    /// The batch is larger than [`crate::MAX_BATCH_BYTES`].
    #[error(
        "the batch has {bytes} bytes, more than the {} that a batch may have{}\nhint: pass fewer rows at a time",
        crate::MAX_BATCH_BYTES,
        largest.as_ref().map(|name| format!("; column `{name}` takes the most")).unwrap_or_default()
    )]
    TooLarge {
        /// The bytes of all its columns.
        bytes: usize,
        /// The column that takes the most of them, if there is one.
        largest: Option<String>,
    },
    /// More rows than a batch of bitmaps could hold.
    #[error("the batch has {rows} rows, more than the {} that a batch may have", crate::MAX_BATCH_ROWS)]
    TooManyRows {
        /// Its rows.
        rows: usize,
    },
    /// The values are of another type.
    #[error("the values are {found} where the column is {expected}")]
    Type {
        /// The type of the values, in Arrow's words.
        found: String,
        /// The column's type.
        expected: DataType,
    },
    /// The bytes end within a piece: the bytes of one buffer of a column.
    #[error("the batch ends {found} bytes into a piece of {piece}")]
    Cut {
        /// Bytes of the piece.
        piece: usize,
        /// Bytes of it that are there.
        found: usize,
    },
    /// The gap after a piece is not zero.
    #[error("a piece is not followed by zeros up to the next multiple of 8 bytes")]
    Padding,
    /// Bytes follow the last column.
    #[error("{bytes} bytes follow the last column")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// The number of categories is impossible.
    #[error("the column says that it has {count} categories")]
    CategoryCount {
        /// The number.
        count: i64,
    },
    /// A bitmap has bits set past its last row.
    #[error("the {bitmap} bitmap has bits set past the last row")]
    TrailingBits {
        /// `value` or `validity`.
        bitmap: &'static str,
    },
    /// A null in a column that may not hold one.
    #[error("there is a null in a column that is not nullable")]
    Null,
    /// A null among a column's categories.
    #[error("one of the categories is null")]
    NullCategory,
    /// The offsets do not start at 0.
    #[error("the {what} offsets start at {found} instead of 0")]
    OffsetStart {
        /// `string` or `category`.
        what: &'static str,
        /// The first offset.
        found: i32,
    },
    /// An offset is smaller than the one before it.
    #[error("{what} offset {index} is smaller than the one before it")]
    OffsetOrder {
        /// `string` or `category`.
        what: &'static str,
        /// The index of the smaller one.
        index: usize,
    },
    /// A string is not UTF-8.
    #[error("the string is not valid UTF-8")]
    StringUtf8,
    /// A category is not UTF-8.
    #[error("category {index} is not valid UTF-8")]
    CategoryUtf8 {
        /// Its index.
        index: usize,
    },
    /// Two categories are equal.
    #[error("categories {first} and {second} are equal")]
    CategoryTwice {
        /// The first one's index.
        first: usize,
        /// The second one's index.
        second: usize,
    },
    /// A code names no category.
    #[error("code {code} names none of {categories} categories")]
    Code {
        /// The code.
        code: i32,
        /// How many categories there are.
        categories: usize,
    },
    /// Arrow refuses what passed every check of ours.
    #[error("{0}")]
    Arrow(String),
}

impl fmt::Display for BatchFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.column, self.row) {
            (Some(column), Some(row)) => write!(f, "column `{column}`, row {row}: {}", self.problem),
            (Some(column), None) => write!(f, "column `{column}`: {}", self.problem),
            (None, _) => self.problem.fmt(f),
        }
    }
}

impl std::error::Error for BatchFault {}
