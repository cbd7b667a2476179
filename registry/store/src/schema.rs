//! The columns of a table: names, types, nullability and roles.
//!
//! Owns the mapping to Arrow, and the number of rows in a chunk, which depends on the schema alone
//! so that a table's digest never depends on workers or timing. Values are checked in
//! [`crate::packed`].
//!
//! A schema is immutable and shared. Cloning one costs a reference count, because a table of 10,000
//! columns passes its schema on with every batch.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow_schema as arrow_types;
use serde::{Deserialize, Serialize};

/// The most bytes in a column's name: the limit of the contract (`wit/types.wit`).
pub const MAX_NAME_BYTES: usize = 256;

/// The key of an Arrow field's metadata that holds its role.
const ROLE_KEY: &str = "stagewright.role";

/// The most bytes of a chunk, as estimated: half the limit of a batch, so that strings longer than
/// estimated still pass in one or two batches.
const CHUNK_BYTES: usize = 4 << 20;
/// With fewer rows, a wide table would consist mostly of per-column overhead.
const MIN_CHUNK_ROWS: usize = 64;
/// More rows would only cost memory: a column of a chunk then already has 64 KiB.
const MAX_CHUNK_ROWS: usize = 8192;

/// The type of every value in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// True or false.
    Boolean,
    /// Signed 64-bit integer.
    Int64,
    /// IEEE 754 double; NaN is a value, null the absence of one.
    Float64,
    /// UTF-8 text.
    Utf8,
    /// Text from a small set, as codes into a list of categories.
    Categorical,
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp,
}

/// The purpose of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// An input of the model.
    Feature,
    /// The column that the model predicts.
    Target,
    /// The weight of a row.
    Weight,
    /// A name of the row; never a feature.
    Identifier,
    /// The time when the row was observed.
    Time,
    /// A key of rows that belong together.
    Group,
}

/// A word that is neither a [`DataType`] nor a [`Role`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}\nhint: use one of {allowed}")]
pub struct UnknownName {
    text: String,
    what: &'static str,
    allowed: &'static str,
}

impl DataType {
    /// All types, in the order of the contract.
    pub const ALL: [Self; 6] =
        [Self::Boolean, Self::Int64, Self::Float64, Self::Utf8, Self::Categorical, Self::Timestamp];

    /// Returns the name in manifests, JSON and the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::Utf8 => "utf8",
            Self::Categorical => "categorical",
            Self::Timestamp => "timestamp",
        }
    }

    /// Returns the Arrow type that represents this type in the host.
    pub fn to_arrow(self) -> arrow_types::DataType {
        use arrow_types::{DataType as Arrow, TimeUnit};
        match self {
            Self::Boolean => Arrow::Boolean,
            Self::Int64 => Arrow::Int64,
            Self::Float64 => Arrow::Float64,
            Self::Utf8 => Arrow::Utf8,
            Self::Categorical => Arrow::Dictionary(Box::new(Arrow::Int32), Box::new(Arrow::Utf8)),
            Self::Timestamp => Arrow::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    /// Returns the type that [`Self::to_arrow`] maps to `arrow`; `None` for every other Arrow type.
    pub fn from_arrow(arrow: &arrow_types::DataType) -> Option<Self> {
        use arrow_types::{DataType as Arrow, TimeUnit};
        match arrow {
            Arrow::Boolean => Some(Self::Boolean),
            Arrow::Int64 => Some(Self::Int64),
            Arrow::Float64 => Some(Self::Float64),
            Arrow::Utf8 => Some(Self::Utf8),
            Arrow::Dictionary(key, value) if **key == Arrow::Int32 && **value == Arrow::Utf8 => Some(Self::Categorical),
            Arrow::Timestamp(TimeUnit::Microsecond, Some(zone)) if &**zone == "UTC" => Some(Self::Timestamp),
            _ => None,
        }
    }

    /// Returns the bytes that a value counts when chunks are sized. Strings count 16: an offset and
    /// a short word.
    const fn estimated_bytes(self) -> usize {
        match self {
            Self::Boolean => 1,
            Self::Int64 | Self::Float64 | Self::Timestamp => 8,
            Self::Utf8 => 16,
            Self::Categorical => 4,
        }
    }
}

impl Role {
    /// All roles, in the order of the contract.
    pub const ALL: [Self; 6] = [Self::Feature, Self::Target, Self::Weight, Self::Identifier, Self::Time, Self::Group];

    /// Returns the name in manifests, JSON and the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Feature => "feature",
            Self::Target => "target",
            Self::Weight => "weight",
            Self::Identifier => "identifier",
            Self::Time => "time",
            Self::Group => "group",
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for DataType {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|it| it.name() == text).ok_or_else(|| UnknownName {
            text: text.to_owned(),
            what: "data type",
            allowed: "boolean, int64, float64, utf8, categorical, timestamp",
        })
    }
}

