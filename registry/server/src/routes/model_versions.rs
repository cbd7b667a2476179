//! Versions of models.

use axum::http::Method;
use serde::Serialize;
use stagewright_store::search::Entity;
use stagewright_store::{LifecycleStage, ModelVersion, NewForeignVersion, Permission, StoreError, Visible};

use super::fields::{filter_of_models, order, parsed_run_id};
use super::registered_models::{BY_CLIENT, check_tags, stage};
use super::{promotion, sources};
use crate::access::{Needs, Of};
use crate::context::Context;
use crate::mlflow_error::MlflowError;
use crate::operation::{Reply, Route, reply};
use crate::paging::Asked;
use crate::request::Fields;
use crate::wire::Empty;
use crate::wire_models::WireVersion;

/// The most versions of a page, and how many there are without a number.
const MOST: usize = 200_000;
const PAGE: usize = 10_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/mlflow/model-versions/create",
            Needs::edit(Of::Model("name"))
                .and(Permission::Read, Of::Source("source"))
                .and(Permission::Read, Of::RunIfNamed("run_id"))
                .and(Permission::Read, Of::LoggedModelIfNamed("model_id")),
            create,
        ),
        Route::new(Method::PATCH, "/mlflow/model-versions/update", Needs::edit(Of::Model("name")), update),
        Route::post("/mlflow/model-versions/transition-stage", Needs::edit(Of::Model("name")), transition),
        Route::new(Method::DELETE, "/mlflow/model-versions/delete", Needs::manage(Of::Model("name")), delete),
        Route::get("/mlflow/model-versions/get", Needs::read(Of::Model("name")), get),
        Route::get("/mlflow/model-versions/search", Needs::Anybody, search),
        Route::get("/mlflow/model-versions/get-download-uri", Needs::read(Of::Model("name")), download_uri),
        Route::post("/mlflow/model-versions/set-tag", Needs::edit(Of::Model("name")), set_tag),
        Route::new(Method::DELETE, "/mlflow/model-versions/delete-tag", Needs::edit(Of::Model("name")), delete_tag),
    ]
}

#[derive(Serialize)]
struct One<'a> {
    model_version: WireVersion<'a>,
}

#[derive(Serialize)]
struct Found<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    model_versions: Vec<WireVersion<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

#[derive(Serialize)]
struct DownloadUri {
    artifact_uri: String,
}

fn answer(version: &ModelVersion) -> Result<Reply, MlflowError> {
    reply(&One { model_version: version.into() })
}

fn create(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let (name, source) = (fields.required("name")?, fields.required("source")?);
    let mut run_id = fields.filled("run_id")?.map(parsed_run_id).transpose()?;
    sources::check(source, run_id.as_ref())?;
    let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
    // A source that is a logged model names it.
    let of_source = source.strip_prefix("models:/").filter(|id| id.starts_with("m-") && !id.contains(['/', '@']));
    let model_id = fields.filled("model_id")?.or(of_source);
    if let (None, Some(model_id)) = (&run_id, model_id) {
        run_id = app.registry.logged_model(model_id)?.source_run;
    }
    let new = NewForeignVersion {
        source: source.to_owned(),
        run_id,
        run_link: owned(fields.filled("run_link")?),
        model_id: owned(model_id),
        description: fields.text("description")?.unwrap_or_default().to_owned(),
        tags: fields.pairs("tags")?,
    };
    check_tags(&new.tags)?;
    answer(&app.registry.create_foreign_version(name, &new)?)
}

fn get(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    answer(&found(app, fields)?)
}

fn found(app: &Context, fields: &Fields) -> Result<ModelVersion, MlflowError> {
    Ok(app.registry.version(fields.required("name")?, sources::number(fields)?)?)
}

fn update(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let (name, number) = (fields.required("name")?, sources::number(fields)?);
    app.registry.describe_version(name, number, fields.text("description")?.unwrap_or_default())?;
    answer(&found(app, fields)?)
}

fn delete(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    app.registry.delete_version(fields.required("name")?, sources::number(fields)?, BY_CLIENT)?;
    reply(&Empty {})
}

/// Moves a version to a stage. A pipeline's version comes to production by a promotion, which its
/// verdict must allow.
fn transition(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let version = found(app, fields)?;
    let to = stage(fields.required("stage")?)?;
    let archive = fields.boolean("archive_existing_versions")?.unwrap_or_default();
    let (name, number) = (version.model.as_str(), version.version);
    if archive && !matches!(to, LifecycleStage::Staging | LifecycleStage::Production) {
        return Err(MlflowError::invalid(format!(
            "Model version transition cannot archive existing model versions because '{}' is not an Active stage. \
             Valid stages are Staging, Production",
            fields.required("stage")?
        )));
    }
    if version.foreign.is_some() {
        return answer(&app.registry.transition_foreign(name, number, to, archive, BY_CLIENT)?);
    }
    // The champion before is always archived; those in staging never are.
    if archive && to == LifecycleStage::Staging {
        return Err(MlflowError::invalid(
            "The other versions of a pipeline's model in Staging are not archived together with a transition: leave \
             archive_existing_versions out, and move them to Archived one by one.",
        ));
    }
    match to {
        LifecycleStage::Production => promotion::promote(app, name, number)?,
        to => app.registry.transition(name, number, to, BY_CLIENT)?,
    }
    answer(&found(app, fields)?)
}

fn search(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let (filter, order) = (filter_of_models(fields, Entity::ModelVersions)?, order(fields, Entity::ModelVersions)?);
    let asked = Asked::read(fields, PAGE, MOST)?;
    let visible = app.visible_models()?;
    let search = |page| app.registry.search_versions(&filter, &order, page);
    let is_in = |visible: &Visible<String>, version: &ModelVersion| visible.contains(version.model.as_str());
    let (versions, next_page_token) = asked.page(search, visible.as_ref(), is_in)?;
    reply(&Found { model_versions: versions.iter().map(WireVersion::from).collect(), next_page_token })
}

fn download_uri(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    reply(&DownloadUri { artifact_uri: sources::of_version(app, fields)? })
}

fn set_tag(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let (name, number, key) = (fields.required("name")?, sources::number(fields)?, fields.required("key")?);
    let tag = [(key.to_owned(), fields.text("value")?.unwrap_or_default().to_owned())];
    check_tags(&tag)?;
    app.registry.tag_version(name, number, key, Some(&tag[0].1))?;
    reply(&Empty {})
}

/// A tag that is not there counts as deleted, as MLflow has it.
fn delete_tag(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let (name, number, key) = (fields.required("name")?, sources::number(fields)?, fields.required("key")?);
    match app.registry.tag_version(name, number, key, None) {
        Ok(()) | Err(StoreError::NoTag { .. }) => reply(&Empty {}),
        Err(error) => Err(error.into()),
    }
}
