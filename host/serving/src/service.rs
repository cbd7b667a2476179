//! The models that are served, and the way of a request from its bytes to its predictions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::RecordBatch;
use axum::http::HeaderMap;
use stagewright_data::DecodedRequest;

use crate::arm::Arm;
use crate::fault::PredictFault;
use crate::metrics::Metrics;
use crate::outcomes::OutcomeRecorder;
use crate::prediction_log::LoggedRows;
use crate::request_id::RequestId;
use crate::served_model::ServedModel;
use crate::served_version::ServedVersion;
use crate::traffic::{Operations, RequestCopy, Route};

/// The bytes of a body from which on it is decoded on a thread that may take its time.
const LONG_BODY: usize = 64 << 10;

/// The values of an answer from which on it is written on a thread that may take its time.
const LONG_ANSWER: usize = 4096;

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
    /// The rows and values, if the prediction log takes them.
    pub logged: Option<Arc<LoggedRows>>,
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
    /// The rows, if they were decoded and the prediction log takes them.
    pub logged: Option<Arc<LoggedRows>>,
}

impl<F> Failure<F> {
    /// Returns the failure of a request for which no version was chosen.
    pub fn unserved(fault: F) -> Self {
        Self { id: RequestId::unanswered(), version: None, arm: Arm::Only, fault, logged: None }
    }

    /// Returns the failure of a request that a version should have answered.
    pub fn of(version: Arc<ServedVersion>, arm: Arm, fault: F) -> Self {
        let id = RequestId::new(version.version, arm.name());
        Self { id, version: Some(version), arm, fault, logged: None }
    }

    /// Returns the failure of a request that this should have answered.
    fn on(route: &Route, fault: F) -> Self {
        Self::of(route.version.clone(), route.arm(), fault)
    }
}

/// The models that are served, by name. The first is the default. They are fixed when the service
/// is made; their versions change.
#[derive(Debug, Default)]
pub struct Service {
    by_name: BTreeMap<String, Arc<ServedModel>>,
    default: Option<Arc<ServedModel>>,
    metrics: Arc<Metrics>,
    operations: Option<Arc<Operations>>,
    outcomes: Option<OutcomeRecorder>,
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

    /// Lets operators start, advance and abort deployments.
    #[must_use]
    pub fn with_operations(self, operations: Arc<Operations>) -> Self {
        Self { operations: Some(operations), ..self }
    }

    /// Records outcomes that clients post.
    #[must_use]
    pub fn with_outcomes(self, outcomes: OutcomeRecorder) -> Self {
        Self { outcomes: Some(outcomes), ..self }
    }

