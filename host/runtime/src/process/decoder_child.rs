//! The program of a process that decodes one file or text.

use std::cell::RefCell;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use arrow_array::RecordBatch;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, mmap_anonymous};
use stagewright_data::{
    BatchSink, DataError, DataFault, DecodeFailure, DecodeJob, InMemory, Inference, KeptColumn, RowsPiece,
    initialize_sqlite,
};
use stagewright_jail::{Channel, Started};
use stagewright_lifecycle::fault::StageFault;
use stagewright_manifest::World;
use stagewright_store::{Schema, packed};

use super::protocol::{DecodeTask, MAX_SIGNATURE, PROTOCOL_BROKEN, StartError, from_decoder, to_decoder};
use crate::batch;

/// Decodes a file, and then waits for the parent to end this process.
///
/// # Errors
/// Decoding could not start. No byte of the file was read.
pub(super) fn decode(started: Started, task: &DecodeTask) -> Result<(), StartError> {
    let job: DecodeJob = serde_json::from_str(&task.job)?;
    let memory = match task.is_streamed {
        true => None,
        false => Some(map_files(started.inputs(), task, job.is_database())?),
    };
    if job.is_database() {
        initialize_sqlite()?;
    }
    let schema = job.schema();
    let channel = Rc::new(RefCell::new(started.lock()?.channel));
    let mut parent = ParentConnection { channel: channel.clone(), schema, given: 0 };
    let done = match memory {
        Some(memory) => job.perform(memory, &mut parent),
        None => job.perform_on_text(Box::new(StreamedText { channel, bytes: Vec::new(), at: 0 }), &mut parent),
    };
    if let Err(error) = done.and_then(|inference| parent.end(inference)) {
        parent.failed(error);
    }
    parent.wait()
}

/// A text that the parent reads and passes on as it is asked for more.
struct StreamedText {
    channel: Rc<RefCell<Channel>>,
    /// The last bytes that came.
    bytes: Vec<u8>,
    /// How many of them were read.
    at: usize,
}

impl Read for StreamedText {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.at == self.bytes.len() {
            let mut channel = self.channel.borrow_mut();
            let asked = channel.send(from_decoder::MORE, &[]);
            match asked.and_then(|()| channel.receive(&mut self.bytes)) {
                Ok(to_decoder::TEXT) => self.at = 0,
                _ => stagewright_jail::end(PROTOCOL_BROKEN),
            }
        }
        let read = (&self.bytes[self.at..]).read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

/// Maps the files into memory. The mapping of a database is writable and private: changes reach no
/// file.
fn map_files(inputs: &[OwnedFd], task: &DecodeTask, is_database: bool) -> Result<InMemory, StartError> {
    if task.is_folder {
        let files = inputs.iter().zip(&task.files);
        let map = |(file, (name, length)): (&OwnedFd, &(String, u64))| {
            Ok::<_, StartError>((name.clone(), map_read_only(file, usize::try_from(*length)?)?))
        };
        return Ok(InMemory::Folder(files.map(map).collect::<Result<_, _>>()?));
    }
    let ([file, more @ ..], [(_, length)]) = (inputs, &task.files[..]) else {
        return Err("no file was given".into());
    };
    let (length, log) = (usize::try_from(*length)?, usize::try_from(task.log)?);
    if !is_database {
        return Ok(InMemory::File(map_read_only(file, length)?));
    }
    let log = match more {
        [beside] => map_read_only(beside, log)?,
        _ => &[],
    };
    let room = length.checked_add(log.len()).ok_or("a database of too many bytes")?;
    if room == 0 {
        return Ok(InMemory::Database { memory: &mut [], length, log });
    }
    let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE);
    // SAFETY: the kernel chooses an unused address. The file is mapped at its start; both mappings
    // are as long as the slice and live as long as the process. If the file is truncated meanwhile,
    // reading it ends the process.
    let memory = unsafe {
        let place = mmap_anonymous(std::ptr::null_mut(), room, protection, flags)?;
        if length > 0 {
            mmap(place, length, protection, flags | MapFlags::FIXED, file, 0)?;
        }
        std::slice::from_raw_parts_mut(place.cast(), room)
    };
    Ok(InMemory::Database { memory, length, log })
}

