//! The signature of data: the columns that it must have.
//!
//! A [`Signature`] is part of the manifest and of every registered model, so that a row means the
//! same in training and in prediction. It must not depend on the kind of source.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use stagewright_store::{Field, Role, Schema, SchemaError};

use crate::error::{DataError, DataFault, listed};

/// How columns that the signature does not name are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExtraColumns {
    /// They are not read.
    #[default]
    Ignore,
    /// They are an error that names them all.
    Error,
}

/// A column of a table that differs from the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaDifference {
    /// The column.
    pub column: String,
    /// The state in the table.
    pub observed: String,
    /// The state that the signature declares.
    pub expected: String,
}

/// The purpose that rows are decoded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strictness {
    /// For training: every column of the signature must exist. Nulls are accepted everywhere, so
    /// that validation can count and judge them. Extra columns are treated as the signature says.
    Ingest,
    /// For prediction: only the features are read, and all must exist. A null in a column that is
    /// not nullable is an error. Extra columns, such as the target or an identifier, are ignored.
    Predict,
}

/// The columns that data must have, and its null tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Signature {
    /// The columns in the order of the table: names, types, nullability and roles.
    pub fields: Schema,
    /// Null tokens: texts that stand for a missing value. They are compared with the whole cell
    /// before anything else. A token that parses as a number also stands for that number in sources
    /// with typed numbers.
    pub null_values: Vec<String>,
    /// How columns that `fields` does not name are treated.
    #[serde(default)]
    pub extra_columns: ExtraColumns,
}

impl Signature {
    /// Returns a signature of these columns, with the empty text as null and extra columns ignored.
    ///
    /// # Errors
    /// [`DataError::Plan`] for an invalid or repeated name.
    pub fn new(fields: Vec<Field>) -> Result<Self, DataError> {
        Ok(Self {
            fields: schema_of(fields)?,
            null_values: vec![String::new()],
            extra_columns: ExtraColumns::default(),
        })
    }

    /// Replaces the null tokens.
    #[must_use]
    pub fn with_null_values<T: Into<String>>(mut self, null_values: impl IntoIterator<Item = T>) -> Self {
        self.null_values = null_values.into_iter().map(Into::into).collect();
        self
    }

    /// Sets how extra columns are treated.
    #[must_use]
    pub fn with_extra_columns(mut self, policy: ExtraColumns) -> Self {
        self.extra_columns = policy;
        self
    }

    /// Returns the columns that a model sees.
    pub fn features(&self) -> Schema {
        self.with_roles(&[Role::Feature]).fields
    }

    /// Returns the part of the signature whose columns have one of these roles, in order. It
    /// ignores extra columns.
    #[must_use]
    pub fn with_roles(&self, roles: &[Role]) -> Self {
        let columns = self.fields.indices_where(|field| roles.contains(&field.role));
        Self {
            fields: self.fields.project(&columns),
            null_values: self.null_values.clone(),
            extra_columns: ExtraColumns::Ignore,
        }
    }

    /// Returns the columns of decoded batches: all of them, nullable, for ingestion; the features
    /// for prediction.
    pub fn decoded(&self, strictness: Strictness) -> Schema {
        match strictness {
            Strictness::Predict => self.features(),
            Strictness::Ingest => {
                let fields = self.fields.fields().iter().map(|field| field.clone().with_nullable(true)).collect();
                Schema::new(fields).expect("the names are those of a schema")
            }
        }
    }

    /// Compares the columns of a table with the signature: names, types and order, but not
    /// nullability.
    pub fn differences(&self, table: &Schema) -> Vec<SchemaDifference> {
        let mut found = Vec::new();
        let of = |column: &str, observed: String, expected: String| SchemaDifference {
            column: column.to_owned(),
            observed,
            expected,
        };
        for declared in self.fields.fields() {
            match table.field(&declared.name) {
                None => {
                    found.push(of(&declared.name, "no such column".to_owned(), declared.data_type.to_string()));
                }
                Some(field) if field.data_type != declared.data_type => {
                    found.push(of(&declared.name, field.data_type.to_string(), declared.data_type.to_string()));
                }
                Some(_) => {}
            }
        }
        for field in table.fields().iter().filter(|field| self.fields.index_of(&field.name).is_none()) {
            found.push(of(&field.name, format!("{} column", field.data_type), "no such column".to_owned()));
        }
        if found.is_empty() {
            let moved = table.fields().iter().zip(self.fields.fields()).find(|(has, wants)| has.name != wants.name);
            if let Some((has, wants)) = moved {
                let observed = format!("in the place of `{}`", wants.name);
                found.push(of(&has.name, observed, "the signature's order".to_owned()));
            }
        }
        found
    }

    /// Finds the columns in a source: returns, for each column of [`Signature::decoded`], its index
    /// in `names`.
    ///
    /// # Errors
    /// [`DataError::Fault`] that names all columns that are missing, read and repeated, or extra
    /// where extra columns are an error.
    pub(crate) fn bind<T: AsRef<str>>(&self, names: &[T], strictness: Strictness) -> Result<Vec<usize>, DataError> {
        let wanted = self.decoded(strictness);
        let places = places(names, &wanted)?;
        let missing: Vec<&str> =
            wanted.fields().iter().map(|field| field.name.as_str()).filter(|name| !places.contains_key(name)).collect();
        if !missing.is_empty() {
            let columns = if missing.len() == 1 { "column" } else { "columns" };
            let message = format!("the data has no {columns} {}; it has {}", listed(&missing), listed(names));
            let fault = DataFault::new(message);
            return Err(if let [only] = missing[..] { fault.in_column(only) } else { fault }.into());
        }
        if strictness == Strictness::Ingest && self.extra_columns == ExtraColumns::Error {
            let extra: Vec<&str> =
                names.iter().map(AsRef::as_ref).filter(|name| self.fields.index_of(name).is_none()).collect();
            if !extra.is_empty() {
                let message =
                    format!("the signature does not name {}, and says that extra columns are an error", listed(&extra));
                return Err(DataFault::new(message).into());
            }
        }
        Ok(wanted.fields().iter().map(|field| places[field.name.as_str()]).collect())
    }
}

