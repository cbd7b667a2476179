//! WIT `tables`: the tables that a stage reads and writes.

use arrow_array::RecordBatch;
use stagewright_lifecycle::fault::{LimitKind, StageFault, guest_name};
use stagewright_lifecycle::sandbox::{Meter, View};
use stagewright_manifest::StepId;
use stagewright_store::{Schema, StoreError, TableWriter, packed};

use super::held::{OpenTable, OpenTableWriter};
use super::{HostResult, StageHost};
use crate::batch;
use crate::bindings::stagewright::stage::types::{Batch, Failure, Field, Role};
use crate::resource_types::Handle;

/// Bytes of a column in the header of a table's file, without its name.
const COLUMN_BYTES: u64 = 128;

/// Bytes of rows that are written between two checks of the stage's time.
const PIECE_BYTES: u64 = 1 << 20;

/// Bytes of a chunk's column on disk without its values: its entry in the chunk's header, and
/// padding.
const CHUNK_OVERHEAD: u64 = 128;

impl StageHost {
    pub(crate) fn table_fields(&self, table: Handle) -> Result<Vec<Field>, StageFault> {
        Ok(batch::fields_out(self.held.get::<OpenTable>(table)?.view.schema.fields()))
    }

    pub(crate) fn table_roles(&self, table: Handle) -> Result<Vec<Role>, StageFault> {
        Ok(batch::roles_out(self.held.get::<OpenTable>(table)?.view.schema.fields()))
    }

    pub(crate) fn table_rows(&self, table: Handle) -> Result<u64, StageFault> {
        Ok(self.held.get::<OpenTable>(table)?.view.rows())
    }

    pub(crate) fn select_columns(&mut self, table: Handle, columns: Vec<u32>) -> HostResult<Handle> {
        self.account.check_time()?;
        let view = &self.held.get::<OpenTable>(table)?.view;
        let of = view.columns.len();
        let mut chosen = Vec::with_capacity(columns.len().min(of));
        let mut is_chosen = vec![false; of];
        for column in columns {
            match is_chosen.get_mut(column as usize) {
                Some(seen) if !*seen => *seen = true,
                Some(_) => return Ok(Err(Failure::Internal(format!("column {column} is wanted twice")))),
                None => {
                    return Ok(Err(Failure::Internal(format!("there is no column {column}: the table has {of}"))));
                }
            }
            chosen.push(column as usize);
        }
        let view = View {
            table: view.table.clone(),
            columns: chosen.iter().map(|&column| view.columns[column]).collect(),
            schema: view.schema.project(&chosen),
        };
        // The guest decides how long a selection lives, so it is charged.
        let held = view.schema.held_bytes();
        self.account.hold(held)?;
        Ok(Ok(self.insert(OpenTable { view, held })?))
    }

    pub(crate) fn read_table(&mut self, table: Handle, start: u64, rows: u32) -> HostResult<Batch> {
        self.account.check_time()?;
        let view = &self.held.get::<OpenTable>(table)?.view;
        if start > view.rows() {
            return Ok(Err(Failure::Internal(format!("read from row {start} of a table of {} rows", view.rows()))));
        }
        let rows = view.table.read(start, rows as usize, Some(&view.columns)).map_err(StageFault::host)?;
        let rows = batch::within_cap(&rows, &view.schema, self.account.context.world, start)?;
        Ok(Ok(batch::outgoing(&rows, &view.schema, &self.account.context)?))
    }

    pub(crate) fn drop_table(&mut self, table: Handle) -> Result<(), StageFault> {
        let open: OpenTable = self.held.take(table)?;
        self.account.release(open.held);
        Ok(())
    }
}

