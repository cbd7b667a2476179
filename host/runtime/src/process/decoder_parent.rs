//! A process that decodes a file, as its parent sees it.
//!
//! The process is trusted as little as the file. Its batches are checked against the signature like
//! a guest's, and its errors are bounded texts about the source. Whatever else it does is reported
//! as a fault of the source, with the file's name.

use std::fmt;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::Array as _;
use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use stagewright_data::{
    CsvOptions, DataError, Decode, DecodeFailure, DecodeJob, DecodeLimits, InProcess, Inference, InferenceOptions,
    Interrupt, JobKind, KeptColumn, KeptKind, OpenedFiles, PredictionRows, RowsInput, RowsPiece, SPLIT, Signature,
    Source, SourceRows, SourceUri, SplitCellSink, Strictness, max_split_bytes,
};
use stagewright_jail::{Child, Command, Ending, Event, Limit, Rules, Spent, Why};
use stagewright_lifecycle::fault::KILLED_HINT;
use stagewright_store::{MAX_BATCH_BYTES, Schema, packed};

use super::protocol::{
    DecodeTask, MAX_SIGNATURE, OWN_MEMORY, ROWS_BYTES, Task, VERSION, from_decoder, missing_walls, to_decoder,
};
use crate::installation::StageProcess;

/// The longest error in bytes: messages and names are cut at some KiB, and JSON may take six bytes
/// for one.
const MAX_FAILURE: u64 = 1 << 20;

/// A limit on time that is never reached: the interrupt ends the process.
const UNLIMITED: Duration = Duration::from_secs(365 * 24 * 3600);

/// The most kept columns, as of the columns of a table: one byte for each ends a message.
const MAX_KEPT: usize = 1 << 16;

/// Bytes of a text that are passed on at once.
const TEXT_BYTES: usize = 256 << 10;

/// Returns the length limit of a decoder process's messages of this kind.
fn max_length(kind: u32) -> Option<u64> {
    match kind {
        from_decoder::OPENED | from_decoder::END | from_decoder::MORE => Some(0),
        from_decoder::ROWS => Some((MAX_BATCH_BYTES + ROWS_BYTES) as u64),
        from_decoder::KEPT => Some((MAX_BATCH_BYTES + MAX_KEPT + ROWS_BYTES) as u64),
        from_decoder::SIGNATURE => Some(MAX_SIGNATURE as u64),
        from_decoder::FAILED => Some(MAX_FAILURE),
        _ => None,
    }
}

/// Returns the decoder of untrusted files: one process for each file that is read, or this process
/// if `process` is `None`.
pub fn decoder(process: Option<&StageProcess>) -> Arc<dyn Decode> {
    match process {
        Some(process) => Arc::new(ProcessDecoder(process.clone())),
        None => Arc::new(InProcess),
    }
}

/// Decodes each file in a process of its own.
#[derive(Debug)]
struct ProcessDecoder(StageProcess);

impl Decode for ProcessDecoder {
    fn open(
        &self,
        source: &Source,
        signature: &Signature,
        strictness: Strictness,
        limits: &DecodeLimits,
    ) -> Result<Box<dyn SourceRows>, DataError> {
        let wanted = JobKind::Rows { signature: signature.clone(), strictness };
        let mut decoder = DecoderProcess::open(&self.0, source, wanted, limits)?;
        decoder.opened()?;
        Ok(Box::new(DecodedRows { decoder: Some(decoder), schema: signature.decoded(strictness), rest: None }))
    }

    fn infer(
        &self,
        source: &Source,
        options: &InferenceOptions,
        with_tokens: bool,
        limits: &DecodeLimits,
    ) -> Result<Inference, DataError> {
        let wanted = JobKind::Signature { options: options.clone(), with_tokens };
        let mut decoder = DecoderProcess::open(&self.0, source, wanted, limits)?;
        let mut bytes = Vec::new();
        match decoder.receive(&mut bytes)? {
            from_decoder::SIGNATURE => {
                let proposal: Result<Inference, _> = serde_json::from_slice(&bytes);
                let proposal = proposal.map_err(|_| "a proposal that is none");
                proposal
                    .and_then(|proposal| proposal.checked(options, with_tokens))
                    .map_err(|reason| decoder.forged(reason))
            }
            from_decoder::FAILED => Err(decoder.failed(&bytes)),
            _ => Err(decoder.forged("rows, of which nobody asked for any")),
        }
    }

