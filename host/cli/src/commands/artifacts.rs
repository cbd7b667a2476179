//! `artifacts`: lists and exports what stages made.

use std::path::Path;

use stagewright_store::{
    ArtifactKind, ArtifactRecord, Digest, Formulas, Home, StoreError, export_bytes, export_csv, export_parquet,
};

use crate::arguments::ArtifactsCommand;
use crate::commands::runs::find::find_run;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::output::print_json;
use crate::terminal::{bytes, right, table};
use crate::usage_error::UsageError;

/// Lists or exports artifacts.
pub(crate) fn artifacts(location: &HomeLocation, command: &ArtifactsCommand) -> anyhow::Result<ExitCode> {
    match command {
        ArtifactsCommand::List { run, json } => list(location, run.as_deref(), json.json),
        ArtifactsCommand::Export { artifact, output, run, spreadsheet } => {
            let formulas = if *spreadsheet { Formulas::Quoted } else { Formulas::Kept };
            export(location, artifact, output, run.as_deref(), formulas)
        }
    }
}

fn of_run(location: &HomeLocation, run: Option<&str>) -> anyhow::Result<Vec<(String, ArtifactRecord)>> {
    let run = find_run(&location.existing()?, run)?;
    let stages = location.existing()?.registry.stages(&run.run_id)?;
    Ok(stages
        .into_iter()
        .flat_map(|stage| stage.outputs.into_iter().map(move |output| (stage.name.clone(), output)))
        .collect())
}

fn list(location: &HomeLocation, run: Option<&str>, json: bool) -> anyhow::Result<ExitCode> {
    let artifacts = of_run(location, run)?;
    if json {
        let rows: Vec<_> = artifacts
            .iter()
            .map(|(stage, artifact)| serde_json::json!({ "stage": stage, "artifact": artifact }))
            .collect();
        print_json(&rows)?;
        return Ok(ExitCode::Done);
    }
    let mut shown = table(&["artifact", "kind", "rows", "bytes", "digest"]);
    for (stage, artifact) in &artifacts {
        shown.add_row(vec![
            crate::terminal::Cell::new(format!("{stage}.{}", artifact.name)),
            crate::terminal::Cell::new(artifact.kind),
            right(artifact.rows.map_or_else(String::new, |rows| rows.to_string())),
            right(bytes(artifact.bytes)),
            crate::terminal::Cell::new(artifact.digest),
        ]);
    }
    println!("{shown}");
    Ok(ExitCode::Done)
}

fn export(
    location: &HomeLocation,
    artifact: &str,
    output: &Path,
    run: Option<&str>,
    formulas: Formulas,
) -> anyhow::Result<ExitCode> {
    let home_folder = location.existing()?;
    let artifacts = of_run(location, run)?;
    let digest: Option<Digest> = artifact.parse().ok();
    // A stage that was executed twice made the artifact twice; the second, against the current
    // champion, decided.
    let found = artifacts
        .iter()
        .rfind(|(stage, record)| format!("{stage}.{}", record.name) == artifact || Some(record.digest) == digest);
    let Some((_, record)) = found else {
        let names: Vec<String> = artifacts.iter().map(|(stage, record)| format!("{stage}.{}", record.name)).collect();
        return Err(UsageError::error(
            ErrorCode::NoArtifact,
            format!("that run has no artifact `{artifact}`"),
            format!("it has {}", names.join(", ")),
        ));
    };
    match record.kind {
        ArtifactKind::Table => export_table(&home_folder, record, output, formulas)?,
        ArtifactKind::Blob => write(output, &home_folder.artifacts.open_blob(&record.digest)?.read_all()?)?,
        ArtifactKind::Document => {
            write(output, home_folder.artifacts.open_document(&record.digest, &record.media_type)?.bytes())?
        }
    }
    if output != Path::new("-") {
        eprintln!("wrote {}", output.display());
    }
    Ok(ExitCode::Done)
}

fn export_table(home: &Home, record: &ArtifactRecord, output: &Path, formulas: Formulas) -> anyhow::Result<()> {
    let table = home.artifacts.open_table(&record.digest)?;
    let written = match output.extension().and_then(|ending| ending.to_str()) {
        Some("parquet") => export_parquet(&table, output),
        Some("csv") => export_csv(&table, output, formulas),
        _ => {
            return Err(UsageError::error(
                ErrorCode::UnknownFormat,
                format!("cannot tell the format of {}", output.display()),
                "tables are written as .parquet or .csv",
            ));
        }
    };
    match written {
        // The reader of the pipe has closed it.
        Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn write(output: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    if output == Path::new("-") {
        crate::output::bytes(bytes);
        return Ok(());
    }
    Ok(export_bytes(bytes, output)?)
}