impl StageHost {
    /// Creates a table with the manifest's roles and charges the guest for its writer. The inner
    /// error is for the guest.
    fn create_table(&mut self, fields: Vec<Field>) -> Result<Result<(TableWriter, Schema), String>, StageFault> {
        self.account.begin_artifact()?;
        if fields.is_empty() {
            return Ok(Err("a table has at least one column".to_owned()));
        }
        let schema = match batch::schema_in(fields, self.account.bounds.columns) {
            Ok(schema) => schema,
            Err(reason) => return Ok(Err(reason)),
        };
        let roles = &self.account.context.roles;
        let with_roles = schema.fields().iter().cloned().map(|field| match roles.get(&field.name) {
            Some(role) => field.with_role(*role),
            None => field,
        });
        let schema = Schema::new(with_roles.collect()).map_err(StageFault::host)?;
        let Some(staging) = self.account.context.staging.clone() else {
            return Ok(Err("this call makes no tables".to_owned()));
        };
        self.account.hold(TableWriter::empty_bytes(&schema))?;
        self.account.charge_output(header_bytes(&schema))?;
        Ok(Ok((staging.create_table(&schema).map_err(StageFault::host)?, schema)))
    }
}

/// Estimates the size of a table without rows on disk: its file lists the columns in the header and
/// in the footer.
fn header_bytes(schema: &Schema) -> u64 {
    schema.fields().iter().map(|field| 2 * (COLUMN_BYTES + field.name.len() as u64)).sum()
}

/// Returns the number of chunks that `rows` rows take.
fn chunks(rows: u64, schema: &Schema) -> u64 {
    rows.div_ceil(schema.chunk_rows() as u64)
}

/// Returns the number of rows of a batch to write between two checks of the stage's time. A batch
/// of booleans has millions of rows, which fill thousands of chunks.
fn rows_of_piece(rows: usize, bytes: u64) -> usize {
    /// Pieces that start at a byte of every bitmap are written without shifting bits.
    const EVEN: usize = 64;
    if bytes <= PIECE_BYTES {
        return rows.max(1);
    }
    let most = (rows as u64).saturating_mul(PIECE_BYTES) / bytes;
    let most = usize::try_from(most).unwrap_or(rows).max(1);
    if most > EVEN { most - most % EVEN } else { most }
}

impl StageHost {
    /// Writes some rows and updates the charge for the writer's memory.
    fn write_piece(&mut self, writer: Handle, rows: &RecordBatch) -> Result<(), StageFault> {
        let handle: &mut OpenTableWriter = self.held.get_mut(writer)?;
        if let Ok((writer, _)) = &mut handle.writer {
            let written = writer.write(rows);
            Meter::add(&self.account.context.meter.cpu_ns, writer.take_other_threads_cpu_ns());
            written.map_err(|error| unwritten(self.account.stage(), error))?;
        }
        self.hold_writer(writer)
    }

    /// Updates the charge for a writer's memory.
    fn hold_writer(&mut self, writer: Handle) -> Result<(), StageFault> {
        let handle: &mut OpenTableWriter = self.held.get_mut(writer)?;
        let before = handle.held;
        if let Ok((writer, _)) = &handle.writer {
            handle.held = writer.held_bytes();
        }
        let held = handle.held;
        self.account.release(before);
        self.account.hold(held)
    }
}

/// Converts an error of writing a guest's rows: a text that is too long is the guest's fault, all
/// else the host's.
fn unwritten(stage: StepId, error: StoreError) -> StageFault {
    match error {
        StoreError::TextTooLong { column, problem } => StageFault::Data {
            stage,
            message: problem.replace("\nhint: ", ": "),
            column: Some(guest_name(&column)),
            row: None,
            value: None,
        },
        error => StageFault::host(error),
    }
}

impl StageHost {
    pub(crate) fn begin_table(&mut self, fields: Vec<Field>) -> Result<Handle, StageFault> {
        self.account.check_time()?;
        let writer = self.create_table(fields)?;
        let held = match &writer {
            Ok((writer, _)) => writer.held_bytes(),
            Err(reason) => {
                let kept = reason.len() as u64;
                self.account.hold(kept)?;
                kept
            }
        };
        self.insert(OpenTableWriter { writer, held })
    }

