//! WIT `tables`: what a stage reads and what it makes.

use stagewright_lifecycle::fault::{LimitKind, StageFault};
use stagewright_lifecycle::sandbox::{Meter, View};
use stagewright_store::{Schema, TableWriter, batch_bytes};
use wasmtime::component::Resource;

use crate::batch;
use crate::bindings::stagewright::stage::tables::{Host, HostTable, HostTableWriter};
use crate::bindings::stagewright::stage::types::{Batch, Failure, Field, Role};
use crate::guest::Guest;

/// A table that a guest may read, as far as its view goes.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct TableHandle {
    pub(crate) view: View,
    /// Bytes that an open table takes in memory, as the guest is charged for them; none for a table
    /// that the host lends.
    held: u64,
}

impl TableHandle {
    /// A table that the host lends.
    pub(crate) fn lent(view: View) -> Self {
        Self { view, held: 0 }
    }
}

/// A table that a guest is making.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct WriterHandle {
    /// `Err` holds why the fields were refused; told at the first write.
    writer: Result<(TableWriter, Schema), String>,
    /// Bytes that the writer keeps in memory, as the guest is charged for them.
    held: u64,
}

/// What a column of a chunk takes on disk besides its values: its place in the chunk's head, and padding.
const CHUNK_OVERHEAD: u64 = 128;

impl Host for Guest {}

impl HostTable for Guest {
    fn fields(&mut self, table: Resource<TableHandle>) -> wasmtime::Result<Vec<Field>> {
        Ok(batch::fields_out(self.table.get(&table)?.view.schema.fields()))
    }

    fn roles(&mut self, table: Resource<TableHandle>) -> wasmtime::Result<Vec<Role>> {
        Ok(batch::roles_out(self.table.get(&table)?.view.schema.fields()))
    }

    fn rows(&mut self, table: Resource<TableHandle>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&table)?.view.rows())
    }

    fn read(
        &mut self,
        table: Resource<TableHandle>,
        start: u64,
        rows: u32,
        columns: Option<Vec<u32>>,
    ) -> wasmtime::Result<Result<Batch, Failure>> {
        self.check_time()?;
        let view = &self.table.get(&table)?.view;
        if start > view.rows() {
            return Ok(Err(Failure::Internal(format!("read from row {start} of a table of {} rows", view.rows()))));
        }
        let chosen = match columns {
            None => view.columns.clone(),
            // A list of a million times the same column would be a million columns in the host.
            Some(wanted) if wanted.len() > view.columns.len() => {
                let message = format!("{} columns wanted of a table of {}", wanted.len(), view.columns.len());
                return Ok(Err(Failure::Internal(message)));
            }
            Some(wanted) => match wanted
                .iter()
                .map(|&column| view.columns.get(column as usize).copied())
                .collect::<Option<Vec<_>>>()
            {
                Some(chosen) => chosen,
                None => {
                    return Ok(Err(Failure::Internal(format!("no such column: the table has {}", view.columns.len()))));
                }
            },
        };
        let rows = view.table.read(start, rows as usize, Some(&chosen)).map_err(StageFault::host)?;
        let rows = batch::within_cap(&rows, self.stage(), start)?;
        Ok(Ok(batch::outgoing(&rows, &self.context)?))
    }

    fn drop(&mut self, table: Resource<TableHandle>) -> wasmtime::Result<()> {
        let handle = self.table.delete(table)?;
        self.release(handle.held);
        Ok(())
    }
}

