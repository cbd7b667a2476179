//! The models that are served, and the way of a request from its bytes to its predictions.

use std::collections::BTreeMap;
use std::sync::Arc;

use stagewright_data::DecodedRequest;

use crate::fault::PredictFault;
use crate::request_id::RequestId;
use crate::served_model::ServedModel;
use crate::served_version::ServedVersion;

/// The format of a request's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    /// JSON: one object, an array of objects, or `{"rows": [...]}`.
    Json,
    /// CSV with a header.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

/// The predictions for a request.
#[derive(Debug)]
pub struct Answer {
    /// The version that predicted.
    pub version: Arc<ServedVersion>,
    /// The identifier of the request.
    pub id: RequestId,
    /// The values of all rows, as many for each row as the task has.
    pub values: Vec<f64>,
}

/// The models that are served, by name. The first is the default. They are fixed when the service
/// is made; their versions change.
#[derive(Debug, Default)]
pub struct Service {
    by_name: BTreeMap<String, Arc<ServedModel>>,
    default: Option<Arc<ServedModel>>,
}

impl Service {
    /// Serves these models.
    pub fn new(models: impl IntoIterator<Item = Arc<ServedModel>>) -> Self {
        let mut service = Self::default();
        for model in models {
            service.default.get_or_insert_with(|| model.clone());
            service.by_name.insert(model.name.clone(), model);
        }
        service
    }

    /// Returns a model, or the default model.
    ///
    /// # Errors
    /// [`PredictFault::NoModel`].
    pub fn model(&self, name: Option<&str>) -> Result<&Arc<ServedModel>, PredictFault> {
        let model = match name {
            Some(name) => self.by_name.get(name),
            None => self.default.as_ref(),
        };
        model.ok_or_else(|| PredictFault::NoModel(name.unwrap_or_default().to_owned()))
    }

    /// Returns all models, by name.
    pub fn models(&self) -> impl Iterator<Item = &Arc<ServedModel>> {
        self.by_name.values()
    }

    /// Returns the version that is served of a model, or of the default model.
    ///
    /// # Errors
    /// [`PredictFault::NoModel`]; [`PredictFault::Unavailable`] if none is loaded yet.
    pub fn version(&self, model: Option<&str>) -> Result<Arc<ServedVersion>, PredictFault> {
        self.model(model)?.current().ok_or(PredictFault::Unavailable)
    }

    /// Returns all versions that are served, by the names of their models.
    pub fn versions(&self) -> Vec<Arc<ServedVersion>> {
        self.models().filter_map(|model| model.current()).collect()
    }

    /// Decodes a body and predicts its rows.
    ///
    /// # Errors
    /// See [`PredictFault`].
    pub async fn predict(&self, model: Option<&str>, format: BodyFormat, body: &[u8]) -> Result<Answer, PredictFault> {
        let version = self.version(model)?;
        let rows = match format {
            BodyFormat::Json => version.decoder.json(body),
            BodyFormat::Csv => version.decoder.csv(body),
            BodyFormat::Arrow => version.decoder.arrow_stream(body),
        }?;
        self.predict_rows(version, rows).await
    }

    /// Predicts decoded rows.
    ///
    /// # Errors
    /// See [`PredictFault`].
    pub async fn predict_rows(
        &self,
        version: Arc<ServedVersion>,
        rows: DecodedRequest,
    ) -> Result<Answer, PredictFault> {
        let id = RequestId::new(version.version, None);
        let values = version.pool.predict(rows.batch).await?;
        Ok(Answer { version, id, values })
    }
}