    fn open_rows(
        &self,
        input: RowsInput,
        signature: &Signature,
        keep: &[String],
        limits: &DecodeLimits,
    ) -> Result<Box<dyn PredictionRows>, DataError> {
        let job = DecodeJob::on_rows(&input, signature.clone(), keep.to_vec());
        let shown = |path: &Path| path.display().to_string();
        let (input, name) = match input {
            RowsInput::Source(source) => {
                let files = source.open_files(limits.memory, &limits.interrupt)?;
                (Input::Files(files), (shown(source.uri.path()), source.query))
            }
            RowsInput::Json(path) => (Input::Files(OpenedFiles::of_file(&path)?), (shown(&path), None)),
            RowsInput::Text(text) => (Input::Streamed(text.text), (text.name, None)),
        };
        let mut decoder = DecoderProcess::start(&self.0, &job, input, name, limits)?;
        decoder.opened()?;
        let schema = signature.decoded(Strictness::Predict);
        Ok(Box::new(DecodedPieces { decoder: Some(decoder), schema, keep: keep.to_vec(), longest: 0 }))
    }

    fn read_split(
        &self,
        file: &Path,
        identifiers: &[String],
        limits: &DecodeLimits,
        take: &mut SplitCellSink<'_>,
    ) -> Result<(), DataError> {
        let uri = SourceUri::Csv { path: file.to_owned(), options: CsvOptions::plain() };
        let files = Source::new(uri).open_files(limits.memory, &limits.interrupt)?;
        let (length, job) = (files.files.iter().map(|file| file.length).sum(), DecodeJob::for_split(identifiers));
        let schema = job.schema().ok_or_else(|| DataError::Host("a split without columns".to_owned()))?;
        let mut decoder = DecoderProcess::start(&self.0, &job, Input::Files(files), (SPLIT.to_owned(), None), limits)?;
        let (mut left, mut bytes) = (max_split_bytes(length, identifiers), Vec::new());
        loop {
            match decoder.receive(&mut bytes)? {
                from_decoder::ROWS => {
                    let batch = decoder.batch(std::mem::take(&mut bytes), &schema)?;
                    let texts = batch.columns().iter().map(|column| column.as_string::<i32>());
                    let cells: usize =
                        texts.map(|texts| texts.value_data().len() + texts.len() - texts.null_count()).sum();
                    let rest = left.checked_sub(cells as u64);
                    left = rest.ok_or_else(|| decoder.forged("more cells than the file has"))?;
                    take(&batch)?;
                }
                from_decoder::END => return Ok(()),
                from_decoder::FAILED => return Err(decoder.failed(&bytes)),
                _ => return Err(decoder.forged("something else than cells")),
            }
        }
    }
}

/// The bytes that a process decodes.
enum Input {
    Files(OpenedFiles),
    /// A text that is read once.
    Streamed(Box<dyn Read + Send>),
}

/// A process that decodes one source.
struct DecoderProcess {
    child: Child,
    /// The name of the source in errors, and the query on it.
    name: (String, Option<String>),
    limits: DecodeLimits,
    /// Keeps the locks of the files.
    _files: Option<OpenedFiles>,
    /// The text that the process asks for, until its end was passed on.
    text: Option<Box<dyn Read + Send>>,
    ended: bool,
}

impl DecoderProcess {
    /// Starts a process for a source.
    fn open(
        process: &StageProcess,
        source: &Source,
        wanted: JobKind,
        limits: &DecodeLimits,
    ) -> Result<Self, DataError> {
        let files = source.open_files(limits.memory, &limits.interrupt)?;
        let name = (source.uri.path().display().to_string(), source.query.clone());
        Self::start(process, &DecodeJob::new(source, wanted), Input::Files(files), name, limits)
    }