    pub(crate) fn write_rows(&mut self, writer: Handle, rows: Batch) -> HostResult<()> {
        self.account.check_time()?;
        let most = self.account.bounds.rows;
        let (schema, before) = match &self.held.get::<OpenTableWriter>(writer)?.writer {
            Ok((writer, schema)) => (schema.clone(), writer.rows()),
            Err(reason) => return Ok(Err(Failure::Internal(reason.clone()))),
        };
        let rows = match batch::incoming(rows, &schema, &self.account.context) {
            Ok(rows) => rows,
            Err(fault) => return Ok(Err(Failure::Internal(fault.to_string()))),
        };
        if before + rows.num_rows() as u64 > most {
            let kind = LimitKind::Operator("rows".into());
            return Err(self.account.limit(kind, before + rows.num_rows() as u64, most));
        }
        // Charge before anything is stored or written.
        let size = packed::batch_bytes(&rows, &schema).map_err(StageFault::host)? as u64;
        let begun = chunks(before + rows.num_rows() as u64, &schema) - chunks(before, &schema);
        self.account.charge_output(size + begun * schema.len() as u64 * CHUNK_OVERHEAD)?;
        self.account.hold(size)?;
        let most = rows_of_piece(rows.num_rows(), size);
        let mut done = 0;
        loop {
            let piece = rows.slice(done, most.min(rows.num_rows() - done));
            self.write_piece(writer, &piece)?;
            done += piece.num_rows();
            if done >= rows.num_rows() {
                break;
            }
            self.account.check_time()?;
        }
        if let Ok((writer, _)) = &mut self.held.get_mut::<OpenTableWriter>(writer)?.writer {
            writer.forget_batch();
        }
        self.hold_writer(writer)?;
        self.account.release(size);
        Ok(Ok(()))
    }

    pub(crate) fn finish_table(&mut self, writer: Handle) -> HostResult<Handle> {
        self.account.check_time()?;
        let handle: OpenTableWriter = self.held.take(writer)?;
        let (writer, _) = match handle.writer {
            Ok(writer) => writer,
            Err(reason) => {
                self.account.release(handle.held);
                return Ok(Err(Failure::Internal(reason)));
            }
        };
        let held = handle.held + writer.finishing_bytes();
        self.account.hold(writer.finishing_bytes())?;
        let (table, other_cpu_ns) = writer.finish_counted().map_err(|error| unwritten(self.account.stage(), error))?;
        Meter::add(&self.account.context.meter.cpu_ns, other_cpu_ns);
        self.account.release(held);
        let held = table.held_bytes();
        self.account.hold(held)?;
        Ok(Ok(self.insert(OpenTable { view: View::whole(table), held })?))
    }

    pub(crate) fn drop_table_writer(&mut self, writer: Handle) -> Result<(), StageFault> {
        let handle: OpenTableWriter = self.held.take(writer)?;
        if let Ok((writer, _)) = &handle.writer {
            Meter::add(&self.account.context.meter.cpu_ns, writer.take_other_threads_cpu_ns());
        }
        self.account.release(handle.held);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_about_a_mebibyte_and_never_nothing() {
        // Rows of a batch, bytes of the batch, rows of a piece.
        let pieces = [
            (0, 0, 1),
            (1, 0, 1),
            (8192, 8192, 8192),
            // Booleans: 8 MiB are 64 million rows.
            (1 << 26, 8 << 20, 1 << 23),
            // 65,536 columns of 16 rows.
            (16, 8 << 20, 2),
            (3, 8 << 20, 1),
            (1, 8 << 20, 1),
            (10_000, 2 << 20, 4992),
        ];
        for (rows, bytes, piece) in pieces {
            assert_eq!(rows_of_piece(rows, bytes), piece, "{rows} rows of {bytes} bytes");
        }
    }
}
