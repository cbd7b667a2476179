//! The source of an ingestion, and its content.
//!
//! The host fetches a file on a server once and keeps it as an artifact. The signature is inferred
//! from the same bytes that are read later, and the run can be repeated without the server.

use stagewright_data::{Content, DataError, HttpRequest};
use stagewright_manifest::{SourceLocation, StageSection, Step, World};
use stagewright_promotion::unfit_setting;
use stagewright_store::{ArtifactKind, Blob};

use crate::execution::Execution;
use crate::fault::{LimitKind, StageFault};
use crate::invocation::{IngestionWork, InputRef, Origin, SOURCE, SourceWork};
use crate::run::content_memory::ContentMemoryFile;
use crate::run::context::Run;
use crate::run_error::RunError;
use crate::settings;

/// Returns the work of the host in ingestion, and the content of the source as an input, if there
/// is a source.
pub(super) fn work(
    run: &Run,
    step: &Step,
    execution: &mut Execution,
) -> Result<(IngestionWork, Option<InputRef>), RunError> {
    let manifest = &run.request.manifest;
    let stage = manifest.stage_of(step);
    let (mut source, mut input) = (None, None);
    if let Some((name, section)) = manifest.source_of(stage) {
        let reading = settings::reading(section);
        let digest = match &section.location {
            SourceLocation::Http { url, sha256, token_env, max_bytes, .. } => {
                let (sha256, token_env) = (sha256.as_deref(), token_env.as_deref());
                let http = Http { url, sha256, token_env, max_bytes: *max_bytes };
                let response = fetch(run, execution, (name.as_str(), stage), &http)?;
                execution.add_input_blob(&response);
                Some(response.digest())
            }
            SourceLocation::Csv { path, .. }
            | SourceLocation::Parquet { path }
            | SourceLocation::Sqlite { path, .. } => {
                let (source, contents) = (reading.at(path.clone()), ContentMemoryFile::of(&run.request.home));
                let content = match Content::remembered(&source, &execution.interrupt(), &contents) {
                    // This is not yet an error: the component may not open the source.
                    Err(error @ DataError::Unreadable { .. }) => Err(StageFault::of_data(&error)),
                    content => Ok((path.clone(), content.map_err(|error| StageFault::of_data(&error))?)),
                };
                let content = execution.session.source.insert(content);
                content.as_ref().ok().map(|(_, content)| content.digest)
            }
        };
        let name = name.to_string();
        let (role, kind, from) = (SOURCE.to_owned(), ArtifactKind::Blob, Origin::Source { name: name.clone() });
        input = digest.map(|digest| InputRef { role, kind, digest, from });
        source = Some(SourceWork { name, reading });
    }
    let (signature, target) = super::declared::declared(run, step)?;
    let null_values = manifest.signature.null_values.clone();
    Ok((IngestionWork { source, signature, null_values, target }, input))
}

/// A file on a server.
struct Http<'a> {
    url: &'a str,
    /// The expected digest as hexadecimal, if it is known.
    sha256: Option<&'a str>,
    /// The variable that holds a token.
    token_env: Option<&'a str>,
    /// The longest response, in bytes.
    max_bytes: u64,
}

/// Fetches a source from a server. If its digest is known and stored, takes it from the store.
fn fetch(
    run: &Run,
    execution: &Execution,
    (name, stage): (&str, &StageSection),
    http: &Http<'_>,
) -> Result<Blob, RunError> {
    let Http { url, sha256, token_env, max_bytes } = *http;
    let expected = sha256.as_ref().map(|digits| format!("sha256:{digits}"));
    let kept = |digest: &String| execution.session.artifacts.open_blob(&digest.parse().ok()?).ok();
    if let Some(kept) = expected.as_ref().and_then(kept) {
        return Ok(kept);
    }
    let parameter = |parameter: &str, message: String| StageFault::Parameter {
        stage: World::Ingestion.into(),
        parameter: format!("sources.{name}.{parameter}"),
        message,
        key: Some(format!("sources.{name}.{parameter}")),
    };
    let token = |variable: &str| {
        let token = run.request.tokens.get(variable).cloned();
        let token = token
            .ok_or_else(|| parameter("token-env", format!("the variable `{variable}` is not set, or is not UTF-8")))?;
        match unfit_setting(&token) {
            Some(problem) => Err(parameter("token-env", format!("the variable `{variable}` {problem}"))),
            None => Ok(token),
        }
    };
    let request = HttpRequest {
        url: url.to_owned(),
        grants: settings::host_grants(&stage.http),
        bearer_token: token_env.map(token).transpose()?,
        max_bytes,
        deadline: execution.deadline(),
    };
    let mut writer = execution.create_blob()?;
    stagewright_data::fetch(&request, &execution.interrupt(), &mut writer)
        .map_err(|error| fetch_error(error, execution, stage))?;
    let response = writer.finish()?;
    match expected {
        Some(expected) if expected != response.digest().to_string() => {
            let url = stagewright_manifest::without_query(url);
            let message = format!("`{url}` gives {}, not {expected}: the file has changed", response.digest());
            Err(parameter("sha256", message).into())
        }
        _ => Ok(response),
    }
}

/// Returns the error of the run for a fetch that failed.
fn fetch_error(error: DataError, execution: &Execution, stage: &StageSection) -> RunError {
    match error {
        DataError::Unreachable { .. } => RunError::Server(StageFault::of_data(&error)),
        DataError::TooLarge { used, allowed } => RunError::Stage(StageFault::Limit {
            stage: World::Ingestion.into(),
            kind: LimitKind::Response,
            used,
            allowed,
        }),
        DataError::Denied { what, grant } => RunError::Stage(StageFault::Denied {
            stage: World::Ingestion.into(),
            component: execution.component.name.clone(),
            what,
            grant: format!("to grant it, write `http = [\"{grant}\"]` under [stages.{}]", stage.name),
        }),
        DataError::Interrupted => RunError::Stage(execution.interrupted()),
        error => RunError::Stage(StageFault::of_data(&error)),
    }
}
