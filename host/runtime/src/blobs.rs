//! WIT `blobs`: fitted states and models, in chunks.

use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::Meter;
use stagewright_store::{Blob, BlobWriter, MAX_BATCH_BYTES};
use wasmtime::component::Resource;

use crate::bindings::stagewright::stage::blobs::{Host, HostBlob, HostBlobWriter};
use crate::bindings::stagewright::stage::types::Failure;
use crate::guest::Guest;

/// Bytes that a guest may read.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct BlobHandle(pub(crate) Blob);

/// Bytes that a guest is writing; begun at the first write, so that a writer nobody uses costs nothing.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub struct BlobWriterHandle(Option<BlobWriter>);

/// Bytes that a blob that is being written takes in memory: its buffer, its hash, its name.
const WRITER_BYTES: u64 = 16 << 10;

impl Host for Guest {}

impl HostBlob for Guest {
    fn size(&mut self, blob: Resource<BlobHandle>) -> wasmtime::Result<u64> {
        Ok(self.table.get(&blob)?.0.size())
    }

    fn read(
        &mut self,
        blob: Resource<BlobHandle>,
        offset: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, Failure>> {
        self.check_time()?;
        let blob = &self.table.get(&blob)?.0;
        if offset > blob.size() {
            return Ok(Err(Failure::Internal(format!("read from byte {offset} of a blob of {} bytes", blob.size()))));
        }
        let bytes = blob.read(offset, (length as usize).min(MAX_BATCH_BYTES)).map_err(StageFault::host)?;
        Meter::add(&self.context.meter.bytes_in, bytes.len() as u64);
        Meter::add(&self.context.meter.copied, 2 * bytes.len() as u64);
        Ok(Ok(bytes))
    }

    fn drop(&mut self, blob: Resource<BlobHandle>) -> wasmtime::Result<()> {
        self.table.delete(blob)?;
        Ok(())
    }
}

impl Guest {
    fn create_blob(&mut self) -> Result<BlobWriter, StageFault> {
        self.begin_artifact()?;
        self.hold(WRITER_BYTES)?;
        match &self.context.staging {
            Some(staging) => staging.create_blob().map_err(StageFault::host),
            None => Err(StageFault::Contract {
                stage: self.stage(),
                component: self.context.component.name.clone(),
                export: "blob-writer".into(),
                message: "this call makes no blobs".into(),
            }),
        }
    }
}

impl HostBlobWriter for Guest {
    fn new(&mut self) -> wasmtime::Result<Resource<BlobWriterHandle>> {
        Ok(self.table.push(BlobWriterHandle(None))?)
    }

    fn write(&mut self, writer: Resource<BlobWriterHandle>, bytes: Vec<u8>) -> wasmtime::Result<Result<(), Failure>> {
        self.check_time()?;
        if bytes.len() > MAX_BATCH_BYTES {
            return Ok(Err(Failure::Internal(format!(
                "a write of {} bytes; at most {MAX_BATCH_BYTES} go at once",
                bytes.len()
            ))));
        }
        self.charge_output(bytes.len() as u64)?;
        Meter::add(&self.context.meter.bytes_out, bytes.len() as u64);
        Meter::add(&self.context.meter.copied, bytes.len() as u64);
        if self.table.get(&writer)?.0.is_none() {
            let begun = self.create_blob()?;
            self.table.get_mut(&writer)?.0 = Some(begun);
        }
        if let Some(blob) = &mut self.table.get_mut(&writer)?.0 {
            blob.write(&bytes).map_err(StageFault::host)?;
        }
        Ok(Ok(()))
    }

    fn finish(
        &mut self,
        writer: Resource<BlobWriterHandle>,
    ) -> wasmtime::Result<Result<Resource<BlobHandle>, Failure>> {
        self.check_time()?;
        let writer = match self.table.delete(writer)?.0 {
            Some(writer) => writer,
            None => self.create_blob()?,
        };
        let blob = writer.finish().map_err(StageFault::host)?;
        self.release(WRITER_BYTES);
        Ok(Ok(self.table.push(BlobHandle(blob))?))
    }

    fn drop(&mut self, writer: Resource<BlobWriterHandle>) -> wasmtime::Result<()> {
        if self.table.delete(writer)?.0.is_some() {
            self.release(WRITER_BYTES);
        }
        Ok(())
    }
}
