//! Transformation: the host splits the rows and encodes the target; the component learns from the
//! training rows and makes features.
//!
//! The component sees no identifiers, and the target only in `fit` and `rebalance`; the host adds
//! target and weight to the features itself. The order of the test rows is not that of the table
//! (see [`test_rows`]). A model that is scored on them can therefore not answer with a row's
//! position in a source that was sorted by its target.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use stagewright_data::{Gather, Partition, Split, SplitCellSink, Task, TaskKind, in_hash_order, select};
use stagewright_manifest::World;
use stagewright_store::{Blob, DataType, Field, Role, Schema, Table, TableWriter};

use crate::artifact::{
    FEATURES_TRAIN, FEATURES_VALIDATION, SIGNATURE, SPLIT, STATE, TABLE, TASK, TEST, TEST_ROWS, TRAIN, VALIDATION_ROWS,
};
use crate::execution::{Execution, HostTable, roles};
use crate::fault::{StageFault, guest_name};
use crate::invocation::{SPLIT_FILE, TransformationWork};
use crate::limits::Watch;
use crate::row_independence::check_transform;
use crate::run_error::RunError;
use crate::sandbox::{StageContext, View};
use crate::stages::weights;
use crate::table_reading::{ROW_COLUMN, ReadError, all, columns, with_kept_identifiers};

/// The host's memory for each row while it splits a table, in bytes, at most: two hashes, its
/// partition, its number, its index in the order of the test rows, and sorting.
const SPLIT_ROW_MEMORY: u64 = 48;

/// The memory of a column of a batch besides its values, which stay in the mapped file, in bytes.
const COLUMN_MEMORY: u64 = 512;

/// The memory for each byte of an imported split, in bytes. A row of about twenty bytes becomes an
/// entry of a map.
const IMPORTED_BYTE_MEMORY: u64 = 8;

/// The memory for each row of the table of an imported split besides identifiers, in bytes.
const IMPORTED_ROW_MEMORY: usize = 96;

/// The length of a row in the exported split besides its identifier, in bytes: its number and its
/// partition.
const EXPORTED_ROW: usize = 20;

/// Splits the rows, fits the transformer, and transforms and rebalances the training rows.
pub(crate) fn run(work: &TransformationWork, execution: &mut Execution) -> Result<(), RunError> {
    let table = execution.open(&TABLE)?;
    let watch = execution.watch().clone();
    refuse_undeclared(execution, &table)?;
    watch.hold(split_memory(&table))?;
    let task = task(work, &table, &watch)?;
    weights::refuse_invalid(execution.world, &table, &watch)?;
    let split = split(work, execution, &table, &watch)?;
    let part = |execution: &Execution, partition| rows_of(execution, &table, &split, &task, partition);
    let train = part(execution, Partition::Train)?;
    let order = test_rows(&table, &split, &watch)?;
    let test = test_table(execution, &table, &order, &task)?;
    let validation =
        (split.count(Partition::Validation) > 0).then(|| part(execution, Partition::Validation)).transpose()?;
    refuse_missing_class(&task, &train, &watch)?;
    weights::refuse_weightless(execution.world, &task, &train, &watch)?;
    let (of_train, of_validation) = (split.indices(Partition::Train), split.indices(Partition::Validation));
    let in_train = |fault: StageFault| fault.at_source(|row| source_row(&of_train, row));

    let context = execution.context(roles(train.schema()))?;
    let seen = View::of(train.clone(), |field| matches!(field.role, Role::Feature | Role::Target | Role::Weight));
    let state = execution.session.sandbox.fit(context.clone(), &seen, &task).map_err(in_train)?;
    // The component cannot tell training from validation rows here.
    let transforming = execution.context(HashMap::new())?;
    let mut features = transformed(execution, &transforming, &state, &train).map_err(in_train)?;
    let mut made = vec![made_of(&train, &features)];
    if let Some(rebalanced) = execution.session.sandbox.rebalance(context, &features, &task).map_err(in_train)? {
        check_rebalanced(execution, &features, &rebalanced)?;
        features = rebalanced;
    }
    if let Some(validation) = validation {
        let in_validation = |fault: StageFault| fault.at_source(|row| source_row(&of_validation, row));
        let features = transformed(execution, &transforming, &state, &validation).map_err(in_validation)?;
        made.push(made_of(&validation, &features));
        execution.put_table(&VALIDATION_ROWS, &validation);
        execution.put_table(&FEATURES_VALIDATION, &features);
    }
    check_transform(&*execution.session.sandbox, &transforming, &state, &made)?;
    execution.put_json(&TASK, &task)?;
    execution.put_text(&SPLIT, exported(&table, &split, &watch)?)?;
    execution.put_table(&TRAIN, &train);
    execution.put_table(&TEST, &test);
    let index = index_table(execution, &order)?;
    execution.put_table(&TEST_ROWS, &index);
    execution.put_blob(&STATE, &state);
    execution.put_table(&FEATURES_TRAIN, &features);
    Ok(())
}