/// Returns the index of each name. A repeated name is an error only if the column is read.
fn places<'a, T: AsRef<str>>(names: &'a [T], wanted: &Schema) -> Result<HashMap<&'a str, usize>, DataError> {
    let mut places = HashMap::with_capacity(names.len());
    let mut repeated: Vec<&str> = Vec::new();
    for (place, name) in names.iter().map(AsRef::as_ref).enumerate() {
        let is_repeated = places.insert(name, place).is_some();
        if is_repeated && wanted.index_of(name).is_some() && !repeated.contains(&name) {
            repeated.push(name);
        }
    }
    if repeated.is_empty() {
        return Ok(places);
    }
    Err(DataFault::new(format!("more than one column is named {}", listed(&repeated))).into())
}

fn schema_of(fields: Vec<Field>) -> Result<Schema, DataError> {
    Schema::new(fields).map_err(|error: SchemaError| DataError::plan(error.to_string(), ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagewright_store::DataType;

    fn signature() -> Signature {
        Signature::new(vec![
            Field::new("id", DataType::Utf8).with_role(Role::Identifier),
            Field::new("tenure", DataType::Int64),
            Field::new("charges", DataType::Float64).with_nullable(true),
            Field::new("churn", DataType::Categorical).with_role(Role::Target),
        ])
        .unwrap()
        .with_null_values(["", " "])
    }

    #[test]
    fn a_table_is_compared_with_the_declared_columns() {
        let told = |fields: Vec<Field>| -> Vec<String> {
            let found = signature().differences(&Schema::new(fields).unwrap());
            found.into_iter().map(|it| format!("{}: {}, not {}", it.column, it.observed, it.expected)).collect()
        };
        let declared = signature().decoded(Strictness::Ingest).fields().to_vec();
        assert!(told(declared.clone()).is_empty());
        let with = |change: &dyn Fn(&mut Vec<Field>)| {
            let mut fields = declared.clone();
            change(&mut fields);
            told(fields)
        };
        let leaked = with(&|fields| fields.push(Field::new("leak", DataType::Categorical)));
        assert_eq!(leaked, ["leak: categorical column, not no such column"]);
        assert_eq!(with(&|fields| drop(fields.remove(1))), ["tenure: no such column, not int64"]);
        let retyped = with(&|fields| fields[2].data_type = DataType::Utf8);
        assert_eq!(retyped, ["charges: utf8, not float64"]);
        let renamed = with(&|fields| fields[1].name = "Tenure".to_owned());
        assert_eq!(renamed, ["tenure: no such column, not int64", "Tenure: int64 column, not no such column"]);
        let moved = with(&|fields| fields.swap(1, 2));
        assert_eq!(moved, ["charges: in the place of `tenure`, not the signature's order"]);
    }

    #[test]
    fn missing_columns_are_all_named() {
        let error = signature().bind(&["tenure", "other"], Strictness::Ingest).unwrap_err();
        assert_eq!(error.to_string(), "the data has no columns `id`, `charges`, `churn`; it has `tenure`, `other`");
    }

    #[test]
    fn columns_are_found_by_name_whatever_their_order() {
        let places = signature().bind(&["churn", "x", "charges", "tenure", "id"], Strictness::Ingest).unwrap();
        assert_eq!(places, [4, 3, 2, 0]);
    }

    #[test]
    fn prediction_wants_the_features_alone() {
        assert_eq!(signature().bind(&["charges", "tenure", "x"], Strictness::Predict).unwrap(), [1, 0]);
        let error = signature().bind(&["id"], Strictness::Predict).unwrap_err();
        assert!(error.to_string().contains("no columns `tenure`, `charges`"), "{error}");
    }

    #[test]
    fn extra_columns_are_an_error_only_where_the_policy_says_so() {
        let strict = signature().with_extra_columns(ExtraColumns::Error);
        let names = ["id", "tenure", "charges", "churn", "x", "y"];
        assert!(signature().bind(&names, Strictness::Ingest).is_ok());
        assert!(strict.bind(&names, Strictness::Predict).is_ok());
        let error = strict.bind(&names, Strictness::Ingest).unwrap_err();
        assert!(error.to_string().contains("does not name `x`, `y`"), "{error}");
    }

    #[test]
    fn repeated_columns_are_a_fault_only_where_they_are_wanted() {
        let error = signature().bind(&["tenure", "id", "a", "tenure", "id", "a"], Strictness::Ingest).unwrap_err();
        assert_eq!(error.to_string(), "more than one column is named `tenure`, `id`");
        let names = ["", "id", "tenure", "charges", "churn", "", "a", "a"];
        assert_eq!(signature().bind(&names, Strictness::Ingest).unwrap(), [1, 2, 3, 4]);
        assert_eq!(signature().bind(&["id", "id", "tenure", "charges"], Strictness::Predict).unwrap(), [2, 3]);
        let strict = signature().with_extra_columns(ExtraColumns::Error);
        assert!(strict.bind(&names, Strictness::Ingest).is_err());
    }

    #[test]
    fn a_signature_survives_serialisation() {
        let text = serde_json::to_string(&signature()).unwrap();
        assert!(text.contains(r#""null-values":[""," "]"#), "{text}");
        assert_eq!(serde_json::from_str::<Signature>(&text).unwrap(), signature());
    }
}