impl Guest {
    /// Begins a table with the manifest's roles, and takes what it holds in the guest's account; the
    /// inner `Err` is the guest's to hear.
    fn create_table(&mut self, fields: Vec<Field>) -> Result<Result<(TableWriter, Schema), String>, StageFault> {
        self.begin_artifact()?;
        if fields.is_empty() {
            return Ok(Err("a table has at least one column".to_owned()));
        }
        let schema = match batch::schema_in(fields, self.bounds.columns) {
            Ok(schema) => schema,
            Err(reason) => return Ok(Err(reason)),
        };
        let roles = &self.context.roles;
        let with_roles = schema.fields().iter().cloned().map(|field| match roles.get(&field.name) {
            Some(role) => field.with_role(*role),
            None => field,
        });
        let schema = Schema::new(with_roles.collect()).map_err(StageFault::host)?;
        let Some(staging) = self.context.staging.clone() else {
            return Ok(Err("this call makes no tables".to_owned()));
        };
        self.hold(TableWriter::empty_bytes(&schema))?;
        Ok(Ok((staging.create_table(&schema).map_err(StageFault::host)?, schema)))
    }
}

/// Chunks that so many rows fill, the last in part.
fn chunks(rows: u64, schema: &Schema) -> u64 {
    rows.div_ceil(schema.chunk_rows() as u64)
}

impl HostTableWriter for Guest {
    fn new(&mut self, fields: Vec<Field>) -> wasmtime::Result<Resource<WriterHandle>> {
        self.check_time()?;
        let writer = self.create_table(fields)?;
        let held = match &writer {
            Ok((writer, _)) => writer.held_bytes(),
            Err(reason) => {
                let kept = reason.len() as u64;
                self.hold(kept)?;
                kept
            }
        };
        Ok(self.table.push(WriterHandle { writer, held })?)
    }

    fn write(&mut self, writer: Resource<WriterHandle>, rows: Batch) -> wasmtime::Result<Result<(), Failure>> {
        self.check_time()?;
        let most = self.bounds.rows;
        let (schema, before) = match &self.table.get(&writer)?.writer {
            Ok((writer, schema)) => (schema.clone(), writer.rows()),
            Err(reason) => return Ok(Err(Failure::Internal(reason.clone()))),
        };
        let rows = match batch::incoming(rows, &schema, &self.context) {
            Ok(rows) => rows,
            Err(fault) => return Ok(Err(Failure::Internal(fault.to_string()))),
        };
        if before + rows.num_rows() as u64 > most {
            let kind = LimitKind::Operator("rows");
            return Err(self.limit(kind, before + rows.num_rows() as u64, most).into());
        }
        // Charged before anything is kept or written.
        let size = batch_bytes(&rows, rows.num_rows()).map_err(StageFault::host)? as u64;
        let begun = chunks(before + rows.num_rows() as u64, &schema) - chunks(before, &schema);
        self.charge_output(size + begun * schema.len() as u64 * CHUNK_OVERHEAD)?;
        self.hold(size)?;
        let handle = self.table.get_mut(&writer)?;
        let charged = handle.held + size;
        if let Ok((writer, _)) = &mut handle.writer {
            writer.write(&rows).map_err(StageFault::host)?;
            Meter::add(&self.context.meter.cpu_ns, writer.take_other_threads_cpu_ns());
            handle.held = writer.held_bytes();
        }
        let held = handle.held;
        self.release(charged);
        self.hold(held)?;
        Ok(Ok(()))
    }

    fn finish(&mut self, writer: Resource<WriterHandle>) -> wasmtime::Result<Result<Resource<TableHandle>, Failure>> {
        self.check_time()?;
        let handle = self.table.delete(writer)?;
        self.release(handle.held);
        let (writer, _) = match handle.writer {
            Ok(writer) => writer,
            Err(reason) => return Ok(Err(Failure::Internal(reason))),
        };
        let (table, other_cpu_ns) = writer.finish_counted().map_err(StageFault::host)?;
        Meter::add(&self.context.meter.cpu_ns, other_cpu_ns);
        let held = table.held_bytes();
        self.hold(held)?;
        Ok(Ok(self.table.push(TableHandle { view: View::whole(table), held })?))
    }

    fn drop(&mut self, writer: Resource<WriterHandle>) -> wasmtime::Result<()> {
        let handle = self.table.delete(writer)?;
        self.release(handle.held);
        Ok(())
    }
}
