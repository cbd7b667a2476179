//! Transformation: the host splits the rows and encodes the target; the stage learns from training rows and makes features of them.
//!
//! The stage sees neither identifiers nor, outside `fit` and `rebalance`, the target; the host puts
//! target and weight beside the features itself. The test rows come in another order than the
//! table's (see [`test_rows`]): what is scored on them cannot answer with a row's place in a source
//! that was sorted by its target.

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

/// Bytes that the host keeps of each row while it deals rows out, at most: two hashes, its
/// partition, its number, its place in the order of the test rows, and what sorting takes.
const SPLIT_ROW_MEMORY: u64 = 48;

/// Bytes that a column of a batch takes besides its values, which stay in their file.
const COLUMN_MEMORY: u64 = 512;

/// Bytes of memory for each byte of an imported split: a row of some twenty bytes becomes an entry
/// of a map.
const IMPORTED_BYTE_MEMORY: u64 = 8;

/// Bytes of memory for each row of the table that an imported split is of, besides identifiers.
const IMPORTED_ROW_MEMORY: usize = 96;

/// Bytes that a row takes in the exported split besides its identifier: its number and its
/// partition.
const EXPORTED_ROW: usize = 20;

/// Splits, fits, transforms, rebalances.
pub(crate) fn run(work: &TransformationWork, execution: &mut Execution) -> Result<(), RunError> {
    let table = execution.open(&TABLE)?;
    let watch = execution.watch().clone();
    refuse_undeclared(execution, &table)?;
    watch.hold(split_memory(&table))?;
    let task = task(work, &table, &watch)?;
    weights::refuse_wrong(execution.world, &table, &watch)?;
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
    // Training and validation rows alike are features to it.
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

/// The task with the classes that the table shows.
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

/// Which rows are for what.
fn split(work: &TransformationWork, execution: &Execution, table: &Table, watch: &Watch) -> Result<Split, RunError> {
    let split = match &work.split {
        Some(plan) => plan.split(table.schema(), all(table, watch)),
        None => {
            let file = execution.blob(SPLIT_FILE)?;
            let held = Cell::new(file.size().saturating_mul(IMPORTED_BYTE_MEMORY));
            watch.hold(held.get())?;
            let rows = with_kept_identifiers(table, watch, &held, IMPORTED_ROW_MEMORY);
            let (decoder, leave) = (&execution.session.decoder, execution.leave());
            let read = |identifiers: &[String], take: &mut SplitCellSink<'_>| {
                decoder.read_split(file.path(), identifiers, &leave, take)
            };
            Split::import(read, table.schema(), rows).map_err(|ReadError(fault)| match fault {
                // The limit is the one of the stage for which the file is read.
                fault @ StageFault::Limit { .. } => ReadError(fault.of_stage(|_| Some(World::Transformation.into()))),
                fault => ReadError(fault),
            })
        }
    };
    Ok(split.map_err(|ReadError(fault)| fault)?)
}

/// Bytes that the host keeps of a table at once while it deals its rows out.
fn split_memory(table: &Table) -> u64 {
    let batches = (table.chunks() as u64).saturating_mul(table.schema().len() as u64 * COLUMN_MEMORY);
    let rows = table.rows().saturating_mul(SPLIT_ROW_MEMORY);
    rows.saturating_add(batches).saturating_add(TableWriter::empty_bytes(table.schema()))
}

/// Refuses a table with other columns than the signature declares: validation may have been
/// another version's, or another run's.
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

/// The split as CSV, fit to be imported elsewhere.
fn exported(table: &Table, split: &Split, watch: &Watch) -> Result<String, StageFault> {
    // The table is read twice, and so the text counts twice: the document doubles while it grows.
    let held = Cell::new(split_memory(table));
    let counted = || with_kept_identifiers(table, watch, &held, EXPORTED_ROW);
    let mut text = Vec::new();
    split.export(table.schema(), counted, &mut text).map_err(|ReadError(fault)| fault)?;
    watch.look()?;
    String::from_utf8(text).map_err(StageFault::host)
}

/// Which row of the source a row of a table is that has these.
fn source_row(numbers: &[u64], row: u64) -> Option<u64> {
    numbers.get(usize::try_from(row).ok()?).copied()
}

/// The rows of one partition as a table of their own, in order, its target encoded for the task.
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

/// The numbers that the test rows have in `table`, the one that was split, in the order in which
/// the table of test rows has them: that of a hash, which says nothing about their place in the
/// source. It can be computed again from the table and the split.
fn test_rows(table: &Table, split: &Split, watch: &Watch) -> Result<Vec<u64>, StageFault> {
    in_hash_order(table.schema(), all(table, watch), &split.indices(Partition::Test)).map_err(|ReadError(fault)| fault)
}

/// The test rows as a table of their own, in the order of [`test_rows`], its target encoded for the
/// task.
fn test_table(execution: &Execution, table: &Table, order: &[u64], task: &Task) -> Result<Table, StageFault> {
    let mut rows = EncodedRows::create(execution, table, task)?;
    // Views of the mapped file; a batch at a time is copied out of them.
    let batches: Vec<RecordBatch> = table.batches(None).collect::<Result<_, _>>().map_err(StageFault::host)?;
    let gather = Gather::new(batches);
    for part in order.chunks(table.schema().chunk_rows()) {
        let batch = gather.rows(part).map_err(StageFault::host)?;
        rows.write(&batch, part)?;
    }
    rows.finish()
}

/// The rows of the ingested table that the test rows are, in the order of the test table.
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

/// A table of some rows of another one, with the target encoded.
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

    /// Adds rows of the other table, whose numbers there errors name.
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

/// A classifier's training rows must show every class.
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

/// Features of a table's rows, with target and weight behind them.
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

/// The features of a table's rows, raw and transformed.
fn made_of(rows: &Table, features: &Table) -> (View, View) {
    let features_of = |table: &Table| View::of(table.clone(), |field| field.role == Role::Feature);
    (features_of(rows), features_of(features))
}

/// A rebalanced table must look like the one that was passed, but for its rows.
fn check_rebalanced(execution: &Execution, before: &Table, after: &Table) -> Result<(), StageFault> {
    if before.schema() != after.schema() {
        return Err(execution.contract("transform.rebalance", "the table that came back has other columns"));
    }
    if after.rows() == 0 {
        return Err(execution.contract("transform.rebalance", "the table that came back has no rows"));
    }
    Ok(())
}