/// Returns the task with the classes that the table shows.
fn task(work: &TransformationWork, table: &Table, watch: &Watch) -> Result<Task, StageFault> {
    let name = &work.target;
    let target = table.schema().index_of(name).ok_or_else(|| StageFault::Data {
        stage: World::Transformation.into(),
        message: format!("the table has no column `{name}`, which is the target"),
        column: Some(name.clone()),
        row: None,
        value: None,
    })?;
    let column = columns(table, vec![target], watch).map(|rows| rows.map(|rows| rows.column(0).clone()));
    TaskKind::with_classes(&work.task, name, column).map_err(|ReadError(fault)| fault)
}

/// Returns the partition of each row.
fn split(work: &TransformationWork, execution: &Execution, table: &Table, watch: &Watch) -> Result<Split, RunError> {
    let split = match &work.split {
        Some(plan) => plan.split(table.schema(), all(table, watch)),
        None => {
            let file = execution.blob(SPLIT_FILE)?;
            let held = Cell::new(file.size().saturating_mul(IMPORTED_BYTE_MEMORY));
            watch.hold(held.get())?;
            let rows = with_kept_identifiers(table, watch, &held, IMPORTED_ROW_MEMORY);
            let (decoder, limits) = (&execution.session.decoder, execution.decode_limits());
            let read = |identifiers: &[String], take: &mut SplitCellSink<'_>| {
                decoder.read_split(file.path(), identifiers, &limits, take)
            };
            Split::import(read, table.schema(), rows).map_err(|ReadError(fault)| match fault {
                // The file is read for this stage, so its limit is this stage's.
                fault @ StageFault::Limit { .. } => ReadError(fault.of_stage(|_| Some(World::Transformation.into()))),
                fault => ReadError(fault),
            })
        }
    };
    Ok(split.map_err(|ReadError(fault)| fault)?)
}

/// Returns the host's memory while it splits a table, in bytes.
fn split_memory(table: &Table) -> u64 {
    let batches = (table.chunks() as u64).saturating_mul(table.schema().len() as u64 * COLUMN_MEMORY);
    let rows = table.rows().saturating_mul(SPLIT_ROW_MEMORY);
    rows.saturating_add(batches).saturating_add(TableWriter::empty_bytes(table.schema()))
}

/// Fails if the table has other columns than the signature declares. The validation may have been
/// done by another version, or in another run.
fn refuse_undeclared(execution: &mut Execution, table: &Table) -> Result<(), RunError> {
    let signature = execution.open(&SIGNATURE)?;
    let Some(first) = signature.differences(table.schema()).into_iter().next() else { return Ok(()) };
    let message = format!(
        "the ingested table is not what the signature declares: {}, expected {}",
        first.observed, first.expected
    );
    let (stage, column) = (World::Transformation.into(), Some(guest_name(&first.column)));
    Err(StageFault::Data { stage, message, column, row: None, value: None }.into())
}

/// Returns the split as CSV, which can be imported elsewhere.
fn exported(table: &Table, split: &Split, watch: &Watch) -> Result<String, StageFault> {
    // The table is read twice, so the text is counted twice. This matches a document that doubles
    // as it grows.
    let held = Cell::new(split_memory(table));
    let counted = || with_kept_identifiers(table, watch, &held, EXPORTED_ROW);
    let mut text = Vec::new();
    split.export(table.schema(), counted, &mut text).map_err(|ReadError(fault)| fault)?;
    watch.check()?;
    String::from_utf8(text).map_err(StageFault::host)
}