impl FromStr for Role {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|it| it.name() == text).ok_or_else(|| UnknownName {
            text: text.to_owned(),
            what: "role",
            allowed: "feature, target, weight, identifier, time, group",
        })
    }
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Field {
    /// Unique within its table; 1 to 256 bytes without control characters.
    pub name: String,
    /// The type of every value.
    pub data_type: DataType,
    /// Whether the column may hold nulls.
    pub nullable: bool,
    /// The purpose of the column.
    pub role: Role,
}

impl Field {
    /// Returns a feature that is not nullable.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, nullable: false, role: Role::Feature }
    }

    /// Returns the same field, nullable or not.
    #[must_use]
    pub fn with_nullable(mut self, nullable: bool) -> Self {
        self.nullable = nullable;
        self
    }

    /// Returns the same field with another role.
    #[must_use]
    pub fn with_role(mut self, role: Role) -> Self {
        self.role = role;
        self
    }

    fn to_arrow(&self) -> arrow_types::Field {
        let role = HashMap::from([(ROLE_KEY.to_owned(), self.role.name().to_owned())]);
        arrow_types::Field::new(&self.name, self.data_type.to_arrow(), self.nullable).with_metadata(role)
    }
}

/// Why a list of fields is not a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A name is empty or longer than [`MAX_NAME_BYTES`].
    #[error("the name of column {index} has {bytes} bytes\nhint: a column's name has 1 to {MAX_NAME_BYTES} bytes")]
    NameLength {
        /// The column's index, from 0.
        index: usize,
        /// How long the name is.
        bytes: usize,
    },
    /// A name contains a control character.
    #[error("the name of column {index}, {name:?}, contains a control character")]
    NameControl {
        /// The column's index, from 0.
        index: usize,
        /// The name.
        name: String,
    },
    /// Two columns have the same name.
    #[error("columns {first} and {second} are both named `{name}`\nhint: rename one of them")]
    Duplicate {
        /// The name.
        name: String,
        /// The first column's index, from 0.
        first: usize,
        /// The second column's index.
        second: usize,
    },
    /// An Arrow type that no [`DataType`] maps to.
    #[error("column `{name}` has the Arrow type `{arrow}`, which tables do not hold")]
    ArrowType {
        /// The column's name.
        name: String,
        /// The Arrow type.
        arrow: String,
    },
    /// An Arrow field's metadata names no role.
    #[error("column `{name}`: {source}")]
    Role {
        /// The column's name.
        name: String,
        /// The problem with the role.
        source: UnknownName,
    },
}

/// Bytes of memory that a schema takes for a column besides three copies of its name: a field, an
/// entry of the map by name, and Arrow's field with a map of its own. Measured with 65,536 columns,
/// rounded up.
const COLUMN_MEMORY: usize = 768;

/// The columns of a table, in order, with unique names. Cheap to clone.
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "Vec<Field>", try_from = "Vec<Field>")]
pub struct Schema(Arc<Inner>);

struct Inner {
    fields: Vec<Field>,
    by_name: HashMap<String, usize>,
    arrow: arrow_types::SchemaRef,
}

impl Schema {
    /// Creates a schema of these columns.
    ///
    /// # Errors
    /// [`SchemaError`] for a bad or repeated name.
    pub fn new(fields: Vec<Field>) -> Result<Self, SchemaError> {
        let mut by_name = HashMap::with_capacity(fields.len());
        for (index, Field { name, .. }) in fields.iter().enumerate() {
            if name.is_empty() || name.len() > MAX_NAME_BYTES {
                return Err(SchemaError::NameLength { index, bytes: name.len() });
            }
            if name.chars().any(char::is_control) {
                return Err(SchemaError::NameControl { index, name: name.clone() });
            }
            if let Some(first) = by_name.insert(name.clone(), index) {
                return Err(SchemaError::Duplicate { name: name.clone(), first, second: index });
            }
        }
        let arrow = arrow_types::Schema::new(fields.iter().map(Field::to_arrow).collect::<Vec<_>>());
        Ok(Self(Arc::new(Inner { fields, by_name, arrow: Arc::new(arrow) })))
    }

