//! Registered models: those of clients, and those of pipelines.

use serde::Serialize;
use stagewright_store::search::Entity;
use stagewright_store::{CHAMPION, LifecycleStage, Model, ModelVersion, NewModel, StoreError, Verdict, Visible};
use stagewright_text::Untrusted;

use super::fields::{check_key, check_length, filter_of_models, order};
use super::{promotion, sources};
use crate::access::{Needs, Of};
use crate::context::Context;
use crate::mlflow_error::MlflowError;
use crate::operation::{Reply, Route, reply};
use crate::paging::Asked;
use crate::request::Fields;
use crate::wire::Empty;
use crate::wire_models::{WireModel, WireVersion};

/// The most models of a page, and how many there are without a number.
const MOST: usize = 1_000;
const PAGE: usize = 100;
const MOST_TAG_VALUE: usize = 100_000;
const MOST_ALIAS: usize = 255;
/// The reason that the audit names where a client gives none.
pub(super) const BY_CLIENT: &str = "by an MLflow client";

pub(super) fn routes() -> Vec<Route> {
    use axum::http::Method;
    const DELETE: Method = Method::DELETE;
    vec![
        Route::post("/mlflow/registered-models/create", Needs::Anybody, create),
        Route::post("/mlflow/registered-models/rename", Needs::edit(Of::Model("name")), rename),
        Route::new(Method::PATCH, "/mlflow/registered-models/update", Needs::edit(Of::Model("name")), update),
        Route::new(DELETE, "/mlflow/registered-models/delete", Needs::manage(Of::Model("name")), delete),
        Route::get("/mlflow/registered-models/get", Needs::read(Of::Model("name")), get),
        Route::get("/mlflow/registered-models/search", Needs::Anybody, search),
        Route::get("/mlflow/registered-models/get-latest-versions", Needs::read(Of::Model("name")), latest_versions),
        Route::post("/mlflow/registered-models/get-latest-versions", Needs::read(Of::Model("name")), latest_versions),
        Route::post("/mlflow/registered-models/set-tag", Needs::edit(Of::Model("name")), set_tag),
        Route::new(DELETE, "/mlflow/registered-models/delete-tag", Needs::edit(Of::Model("name")), delete_tag),
        Route::post("/mlflow/registered-models/alias", Needs::edit(Of::Model("name")), set_alias),
        Route::new(DELETE, "/mlflow/registered-models/alias", Needs::edit(Of::Model("name")), delete_alias),
        Route::get("/mlflow/registered-models/alias", Needs::read(Of::Model("name")), by_alias),
    ]
}

#[derive(Serialize)]
struct One<'a> {
    registered_model: WireModel<'a>,
}

#[derive(Serialize)]
struct Found<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    registered_models: Vec<WireModel<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

#[derive(Serialize)]
struct Versions<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    model_versions: Vec<WireVersion<'a>>,
}

#[derive(Serialize)]
struct Version<'a> {
    model_version: WireVersion<'a>,
}

fn answer(app: &Context, model: &Model) -> Result<Reply, MlflowError> {
    let latest = app.registry.latest_versions(&[&model.name])?;
    reply(&One { registered_model: WireModel::with_latest(model, &latest) })
}

/// Checks the new name of a model. Some clients make folders of these.
fn check_model_name(name: &str) -> Result<(), MlflowError> {
    match name {
        "." | ".." => Err(MlflowError::invalid(format!(
            "Invalid value \"{name}\" for parameter 'name' supplied: Names may be treated as files in certain cases, and \
             must not resolve to other names when treated as such."
        ))),
        _ => Ok(()),
    }
}

/// Checks tags of models and versions.
pub(super) fn check_tags(tags: &[(String, String)]) -> Result<(), MlflowError> {
    tags.iter().try_for_each(|(key, value)| {
        check_key("key", key)?;
        check_length("value", value, MOST_TAG_VALUE)
    })
}

fn create(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let name = fields.required("name")?;
    let description = fields.text("description")?.unwrap_or_default().to_owned();
    let new = NewModel { description, tags: fields.pairs("tags")? };
    check_model_name(name)?;
    check_tags(&new.tags)?;
    let model = app.registry.create_foreign_model(name, &new)?;
    reply(&One { registered_model: WireModel::with_latest(&model, &[]) })
}

/// Renames a model. One of a pipeline keeps its name: it stands in the pipeline's manifest, and
/// servers and production locations know the model by it.
fn rename(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let (name, new) = (fields.required("name")?, fields.required("new_name")?);
    check_model_name(new)?;
    if !app.registry.model(name)?.is_foreign && !app.registry.latest_versions(&[name])?.is_empty() {
        let shown = Untrusted::new(name).cut(300);
        return Err(MlflowError::invalid(format!(
            "Registered Model {shown} has versions of a pipeline, whose manifest names the model. To have the model \
             under another name, change `name` there and run the pipeline."
        )));
    }
    app.registry.rename_model(name, new)?;
    answer(app, &app.registry.model(new)?)
}

