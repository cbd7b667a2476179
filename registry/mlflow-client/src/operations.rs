//! The calls of MLflow's interface that are made, one function each.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ClientError;
use crate::records::{
    DatasetInput, Experiment, LoggedModel, Metric, ModelVersion, Pair, RegisteredModel, Run, RunInfo,
};
use crate::requests::{Call, Server};

/// The values of metrics, the parameters and tags, and the entries of all together, that MLflow
/// takes in one batch.
const MOST_METRICS: usize = 1_000;
const MOST_PAIRS: usize = 100;
/// The most bytes of a batch; MLflow takes 1 MB.
const MOST_BATCH: usize = 900_000;

/// A page of a listing.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The records.
    pub items: Vec<T>,
    /// The place of the next page.
    pub next: Option<String>,
}

/// An answer of which nothing is read.
#[derive(Deserialize)]
struct Ignored {}

macro_rules! answers {
    ($($name:ident { $($field:ident: $kind:ty),* })*) => {
        $(#[derive(Default, Deserialize)]
        #[serde(default)]
        struct $name { $($field: $kind,)* })*
    };
}

answers! {
    OneExperiment { experiment: Experiment }
    ExperimentId { experiment_id: String }
    Experiments { experiments: Vec<Experiment>, next_page_token: String }
    OneRun { run: Run }
    ServerInfo { has_run: bool }
    Runs { runs: Vec<Run>, next_page_token: String }
    Metrics { metrics: Vec<Metric>, next_page_token: String }
    OneVersion { model_version: ModelVersion }
    Versions { model_versions: Vec<ModelVersion>, next_page_token: String }
    Models { registered_models: Vec<RegisteredModel>, next_page_token: String }
    LoggedModels { models: Vec<LoggedModel>, next_page_token: String }
    Uri { artifact_uri: String }
    UpdatedRun { run_info: RunInfo }
}

impl Server {
    fn get<T: for<'de> Deserialize<'de>>(
        &self,
        operation: &'static str,
        query: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        let path = format!("/api/2.0/mlflow/{operation}");
        self.ask(&Call { operation, method: "GET", path: &path, query, body: None, is_repeatable: true })
    }

    fn post<T: for<'de> Deserialize<'de>>(
        &self,
        operation: &'static str,
        body: &Value,
        is_repeatable: bool,
    ) -> Result<T, ClientError> {
        let path = format!("/api/2.0/mlflow/{operation}");
        self.ask(&Call { operation, method: "POST", path: &path, query: &[], body: Some(body), is_repeatable })
    }

