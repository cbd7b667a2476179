//! `models export` and `models import`: copy a version to a folder or a bucket with everything that
//! it needs, and register it from there.

use std::path::PathBuf;

use stagewright_lifecycle::model::RegisteredModel;
use stagewright_lifecycle::semantic_version;
use stagewright_promotion::Destination;
use stagewright_promotion::promote::version_upload;
use stagewright_store::{ArtifactKind, CHAMPION, Digest, Home, NewVersion, Reference, SOURCE_TAG};

use crate::arguments::DestinationArguments;
use crate::commands::models::version::{find_version, numbered};
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::installation;
use crate::output::print_json;
use crate::production;
use crate::trust::ModelSignatures;
use crate::usage_error::UsageError;

/// The manifest of a version at a destination.
#[derive(serde::Deserialize)]
struct Exported {
    contents: serde_json::Value,
    #[serde(default)]
    metrics: std::collections::BTreeMap<String, Option<f64>>,
    #[serde(default)]
    parameters: std::collections::BTreeMap<String, String>,
    objects: Vec<ExportedObject>,
}

#[derive(serde::Deserialize)]
struct ExportedObject {
    role: String,
    digest: Digest,
}

/// Returns the model that a manifest describes.
///
/// # Errors
/// The manifest does not list everything that predictions need.
fn whole(exported: &Exported, name: &str, destination: &Destination) -> anyhow::Result<RegisteredModel> {
    let uri = destination.uri();
    let model: RegisteredModel = serde_json::from_value(exported.contents.clone()).map_err(|reason| {
        UsageError::without_hint(
            ErrorCode::ProductionDamaged,
            format!("the manifest of `{name}` at {uri} describes no model: {reason}"),
        )
    })?;
    let needed = [model.transformation.digest, model.state, model.training.digest, model.model];
    let missing = needed.into_iter().find(|digest| !exported.objects.iter().any(|object| object.digest == *digest));
    match missing {
        Some(digest) => Err(UsageError::without_hint(
            ErrorCode::ProductionDamaged,
            format!("the manifest of `{name}` at {uri} does not list `{digest}`, which the model needs"),
        )),
        None => Ok(model),
    }
}

fn named(destination: &DestinationArguments) -> anyhow::Result<()> {
    if destination.destination.is_none() {
        return Err(UsageError::error(
            ErrorCode::Argument,
            "where?",
            "name a folder or a bucket: --destination s3://BUCKET/PREFIX",
        ));
    }
    Ok(())
}

/// Copies a version to a folder or a bucket. It does not change which version serves there.
pub(super) fn export(home: &Home, model: &str, to: &DestinationArguments, json: bool) -> anyhow::Result<ExitCode> {
    named(to)?;
    let version = find_version(home, model, CHAMPION)?;
    version.check_runnable()?;
    let destination = production::to_write(home, None, to)?;
    let uploaded = destination.upload(&version_upload(&home.artifacts, &version)?, &|_, _| ())?;
    if json {
        print_json(&serde_json::json!({
            "model": version.model, "version": version.version, "destination": destination.uri(),
            "manifest": uploaded.manifest, "uploaded_bytes": uploaded.uploaded, "skipped_bytes": uploaded.skipped,
        }))?;
    } else {
        println!("version {} of `{}` is at {}, verified", version.version, version.model, destination.uri());
    }
    Ok(ExitCode::Done)
}

/// Registers a version from where it was exported or promoted to.
pub(super) fn import(
    home: &Home,
    model: &str,
    register_name: Option<&str>,
    signatures: &[PathBuf],
    from: &DestinationArguments,
    json: bool,
) -> anyhow::Result<ExitCode> {
    named(from)?;
    let destination = production::of_command(home, None, from)?;
    let (name, version) = numbered(model)?.map_or((model, None), |(name, version)| (name, Some(version)));
    let loaded = destination.load(name, version)?;
    let exported: Exported = serde_json::from_slice(&loaded.manifest).map_err(|reason| {
        UsageError::without_hint(
            ErrorCode::ProductionDamaged,
            format!("the manifest of `{model}` at {} cannot be read: {reason}", destination.uri()),
        )
    })?;
    let model = whole(&exported, name, &destination)?;
    let trusted = ModelSignatures::of(&installation::operator()?, home.path())?;
    trusted.keep_files(signatures, &model)?;
    trusted.admit_model(&model)?;
    let folder = tempfile::tempdir_in(home.cache_dir())?;
    let staging = home.artifacts.stage();
    for fetched in loaded.fetch(folder.path())? {
        let mut writer = staging.create_blob()?;
        let mut file = std::fs::File::open(&fetched.path)?;
        std::io::copy(&mut file, &mut writer)?;
        writer.finish()?;
    }
    staging.publish()?;
    let link = format!("{}#{name}/{}", destination.uri(), loaded.version);
    let new = NewVersion {
        run_id: None,
        contents: exported.contents,
        references: exported
            .objects
            .into_iter()
            .map(|it| Reference { role: it.role, kind: ArtifactKind::Blob, digest: it.digest, needed: true })
            .collect(),
        parts: None,
        // Only the registry that it comes from knows the rows that it learnt from.
        rows: None,
        metrics: exported.metrics.into_iter().map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect(),
        parameters: exported.parameters.into_iter().collect(),
        tags: vec![(SOURCE_TAG.to_owned(), link)],
    };
    let registered = register_name.unwrap_or(name);
    let numbering = |previous: Option<(&serde_json::Value, &str)>| Some(semantic_version::numbered(previous, &model));
    let number = home.registry.create_version(&home.artifacts, registered, &new, &numbering)?;
    if json {
        print_json(&home.registry.version(registered, number)?)?;
    } else {
        println!("registered as version {number} of `{registered}`, without a verdict");
        println!("next: stagewright gate {registered}/{number} --min-auc 0.8 --record");
    }
    Ok(ExitCode::Done)
}