fn update(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let name = fields.required("name")?;
    app.registry.describe_model(name, fields.text("description")?.unwrap_or_default())?;
    answer(app, &app.registry.model(name)?)
}

fn delete(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    app.registry.delete_model(fields.required("name")?, BY_CLIENT)?;
    reply(&Empty {})
}

fn get(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    answer(app, &app.registry.model(fields.required("name")?)?)
}

fn search(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let (filter, order) =
        (filter_of_models(fields, Entity::RegisteredModels)?, order(fields, Entity::RegisteredModels)?);
    let asked = Asked::read(fields, PAGE, MOST)?;
    let visible = app.visible_models()?;
    let search = |page| app.registry.search_models(&filter, &order, page);
    let is_in = |visible: &Visible<String>, model: &Model| visible.contains(model.name.as_str());
    let (models, next_page_token) = asked.page(search, visible.as_ref(), is_in)?;
    let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    let latest = app.registry.latest_versions(&names)?;
    let registered_models = models.iter().map(|model| WireModel::with_latest(model, &latest)).collect();
    reply(&Found { registered_models, next_page_token })
}

fn latest_versions(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let name = fields.required("name")?;
    let stages = fields.texts("stages")?.into_iter().map(stage).collect::<Result<Vec<_>, _>>()?;
    app.registry.model(name)?;
    let latest = app.registry.latest_versions(&[name])?;
    let wanted = |version: &&ModelVersion| stages.is_empty() || stages.contains(&version.stage);
    reply(&Versions { model_versions: latest.iter().filter(wanted).map(WireVersion::from).collect() })
}

/// Parses a stage, in any case.
pub(super) fn stage(text: &str) -> Result<LifecycleStage, MlflowError> {
    text.parse().map_err(|_: StoreError| {
        let shown = Untrusted::new(text).cut(100);
        MlflowError::invalid(format!(
            "Invalid Model Version stage: {shown}. Value must be one of None, Staging, Production, Archived."
        ))
    })
}

fn set_tag(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let (name, key) = (fields.required("name")?, fields.required("key")?);
    let value = fields.text("value")?.unwrap_or_default();
    check_key("key", key)?;
    check_length("value", value, MOST_TAG_VALUE)?;
    app.registry.tag_model(name, key, Some(value))?;
    reply(&Empty {})
}

/// A tag that is not there counts as deleted, as MLflow has it.
fn delete_tag(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    match app.registry.tag_model(fields.required("name")?, fields.required("key")?, None) {
        Ok(()) | Err(StoreError::NoTag { .. }) => reply(&Empty {}),
        Err(error) => Err(error.into()),
    }
}

/// Points an alias to a version. The alias `champion` of a pipeline's model is its version in
/// production, so that pointing it elsewhere is a promotion. No alias leads from a client to a
/// version that was rejected.
fn set_alias(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let (name, alias, version) = (fields.required("name")?, fields.required("alias")?, sources::number(fields)?);
    check_length("Registered model alias name", alias, MOST_ALIAS)?;
    let found = app.registry.version(name, version)?;
    if alias == CHAMPION && found.foreign.is_none() {
        promotion::promote(app, name, version)?;
        return reply(&Empty {});
    }
    if found.verdict == Some(Verdict::Rejected) {
        let (shown, reason) = (Untrusted::new(name).cut(300), found.reason.as_deref().unwrap_or_default());
        let reason = Untrusted::new(reason).cut(2_000);
        return Err(MlflowError::invalid(format!(
            "Model Version (name={shown}, version={version}) was rejected: {reason}. No alias can be pointed to it."
        )));
    }
    app.registry.force_alias(name, alias, Some(version))?;
    reply(&Empty {})
}

/// An alias that is not there counts as deleted, as MLflow has it.
fn delete_alias(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    match app.registry.force_alias(fields.required("name")?, fields.required("alias")?, None) {
        Ok(()) | Err(StoreError::NoAlias { .. }) => reply(&Empty {}),
        Err(error) => Err(error.into()),
    }
}

fn by_alias(app: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let (name, alias) = (fields.required("name")?, fields.required("alias")?);
    let Some(version) = app.registry.alias(name, alias)? else {
        app.registry.model(name)?;
        let shown = Untrusted::new(alias).cut(300);
        return Err(MlflowError::invalid(format!("Registered model alias {shown} not found.")));
    };
    reply(&Version { model_version: (&app.registry.version(name, version)?).into() })
}