    /// Calls `visit` with each page of a listing.
    ///
    /// # Errors
    /// That of `fetch` or of `visit`, or [`ClientError::NotMlflow`] if the listing does not end.
    pub fn each_page<T, E: From<ClientError>>(
        &self,
        operation: &str,
        mut fetch: impl FnMut(Option<&str>) -> Result<Page<T>, ClientError>,
        mut visit: impl FnMut(Vec<T>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut token: Option<String> = None;
        for _ in 0..self.limits().pages {
            let page = fetch(token.as_deref())?;
            let is_empty = page.items.is_empty();
            visit(page.items)?;
            match page.next {
                None => return Ok(()),
                Some(next) if is_empty || token.as_ref() == Some(&next) => {
                    let problem = "a page names itself, or nothing, as what follows it".to_owned();
                    return Err(self.not_mlflow(operation, problem).into());
                }
                next => token = next,
            }
        }
        Err(self.not_mlflow(operation, format!("it has more than {} pages", self.limits().pages)).into())
    }

    /// Returns the experiment of this name, deleted or not; `None` if there is none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn experiment_named(&self, name: &str) -> Result<Option<Experiment>, ClientError> {
        match self.get::<OneExperiment>("experiments/get-by-name", &[("experiment_name", name)]) {
            Ok(found) => Ok(Some(found.experiment)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Creates an experiment. Returns its identifier.
    ///
    /// # Errors
    /// [`ClientError`]; with the code `RESOURCE_ALREADY_EXISTS` if the name is taken.
    pub fn create_experiment(&self, name: &str, tags: &[Pair]) -> Result<String, ClientError> {
        let body = json!({ "name": name, "tags": tags });
        Ok(self.post::<ExperimentId>("experiments/create", &body, false)?.experiment_id)
    }

    /// Returns a page of the experiments that are not deleted.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn experiments(&self, most: usize, token: Option<&str>) -> Result<Page<Experiment>, ClientError> {
        let body = with_token(json!({ "max_results": most, "view_type": "ACTIVE_ONLY" }), token);
        let found: Experiments = self.post("experiments/search", &body, true)?;
        Ok(Page { items: found.experiments, next: next(found.next_page_token) })
    }

    /// Returns the run of this identifier; `None` if there is none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn run(&self, run_id: &str) -> Result<Option<Run>, ClientError> {
        match self.get::<OneRun>("runs/get", &[("run_id", run_id)]) {
            Ok(found) => Ok(Some(found.run)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns whether a server of Stagewright has a run that began at this time. Such a server
    /// says so without an account; others do not.
    pub fn says_that_it_has_run(&self, run_id: &str, started_ms: i64) -> bool {
        let (operation, path) = ("server-info", "/api/3.0/mlflow/server-info");
        let query = [("run_id", run_id), ("start_time", &*started_ms.to_string())];
        let call = Call { operation, method: "GET", path, query: &query, body: None, is_repeatable: true };
        self.ask::<ServerInfo>(&call).is_ok_and(|info| info.has_run)
    }

    /// Returns a page of the runs of an experiment that are not deleted and satisfy a filter, the
    /// oldest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn runs(
        &self,
        experiment: &str,
        filter: &str,
        most: usize,
        token: Option<&str>,
    ) -> Result<Page<Run>, ClientError> {
        let body = json!({
            "experiment_ids": [experiment], "filter": filter, "run_view_type": "ACTIVE_ONLY", "max_results": most,
            "order_by": ["attributes.start_time ASC"],
        });
        let found: Runs = self.post("runs/search", &with_token(body, token), true)?;
        Ok(Page { items: found.runs, next: next(found.next_page_token) })
    }

    /// Begins a run.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn create_run(
        &self,
        experiment: &str,
        (name, user): (&str, &str),
        start_time: i64,
        tags: &[Pair],
    ) -> Result<Run, ClientError> {
        let body = json!({
            "experiment_id": experiment, "run_name": name, "user_id": user, "start_time": start_time, "tags": tags,
        });
        Ok(self.post::<OneRun>("runs/create", &body, false)?.run)
    }

    /// Logs metrics, parameters and tags, in as many batches as they need.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn log(&self, run_id: &str, metrics: &[Metric], params: &[Pair], tags: &[Pair]) -> Result<(), ClientError> {
        let send = |body: Value| self.post::<Ignored>("runs/log-batch", &body, true).map(drop);
        for piece in pieces(params, MOST_PAIRS, |pair| pair.key.len() + pair.value.len()) {
            send(json!({ "run_id": run_id, "params": piece }))?;
        }
        for piece in pieces(tags, MOST_PAIRS, |pair| pair.key.len() + pair.value.len()) {
            send(json!({ "run_id": run_id, "tags": piece }))?;
        }
        for piece in pieces(metrics, MOST_METRICS, |metric| metric.key.len() + 100) {
            send(json!({ "run_id": run_id, "metrics": piece }))?;
        }
        Ok(())
    }

    /// Logs the datasets that a run used.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn log_inputs(&self, run_id: &str, datasets: &[DatasetInput]) -> Result<(), ClientError> {
        let body = json!({ "run_id": run_id, "datasets": datasets });
        self.post::<Ignored>("runs/log-inputs", &body, true).map(drop)
    }