    fn start(
        process: &StageProcess,
        job: &DecodeJob,
        input: Input,
        name: (String, Option<String>),
        limits: &DecodeLimits,
    ) -> Result<Self, DataError> {
        let host = |error: &dyn fmt::Display| {
            let program = process.program.display();
            DataError::Host(format!("cannot start `{program}`, the process that decodes files: {error}"))
        };
        let (files, text) = match input {
            Input::Files(files) => (Some(files), None),
            Input::Streamed(text) => (None, Some(text)),
        };
        let log = files.as_ref().map_or(&[][..], |files| &files.log);
        let sealed_log = stagewright_jail::sealed("rows", log).map_err(|error| host(&error))?;
        let job = serde_json::to_string(job).map_err(|error| host(&error))?;
        let is_folder = files.as_ref().is_some_and(|files| files.is_folder);
        let opened = files.iter().flat_map(|files| &files.files);
        let task = DecodeTask {
            job,
            files: opened.clone().map(|file| (file.name.clone(), file.length)).collect(),
            is_folder,
            log: log.len() as u64,
            is_streamed: text.is_some(),
        };
        let task = Task::Decode(task);
        let task = postcard::to_allocvec(&task).map_err(|error| host(&error))?;
        let log = files.iter().map(|_| sealed_log.as_fd());
        let inputs: Vec<_> = opened.map(|file| file.file.as_fd()).chain(log).collect();
        let rules = Rules { longest: max_length, messages: u64::MAX, bytes: u64::MAX };
        let account = Arc::new(InterruptAccount(limits.interrupt.clone()));
        let mut command = Command::new(&process.program, VERSION, account, rules);
        command.inputs = &inputs;
        command.task = &task;
        command.memory = limits.memory.saturating_add(OWN_MEMORY);
        command.required = process.required;
        // Queries may use local time.
        let zone = std::env::var("TZ").ok();
        let environment = zone.as_deref().map(|zone| ("TZ", zone));
        command.environment = environment.as_slice();
        let child = stagewright_jail::spawn(&command).map_err(|error| host(&error))?;
        Ok(Self { child, name, limits: limits.clone(), _files: files, text, ended: false })
    }

    /// Receives a message and returns its kind. Passes on as much of the text as the process asks
    /// for meanwhile.
    fn receive(&mut self, bytes: &mut Vec<u8>) -> Result<u32, DataError> {
        loop {
            match self.child.receive(bytes).map_err(|error| DataError::Host(error.to_string()))? {
                Event::Message(from_decoder::MORE) => self.pass_text_on()?,
                Event::Message(kind) => return Ok(kind),
                Event::Ended(ending) => {
                    self.record_end(&ending);
                    return Err(self.error(&ending));
                }
            }
        }
    }

    /// Waits until the process has opened its input.
    fn opened(&mut self) -> Result<(), DataError> {
        let mut bytes = Vec::new();
        match self.receive(&mut bytes)? {
            from_decoder::OPENED => Ok(()),
            from_decoder::FAILED => Err(self.failed(&bytes)),
            _ => Err(self.forged("rows before it says that there are some")),
        }
    }

    /// Reads more of the text, and sends it to the process.
    fn pass_text_on(&mut self) -> Result<(), DataError> {
        let Some(text) = &mut self.text else {
            return Err(self.forged("the wish for a text that has ended"));
        };
        // A text that never pauses may never end, and have no rows.
        if self.limits.interrupt.is_set() {
            return Err(DataError::Interrupted);
        }
        let mut bytes = vec![0; TEXT_BYTES];
        let read = loop {
            match text.read(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted && !self.limits.interrupt.is_set() => {}
                Err(_) if self.limits.interrupt.is_set() => return Err(DataError::Interrupted),
                Err(error) => {
                    let (path, message) = (self.name.0.clone(), error.to_string());
                    return Err(DataError::Unreadable { path, message, hint: String::new() });
                }
                Ok(read) => break read,
            }
        };
        if read == 0 {
            self.text = None;
        }
        // If the process has ended, the next event says why.
        let _ = self.child.send(to_decoder::TEXT, &[&bytes[..read]]);
        Ok(())
    }

