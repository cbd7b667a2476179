//! Implements the generated import traits by calling the [`Host`] of an instance.
//!
//! The engine keeps a table of the handles of each instance, so a guest can only name what it was
//! given. The representation of a resource is its [`Handle`](crate::resource_types::Handle) in the
//! host.

use wasmtime::component::Resource;

use crate::bindings::stagewright::stage::{blobs, models, sources, tables, tracking, types};
use crate::import_call::Host;
use crate::resource_types::{Blob, BlobWriter, Cursor, Model, Table, TableWriter};
use crate::store_data::StoreData;

/// The result of an import. The inner error is returned to the guest; the outer one ends its call.
type ImportResult<T> = wasmtime::Result<Result<T, types::Failure>>;

impl<H: Host> tables::Host for StoreData<H> {}

impl<H: Host> tables::HostTable for StoreData<H> {
    fn fields(&mut self, table: Resource<Table>) -> wasmtime::Result<Vec<types::Field>> {
        Ok(self.host.table_fields(table.rep())?)
    }

    fn roles(&mut self, table: Resource<Table>) -> wasmtime::Result<Vec<types::Role>> {
        Ok(self.host.table_roles(table.rep())?)
    }

    fn rows(&mut self, table: Resource<Table>) -> wasmtime::Result<u64> {
        Ok(self.host.table_rows(table.rep())?)
    }

    fn select(&mut self, table: Resource<Table>, columns: Vec<u32>) -> ImportResult<Resource<Table>> {
        Ok(self.host.select_columns(table.rep(), columns)?.map(Resource::new_own))
    }

    fn read(&mut self, table: Resource<Table>, start: u64, rows: u32) -> ImportResult<types::Batch> {
        Ok(self.host.read_table(table.rep(), start, rows)?)
    }

    fn drop(&mut self, table: Resource<Table>) -> wasmtime::Result<()> {
        Ok(self.host.drop_table(table.rep())?)
    }
}

impl<H: Host> tables::HostTableWriter for StoreData<H> {
    fn new(&mut self, fields: Vec<types::Field>) -> wasmtime::Result<Resource<TableWriter>> {
        Ok(Resource::new_own(self.host.begin_table(fields)?))
    }

    fn write(&mut self, writer: Resource<TableWriter>, rows: types::Batch) -> ImportResult<()> {
        Ok(self.host.write_rows(writer.rep(), rows)?)
    }

    fn finish(&mut self, writer: Resource<TableWriter>) -> ImportResult<Resource<Table>> {
        Ok(self.host.finish_table(writer.rep())?.map(Resource::new_own))
    }

    fn drop(&mut self, writer: Resource<TableWriter>) -> wasmtime::Result<()> {
        Ok(self.host.drop_table_writer(writer.rep())?)
    }
}

impl<H: Host> blobs::Host for StoreData<H> {}

impl<H: Host> blobs::HostBlob for StoreData<H> {
    fn size(&mut self, blob: Resource<Blob>) -> wasmtime::Result<u64> {
        Ok(self.host.blob_size(blob.rep())?)
    }

    fn read(&mut self, blob: Resource<Blob>, offset: u64, length: u32) -> ImportResult<Vec<u8>> {
        Ok(self.host.read_blob(blob.rep(), offset, length)?)
    }

    fn drop(&mut self, blob: Resource<Blob>) -> wasmtime::Result<()> {
        Ok(self.host.drop_blob(blob.rep())?)
    }
}

impl<H: Host> blobs::HostBlobWriter for StoreData<H> {
    fn new(&mut self) -> wasmtime::Result<Resource<BlobWriter>> {
        Ok(Resource::new_own(self.host.begin_blob()?))
    }

    fn write(&mut self, writer: Resource<BlobWriter>, bytes: Vec<u8>) -> ImportResult<()> {
        Ok(self.host.write_blob(writer.rep(), bytes)?)
    }

    fn finish(&mut self, writer: Resource<BlobWriter>) -> ImportResult<Resource<Blob>> {
        Ok(self.host.finish_blob(writer.rep())?.map(Resource::new_own))
    }

    fn drop(&mut self, writer: Resource<BlobWriter>) -> wasmtime::Result<()> {
        Ok(self.host.drop_blob_writer(writer.rep())?)
    }
}

impl<H: Host> sources::Host for StoreData<H> {
    fn open(&mut self, source: String) -> ImportResult<Resource<Cursor>> {
        Ok(self.host.open_source(source)?.map(Resource::new_own))
    }
}

impl<H: Host> sources::HostCursor for StoreData<H> {
    fn fields(&mut self, cursor: Resource<Cursor>) -> wasmtime::Result<Vec<types::Field>> {
        Ok(self.host.cursor_fields(cursor.rep())?)
    }

    fn next(&mut self, cursor: Resource<Cursor>, rows: u32) -> ImportResult<Option<types::Batch>> {
        Ok(self.host.next_rows(cursor.rep(), rows)?)
    }

    fn drop(&mut self, cursor: Resource<Cursor>) -> wasmtime::Result<()> {
        Ok(self.host.drop_cursor(cursor.rep())?)
    }
}

impl<H: Host> models::Host for StoreData<H> {}

impl<H: Host> models::HostModel for StoreData<H> {
    fn outputs(&mut self, model: Resource<Model>) -> wasmtime::Result<Vec<types::Output>> {
        Ok(self.host.outputs(model.rep())?)
    }

    fn predict(&mut self, model: Resource<Model>, rows: types::Batch) -> ImportResult<types::Batch> {
        Ok(self.host.predict(model.rep(), rows)?)
    }

    fn importance(&mut self, model: Resource<Model>) -> wasmtime::Result<Vec<models::FeatureImportance>> {
        Ok(self.host.importance(model.rep())?)
    }

    fn drop(&mut self, model: Resource<Model>) -> wasmtime::Result<()> {
        Ok(self.host.drop_model(model.rep())?)
    }
}

impl<H: Host> tracking::Host for StoreData<H> {
    fn log(&mut self, level: tracking::Level, message: String) -> wasmtime::Result<()> {
        Ok(self.host.log(level, message)?)
    }

    fn progress(&mut self, done: u64, total: u64) -> wasmtime::Result<()> {
        Ok(self.host.progress(done, total)?)
    }

    fn metric(&mut self, name: String, value: f64, step: u64) -> wasmtime::Result<()> {
        Ok(self.host.metric(name, value, step)?)
    }

    fn count(&mut self, treatment: String, column: u32, rows: u64) -> wasmtime::Result<()> {
        Ok(self.host.count(treatment, column, rows)?)
    }

    fn add_figure(&mut self, figure: tracking::Figure) -> ImportResult<()> {
        Ok(self.host.add_figure(figure)?)
    }
}
