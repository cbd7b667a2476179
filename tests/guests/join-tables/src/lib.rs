//! A left join for the tests of preparations: each row of the table `left` with the columns of the
//! row of the table `right` that has the same key, or with nulls.
//!
//! The rows of `left` pass in pieces. The table `right` stays in the stage's memory, and each key
//! occurs in one of its rows.

mod gather;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use stagewright_kit::{
    Batch, Column, DataType, Failure, Field, FinishedTable, Inputs, Preparation, Settings, Table, TableWriter, info,
};

use gather::{Place, gather};

/// The rows of an output batch. The added columns may be wide.
const PIECE: usize = 1024;

/// The parameters.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// The key column of both tables, of text or integers.
    pub key: String,
}

/// The stage.
pub struct Join;

/// The table whose columns are added. It stays in memory.
struct Right {
    /// The columns that are added.
    fields: Vec<Field>,
    /// Their values, batch by batch.
    batches: Vec<Batch>,
    /// The position of each key.
    places: BTreeMap<Vec<u8>, Place>,
}

/// Returns the keys of rows as bytes. A null has no key and equals nothing.
fn keys(column: &Column, rows: usize) -> Result<Vec<Option<Vec<u8>>>, Failure> {
    let text = column.as_text()?;
    let key = |row: usize| {
        if column.is_null(row) {
            return None;
        }
        let number = || column.as_i64().map(|numbers| numbers[row].to_le_bytes().to_vec());
        text.as_ref().map_or_else(number, |text| text.bytes(row).map(<[u8]>::to_vec))
    };
    Ok((0..rows).map(key).collect())
}

/// Returns the index of the key among a table's columns.
fn place_of(table: &dyn Table, key: &str) -> Result<u32, Failure> {
    let place = table.column_named(key).ok_or_else(|| Failure::parameter("key", "a table has no such column"))?;
    match table.fields()[place as usize].data_type {
        DataType::Utf8 | DataType::Categorical | DataType::Int64 | DataType::Timestamp => Ok(place),
        _ => Err(Failure::parameter("key", "the column is neither text nor of integers")),
    }
}

impl Right {
    fn read(table: &dyn Table, key: &str) -> Result<Self, Failure> {
        let place = place_of(table, key)? as usize;
        let fields = table.fields().into_iter().enumerate().filter(|(at, _)| *at != place);
        let fields = fields.map(|(_, field)| Field { nullable: true, ..field }).collect();
        let mut right = Self { fields, batches: Vec::new(), places: BTreeMap::new() };
        for batch in table.batches(None) {
            let (start, mut batch) = batch?;
            let column = batch.columns.remove(place);
            let number = right.batches.len() as u32;
            for (row, found) in keys(&column, batch.len())?.into_iter().enumerate() {
                let Some(found) = found else { continue };
                if right.places.insert(found, Place { batch: number, row: row as u32 }).is_some() {
                    let message = format!("row {} of `right` has the key of a row before it", start + row as u64);
                    let fault = Failure::data(message).in_column(key);
                    return Err(fault.with_value(column.display(row).unwrap_or_default()));
                }
            }
            right.batches.push(batch);
        }
        Ok(right)
    }
}

impl Preparation for Join {
    type Parameters = Parameters;

    fn prepare(inputs: &Inputs, settings: &Settings<Parameters>) -> Result<FinishedTable, Failure> {
        let key = settings.parameters.key.as_str();
        let (left, right) = (inputs.named("left")?, inputs.named("right")?);
        let place = place_of(left, key)? as usize;
        let right = Right::read(right, key)?;
        let mut fields = left.fields();
        if let Some(field) = right.fields.iter().find(|field| fields.iter().any(|own| own.name == field.name)) {
            return Err(Failure::data("both tables have a column of this name").in_column(&field.name));
        }
        fields.extend(right.fields.iter().cloned());
        let mut made = TableWriter::new(&fields);
        let (mut rows, mut found) = (0, 0);
        for batch in left.batches(None) {
            let (start, batch) = batch?;
            stagewright_kit::tracking::progress(start, left.rows());
            for first in (0..batch.len()).step_by(PIECE) {
                let range = first..batch.len().min(first + PIECE);
                let mut columns: Vec<Column> = batch.columns.iter().map(|column| column.slice(range.clone())).collect();
                let places: Vec<Option<Place>> = keys(&columns[place], range.len())?
                    .into_iter()
                    .map(|key| right.places.get(&key?).copied())
                    .collect();
                found += places.iter().flatten().count();
                for (at, field) in right.fields.iter().enumerate() {
                    let kept: Vec<&Column> = right.batches.iter().map(|batch| &batch.columns[at]).collect();
                    columns.push(gather(&kept, field.data_type, &places)?);
                }
                rows += range.len();
                made.write(Batch::new(range.len() as u32, columns))?;
            }
        }
        info!("{found} of {rows} rows have their key in `right`");
        made.finish()
    }
}

