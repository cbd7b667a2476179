//! Sources that are versions of data: before a run, the exact version takes the place of the latest
//! one that the manifest admits. So the record of the run names what it read.

use std::sync::Arc;

use stagewright_manifest::{Manifest, SourceLocation, SourceSection};
use stagewright_store::{ArtifactKind, DataReference, DataRequirement, Home, RunId};

use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;

/// Makes the versions of a manifest's sources exact. A run that is resumed reads the versions that
/// it read before.
///
/// # Errors
/// A version is not in the registry, or its bytes are not in the home.
pub(crate) fn exact(manifest: &mut Manifest, home: &Home, resumed: Option<&RunId>) -> anyhow::Result<()> {
    let before = resumed.map(|run| home.registry.run(run.as_str())).transpose()?.map(|run| run.config);
    let recorded = |name: &str| {
        let uri = before.as_ref()?.get("sources")?.get(name)?.get("uri")?.as_str()?;
        uri.strip_prefix("data:")?.parse::<DataReference>().ok()
    };
    for (name, source) in &mut manifest.sources {
        make_exact(source, home, recorded(name.as_str()))?;
    }
    for child in &mut manifest.children {
        for (name, source) in &mut Arc::make_mut(&mut child.manifest).sources {
            make_exact(source, home, recorded(name.as_str()))?;
        }
    }
    Ok(())
}

fn make_exact(source: &mut SourceSection, home: &Home, recorded: Option<DataReference>) -> anyhow::Result<()> {
    let SourceLocation::Data { reference } = &mut source.location else { return Ok(()) };
    let admitted = recorded.filter(|recorded| match recorded.requirement {
        DataRequirement::Exact(version) => recorded.name == reference.name && reference.requirement.admits(version),
        _ => false,
    });
    let record = home.registry.data_version(&admitted.unwrap_or_else(|| reference.clone()))?;
    if !home.artifacts.reaches(ArtifactKind::Table, &record.digest)? && record.columns > 0 {
        return Err(UsageError::error(
            ErrorCode::NoDataVersion,
            format!("the bytes of data `{}` are not in this home", record.reference()),
            format!("bring them: stagewright data pull {} --remote REMOTE", record.reference()),
        ));
    }
    *reference = record.reference();
    source.uri = format!("data:{reference}");
    Ok(())
}