/// Returns the row of the source for a row of a table. `numbers` holds the source's rows.
fn source_row(numbers: &[u64], row: u64) -> Option<u64> {
    numbers.get(usize::try_from(row).ok()?).copied()
}

/// Returns the rows of one partition as a table, in order, with the target encoded.
fn rows_of(
    execution: &Execution,
    table: &Table,
    split: &Split,
    task: &Task,
    partition: Partition,
) -> Result<Table, StageFault> {
    let mut rows = EncodedRows::create(execution, table, task)?;
    let indices = split.indices(partition);
    let mut done = 0;
    for batch in select(all(table, execution.watch()), &indices) {
        let batch = batch.map_err(|ReadError(fault)| fault)?;
        let numbers = &indices[done..done + batch.num_rows()];
        done += batch.num_rows();
        rows.write(&batch, numbers)?;
    }
    rows.finish()
}

/// Returns the numbers of the test rows in `table`, the table that was split, in the order of the
/// test table. This is the order of a hash, which says nothing about the position in the source. It
/// can be computed again from the table and the split.
fn test_rows(table: &Table, split: &Split, watch: &Watch) -> Result<Vec<u64>, StageFault> {
    in_hash_order(table.schema(), all(table, watch), &split.indices(Partition::Test)).map_err(|ReadError(fault)| fault)
}

/// Returns the test rows as a table, in the order of [`test_rows`], with the target encoded.
fn test_table(execution: &Execution, table: &Table, order: &[u64], task: &Task) -> Result<Table, StageFault> {
    let mut rows = EncodedRows::create(execution, table, task)?;
    // These batches are views of the mapped file. One batch of rows at a time is copied out of
    // them.
    let batches: Vec<RecordBatch> = table.batches(None).collect::<Result<_, _>>().map_err(StageFault::host)?;
    let gather = Gather::new(batches);
    for part in order.chunks(table.schema().chunk_rows()) {
        let batch = gather.rows(part).map_err(StageFault::host)?;
        rows.write(&batch, part)?;
    }
    rows.finish()
}

/// Writes the numbers of the test rows as a table, in the order of the test table.
fn index_table(execution: &Execution, order: &[u64]) -> Result<Table, StageFault> {
    let schema =
        Schema::new(vec![Field::new(ROW_COLUMN, DataType::Int64).with_nullable(false)]).map_err(StageFault::host)?;
    let mut writer = execution.create_table(&schema)?;
    for part in order.chunks(schema.chunk_rows()) {
        let rows = part.iter().map(|&row| row as i64).collect::<Vec<_>>();
        writer.write(&batch(&schema, vec![Arc::new(Int64Array::from(rows))])?)?;
    }
    writer.finish()
}

/// A table with some rows of another one and an encoded target.
struct EncodedRows<'a> {
    task: &'a Task,
    target: usize,
    name: String,
    schema: Schema,
    writer: HostTable,
}

impl<'a> EncodedRows<'a> {
    fn create(execution: &Execution, table: &Table, task: &'a Task) -> Result<Self, StageFault> {
        let target = target_of(table)?;
        let schema = encoded_schema(table.schema(), target, task)?;
        let name = schema.fields()[target].name.clone();
        Ok(Self { task, target, name, writer: execution.create_table(&schema)?, schema })
    }

    /// Appends rows of the other table. `numbers` are their numbers there, which errors name.
    fn write(&mut self, rows: &RecordBatch, numbers: &[u64]) -> Result<(), StageFault> {
        let mut columns = rows.columns().to_vec();
        let target = self.task.encode(&self.name, &columns[self.target], 0);
        columns[self.target] =
            target.map_err(|error| StageFault::of_data(&error).at_source(|row| source_row(numbers, row)))?;
        self.writer.write(&batch(&self.schema, columns)?)
    }

    fn finish(self) -> Result<Table, StageFault> {
        self.writer.finish()
    }
}

fn target_of(table: &Table) -> Result<usize, StageFault> {
    table
        .schema()
        .indices_with(Role::Target)
        .first()
        .copied()
        .ok_or_else(|| StageFault::host("the table has no target"))
}

