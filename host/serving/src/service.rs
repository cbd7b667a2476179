//! The models that are served, and the way of a request from its bytes to its predictions.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use stagewright_data::DecodedRequest;

use crate::fault::PredictFault;
use crate::request_id::RequestId;
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

/// The models that are served, by name. The first is the default.
#[derive(Default)]
pub struct Service {
    models: RwLock<Models>,
}

#[derive(Default)]
struct Models {
    by_name: BTreeMap<String, Arc<ServedVersion>>,
    default: Option<String>,
}

impl Service {
    /// Serves this version of its model from now on. Requests that the version before it has
    /// accepted are answered by it.
    pub fn serve(&self, version: Arc<ServedVersion>) {
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        models.default.get_or_insert_with(|| version.model.clone());
        models.by_name.insert(version.model.clone(), version);
    }

    /// Returns the version that is served of a model, or of the default model.
    ///
    /// # Errors
    /// [`PredictFault::NoModel`].
    pub fn version(&self, model: Option<&str>) -> Result<Arc<ServedVersion>, PredictFault> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        let name = model.or(models.default.as_deref()).unwrap_or_default();
        models.by_name.get(name).cloned().ok_or_else(|| PredictFault::NoModel(name.to_owned()))
    }

    /// Returns all versions that are served, by the names of their models.
    pub fn versions(&self) -> Vec<Arc<ServedVersion>> {
        self.models.read().unwrap_or_else(PoisonError::into_inner).by_name.values().cloned().collect()
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