    /// Returns what records outcomes; `None` if the server has no registry.
    pub(crate) fn outcomes(&self) -> Option<&OutcomeRecorder> {
        self.outcomes.as_ref()
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

    /// Returns the version that is served of a model, or of the default model. Where a deployment
    /// shares requests among several, it is the champion.
    ///
    /// # Errors
    /// [`PredictFault::NoModel`]; [`PredictFault::Unavailable`] if none is loaded yet.
    pub fn version(&self, model: Option<&str>) -> Result<Arc<ServedVersion>, PredictFault> {
        self.model(model)?.current().ok_or(PredictFault::Unavailable)
    }

    /// Returns the version that is served of each model, by the names of the models.
    pub fn versions(&self) -> Vec<Arc<ServedVersion>> {
        self.models().filter_map(|model| model.current()).collect()
    }

    /// Returns who answers a request with these headers of a model, or of the default model.
    ///
    /// # Errors
    /// As [`Service::version`].
    pub(crate) fn route(&self, model: Option<&str>, headers: &HeaderMap) -> Result<Route, PredictFault> {
        self.model(model)?.route(headers).ok_or(PredictFault::Unavailable)
    }

    /// Returns what operators do with deployments; `None` if the server has no registry.
    pub(crate) fn operations(&self) -> Option<&Arc<Operations>> {
        self.operations.as_ref()
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

    /// Decodes a request and predicts its rows, within the time of a call and the time that a
    /// request may wait for it. `decode` returns the rows, and what else the answer needs of the
    /// request; `is_long` says that it takes its time.
    ///
    /// # Errors
    /// [`Failure`], with a fault of `decode` or a [`PredictFault`].
    pub(crate) async fn predict<T, F>(
        &self,
        mut route: Route,
        is_long: bool,
        decode: impl Decode<T, F>,
    ) -> Result<(Answer, T), Failure<F>>
    where
        T: Send + 'static,
        F: From<PredictFault> + Send + 'static,
    {
        let began = route.begin();
        let (rows, rest) = match decoded(&mut route, is_long, &decode).await {
            Ok(decoded) => decoded,
            Err(fault) => {
                // What the champion reads is no mistake of the client.
                match route.first_that_reads_otherwise() {
                    Some(first) if run(&first, is_long, &decode).await.is_ok() => route.count(began, 0, true),
                    _ => route.count_refused(),
                }
                return Err(Failure::on(&route, fault));
            }
        };
        let shadow = route.shadow().map(|shadow| (shadow, rows.batch.clone()));
        let logged = route.version.log.as_ref().map(|_| LoggedRows::of(&rows));
        let (version, count) = (&route.version, rows.rows());
        let waiting = route.waiting(began);
        let predicted = tokio::time::timeout(version.deadline, version.pool.predict(rows.batch)).await;
        let predicted = predicted.map_err(|_| PredictFault::Deadline).and_then(|predicted| Ok(predicted?));
        waiting.end(count, predicted.is_err());
        let values = match predicted {
            Ok(values) => values,
            Err(fault) => {
                return Err(Failure { logged: logged.map(Arc::new), ..Failure::on(&route, fault.into()) });
            }
        };
        if let Some((shadow, batch)) = shadow {
            self.mirror(shadow, batch, is_long, decode, (&route.version, &values));
        }
        let arm = route.arm();
        let id = RequestId::new(route.version.version, arm.name());
        let is_sampled = |_: &LoggedRows| route.version.log.as_ref().is_some_and(|log| log.samples(id.as_str()));
        let logged = logged.filter(is_sampled).map(|rows| Arc::new(rows.with_values(&values)));
        Ok((Answer { version: route.version, arm, id, values, logged }, rest))
    }

    /// Sends a copy of a request to the shadow of its deployment.
    fn mirror<T: 'static, F: 'static>(
        &self,
        shadow: Route,
        batch: RecordBatch,
        is_long: bool,
        decode: impl Decode<T, F>,
        (version, values): (&Arc<ServedVersion>, &[f64]),
    ) {
        let Some(live) = shadow.live().cloned() else { return };
        let Some(mirror) = &live.mirror else { return };
        let reads_otherwise = shadow.first_that_reads_otherwise().is_some();
        let bytes = batch.get_array_memory_size() + size_of_val(values);
        // Of the rows and the body that they were read from, a copy holds what it needs alone.
        let batch = (!reads_otherwise).then_some(batch);
        let decode = reads_otherwise.then_some(decode);
        let rows = move || match decode {
            Some(decode) => decode(&shadow).ok().map(|(rows, _)| rows.batch),
            None => batch,
        };
        let (version, values) = (version.clone(), values.to_vec());
        mirror.send(RequestCopy { rows, is_long: is_long && reads_otherwise, bytes, version, values }, &self.metrics);
    }
}

/// Decodes a request for whoever answers it. It may be asked again, for somebody else.
pub(crate) trait Decode<T, F>:
    Fn(&Route) -> Result<(DecodedRequest, T), F> + Clone + Send + Sync + 'static
{
}

impl<T, F, D> Decode<T, F> for D where D: Fn(&Route) -> Result<(DecodedRequest, T), F> + Clone + Send + Sync + 'static {}

/// Decodes a request. If the key of its deployment is in its rows, it may change who answers.
async fn decoded<T, F>(route: &mut Route, is_long: bool, decode: &impl Decode<T, F>) -> Result<(DecodedRequest, T), F>
where
    T: Send + 'static,
    F: From<PredictFault> + Send + 'static,
{
    let decoded = run(route, is_long, decode).await?;
    let Some(chosen) = route.by_field(&decoded.0) else { return Ok(decoded) };
    *route = chosen;
    match route.first_that_reads_otherwise() {
        Some(_) => run(route, is_long, decode).await,
        None => Ok(decoded),
    }
}

/// Decodes a request for whoever answers it.
async fn run<T, F>(route: &Route, is_long: bool, decode: &impl Decode<T, F>) -> Result<(DecodedRequest, T), F>
where
    T: Send + 'static,
    F: From<PredictFault> + Send + 'static,
{
    if !is_long {
        return decode(route);
    }
    let (route, decode) = (route.clone(), decode.clone());
    off_thread_if(true, move || decode(&route)).await?
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
