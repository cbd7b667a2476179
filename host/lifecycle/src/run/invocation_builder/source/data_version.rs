//! A version of data as a source: the table as a Parquet file, which the decoder reads.
//!
//! The same table gives the same file, so that the file is written once and then found by its
//! digest. It is kept with the run like what a server sent, and the run can be repeated on a
//! machine that does not know the version.

use std::fs;
use std::io::Read as _;

use stagewright_data::Interrupt;
use stagewright_store::{
    Blob, DataKind, DataReference, DataVersionRecord, Digest, ExportFile, ParquetExport, read_regular_text, write_whole,
};

use crate::execution::Execution;
use crate::fault::StageFault;
use crate::run::context::Run;
use crate::run_error::RunError;

/// Bytes that are copied at once.
const PIECE: usize = 1 << 18;
/// The most bytes of a note of a file's digest.
const MAX_NOTE: u64 = 256;

/// Returns the file of a version.
pub(super) fn content(run: &Run, execution: &Execution, reference: &DataReference) -> Result<Blob, RunError> {
    let home = &run.request.home;
    let record = home.registry.data_version(reference)?;
    if record.kind != DataKind::Table {
        let message = format!("`{}` is files and no table, so that it has no rows", record.reference());
        let stage = execution.world.into();
        return Err(StageFault::Data { stage, message, column: None, row: None, value: None }.into());
    }
    let folder = home.cache_dir().join("data");
    fs::create_dir_all(&folder).map_err(StageFault::host)?;
    // Which file a table gives depends on the program that writes it.
    let note = folder.join(format!("{}.{}", record.digest.to_hex(), env!("CARGO_PKG_VERSION")));
    if let Some(known) = read_regular_text(&note, MAX_NOTE).ok().and_then(|text| text.trim().parse::<Digest>().ok())
        && let Ok(known) = execution.session.artifacts.open_blob(&known)
    {
        return Ok(known);
    }
    let blob = written(run, execution, &record)?;
    write_whole(&note, format!("{}\n", blob.digest()).as_bytes()).map_err(StageFault::host)?;
    Ok(blob)
}

fn written(run: &Run, execution: &Execution, record: &DataVersionRecord) -> Result<Blob, RunError> {
    let (home, interrupt) = (&run.request.home, execution.interrupt());
    let table = home.artifacts.open_table(&record.digest)?;
    let temporary = tempfile::tempdir_in(home.cache_dir()).map_err(StageFault::host)?;
    let path = temporary.path().join("table.parquet");
    let mut export = ParquetExport::new(ExportFile::create(&path)?, table.schema(), &[])?;
    for batch in table.batches(None) {
        go_on(execution, &interrupt)?;
        export.write(&batch?)?;
    }
    export.finish()?;
    let mut file = fs::File::open(&path).map_err(StageFault::host)?;
    let mut blob = execution.create_blob()?;
    let mut piece = vec![0; PIECE];
    loop {
        go_on(execution, &interrupt)?;
        match file.read(&mut piece).map_err(StageFault::host)? {
            0 => return Ok(blob.finish()?),
            read => blob.write(&piece[..read])?,
        }
    }
}

/// Ends the work at the stage's limits, or when the run is cancelled.
fn go_on(execution: &Execution, interrupt: &Interrupt) -> Result<(), RunError> {
    if interrupt.is_set() { Err(execution.interrupted().into()) } else { Ok(()) }
}