    /// Changes status and end of a run.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn update_run(&self, run_id: &str, status: &str, end_time: Option<i64>) -> Result<(), ClientError> {
        let mut body = json!({ "run_id": run_id, "status": status });
        if let Some(end_time) = end_time {
            body["end_time"] = end_time.into();
        }
        self.post::<UpdatedRun>("runs/update", &body, true).map(|updated| drop(updated.run_info))
    }

    /// Returns a page of the values of a metric of a run.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn metric_history(
        &self,
        run_id: &str,
        metric: &str,
        most: usize,
        token: Option<&str>,
    ) -> Result<Page<Metric>, ClientError> {
        let most = most.to_string();
        let mut query = vec![("run_id", run_id), ("metric_key", metric), ("max_results", &most)];
        query.extend(token.map(|token| ("page_token", token)));
        let found: Metrics = self.get("metrics/get-history", &query)?;
        Ok(Page { items: found.metrics, next: next(found.next_page_token) })
    }

    /// Registers a model, if there is none of this name.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn ensure_registered_model(&self, name: &str, description: &str, tags: &[Pair]) -> Result<(), ClientError> {
        let body = json!({ "name": name, "description": description, "tags": tags });
        match self.post::<Ignored>("registered-models/create", &body, false) {
            Err(error) if !error.has_code("RESOURCE_ALREADY_EXISTS") => Err(error),
            _ => Ok(()),
        }
    }

    /// Returns a page of the registered models.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn registered_models(&self, most: usize, token: Option<&str>) -> Result<Page<RegisteredModel>, ClientError> {
        let most = most.to_string();
        let mut query = vec![("max_results", most.as_str())];
        query.extend(token.map(|token| ("page_token", token)));
        let found: Models = self.get("registered-models/search", &query)?;
        Ok(Page { items: found.registered_models, next: next(found.next_page_token) })
    }

    /// Returns a page of the versions that satisfy a filter.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn model_versions(
        &self,
        filter: &str,
        most: usize,
        token: Option<&str>,
    ) -> Result<Page<ModelVersion>, ClientError> {
        let most = most.to_string();
        let mut query = vec![("filter", filter), ("max_results", &most)];
        query.extend(token.map(|token| ("page_token", token)));
        let found: Versions = self.get("model-versions/search", &query)?;
        Ok(Page { items: found.model_versions, next: next(found.next_page_token) })
    }

    /// Registers a version. Returns it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn create_model_version(
        &self,
        name: &str,
        (source, run_id): (&str, &str),
        description: &str,
        tags: &[Pair],
    ) -> Result<ModelVersion, ClientError> {
        let body =
            json!({ "name": name, "source": source, "run_id": run_id, "description": description, "tags": tags });
        Ok(self.post::<OneVersion>("model-versions/create", &body, false)?.model_version)
    }

    /// Returns the URI of the folder with the files of a version.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn download_uri(&self, name: &str, version: &str) -> Result<String, ClientError> {
        let query = [("name", name), ("version", version)];
        Ok(self.get::<Uri>("model-versions/get-download-uri", &query)?.artifact_uri)
    }

    /// Returns a page of the logged models of an experiment; none from a server of MLflow 2, which
    /// has none.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn logged_models(
        &self,
        experiment: &str,
        most: usize,
        token: Option<&str>,
    ) -> Result<Page<LoggedModel>, ClientError> {
        let body = with_token(json!({ "experiment_ids": [experiment], "max_results": most }), token);
        match self.post::<LoggedModels>("logged-models/search", &body, true) {
            Ok(found) => Ok(Page { items: found.models, next: next(found.next_page_token) }),
            Err(error) if error.is_missing() || error.has_code("405") => Ok(Page { items: Vec::new(), next: None }),
            Err(error) => Err(error),
        }
    }
}

/// Returns a text in a filter's quotes; `None` if it has both kinds of quotes.
pub fn quoted(text: &str) -> Option<String> {
    match (text.contains('\''), text.contains('"')) {
        (false, _) => Some(format!("'{text}'")),
        (true, false) => Some(format!("\"{text}\"")),
        (true, true) => None,
    }
}

fn with_token(mut body: Value, token: Option<&str>) -> Value {
    if let Some(token) = token {
        body["page_token"] = token.into();
    }
    body
}

fn next(token: String) -> Option<String> {
    Some(token).filter(|token| !token.is_empty())
}

/// Cuts a list into pieces of at most `most` entries and [`MOST_BATCH`] bytes.
fn pieces<T>(all: &[T], most: usize, bytes: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut pieces, mut begin, mut sum) = (Vec::new(), 0, 0);
    for (index, one) in all.iter().enumerate() {
        // Escaped, a text may have six times as many bytes.
        let bytes = 6 * bytes(one) + 100;
        if index > begin && (index - begin == most || sum + bytes > MOST_BATCH) {
            pieces.push(&all[begin..index]);
            (begin, sum) = (index, 0);
        }
        sum += bytes;
    }
    if begin < all.len() {
        pieces.push(&all[begin..]);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_what_one_batch_takes_and_are_all() {
        let cut = |sizes: &[usize]| pieces(sizes, 3, |size| *size).iter().map(|it| it.len()).collect::<Vec<_>>();
        assert_eq!(cut(&[1; 7]), [3, 3, 1]);
        assert_eq!(cut(&[100_000, 100_000, 1, 200_000]), [1, 2, 1]);
        assert_eq!(cut(&[]), [0_usize; 0]);
    }

    #[test]
    fn a_text_is_quoted_by_the_quotes_that_it_has_not() {
        assert_eq!(quoted("a").as_deref(), Some("'a'"));
        assert_eq!(quoted("it's").as_deref(), Some("\"it's\""));
        assert_eq!(quoted("'\""), None);
    }
}
