//! Segments: the host divides the rows of a table by the values of a column, into one table for
//! each value.
//!
//! No component is called. The work belongs to the stage that made the table, and is done within
//! its limits. The table is read once for the column and once for the rows, however many segments
//! there are. Rows keep their order, so a segment depends on its own rows alone.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array as _, ArrayRef, RecordBatch, StringArray};
use serde_json::Value;
use stagewright_data::Gather;
use stagewright_manifest::{NullPolicy, World, child_names};
use stagewright_store::{DataType, Table, TableWriter};

use crate::artifact::{SEGMENT_LIST, Segment, Segments, TABLE};
use crate::execution::Execution;
use crate::fault::{StageFault, guest_name};
use crate::invocation::SegmentsWork;
use crate::run_error::RunError;
use crate::table_reading::{ReadError, columns};

/// The host's memory for each row, in bytes: its number, in a growing list.
const ROW_MEMORY: u64 = 16;

/// The memory of a column of a batch besides its values, which stay in the mapped file, in bytes.
const COLUMN_MEMORY: u64 = 512;

/// Returns the name of a segment's table among the artifacts of the step.
pub(crate) fn table_name(name: &str) -> String {
    format!("segment-{name}")
}

/// Divides the rows into segments.
pub(crate) fn run(work: &SegmentsWork, execution: &mut Execution) -> Result<(), RunError> {
    // Only code of the host runs, so no wall is missing.
    execution.record_host_only();
    let table = execution.open(&TABLE)?;
    let place = column(work, &table)?;
    let (dealt, without) = deal(work, execution, &table, place)?;
    let mut segments = in_order(table.schema().fields()[place].data_type, dealt)?;
    let mut rows_without_value = 0;
    match (work.nulls, without.first()) {
        (_, None) => {}
        (NullPolicy::Skip, Some(_)) => rows_without_value = without.len() as u64,
        (NullPolicy::Segment, Some(_)) => segments.push((Value::Null, without)),
        (NullPolicy::Error, Some(&row)) => {
            let message = format!(
                "{} rows have no value, and belong to no segment: write `nulls = \"skip\"` under [foreach] to leave them out, \
                 or `nulls = \"segment\"` for a model of them",
                without.len()
            );
            return Err(wrong(&work.column, message, Some(row), None).into());
        }
    }
    let values = segments.iter().map(|(value, _)| value);
    let names = child_names(values).map_err(|collision| {
        let [first, second] = collision.values.map(|value| guest_name(&value));
        let message = format!("the segments {first} and {second} would both be called `{}`", collision.name);
        wrong(&work.column, message, None, None)
    })?;
    let list = segments.iter().zip(names).map(|((value, rows), name)| Segment {
        name,
        value: value.clone(),
        rows: rows.len() as u64,
    });
    let list = Segments { column: work.column.clone(), rows_without_value, segments: list.collect() };
    write(execution, &table, &list, segments)?;
    execution.put_json(&SEGMENT_LIST, &list)
}

fn wrong(column: &str, message: String, row: Option<u64>, value: Option<String>) -> StageFault {
    StageFault::Data { stage: World::Ingestion.into(), message, column: Some(guest_name(column)), row, value }
}

/// Returns the index of the column, if its type can have segments.
fn column(work: &SegmentsWork, table: &Table) -> Result<usize, StageFault> {
    let name = &work.column;
    let fields = table.schema().fields();
    let place = table.schema().index_of(name).ok_or_else(|| {
        let names: Vec<String> = fields.iter().take(20).map(|field| format!("`{}`", guest_name(&field.name))).collect();
        wrong(name, format!("the table has no such column: it has {}", names.join(", ")), None, None)
    })?;
    match fields[place].data_type {
        DataType::Boolean | DataType::Int64 | DataType::Utf8 | DataType::Categorical => Ok(place),
        DataType::Float64 | DataType::Timestamp => {
            let message = "a column of floats or timestamps cannot be divided into segments".to_owned();
            Err(wrong(name, message, None, None))
        }
    }
}

/// The row numbers by the text of their value, and those of rows without a value.
type Dealt = (BTreeMap<String, Vec<u64>>, Vec<u64>);

