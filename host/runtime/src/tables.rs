//! WIT `tables`: what a stage reads and what it makes.

use arrow_array::RecordBatch;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::View;
use stagewright_store::{MAX_BATCH_BYTES, Schema, TableWriter, batch_bytes, rows_within};
use wasmtime::component::Resource;

use crate::batch;
use crate::bindings::stagewright::stage::tables::{Host, HostTable, HostTableWriter};
use crate::bindings::stagewright::stage::types::{Batch, Failure, Field, Role};
use crate::guest::Guest;

/// A table that a guest may read, as far as its view goes.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct TableHandle(pub(crate) View);

/// A table that a guest is making.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct WriterHandle {
    /// `Err` holds why the fields were refused; told at the first write.
    writer: Result<(TableWriter, Schema), String>,
}

impl Host for Guest {}

impl HostTable for Guest {
    fn fields(&mut self, table: Resource<TableHandle>) -> wasmtime::Result<Vec<Field>> {
        Ok(batch::fields_out(self.table.get(&table)?.0.schema.fields()))
    }

    fn roles(&mut self, table: Resource<TableHandle>) -> wasmtime::Result<Vec<Role>> {
        Ok(batch::roles_out(self.table.get(&table)?.0.schema.fields()))
    }

    fn rows(&mut self, table: Resource<TableHandle>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&table)?.0.rows())
    }

    fn read(
        &mut self,
        table: Resource<TableHandle>,
        start: u64,
        rows: u32,
        columns: Option<Vec<u32>>,
    ) -> wasmtime::Result<Result<Batch, Failure>> {
        self.check_time()?;
        let view = &self.table.get(&table)?.0;
        if start > view.rows() {
            return Ok(Err(Failure::Internal(format!("read from row {start} of a table of {} rows", view.rows()))));
        }
        let chosen = match columns {
            None => view.columns.clone(),
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
        let rows = within_cap(&rows)?;
        Ok(Ok(batch::outgoing(&rows, &self.context)?))
    }

    fn drop(&mut self, table: Resource<TableHandle>) -> wasmtime::Result<()> {
        self.table.delete(table)?;
        Ok(())
    }
}

/// The first rows of a batch, as many as a crossing takes.
pub(crate) fn within_cap(batch: &RecordBatch) -> Result<RecordBatch, StageFault> {
    let rows = batch.num_rows();
    if batch_bytes(batch, rows).map_err(StageFault::host)? <= MAX_BATCH_BYTES {
        return Ok(batch.clone());
    }
    let fit = rows_within(batch, MAX_BATCH_BYTES).map_err(StageFault::host)?;
    if fit == 0 {
        return Err(StageFault::host("one row is larger than a batch of 8 MiB"));
    }
    Ok(batch.slice(0, fit))
}

impl HostTableWriter for Guest {
    fn new(&mut self, fields: Vec<Field>) -> wasmtime::Result<Resource<WriterHandle>> {
        let writer = match batch::schema_in(fields) {
            Err(reason) => Err(reason.to_string()),
            Ok(schema) => {
                let roles = &self.context.roles;
                let with_roles = schema.fields().iter().cloned().map(|field| match roles.get(&field.name) {
                    Some(role) => field.with_role(*role),
                    None => field,
                });
                let schema = Schema::new(with_roles.collect()).map_err(StageFault::host)?;
                match &self.context.staging {
                    Some(staging) => Ok((staging.create_table(&schema).map_err(StageFault::host)?, schema)),
                    None => Err("this call makes no tables".to_owned()),
                }
            }
        };
        Ok(self.table.push(WriterHandle { writer })?)
    }

    fn write(&mut self, writer: Resource<WriterHandle>, rows: Batch) -> wasmtime::Result<Result<(), Failure>> {
        self.check_time()?;
        let handle = self.table.get_mut(&writer)?;
        let (writer, schema) = match &mut handle.writer {
            Ok(writer) => writer,
            Err(reason) => return Ok(Err(Failure::Internal(reason.clone()))),
        };
        let rows = match batch::incoming(rows, schema, &self.context) {
            Ok(rows) => rows,
            Err(fault) => return Ok(Err(Failure::Internal(fault.to_string()))),
        };
        writer.write(&rows).map_err(StageFault::host)?;
        let size = batch_bytes(&rows, rows.num_rows()).map_err(StageFault::host)? as u64;
        self.charge_output(size)?;
        Ok(Ok(()))
    }

    fn finish(&mut self, writer: Resource<WriterHandle>) -> wasmtime::Result<Result<Resource<TableHandle>, Failure>> {
        let (writer, _) = match self.table.delete(writer)?.writer {
            Ok(writer) => writer,
            Err(reason) => return Ok(Err(Failure::Internal(reason))),
        };
        let table = writer.finish().map_err(StageFault::host)?;
        Ok(Ok(self.table.push(TableHandle(View::whole(table)))?))
    }

    fn drop(&mut self, writer: Resource<WriterHandle>) -> wasmtime::Result<()> {
        self.table.delete(writer)?;
        Ok(())
    }
}
