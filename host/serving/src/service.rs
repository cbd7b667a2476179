//! The models that are served, and the way of a request from its bytes to its predictions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Bytes;
use stagewright_data::{DecodedRequest, RequestFault};

use crate::arm::Arm;
use crate::fault::PredictFault;
use crate::metrics::Metrics;
use crate::request_id::RequestId;
use crate::served_model::ServedModel;
use crate::served_version::ServedVersion;

/// The bytes of a body from which on it is decoded on a thread that may take its time.
const LONG_BODY: usize = 64 << 10;

/// The values of an answer from which on it is written on a thread that may take its time.
const LONG_ANSWER: usize = 4096;

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
    /// The arm of that version.
    pub arm: Arm,
    /// The identifier of the request.
    pub id: RequestId,
    /// The values of all rows, as many for each row as the task has.
    pub values: Vec<f64>,
}

impl Answer {
    /// Returns whether writing it takes its time.
    pub(crate) fn is_long(&self) -> bool {
        self.values.len() > LONG_ANSWER
    }
}

/// A request without predictions. Each protocol has faults of its own.
#[derive(Debug)]
pub struct Failure<F = PredictFault> {
    /// The identifier of the request.
    pub id: RequestId,
    /// The version that should have predicted, if the request came so far.
    pub version: Option<Arc<ServedVersion>>,
    /// The arm of that version.
    pub arm: Arm,
    /// The reason.
    pub fault: F,
}

impl<F> Failure<F> {
    /// Returns the failure of a request for which no version was chosen.
    pub fn unserved(fault: F) -> Self {
        Self { id: RequestId::unanswered(), version: None, arm: Arm::Only, fault }
    }

    /// Returns the failure of a request that a version should have answered.
    pub fn of(version: Arc<ServedVersion>, fault: F) -> Self {
        let id = RequestId::new(version.version, None);
        Self { id, version: Some(version), arm: Arm::Only, fault }
    }
}

/// The models that are served, by name. The first is the default. They are fixed when the service
/// is made; their versions change.
#[derive(Debug, Default)]
pub struct Service {
    by_name: BTreeMap<String, Arc<ServedModel>>,
    default: Option<Arc<ServedModel>>,
    metrics: Metrics,
    is_draining: AtomicBool,
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

    /// Returns what the server counts.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Returns whether the server is shutting down.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }

    /// Says that the server is shutting down.
    pub(crate) fn begin_drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// Decodes a body and predicts its rows.
    ///
    /// # Errors
    /// [`Failure`], with a [`PredictFault`].
    pub async fn predict(&self, model: Option<&str>, format: BodyFormat, body: Bytes) -> Result<Answer, Failure> {
        let version = self.version(model).map_err(Failure::unserved)?;
        let failed = |fault| Failure::of(version.clone(), fault);
        let rows = decode(&version, format, body).await.map_err(failed)?;
        self.predict_rows(version.clone(), rows).await.map_err(failed)
    }

    /// Predicts decoded rows. They are predicted within the time of a call and the time that a
    /// request may wait for it.
    ///
    /// # Errors
    /// See [`PredictFault`].
    pub async fn predict_rows(
        &self,
        version: Arc<ServedVersion>,
        rows: DecodedRequest,
    ) -> Result<Answer, PredictFault> {
        let id = RequestId::new(version.version, None);
        let predicted = tokio::time::timeout(version.deadline, version.pool.predict(rows.batch));
        let values = predicted.await.map_err(|_| PredictFault::Deadline)??;
        Ok(Answer { version, arm: Arm::Only, id, values })
    }
}

/// Returns whether decoding a body takes its time.
pub(crate) fn is_long(body: &[u8]) -> bool {
    body.len() > LONG_BODY
}

/// Does work; long work on a thread where it keeps no other request waiting.
///
/// # Errors
/// [`PredictFault::Host`] if the work panics there.
pub(crate) async fn off_thread_if<T: Send + 'static>(
    is_long: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PredictFault> {
    if !is_long {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| PredictFault::Host(error.to_string()))
}

async fn decode(version: &Arc<ServedVersion>, format: BodyFormat, body: Bytes) -> Result<DecodedRequest, PredictFault> {
    let (version, is_long) = (version.clone(), is_long(&body));
    Ok(off_thread_if(is_long, move || decode_now(&version, format, &body)).await??)
}

fn decode_now(version: &ServedVersion, format: BodyFormat, body: &[u8]) -> Result<DecodedRequest, RequestFault> {
    match format {
        BodyFormat::Json => version.decoder.json(body),
        BodyFormat::Csv => version.decoder.csv(body),
        BodyFormat::Arrow => version.decoder.arrow_stream(body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_work_leaves_the_thread_and_short_work_stays() {
        let here = std::thread::current().id();
        let of = |is_long| off_thread_if(is_long, || std::thread::current().id());
        assert_eq!(of(false).await.expect("a thread"), here);
        assert_ne!(of(true).await.expect("a thread"), here);
        let failed = off_thread_if(true, || -> u8 { panic!("long work panics") }).await;
        assert!(matches!(failed, Err(PredictFault::Host(_))), "{failed:?}");
    }
}
