//! The source of an ingestion, and its content.
//!
//! The host fetches a file on a server once and keeps it as an artifact. The signature is inferred
//! from the same bytes that are read later, and the run can be repeated without the server.
//! Objects of a bucket are fetched in the same way, by [`objects`], and rows of PostgreSQL by
//! [`database`]; a version of data becomes such a
//! file by [`data_version`].

mod data_version;
mod database;
mod fetch_error;
mod objects;
mod pages;

use std::collections::BTreeMap;

use stagewright_data::{Content, DataError, HttpRequest};
use stagewright_manifest::{HttpFormat, SourceLocation, StageSection, Step, World};
use stagewright_promotion::unfit_setting;
use stagewright_store::{ArtifactKind, Blob};

use crate::execution::Execution;
use crate::fault::StageFault;
use crate::invocation::{IngestionWork, InputRef, Origin, SOURCE, SOURCE_OBJECTS, SourceWork};
use crate::run::content_memory::ContentMemoryFile;
use crate::run::context::Run;
use crate::run_error::RunError;
use crate::settings;

use fetch_error::fetch_error;

/// Returns the work of the host in ingestion, and the content of the source as inputs, if there is
/// a source.
pub(super) fn work(
    run: &Run,
    step: &Step,
    execution: &mut Execution,
) -> Result<(IngestionWork, Vec<InputRef>), RunError> {
    let manifest = &run.request.manifest;
    let stage = manifest.stage_of(step);
    let (mut source, mut inputs) = (None, Vec::new());
    if let Some((name, section)) = manifest.source_of(stage) {
        let mut reading = settings::reading(section);
        let mut list = None;
        let digest = match &section.location {
            SourceLocation::Objects(objects) => {
                let fetched = objects::fetch(run, execution, (step, stage), objects)?;
                [&fetched.content, &fetched.list].into_iter().for_each(|blob| execution.add_input_blob(blob));
                reading = Some(fetched.reading);
                list = Some(fetched.list.digest());
                Some(fetched.content.digest())
            }
            SourceLocation::Http { url, format, sha256, token_env, headers, max_bytes } => {
                let (sha256, token_env) = (sha256.as_deref(), token_env.as_deref());
                let http = Http { url, format, sha256, token_env, headers, max_bytes: *max_bytes };
                let (response, pages) = fetch(run, execution, (name.as_str(), stage), &http)?;
                [Some(&response), pages.as_ref()].into_iter().flatten().for_each(|blob| execution.add_input_blob(blob));
                list = pages.map(|pages| pages.digest());
                Some(response.digest())
            }
            SourceLocation::Postgres(source) => {
                let rows = database::fetch(run, execution, (name.as_str(), stage), source)?;
                execution.add_input_blob(&rows);
                Some(rows.digest())
            }
            SourceLocation::Data { reference } => {
                let content = data_version::content(run, execution, reference)?;
                execution.add_input_blob(&content);
                Some(content.digest())
            }
            SourceLocation::Csv { path, .. }
            | SourceLocation::Jsonl { path, .. }
            | SourceLocation::Parquet { path }
            | SourceLocation::Arrow { path }
            | SourceLocation::Sqlite { path, .. } => {
                let contents = ContentMemoryFile::of(&run.request.home);
                let source =
                    reading.as_ref().ok_or_else(|| StageFault::host("a file without a format"))?.at(path.clone());
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
        inputs = [(SOURCE, digest), (SOURCE_OBJECTS, list)]
            .into_iter()
            .filter_map(|(role, digest)| {
                let (role, kind, from) = (role.to_owned(), ArtifactKind::Blob, Origin::Source { name: name.clone() });
                Some(InputRef { role, kind, digest: digest?, from })
            })
            .collect();
        source = reading.map(|reading| SourceWork { name, reading });
    }
    let (signature, target) = super::declared::declared(run, step)?;
    let null_values = manifest.signature.null_values.clone();
    let requirements = stage.requirements.clone();
    Ok((IngestionWork { source, signature, null_values, target, requirements }, inputs))
}

/// A file on a server.
struct Http<'a> {
    url: &'a str,
    format: &'a HttpFormat,
    /// The expected digest as hexadecimal, if it is known.
    sha256: Option<&'a str>,
    /// The variable that holds a token.
    token_env: Option<&'a str>,
    /// Headers, each with the variable that holds its value.
    headers: &'a BTreeMap<String, String>,
    /// The longest response, in bytes.
    max_bytes: u64,
}

/// Fetches a source from a server; of an API, also the list of its pages. If its digest is known
/// and stored, takes it from the store.
fn fetch(
    run: &Run,
    execution: &Execution,
    (name, stage): (&str, &StageSection),
    http: &Http<'_>,
) -> Result<(Blob, Option<Blob>), RunError> {
    let Http { url, format, sha256, token_env, headers, max_bytes } = *http;
    let expected = sha256.as_ref().map(|digits| format!("sha256:{digits}"));
    let kept = |digest: &String| execution.session.artifacts.open_blob(&digest.parse().ok()?).ok();
    if let Some(kept) = expected.as_ref().and_then(kept) {
        return Ok((kept, None));
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
    let secret = |name: &str, variable: &str| {
        let wrong = |problem: &str| parameter("headers", format!("the variable `{variable}` {problem}"));
        let value = run.request.tokens.get(variable).ok_or_else(|| wrong("is not set, or is not UTF-8"))?;
        match value.bytes().all(|byte| matches!(byte, b' '..=b'~')) && value.trim() == value {
            true => Ok((name.to_owned(), value.clone())),
            false => {
                Err(wrong("holds what no header may: a line break, a letter that is not ASCII, or a space at an end"))
            }
        }
    };
    let request = HttpRequest {
        url: url.to_owned(),
        grants: settings::host_grants(&stage.http),
        bearer_token: token_env.map(token).transpose()?,
        headers: headers.iter().map(|(name, variable)| secret(name, variable)).collect::<Result<_, _>>()?,
        max_bytes,
        deadline: execution.deadline(),
    };
    let mut writer = execution.create_blob()?;
    let failed = |error| fetch_error(error, execution, stage);
    let pages = if let HttpFormat::Json(api) = format {
        let pages = pages::of(api);
        let fetched = stagewright_data::fetch_json(&request, &pages, &execution.interrupt(), &mut writer);
        Some(pages::list(execution, &fetched.map_err(failed)?)?)
    } else {
        stagewright_data::fetch(&request, &execution.interrupt(), &mut writer).map_err(failed)?;
        None
    };
    let response = writer.finish()?;
    match expected {
        Some(expected) if expected != response.digest().to_string() => {
            let url = stagewright_manifest::without_query(url);
            let message = format!("`{url}` gives {}, not {expected}: the file has changed", response.digest());
            Err(parameter("sha256", message).into())
        }
        _ => Ok((response, pages)),
    }
}