/// Maps a file for reading.
fn map_read_only(file: &OwnedFd, length: usize) -> Result<&'static [u8], StartError> {
    if length == 0 {
        return Ok(&[]);
    }
    // SAFETY: the kernel chooses the address; the mapping is as long as the slice and lives as long
    // as the process. Concurrent writes to the file are visible, and the bytes are untrusted
    // anyway; if the file is truncated, reading it ends this process.
    unsafe {
        let place = mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, file, 0)?;
        // Read ahead. A failure does not matter.
        let _ = madvise(place, length, Advice::Sequential);
        Ok(std::slice::from_raw_parts(place.cast(), length))
    }
}

/// The connection to the parent.
struct ParentConnection {
    channel: Rc<RefCell<Channel>>,
    /// The columns of the batches, if the job returns rows.
    schema: Option<Schema>,
    /// The number of rows sent so far.
    given: u64,
}

impl ParentConnection {
    fn send(&mut self, kind: u32, parts: &[&[u8]]) {
        if self.channel.borrow_mut().send(kind, parts).is_err() {
            stagewright_jail::end(PROTOCOL_BROKEN);
        }
    }

    /// Sends a batch with its kept columns in as many messages as their sizes need.
    fn send_rows(&mut self, mut rest: RecordBatch, kept: &[KeptColumn]) -> Result<(), DataError> {
        let schema = self.schema.clone().ok_or_else(|| bug(&"nobody asked for some"))?;
        let (kept_schema, kinds, mut kept) = KeptColumn::to_batch(kept, rest.num_rows())?;
        let kinds: Vec<u8> = kinds.into_iter().map(|kind| kind as u8).collect();
        while rest.num_rows() > 0 {
            let within = |batch: &RecordBatch, schema: &Schema| {
                batch::within_cap(batch, schema, World::Ingestion, self.given).map_err(row_error)
            };
            let part = within(&rest, &schema)?;
            let kept_part = within(&kept.slice(0, part.num_rows()), &kept_schema)?;
            let rows = kept_part.num_rows();
            let count = (rows as u32).to_le_bytes();
            let bytes = packed::write(&part.slice(0, rows), &schema).map_err(|error| bug(&error))?;
            self.send(from_decoder::ROWS, &[&bytes, &count]);
            if !kinds.is_empty() {
                let bytes = packed::write(&kept_part, &kept_schema).map_err(|error| bug(&error))?;
                self.send(from_decoder::KEPT, &[&bytes, &kinds, &count]);
            }
            self.given += rows as u64;
            rest = rest.slice(rows, rest.num_rows() - rows);
            kept = kept.slice(rows, kept.num_rows() - rows);
        }
        Ok(())
    }

    fn end(&mut self, inference: Option<Inference>) -> Result<(), DataError> {
        let Some(inference) = inference else {
            self.send(from_decoder::END, &[]);
            return Ok(());
        };
        let json = serde_json::to_vec(&inference).map_err(|error| bug(&error))?;
        if json.len() > MAX_SIGNATURE {
            return Err(DataFault::new("the table has too many columns to propose a signature for it").into());
        }
        self.send(from_decoder::SIGNATURE, &[&json]);
        Ok(())
    }

    fn failed(&mut self, error: DataError) {
        let json = serde_json::to_vec(&DecodeFailure::from(error)).unwrap_or_default();
        self.send(from_decoder::FAILED, &[&json]);
    }

    fn wait(self) -> ! {
        let _ = self.channel.borrow_mut().receive(&mut Vec::new());
        // The parent sends nothing any more, so it has ended or broken the protocol.
        stagewright_jail::end(PROTOCOL_BROKEN)
    }
}

impl BatchSink for ParentConnection {
    fn opened(&mut self) -> Result<(), DataError> {
        self.send(from_decoder::OPENED, &[]);
        Ok(())
    }

    fn batch(&mut self, batch: RecordBatch) -> Result<(), DataError> {
        self.send_rows(batch, &[])
    }

    fn piece(&mut self, piece: RowsPiece) -> Result<(), DataError> {
        self.send_rows(piece.batch, &piece.kept)
    }
}

/// Converts the fault of a row that is too large for a message.
fn row_error(fault: StageFault) -> DataError {
    match fault {
        StageFault::Data { message, column, row, value, .. } => {
            DataFault { message, column, row, line: None, value, part: None }.into()
        }
        fault => bug(&fault),
    }
}

fn bug(error: &dyn std::fmt::Display) -> DataError {
    DataError::Host(format!("the rows cannot be passed on: {error}"))
}