    /// Decodes the kept columns of the last rows.
    fn kept(&self, mut bytes: Vec<u8>, keep: &[String]) -> Result<Vec<KeptColumn>, DataError> {
        let kinds = bytes.len().checked_sub(keep.len() + ROWS_BYTES).map(|start| start..start + keep.len());
        let kinds = kinds.ok_or_else(|| self.forged("kept values without their kinds"))?;
        let found = bytes.drain(kinds).map(KeptKind::from_byte).collect::<Option<Vec<_>>>();
        let kinds = found.ok_or_else(|| self.forged("kept values of a kind that nobody knows"))?;
        let batch = self.batch(bytes, &KeptKind::schema(&kinds))?;
        KeptColumn::from_batch(keep, &kinds, &batch).map_err(|reason| self.forged(reason))
    }

    /// Decodes a batch and checks it against its columns.
    fn batch(&self, mut bytes: Vec<u8>, schema: &Schema) -> Result<RecordBatch, DataError> {
        let rows = bytes.split_last_chunk::<ROWS_BYTES>().map(|(_, rows)| u32::from_le_bytes(*rows) as usize);
        let rows = rows.filter(|rows| *rows > 0).ok_or_else(|| self.forged("a batch without rows"))?;
        bytes.truncate(bytes.len() - ROWS_BYTES);
        packed::parse(rows, bytes, schema).map_err(|fault| self.forged(&fault.to_string()))
    }

    fn failed(&self, bytes: &[u8]) -> DataError {
        match serde_json::from_slice::<DecodeFailure>(bytes) {
            Ok(failure) => failure.into_error(&self.name.0, self.name.1.as_deref()),
            Err(_) => self.forged("an error that is none"),
        }
    }

    /// Returns the error of a message that our program does not send.
    fn forged(&self, reason: &str) -> DataError {
        self.crashed(&format!("sent what no such process sends: {reason}"))
    }

    fn crashed(&self, deed: &str) -> DataError {
        let path = self.name.0.clone();
        let message = format!("the process that decodes it {deed}");
        let hint = "the file may be damaged, or somebody wrote to it meanwhile: have it written again";
        DataError::Unreadable { path, message, hint: hint.to_owned() }
    }

    /// Converts the end of the process into an error.
    fn error(&self, ending: &Ending) -> DataError {
        let memory = || DataError::Memory { path: self.name.0.clone(), allowed: self.limits.memory };
        match &ending.why {
            Why::Cancelled | Why::Limit { limit: Limit::Cpu | Limit::Wall, .. } => DataError::Interrupted,
            Why::Limit { limit: Limit::Memory, .. } => memory(),
            Why::Missing(walls) => DataError::Host(missing_walls(*walls)),
            // Before the lock, it has read no byte of the file.
            Why::Exited(code) if ending.walls.is_none() => DataError::Host(format!(
                "the process that decodes files could not begin and ended with code `{code}`: {}",
                ending.stderr
            )),
            why => match (ending.from_outside(), ending.stderr.as_str()) {
                (Some(signal), _) => DataError::Unreadable {
                    path: self.name.0.clone(),
                    message: format!("the process that decodes it was ended from outside, by the signal `{signal}`"),
                    hint: KILLED_HINT.to_owned(),
                },
                (None, "") => self.crashed(&format!("ended: {why}")),
                (None, said) => self.crashed(&format!("ended: {why}; it said: {said}")),
            },
        }
    }

    fn record_end(&mut self, ending: &Ending) {
        self.ended = true;
        if let (Some(stood), Some(walls)) = (&self.limits.on_walls, ending.walls) {
            stood(&walls.names().collect::<Vec<_>>());
        }
    }
}