fn batch(schema: &Schema, columns: Vec<ArrayRef>) -> Result<RecordBatch, StageFault> {
    RecordBatch::try_new(schema.to_arrow(), columns).map_err(StageFault::host)
}

fn encoded_schema(schema: &Schema, target: usize, task: &Task) -> Result<Schema, StageFault> {
    let mut fields = schema.fields().to_vec();
    let data_type = if matches!(task, Task::Regression) { DataType::Float64 } else { DataType::Int64 };
    fields[target] = Field::new(fields[target].name.clone(), data_type).with_nullable(false).with_role(Role::Target);
    Schema::new(fields).map_err(StageFault::host)
}

/// Fails if no training row is of some class.
fn refuse_missing_class(task: &Task, train: &Table, watch: &Watch) -> Result<(), StageFault> {
    let classes: Vec<&String> = match task {
        Task::Binary { negative, positive } => vec![negative, positive],
        Task::MultiClass { classes } => classes.iter().collect(),
        Task::Regression => return Ok(()),
    };
    let target = target_of(train)?;
    let mut seen = vec![false; classes.len()];
    for rows in columns(train, vec![target], watch) {
        let rows = rows.map_err(|ReadError(fault)| fault)?;
        let codes = rows
            .column(0)
            .as_any()
            .downcast_ref::<Int64Array>()
            .ok_or_else(|| StageFault::host("an encoded target is not int64"))?;
        codes.values().iter().filter_map(|&code| usize::try_from(code).ok()).for_each(|code| seen[code] = true);
    }
    match seen.iter().position(|seen| !seen) {
        None => Ok(()),
        Some(missing) => Err(StageFault::Data {
            stage: World::Transformation.into(),
            message: format!("no training row is of class `{}`: nothing can be learnt about it", classes[missing]),
            column: Some(train.schema().fields()[target].name.clone()),
            row: None,
            value: None,
        }),
    }
}

/// Returns the features of a table's rows, followed by target and weight.
fn transformed(
    execution: &Execution,
    context: &Arc<StageContext>,
    state: &Blob,
    table: &Table,
) -> Result<Table, StageFault> {
    let features = View::of(table.clone(), |field| field.role == Role::Feature);
    let kept = View::of(table.clone(), |field| matches!(field.role, Role::Target | Role::Weight));
    let mut output: Option<(HostTable, Schema)> = None;
    execution.session.sandbox.transform(context.clone(), state, &features, &mut |schema, start, rows| {
        if output.is_none() {
            let fields = schema.fields().iter().chain(kept.schema.fields()).cloned().collect();
            let schema = Schema::new(fields).map_err(|reason| execution.contract("transformer.fields", reason))?;
            output = Some((execution.create_table(&schema)?, schema));
        }
        let Some((writer, schema)) = &mut output else { return Ok(()) };
        let mut done = 0;
        while done < rows.num_rows() {
            let beside = kept
                .table
                .read(start + done as u64, rows.num_rows() - done, Some(&kept.columns))
                .map_err(StageFault::host)?;
            let part = rows.slice(done, beside.num_rows());
            done += beside.num_rows();
            let columns = part.columns().iter().chain(beside.columns()).cloned().collect();
            writer.write_charged(&batch(schema, columns)?)?;
        }
        Ok(())
    })?;
    let (writer, _) = output.ok_or_else(|| StageFault::host("the transformation returned no batch"))?;
    writer.finish()
}

/// Returns the features of a table's rows, raw and transformed.
fn made_of(rows: &Table, features: &Table) -> (View, View) {
    let features_of = |table: &Table| View::of(table.clone(), |field| field.role == Role::Feature);
    (features_of(rows), features_of(features))
}

/// Fails if a rebalanced table has other columns than the table that was passed, or no rows.
fn check_rebalanced(execution: &Execution, before: &Table, after: &Table) -> Result<(), StageFault> {
    if before.schema() != after.schema() {
        return Err(execution.contract("transform.rebalance", "the table that came back has other columns"));
    }
    if after.rows() == 0 {
        return Err(execution.contract("transform.rebalance", "the table that came back has no rows"));
    }
    Ok(())
}
