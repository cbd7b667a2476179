//! Reads a source in both ways: from its files, and in memory as a process that may open none does.

use std::io::Read as _;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use stagewright_data::{
    BatchSink, DataError, DecodeFailure, DecodeJob, InMemory, Inference, Interrupt, JobKind, OpenedFile, Signature,
    Source, Strictness,
};

/// Collects batches.
#[derive(Default)]
struct Taken(Vec<RecordBatch>);

impl BatchSink for Taken {
    fn opened(&mut self) -> Result<(), DataError> {
        assert!(self.0.is_empty());
        Ok(())
    }

    fn batch(&mut self, batch: RecordBatch) -> Result<(), DataError> {
        assert!(batch.num_rows() > 0);
        self.0.push(batch);
        Ok(())
    }
}

/// Performs a job on the files of a source in memory; job and error are serialized as between
/// processes.
fn perform(source: &Source, wanted: JobKind, taken: &mut Taken) -> Result<Option<Inference>, DataError> {
    let mut files = source.open_files(1 << 30, &Interrupt::never())?;
    let job = serde_json::to_string(&DecodeJob::new(source, wanted)).unwrap();
    let job: DecodeJob = serde_json::from_str(&job).unwrap();
    let read = |file: &mut OpenedFile| {
        let mut bytes = Vec::new();
        file.file.read_to_end(&mut bytes).unwrap();
        assert_eq!(file.length, bytes.len() as u64);
        bytes
    };
    if files.is_folder {
        let files = files.files.iter_mut().map(|file| (file.name.clone(), &*read(file).leak())).collect();
        return finished(&job, InMemory::Folder(files), source, taken);
    }
    let [file] = &mut files.files[..] else { panic!("one file") };
    let mut bytes = read(file);
    let length = bytes.len();
    let memory = if job.is_database() {
        bytes.resize(length + files.log.len(), 0);
        InMemory::Database { memory: bytes.leak(), length, log: files.log.clone().leak() }
    } else {
        InMemory::File(bytes.leak())
    };
    finished(&job, memory, source, taken)
}

fn finished(
    job: &DecodeJob,
    memory: InMemory,
    source: &Source,
    taken: &mut Taken,
) -> Result<Option<Inference>, DataError> {
    job.perform(memory, taken).map_err(|error| {
        let told = serde_json::to_string(&DecodeFailure::from(error)).unwrap();
        serde_json::from_str::<DecodeFailure>(&told).unwrap().into_source_error(source)
    })
}

/// Returns all rows of a source.
fn in_memory(source: &Source, signature: &Signature) -> Result<RecordBatch, DataError> {
    let (strictness, mut taken) = (Strictness::Ingest, Taken::default());
    let done = perform(source, JobKind::Rows { signature: signature.clone(), strictness }, &mut taken)?;
    assert!(done.is_none());
    Ok(concat_batches(&signature.decoded(strictness).to_arrow(), &taken.0).unwrap())
}

/// Compares both ways of reading a source.
pub(crate) fn alike(
    read: Result<RecordBatch, DataError>,
    source: &Source,
    signature: &Signature,
) -> Result<RecordBatch, DataError> {
    match (&read, in_memory(source, signature)) {
        (Ok(read), Ok(memory)) => assert_eq!(*read, memory),
        (Err(read), Err(memory)) => assert_eq!(read.to_string(), memory.to_string()),
        (read, memory) => panic!("{read:?} and {memory:?}"),
    }
    read
}