impl Drop for DecoderProcess {
    /// Kills the process and waits for its end, so that all of its time is charged.
    fn drop(&mut self) {
        self.child.stop("it has done its work");
        let mut bytes = Vec::new();
        while !self.ended {
            match self.child.receive(&mut bytes) {
                Ok(Event::Message(_)) => {}
                Ok(Event::Ended(ending)) => self.record_end(&ending),
                Err(_) => self.ended = true,
            }
        }
    }
}

/// The rows that a process sends.
struct DecodedRows {
    /// `None` after the last row.
    decoder: Option<DecoderProcess>,
    schema: Schema,
    /// The rest of the last batch.
    rest: Option<RecordBatch>,
}

impl DecodedRows {
    fn receive(&mut self) -> Result<Option<RecordBatch>, DataError> {
        let Some(decoder) = &mut self.decoder else { return Ok(None) };
        let mut bytes = Vec::new();
        match decoder.receive(&mut bytes)? {
            from_decoder::ROWS => decoder.batch(bytes, &self.schema).map(Some),
            from_decoder::END => Ok(None),
            from_decoder::FAILED => Err(decoder.failed(&bytes)),
            _ => Err(decoder.forged("something else than rows")),
        }
    }
}

impl SourceRows for DecodedRows {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn next(&mut self, rows: usize) -> Result<Option<RecordBatch>, DataError> {
        let rows = rows.max(1);
        let batch = match self.rest.take() {
            Some(batch) => batch,
            None => match self.receive() {
                Ok(Some(batch)) => batch,
                last => {
                    self.decoder = None;
                    return last;
                }
            },
        };
        if batch.num_rows() > rows {
            self.rest = Some(batch.slice(rows, batch.num_rows() - rows));
            return Ok(Some(batch.slice(0, rows)));
        }
        Ok(Some(batch))
    }
}

/// The rows to predict that a process sends.
struct DecodedPieces {
    /// `None` after the last piece.
    decoder: Option<DecoderProcess>,
    schema: Schema,
    keep: Vec<String>,
    /// The length of the longest message of rows so far.
    longest: usize,
}

impl DecodedPieces {
    fn receive(&mut self) -> Result<Option<RowsPiece>, DataError> {
        let Some(decoder) = &mut self.decoder else { return Ok(None) };
        // A message arrives in parts; its memory is taken at once.
        let mut bytes = Vec::with_capacity(self.longest);
        let batch = match decoder.receive(&mut bytes)? {
            from_decoder::ROWS => {
                self.longest = self.longest.max(bytes.len());
                decoder.batch(bytes, &self.schema)?
            }
            from_decoder::END => return Ok(None),
            from_decoder::FAILED => return Err(decoder.failed(&bytes)),
            _ => return Err(decoder.forged("something else than rows")),
        };
        let mut kept = Vec::new();
        if !self.keep.is_empty() {
            let mut bytes = Vec::new();
            if decoder.receive(&mut bytes)? != from_decoder::KEPT {
                return Err(decoder.forged("rows without the kept values"));
            }
            kept = decoder.kept(bytes, &self.keep)?;
            if kept.iter().any(|column| column.values.len() != batch.num_rows()) {
                return Err(decoder.forged("another number of kept values than of rows"));
            }
        }
        Ok(Some(RowsPiece { batch, kept }))
    }
}

impl PredictionRows for DecodedPieces {
    fn next(&mut self) -> Result<Option<RowsPiece>, DataError> {
        let piece = self.receive();
        if !matches!(piece, Ok(Some(_))) {
            self.decoder = None;
        }
        piece
    }
}

/// The account of a decoder process. Its limits are enforced by the caller, through the interrupt.
struct InterruptAccount(Interrupt);

impl stagewright_jail::Account for InterruptAccount {
    fn charge(&self, cpu: Duration) {
        self.0.charge(cpu.as_nanos() as u64);
    }

    fn cpu(&self) -> Spent {
        Spent { used: Duration::ZERO, allowed: UNLIMITED }
    }

    fn wall(&self) -> Spent {
        Spent { used: Duration::ZERO, allowed: UNLIMITED }
    }

    fn is_cancelled(&self) -> bool {
        self.0.is_set()
    }
}
