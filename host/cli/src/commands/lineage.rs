//! `lineage`: shows the origin of a run, a version or an artifact, and what was made of it.

use stagewright_lifecycle::lineage::{self, Lineage, Subject};
use stagewright_store::{CHAMPION, Digest, Home, StoreError};
use stagewright_text::Untrusted;

use crate::arguments::LineageArguments;
use crate::commands::models::version::find_version;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::output::print_json;
use crate::usage_error::UsageError;

pub(crate) fn lineage(location: &HomeLocation, arguments: &LineageArguments) -> anyhow::Result<ExitCode> {
    let home = location.existing()?;
    let subject = subject(&home, &arguments.subject)?;
    let found = lineage::of(&home.registry, &subject)?;
    let found = found.ok_or_else(|| {
        UsageError::error(
            ErrorCode::NoHistory,
            format!("nothing on record has to do with `{}`", Untrusted::new(&arguments.subject)),
            "name a run, a version (`NAME/VERSION`, `NAME@ALIAS`), or a digest out of `stagewright runs show`",
        )
    })?;
    print(&found, arguments)?;
    Ok(ExitCode::Done)
}

fn print(found: &Lineage, arguments: &LineageArguments) -> anyhow::Result<()> {
    if arguments.json.json {
        return print_json(found);
    }
    let text = if arguments.openlineage {
        let events = lineage::events(found);
        events.iter().map(|event| format!("{}\n", stagewright_text::json(&event.to_string()))).collect()
    } else if arguments.mermaid {
        lineage::mermaid(found)
    } else {
        lineage::tree(found)
    };
    crate::output::bytes(text.as_bytes());
    Ok(())
}

/// Resolves an argument: a digest, a run, a version, or the name of a model.
fn subject(home: &Home, text: &str) -> anyhow::Result<Subject> {
    let digest = text.parse::<Digest>().ok().or_else(|| Digest::from_hex(text).ok());
    if let Some(digest) = digest {
        return Ok(Subject::Content(digest));
    }
    if !text.contains(['/', '@']) {
        match home.registry.run(text) {
            Ok(run) => return Ok(Subject::Run(run.run_id)),
            Err(StoreError::NoRun { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let version = find_version(home, text, CHAMPION)?;
    Ok(Subject::Version(version.model, version.version))
}
