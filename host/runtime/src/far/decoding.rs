//! A process that decodes a file, from the inside.

use std::os::fd::OwnedFd;

use arrow_array::RecordBatch;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous};
use stagewright_data::{
    BatchSink, DataError, DataFault, DecodeFailure, DecodeJob, InMemory, Inference, initialize_sqlite,
};
use stagewright_jail::{Channel, Started};
use stagewright_lifecycle::fault::StageFault;
use stagewright_manifest::World;
use stagewright_store::{Schema, packed};

use super::child::{BROKEN, Failed};
use super::{Decode, LONGEST_SIGNATURE, decoded};
use crate::batch;

/// Decodes, and then waits for the parent to end this process.
///
/// # Errors
/// It could not begin: it has not looked at a byte of the file.
pub(super) fn decode(started: Started, decode: &Decode) -> Result<(), Failed> {
    let job: DecodeJob = serde_json::from_str(&decode.job)?;
    let memory = mapped(started.inputs(), decode, job.is_database())?;
    if job.is_database() {
        initialize_sqlite()?;
    }
    let (schema, kept_schema) = (job.schema(), job.kept_schema());
    let channel = started.lock()?.channel;
    let mut line = Line { channel, schema, kept_schema, given: 0, kept: 0 };
    let done = job.perform(memory, &mut line).and_then(|inference| line.end(inference));
    if let Err(error) = done {
        line.failed(error);
    }
    line.wait()
}

/// The files in memory. Of a database, what is written there reaches no file.
fn mapped(inputs: &[OwnedFd], decode: &Decode, is_database: bool) -> Result<InMemory, Failed> {
    let (length, log) = (usize::try_from(decode.length)?, usize::try_from(decode.log)?);
    let [file, more @ ..] = inputs else { return Err("no file was given".into()) };
    if !is_database {
        return Ok(InMemory::File(for_reading(file, length)?));
    }
    let log = match more {
        [beside] => for_reading(beside, log)?,
        _ => &[],
    };
    let room = length.checked_add(log.len()).ok_or("a database of too many bytes")?;
    if room == 0 {
        return Ok(InMemory::Database { memory: &mut [], length, log });
    }
    let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE);
    // SAFETY: the system chooses the place, where nothing else is. The file takes the begin of it;
    // both are as long as the slice says and stay as long as the process. A file that becomes
    // shorter meanwhile ends the process when it is read.
    let memory = unsafe {
        let place = mmap_anonymous(std::ptr::null_mut(), room, protection, flags)?;
        if length > 0 {
            mmap(place, length, protection, flags | MapFlags::FIXED, file, 0)?;
        }
        std::slice::from_raw_parts_mut(place.cast(), room)
    };
    Ok(InMemory::Database { memory, length, log })
}

/// A file in memory.
fn for_reading(file: &OwnedFd, length: usize) -> Result<&'static [u8], Failed> {
    if length == 0 {
        return Ok(&[]);
    }
    // SAFETY: the system chooses the place; the mapping is as long as the slice and stays as long
    // as the process. What another process writes to the file is seen, and read as bytes that
    // nobody trusts; a file that becomes shorter ends this process.
    unsafe {
        let place = mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, file, 0)?;
        // Pages are read ahead. It is as well where the system does not.
        let _ = madvise(place, length, Advice::Sequential);
        Ok(std::slice::from_raw_parts(place.cast(), length))
    }
}

/// The way to the parent.
struct Line {
    channel: Channel,
    /// The columns of batches, if some are wanted.
    schema: Option<Schema>,
    /// Those of kept values.
    kept_schema: Option<Schema>,
    /// Rows sent so far.
    given: u64,
    /// Rows of kept values sent so far.
    kept: u64,
}

impl Line {
    fn send(&mut self, kind: u32, parts: &[&[u8]]) {
        if self.channel.send(kind, parts).is_err() {
            stagewright_jail::end(BROKEN);
        }
    }

    /// Sends a batch, in as many messages as crossings take. `first` is its first row.
    fn pass_on(
        &mut self,
        kind: u32,
        mut rest: RecordBatch,
        schema: Option<Schema>,
        mut first: u64,
    ) -> Result<(), DataError> {
        let schema = schema.ok_or_else(|| bug(&"nobody asked for some"))?;
        while rest.num_rows() > 0 {
            let part = batch::within_cap(&rest, &schema, World::Ingestion, first).map_err(in_words)?;
            let rows = part.num_rows();
            let bytes = packed::write(&part, &schema).map_err(|error| bug(&error))?;
            self.send(kind, &[&bytes, &(rows as u32).to_le_bytes()]);
            first += rows as u64;
            rest = rest.slice(rows, rest.num_rows() - rows);
        }
        Ok(())
    }

    fn end(&mut self, inference: Option<Inference>) -> Result<(), DataError> {
        let Some(inference) = inference else {
            self.send(decoded::END, &[]);
            return Ok(());
        };
        let told = serde_json::to_vec(&inference).map_err(|error| bug(&error))?;
        if told.len() > LONGEST_SIGNATURE {
            return Err(DataFault::new("the table has too many columns to propose a signature for it").into());
        }
        self.send(decoded::SIGNATURE, &[&told]);
        Ok(())
    }

    fn failed(&mut self, error: DataError) {
        let told = serde_json::to_vec(&DecodeFailure::from(error)).unwrap_or_default();
        self.send(decoded::FAILED, &[&told]);
    }

    fn wait(mut self) -> ! {
        let _ = self.channel.receive(&mut Vec::new());
        // A parent that has ended or says something.
        stagewright_jail::end(BROKEN)
    }
}

impl BatchSink for Line {
    fn opened(&mut self) -> Result<(), DataError> {
        self.send(decoded::OPENED, &[]);
        Ok(())
    }

    fn batch(&mut self, batch: RecordBatch) -> Result<(), DataError> {
        let (schema, rows) = (self.schema.clone(), batch.num_rows() as u64);
        self.pass_on(decoded::ROWS, batch, schema, self.given)?;
        self.given += rows;
        Ok(())
    }

    fn kept(&mut self, values: RecordBatch) -> Result<(), DataError> {
        let (schema, rows) = (self.kept_schema.clone(), values.num_rows() as u64);
        self.pass_on(decoded::KEPT, values, schema, self.kept)?;
        self.kept += rows;
        Ok(())
    }
}

/// A row that is larger than a crossing.
fn in_words(fault: StageFault) -> DataError {
    match fault {
        StageFault::Data { message, column, row, value, .. } => {
            DataFault { message, column, row, line: None, value }.into()
        }
        fault => bug(&fault),
    }
}

fn bug(error: &dyn std::fmt::Display) -> DataError {
    DataError::Host(format!("the rows cannot be passed on: {error}"))
}
