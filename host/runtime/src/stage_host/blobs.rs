//! WIT `blobs`: fitted states and models, read and written in chunks.

use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::Meter;
use stagewright_store::{Blob, BlobWriter, MAX_BATCH_BYTES};

use super::held::OpenBlobWriter;
use super::{HostResult, StageHost, contract_fault};
use crate::bindings::stagewright::stage::types::Failure;
use crate::resource_types::Handle;

/// Host memory of an open blob writer in bytes: its buffer, its hash, its name.
const WRITER_BYTES: u64 = 16 << 10;

impl StageHost {
    pub(crate) fn blob_size(&self, blob: Handle) -> Result<u64, StageFault> {
        Ok(self.held.get::<Blob>(blob)?.size())
    }

    pub(crate) fn read_blob(&mut self, blob: Handle, offset: u64, length: u32) -> HostResult<Vec<u8>> {
        self.account.check_time()?;
        let blob: &Blob = self.held.get(blob)?;
        if offset > blob.size() {
            return Ok(Err(Failure::Internal(format!("read from byte {offset} of a blob of {} bytes", blob.size()))));
        }
        let bytes = blob.read(offset, (length as usize).min(MAX_BATCH_BYTES)).map_err(StageFault::host)?;
        let meter = &self.account.context.meter;
        Meter::add(&meter.bytes_in, bytes.len() as u64);
        Meter::add(&meter.copied, 2 * bytes.len() as u64);
        Ok(Ok(bytes))
    }

    pub(crate) fn drop_blob(&mut self, blob: Handle) -> Result<(), StageFault> {
        self.held.take::<Blob>(blob)?;
        Ok(())
    }

    fn create_blob(&mut self) -> Result<BlobWriter, StageFault> {
        self.account.begin_artifact()?;
        self.account.hold(WRITER_BYTES)?;
        let context = &self.account.context;
        match &context.staging {
            Some(staging) => staging.create_blob().map_err(StageFault::host),
            None => Err(contract_fault(context, "blob-writer", "this call makes no blobs")),
        }
    }

    pub(crate) fn begin_blob(&mut self) -> Result<Handle, StageFault> {
        self.insert(OpenBlobWriter(None))
    }

    pub(crate) fn write_blob(&mut self, writer: Handle, bytes: Vec<u8>) -> HostResult<()> {
        self.account.check_time()?;
        if bytes.len() > MAX_BATCH_BYTES {
            return Ok(Err(Failure::Internal(format!(
                "a write of {} bytes; at most {MAX_BATCH_BYTES} go at once",
                bytes.len()
            ))));
        }
        self.account.charge_output(bytes.len() as u64)?;
        let meter = &self.account.context.meter;
        Meter::add(&meter.bytes_out, bytes.len() as u64);
        Meter::add(&meter.copied, bytes.len() as u64);
        if self.held.get::<OpenBlobWriter>(writer)?.0.is_none() {
            let begun = self.create_blob()?;
            self.held.get_mut::<OpenBlobWriter>(writer)?.0 = Some(begun);
        }
        if let Some(blob) = &mut self.held.get_mut::<OpenBlobWriter>(writer)?.0 {
            blob.write(&bytes).map_err(StageFault::host)?;
        }
        Ok(Ok(()))
    }

    pub(crate) fn finish_blob(&mut self, writer: Handle) -> HostResult<Handle> {
        self.account.check_time()?;
        let writer = match self.held.take::<OpenBlobWriter>(writer)?.0 {
            Some(writer) => writer,
            None => self.create_blob()?,
        };
        let blob = writer.finish().map_err(StageFault::host)?;
        self.account.release(WRITER_BYTES);
        Ok(Ok(self.insert(blob)?))
    }

    pub(crate) fn drop_blob_writer(&mut self, writer: Handle) -> Result<(), StageFault> {
        if self.held.take::<OpenBlobWriter>(writer)?.0.is_some() {
            self.account.release(WRITER_BYTES);
        }
        Ok(())
    }
}