    /// Returns the columns, in order.
    pub fn fields(&self) -> &[Field] {
        &self.0.fields
    }

    /// Returns how many columns there are.
    pub fn len(&self) -> usize {
        self.0.fields.len()
    }

    /// Returns whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.0.fields.is_empty()
    }

    /// Returns the index of the column of this name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.0.by_name.get(name).copied()
    }

    /// Returns the column of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.index_of(name).map(|index| &self.0.fields[index])
    }

    /// Returns the indices of the columns with this role, in order.
    pub fn indices_with(&self, role: Role) -> Vec<usize> {
        self.indices_where(|field| field.role == role)
    }

    /// Returns the indices of the columns that `keep` accepts, in order.
    pub fn indices_where(&self, keep: impl Fn(&Field) -> bool) -> Vec<usize> {
        (0..self.len()).filter(|&index| keep(&self.0.fields[index])).collect()
    }

    /// Returns the schema of the columns with these indices, in the order given.
    ///
    /// # Panics
    /// If an index is past the end or given twice.
    #[must_use]
    pub fn project(&self, columns: &[usize]) -> Self {
        let fields = columns.iter().map(|&index| self.0.fields[index].clone()).collect();
        Self::new(fields).expect("a projection of distinct columns keeps names unique")
    }

    /// Returns the Arrow schema. Roles are in the fields' metadata under `stagewright.role`.
    pub fn to_arrow(&self) -> arrow_types::SchemaRef {
        Arc::clone(&self.0.arrow)
    }

    /// Returns the bytes of memory that a schema takes, approximately: names and metadata, in our
    /// form and in Arrow's.
    pub fn held_bytes(&self) -> u64 {
        self.0.fields.iter().map(|field| (COLUMN_MEMORY + 3 * field.name.len()) as u64).sum()
    }

    /// Returns how many rows each chunk of a table with these columns has, except the last, which
    /// may have fewer: the greatest power of two between 64 and 8192 whose chunk is estimated at no
    /// more than 4 MiB.
    pub fn chunk_rows(&self) -> usize {
        let row: usize = self.0.fields.iter().map(|field| field.data_type.estimated_bytes()).sum();
        let rows = (CHUNK_BYTES / row.max(1)).clamp(MIN_CHUNK_ROWS, MAX_CHUNK_ROWS);
        1 << rows.ilog2()
    }
}

impl TryFrom<&arrow_types::Schema> for Schema {
    type Error = SchemaError;

    /// Reads an Arrow schema of the types that [`DataType::to_arrow`] returns. A field without a
    /// role in its metadata is a feature.
    fn try_from(arrow: &arrow_types::Schema) -> Result<Self, SchemaError> {
        let field = |field: &Arc<arrow_types::Field>| {
            let name = field.name().clone();
            let data_type = DataType::from_arrow(field.data_type())
                .ok_or_else(|| SchemaError::ArrowType { name: name.clone(), arrow: field.data_type().to_string() })?;
            let role = field.metadata().get(ROLE_KEY).map_or(Ok(Role::Feature), |role| role.parse());
            let role = role.map_err(|source| SchemaError::Role { name: name.clone(), source })?;
            Ok(Field { name, data_type, nullable: field.is_nullable(), role })
        };
        Self::new(arrow.fields().iter().map(field).collect::<Result<_, _>>()?)
    }
}

impl TryFrom<Vec<Field>> for Schema {
    type Error = SchemaError;

    fn try_from(fields: Vec<Field>) -> Result<Self, SchemaError> {
        Self::new(fields)
    }
}

impl From<Schema> for Vec<Field> {
    fn from(schema: Schema) -> Self {
        schema.0.fields.clone()
    }
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.fields == other.0.fields
    }
}

impl Eq for Schema {}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.fields()).finish()
    }
}
