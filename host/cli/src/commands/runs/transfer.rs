//! `runs export` and `runs import`: write a run to one file, and record the run of such a file.

use std::io::{BufWriter, Write as _};
use std::path::Path;

use stagewright_lifecycle::portable::{self, Import, PortableError};
use stagewright_runtime::Signatures;
use stagewright_store::{Digest, open_regular};

use crate::commands::reproduce;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::installation;
use crate::output::print_json;
use crate::signals;
use crate::terminal::bytes;
use crate::trust::ModelSignatures;
use crate::usage_error::UsageError;

/// The size of a write, in bytes.
const PIECE: usize = 256 << 10;

/// Writes a run to a file. An existing file is replaced when the new one is complete.
pub(super) fn export(
    location: &HomeLocation,
    run: &str,
    file: &Path,
    source: Option<&Path>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let home = location.existing()?;
    let run = reproduce::find_ended_run(&home, Some(run))?;
    let stages = home.registry.stages(&run.run_id)?;
    let trusted = ModelSignatures::of(&installation::operator()?, home.path())?;
    let components = portable::components_of(&stages).map_err(PortableError::from)?;
    let digests: std::collections::BTreeSet<Digest> = components.into_iter().map(|(_, digest)| digest).collect();
    let signatures = digests.into_iter().filter_map(|digest| trusted.text_of(digest)).collect();
    let cannot = |reason| PortableError::File { action: "write", file: file.display().to_string(), reason };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let aside = tempfile::NamedTempFile::new_in(folder).map_err(cannot)?;
    let sources = reproduce::sources(&run, &stages, source);
    let mut out = BufWriter::with_capacity(PIECE, aside);
    let cancel = signals::cancel_on_signals();
    let to = (file, &mut out as &mut dyn std::io::Write);
    let exported = portable::export((&run, &stages), &home.artifacts, &sources, signatures, &cancel, to)?;
    out.flush().map_err(cannot)?;
    let aside = out.into_inner().map_err(|error| cannot(error.into_error()))?;
    aside.as_file().sync_all().map_err(cannot)?;
    aside.persist(file).map_err(|error| cannot(error.error))?;
    if json {
        print_json(&serde_json::json!({
            "run_id": run.run_id, "file": file, "artifacts": exported.artifacts, "bytes": exported.bytes
        }))?;
    } else {
        println!(
            "run {} is in {}: {} artifacts, {}",
            run.run_id,
            file.display(),
            exported.artifacts,
            bytes(exported.bytes)
        );
    }
    Ok(ExitCode::Done)
}

pub(super) fn import(location: &HomeLocation, file: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let import = Import::begin(file)?;
    let home = location.open()?;
    let trusted = ModelSignatures::of(&installation::operator()?, home.path())?;
    // Signatures that cannot be read, or that are for other components, are ignored.
    let signatures: Vec<Signatures> = import.signatures().iter().filter_map(|text| text.parse().ok()).collect();
    let signatures: Vec<_> = signatures
        .into_iter()
        .filter(|it| import.components().iter().any(|(_, digest)| *digest == it.digest))
        .collect();
    for (name, digest) in import.components() {
        trusted.admit_with(name, *digest, &signatures)?;
    }
    let unreadable = |error: std::io::Error| {
        UsageError::error(
            ErrorCode::FileUnreadable,
            format!("cannot read {}: {error}", file.display()),
            "name a file that can be read",
        )
    };
    let digest = open_regular(file).and_then(Digest::of_reader).map_err(unreadable)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let staged = import.stage(&home, &format!("{name} {digest}"))?;
    trusted.keep_all(signatures)?;
    let run = staged.commit(&home)?;
    if json {
        print_json(&home.registry.run(run.as_str())?)?;
    } else {
        println!("run {run} is imported");
        println!("next: stagewright reproduce {run}");
    }
    Ok(ExitCode::Done)
}