stagewright_kit::preparation!(Join);

#[cfg(test)]
mod tests {
    use stagewright_kit::{MemoryTable, Role};

    use super::*;

    /// Returns a table in batches of two rows, whose first column is the key.
    fn table(fields: Vec<Field>, columns: Vec<Column>, rows: usize) -> Box<dyn Table> {
        let fields = fields.into_iter().map(|field| (field, Role::Feature));
        let batch = |first: usize| {
            let range = first..rows.min(first + 2);
            Batch::new(range.len() as u32, columns.iter().map(|column| column.slice(range.clone())).collect())
        };
        Box::new(MemoryTable::new(fields, (0..rows).step_by(2).map(batch).collect()))
    }

    fn left() -> Box<dyn Table> {
        let fields = vec![Field::nullable("id", DataType::Utf8), Field::required("x", DataType::Float64)];
        let id = Column::utf8([Some("c"), Some("a"), None, Some("b"), Some("a")]);
        table(fields, vec![id, vec![1.0, 2.0, 3.0, 4.0, 5.0].into()], 5)
    }

    fn right(ids: [Option<&str>; 4]) -> Box<dyn Table> {
        let fields = [
            Field::nullable("id", DataType::Categorical),
            Field::required("age", DataType::Int64),
            Field::required("plan", DataType::Categorical),
            Field::nullable("note", DataType::Utf8),
            Field::required("flag", DataType::Boolean),
        ];
        let code = |id: &Option<&str>| id.map_or(0, |id| i32::from(id.as_bytes()[0] - b'a'));
        let columns = vec![
            Column::categorical(ids.iter().map(code).collect(), ["a", "b", "c"])
                .with_validity(ids.iter().map(Option::is_some)),
            vec![10, 20, 30, 40].into(),
            Column::categorical(vec![1, 0, 1, 1], ["basic", "pro"]),
            Column::utf8([None, Some("two"), Some("three"), Some("four")]),
            Column::boolean([true, false, true, false]),
        ];
        table(fields.to_vec(), columns, 4)
    }

    fn joined(left: Box<dyn Table>, right: Box<dyn Table>, key: &str) -> Result<FinishedTable, Failure> {
        let inputs = Inputs::new([("left".to_owned(), left), ("right".to_owned(), right)]);
        let parameters = Parameters { key: key.to_owned() };
        Join::prepare(&inputs, &Settings { parameters, seed: 0, as_of: 0 })
    }

    #[test]
    fn each_row_of_the_left_gets_the_columns_of_its_key_or_nulls() {
        let made = joined(left(), right([Some("b"), Some("a"), None, None]), "id").unwrap();
        let names: Vec<_> = made.fields().into_iter().map(|field| (field.name, field.nullable)).collect();
        let wanted = [("id", true), ("x", false), ("age", true), ("plan", true), ("note", true), ("flag", true)];
        assert_eq!(names, wanted.map(|(name, nullable)| (name.to_owned(), nullable)));
        let mut shown: Vec<String> = Vec::new();
        for batch in (&made as &dyn Table).batches(None) {
            let (_, batch) = batch.unwrap();
            shown.extend((0..batch.len()).map(|row| {
                let cells = batch.columns.iter().map(|column| column.display(row).unwrap_or("-".to_owned()));
                cells.collect::<Vec<_>>().join(" ")
            }));
        }
        assert_eq!(
            shown,
            ["c 1 - - - -", "a 2 20 basic two false", "- 3 - - - -", "b 4 10 pro - true", "a 5 20 basic two false"]
        );
    }

    #[test]
    fn a_key_that_is_there_twice_or_in_no_table_is_a_fault() {
        let Err(Failure::Data(fault)) = joined(left(), right([Some("b"), Some("a"), Some("b"), None]), "id") else {
            panic!("joined")
        };
        assert_eq!(
            (fault.message.as_str(), fault.value.as_deref()),
            ("row 2 of `right` has the key of a row before it", Some("b"))
        );
        let other = || right([Some("b"), Some("a"), Some("c"), None]);
        assert!(matches!(joined(left(), other(), "name"), Err(Failure::Parameter(_))));
        assert!(matches!(joined(left(), other(), "x"), Err(Failure::Parameter(_))));
        assert!(matches!(joined(left(), left(), "id"), Err(Failure::Data(_))));
    }
}
