//! The imports of an instance, handed to its desk: the one of this process, or the parent's.
//!
//! The engine keeps a table of the handles of each instance, so a guest can only name what it was
//! given. A resource's representation is the number under which the desk holds it.

use wasmtime::component::Resource;

use crate::ask::Host;
use crate::bindings::stagewright::stage::{blobs, models, sources, tables, tracking, types};
use crate::guest::Guest;

/// A `table` of the contract.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum Table {}

/// A `table-writer`.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum TableWriter {}

/// A `blob`.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum Blob {}

/// A `blob-writer`.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum BlobWriter {}

/// A `cursor`.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum Cursor {}

/// A `model`.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum Model {}

/// The answer to a call that the guest may hear fail.
type Heard<T> = wasmtime::Result<Result<T, types::Failure>>;

impl<D: Host> tables::Host for Guest<D> {}

impl<D: Host> tables::HostTable for Guest<D> {
    fn fields(&mut self, table: Resource<Table>) -> wasmtime::Result<Vec<types::Field>> {
        Ok(self.desk.table_fields(table.rep())?)
    }

    fn roles(&mut self, table: Resource<Table>) -> wasmtime::Result<Vec<types::Role>> {
        Ok(self.desk.table_roles(table.rep())?)
    }

    fn rows(&mut self, table: Resource<Table>) -> wasmtime::Result<u64> {
        Ok(self.desk.table_rows(table.rep())?)
    }

    fn select(&mut self, table: Resource<Table>, columns: Vec<u32>) -> Heard<Resource<Table>> {
        Ok(self.desk.select_columns(table.rep(), columns)?.map(Resource::new_own))
    }

    fn read(&mut self, table: Resource<Table>, start: u64, rows: u32) -> Heard<types::Batch> {
        Ok(self.desk.read_table(table.rep(), start, rows)?)
    }

    fn drop(&mut self, table: Resource<Table>) -> wasmtime::Result<()> {
        Ok(self.desk.drop_table(table.rep())?)
    }
}

impl<D: Host> tables::HostTableWriter for Guest<D> {
    fn new(&mut self, fields: Vec<types::Field>) -> wasmtime::Result<Resource<TableWriter>> {
        Ok(Resource::new_own(self.desk.begin_table(fields)?))
    }

    fn write(&mut self, writer: Resource<TableWriter>, rows: types::Batch) -> Heard<()> {
        Ok(self.desk.write_rows(writer.rep(), rows)?)
    }

    fn finish(&mut self, writer: Resource<TableWriter>) -> Heard<Resource<Table>> {
        Ok(self.desk.finish_table(writer.rep())?.map(Resource::new_own))
    }

    fn drop(&mut self, writer: Resource<TableWriter>) -> wasmtime::Result<()> {
        Ok(self.desk.drop_table_writer(writer.rep())?)
    }
}

impl<D: Host> blobs::Host for Guest<D> {}

impl<D: Host> blobs::HostBlob for Guest<D> {
    fn size(&mut self, blob: Resource<Blob>) -> wasmtime::Result<u64> {
        Ok(self.desk.blob_size(blob.rep())?)
    }

    fn read(&mut self, blob: Resource<Blob>, offset: u64, length: u32) -> Heard<Vec<u8>> {
        Ok(self.desk.read_blob(blob.rep(), offset, length)?)
    }

    fn drop(&mut self, blob: Resource<Blob>) -> wasmtime::Result<()> {
        Ok(self.desk.drop_blob(blob.rep())?)
    }
}

impl<D: Host> blobs::HostBlobWriter for Guest<D> {
    fn new(&mut self) -> wasmtime::Result<Resource<BlobWriter>> {
        Ok(Resource::new_own(self.desk.begin_blob()?))
    }

    fn write(&mut self, writer: Resource<BlobWriter>, bytes: Vec<u8>) -> Heard<()> {
        Ok(self.desk.write_blob(writer.rep(), bytes)?)
    }

    fn finish(&mut self, writer: Resource<BlobWriter>) -> Heard<Resource<Blob>> {
        Ok(self.desk.finish_blob(writer.rep())?.map(Resource::new_own))
    }

    fn drop(&mut self, writer: Resource<BlobWriter>) -> wasmtime::Result<()> {
        Ok(self.desk.drop_blob_writer(writer.rep())?)
    }
}

impl<D: Host> sources::Host for Guest<D> {
    fn open(&mut self, source: String) -> Heard<Resource<Cursor>> {
        Ok(self.desk.open_source(source)?.map(Resource::new_own))
    }
}

impl<D: Host> sources::HostCursor for Guest<D> {
    fn fields(&mut self, cursor: Resource<Cursor>) -> wasmtime::Result<Vec<types::Field>> {
        Ok(self.desk.cursor_fields(cursor.rep())?)
    }

    fn next(&mut self, cursor: Resource<Cursor>, rows: u32) -> Heard<Option<types::Batch>> {
        Ok(self.desk.next_rows(cursor.rep(), rows)?)
    }

    fn drop(&mut self, cursor: Resource<Cursor>) -> wasmtime::Result<()> {
        Ok(self.desk.drop_cursor(cursor.rep())?)
    }
}

impl<D: Host> models::Host for Guest<D> {}

impl<D: Host> models::HostModel for Guest<D> {
    fn outputs(&mut self, model: Resource<Model>) -> wasmtime::Result<Vec<types::Output>> {
        Ok(self.desk.outputs(model.rep())?)
    }

    fn predict(&mut self, model: Resource<Model>, rows: types::Batch) -> Heard<types::Batch> {
        Ok(self.desk.predict(model.rep(), rows)?)
    }

    fn importance(&mut self, model: Resource<Model>) -> wasmtime::Result<Vec<models::FeatureImportance>> {
        Ok(self.desk.importance(model.rep())?)
    }

    fn drop(&mut self, model: Resource<Model>) -> wasmtime::Result<()> {
        Ok(self.desk.drop_model(model.rep())?)
    }
}

impl<D: Host> tracking::Host for Guest<D> {
    fn log(&mut self, level: tracking::Level, message: String) -> wasmtime::Result<()> {
        Ok(self.desk.log(level, message)?)
    }

    fn progress(&mut self, done: u64, total: u64) -> wasmtime::Result<()> {
        Ok(self.desk.progress(done, total)?)
    }

    fn metric(&mut self, name: String, value: f64, step: u64) -> wasmtime::Result<()> {
        Ok(self.desk.metric(name, value, step)?)
    }

    fn count(&mut self, treatment: String, column: u32, rows: u64) -> wasmtime::Result<()> {
        Ok(self.desk.count(treatment, column, rows)?)
    }

    fn add_figure(&mut self, figure: tracking::Figure) -> Heard<()> {
        Ok(self.desk.add_figure(figure)?)
    }
}