fn deal(work: &SegmentsWork, execution: &Execution, table: &Table, place: usize) -> Result<Dealt, StageFault> {
    let watch = execution.watch();
    let batches = (table.chunks() as u64).saturating_mul(table.schema().len() as u64 * COLUMN_MEMORY);
    let kept = table.rows().saturating_mul(ROW_MEMORY).saturating_add(batches);
    let mut held = kept.saturating_add(TableWriter::empty_bytes(table.schema()));
    watch.hold(held)?;
    let (mut dealt, mut without) = (BTreeMap::<String, Vec<u64>>::new(), Vec::new());
    let mut start = 0;
    for batch in columns(table, vec![place], watch) {
        let batch = batch.map_err(|ReadError(fault)| fault)?;
        let texts = Texts::of(batch.column(0))?;
        for row in 0..batch.num_rows() {
            let number = start + row as u64;
            let Some(text) = texts.at(row) else {
                without.push(number);
                continue;
            };
            if let Some(rows) = dealt.get_mut(&*text) {
                rows.push(number);
                continue;
            }
            if dealt.len() as u64 >= work.most {
                let message = format!(
                    "it has more than {} values, and each would be a run: is it the right column? `max-children` under \
                     [foreach] allows more",
                    work.most
                );
                return Err(wrong(&work.column, message, Some(number), Some(guest_name(&text))));
            }
            held += text.len() as u64;
            watch.hold(held)?;
            dealt.insert(text.into_owned(), vec![number]);
        }
        start += batch.num_rows() as u64;
    }
    Ok((dealt, without))
}

/// A column of a type whose values have a text.
enum Texts<'a> {
    Boolean(&'a arrow_array::BooleanArray),
    Integer(&'a arrow_array::Int64Array),
    Text(&'a StringArray),
    Category(&'a arrow_array::Int32Array, &'a StringArray),
}

impl<'a> Texts<'a> {
    fn of(array: &'a ArrayRef) -> Result<Self, StageFault> {
        match DataType::from_arrow(array.data_type()) {
            Some(DataType::Boolean) => Ok(Self::Boolean(array.as_boolean())),
            Some(DataType::Int64) => Ok(Self::Integer(array.as_primitive::<Int64Type>())),
            Some(DataType::Utf8) => Ok(Self::Text(array.as_string())),
            Some(DataType::Categorical) => {
                let dictionary = array.as_dictionary::<Int32Type>();
                Ok(Self::Category(dictionary.keys(), dictionary.values().as_string()))
            }
            _ => Err(StageFault::host("a column of segments is not of the type that its schema says")),
        }
    }

    fn at(&self, row: usize) -> Option<std::borrow::Cow<'a, str>> {
        match self {
            Self::Boolean(array) => array.is_valid(row).then(|| array.value(row).to_string().into()),
            Self::Integer(array) => array.is_valid(row).then(|| array.value(row).to_string().into()),
            Self::Text(array) => array.is_valid(row).then(|| array.value(row).into()),
            Self::Category(codes, categories) => {
                codes.is_valid(row).then(|| categories.value(codes.value(row) as usize).into())
            }
        }
    }
}

/// Returns the segments in the order of their values: numbers by size, other values by their text.
fn in_order(kind: DataType, dealt: BTreeMap<String, Vec<u64>>) -> Result<Vec<(Value, Vec<u64>)>, StageFault> {
    let value = |text: String| match kind {
        DataType::Int64 => text.parse::<i64>().map(Value::from).map_err(StageFault::host),
        DataType::Boolean => Ok(Value::from(text == "true")),
        _ => Ok(Value::from(text)),
    };
    let mut segments = Vec::with_capacity(dealt.len());
    for (text, rows) in dealt {
        segments.push((value(text)?, rows));
    }
    segments.sort_by_key(|(value, _)| value.as_i64());
    Ok(segments)
}

/// Writes a table for each segment.
fn write(
    execution: &mut Execution,
    table: &Table,
    list: &Segments,
    segments: Vec<(Value, Vec<u64>)>,
) -> Result<(), StageFault> {
    // These batches are views of the mapped file. One batch of rows at a time is copied out of
    // them.
    let batches: Vec<RecordBatch> = table.batches(None).collect::<Result<_, _>>().map_err(StageFault::host)?;
    let gather = Gather::new(batches);
    for (segment, (_, rows)) in list.segments.iter().zip(segments) {
        let mut writer = execution.create_table(table.schema())?;
        for part in rows.chunks(table.schema().chunk_rows()) {
            writer.write(&gather.rows(part).map_err(StageFault::host)?)?;
        }
        execution.put_named_table(table_name(&segment.name), &writer.finish()?);
    }
    Ok(())
}
