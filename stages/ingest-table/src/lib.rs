//! The ingestion stage `ingest-table`: reads the source that the manifest passes, batch by batch.
//!
//! The host determines types, null tokens and roles; this stage chooses columns and rows. It holds
//! one batch at a time.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stagewright_kit::source::{self, Cursor};
use stagewright_kit::{Batch, Column, Failure, Field, FinishedTable, Ingestion, Settings, TableWriter, info};

/// The number of rows that are requested at a time. The host returns fewer where a batch would
/// exceed 8 MiB.
const ROWS: u32 = 65_536;

/// The stage's parameters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The columns to keep, in this order, by their names in the source. All if absent.
    pub columns: Option<Vec<String>>,
    /// New names of columns, by their names in the source.
    pub rename: BTreeMap<String, String>,
    /// The most rows to read. All if absent.
    #[schemars(range(min = 1))]
    pub limit: Option<u64>,
}

/// The stage.
pub struct IngestTable;

impl Ingestion for IngestTable {
    type Parameters = Parameters;

    fn ingest(sources: &[String], settings: &Settings<Parameters>) -> Result<FinishedTable, Failure> {
        let [source] = sources else {
            let message = "ingest-table needs one source; name one in the ingestion stage of the manifest";
            return Err(Failure::parameter("source", message));
        };
        read(source::open(source)?.as_mut(), &settings.parameters)
    }
}

stagewright_kit::ingestion!(IngestTable);

/// Copies the rows of a cursor to a table.
///
/// # Errors
/// Returns the cursor's failure unchanged; `parameter` for a column that does not exist.
pub fn read(cursor: &mut dyn Cursor, parameters: &Parameters) -> Result<FinishedTable, Failure> {
    let fields = cursor.fields();
    let kept = kept_columns(&fields, parameters.columns.as_deref())?;
    if let Some(name) = parameters.rename.keys().find(|name| fields.iter().all(|field| field.name != **name)) {
        return Err(no_such_column(format!("rename.{name}"), name, &fields));
    }
    let renamed: Vec<Field> = kept
        .iter()
        .map(|&index| {
            let mut field = fields[index].clone();
            if let Some(name) = parameters.rename.get(&field.name) {
                field.name.clone_from(name);
            }
            field
        })
        .collect();
    for (index, field) in renamed.iter().enumerate() {
        if renamed[..index].iter().any(|other| other.name == field.name) {
            return Err(Failure::parameter("rename", format!("two columns would be called `{}`", field.name)));
        }
    }
    let everything = kept.iter().copied().eq(0..fields.len());
    let mut table = TableWriter::new(&renamed);
    let mut left = parameters.limit.unwrap_or(u64::MAX);
    let mut rows: u64 = 0;
    while left > 0 {
        let wanted = u32::try_from(left).unwrap_or(u32::MAX).min(ROWS);
        let read = if everything {
            cursor.copy(wanted, &mut table)?
        } else {
            let batch = cursor.next(wanted)?;
            let read = batch.as_ref().map(|batch| batch.rows);
            batch.map(|batch| table.write(keep(batch, &kept))).transpose()?;
            read
        };
        let Some(read) = read else { break };
        left -= u64::from(read).min(left);
        rows += u64::from(read);
    }
    info!("read {rows} rows of {} columns", renamed.len());
    table.finish()
}

/// Returns the indices of the columns to keep, in order.
fn kept_columns(fields: &[Field], columns: Option<&[String]>) -> Result<Vec<usize>, Failure> {
    let Some(columns) = columns else { return Ok((0..fields.len()).collect()) };
    if columns.is_empty() {
        return Err(Failure::parameter("columns", "names no column; leave it out to keep all"));
    }
    let mut kept = Vec::with_capacity(columns.len());
    for (position, name) in columns.iter().enumerate() {
        let index = fields
            .iter()
            .position(|field| field.name == *name)
            .ok_or_else(|| no_such_column(format!("columns.{position}"), name, fields))?;
        if kept.contains(&index) {
            return Err(Failure::parameter(format!("columns.{position}"), format!("names `{name}` a second time")));
        }
        kept.push(index);
    }
    Ok(kept)
}

fn no_such_column(parameter: String, name: &str, fields: &[Field]) -> Failure {
    let names: Vec<String> = fields.iter().map(|field| format!("`{}`", field.name)).collect();
    Failure::parameter(parameter, format!("the source has no column `{name}`; it has {}", names.join(", ")))
}

/// Moves the kept columns out of a batch.
fn keep(batch: Batch, kept: &[usize]) -> Batch {
    let mut columns: Vec<Option<Column>> = batch.columns.into_iter().map(Some).collect();
    let columns = kept.iter().filter_map(|&index| columns[index].take()).collect();
    Batch { rows: batch.rows, columns }
}

#[cfg(test)]
mod tests {
    use stagewright_kit::{DataType, Table};

    use super::*;

    /// Returns `a` and `b`, three rows at a time, until `rows` were read.
    struct Counting {
        given: u32,
        rows: u32,
    }

    impl Cursor for Counting {
        fn fields(&self) -> Vec<Field> {
            vec![Field::required("a", DataType::Int64), Field::required("b", DataType::Float64)]
        }

        fn next(&mut self, rows: u32) -> Result<Option<Batch>, Failure> {
            let count = rows.min(3).min(self.rows - self.given);
            let range = self.given..self.given + count;
            self.given += count;
            let a: Vec<i64> = range.clone().map(i64::from).collect();
            let b: Vec<f64> = range.map(|row| f64::from(row) / 2.0).collect();
            Ok((count > 0).then(|| Batch::new(count, vec![a.into(), b.into()])))
        }
    }

    fn ingest(parameters: &Parameters) -> Result<FinishedTable, Failure> {
        read(&mut Counting { given: 0, rows: 10 }, parameters)
    }

    fn names(table: &FinishedTable) -> Vec<String> {
        table.fields().into_iter().map(|field| field.name).collect()
    }

    #[test]
    fn everything_is_read_by_default() {
        let table = ingest(&Parameters::default()).unwrap();
        assert_eq!((table.rows(), names(&table)), (10, vec!["a".to_owned(), "b".to_owned()]));
    }

    #[test]
    fn columns_are_kept_in_the_order_asked_for_and_renamed() {
        let columns = Some(vec!["b".to_owned(), "a".to_owned()]);
        let rename = BTreeMap::from([("b".to_owned(), "half".to_owned())]);
        let table = ingest(&Parameters { columns, rename, limit: None }).unwrap();
        assert_eq!(names(&table), ["half", "a"]);
        assert_eq!(table.read(4, 1, None).unwrap().columns[0].as_f64(), Some([2.0].as_slice()));
    }

    #[test]
    fn no_more_rows_are_read_than_the_limit() {
        let table = ingest(&Parameters { limit: Some(7), ..Default::default() }).unwrap();
        assert_eq!(table.rows(), 7);
    }

    #[test]
    fn a_column_that_does_not_exist_is_a_parameter_failure_that_names_those_that_do() {
        let columns = Some(vec!["a".to_owned(), "c".to_owned()]);
        let failure = ingest(&Parameters { columns, ..Default::default() }).err();
        let Some(Failure::Parameter(fault)) = failure else { panic!("{failure:?}") };
        assert_eq!(fault.parameter, "columns.1");
        assert_eq!(fault.message, "the source has no column `c`; it has `a`, `b`");
    }

    #[test]
    fn two_columns_of_one_name_are_refused() {
        let rename = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        assert!(matches!(ingest(&Parameters { rename, ..Default::default() }), Err(Failure::Parameter(_))));
    }
}
