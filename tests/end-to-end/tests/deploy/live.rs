//! Files of `deploy/` against a server that runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use stagewright_end_to_end::Place;

use crate::files::{repository, text, yaml};
use crate::metric_names::{Names, names};
use crate::observation::{Query, alerts, dashboards};
use crate::running::Running;

/// Names that are not the server's: Prometheus makes them for each server that it scrapes.
const OF_PROMETHEUS: [&str; 3] = ["up", "instance", "job"];

/// The endings of a histogram's series.
const ENDINGS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Returns the metrics on the server's page, each with its labels.
fn exported(server: &Running) -> BTreeMap<String, BTreeSet<String>> {
    let (code, page) = server.get("/metrics");
    assert_eq!(code, 200, "{page}");
    let mut metrics: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').expect("a name and a value");
        let name = series.split('{').next().unwrap_or_default();
        metrics.entry(name.to_owned()).or_default().extend(names(series).labels);
    }
    metrics
}

/// Returns whether the server registers a metric. One that counted nothing yet is not on its page.
fn registered(metric: &str) -> bool {
    let base = ENDINGS.iter().find_map(|ending| metric.strip_suffix(*ending)).unwrap_or(metric);
    let base = base.strip_suffix("_total").unwrap_or(base);
    let short = base.strip_prefix("stagewright_").unwrap_or(base);
    let folder = repository().join("host/serving/src/metrics");
    let files = fs::read_dir(folder).expect("the metrics").flatten().map(|entry| entry.path());
    let files = files.chain([repository().join("host/serving/src/metrics.rs")]);
    let texts = files.map(|path| fs::read_to_string(path).expect("text"));
    let definitions = [format!("register(\"{short}\""), format!("\"{base}\"")];
    texts.into_iter().any(|text| definitions.iter().any(|definition| text.contains(definition)))
}

/// The labels that docs/serving.md lists for a metric. Metrics that nothing was counted for yet
/// show none.
fn documented(metric: &str) -> BTreeSet<String> {
    let base = ENDINGS.iter().find_map(|ending| metric.strip_suffix(*ending)).unwrap_or(metric);
    let page = text("docs/serving.md");
    let row = page.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{base}`")));
    let labels = row.and_then(|row| row.split('|').nth(2)).unwrap_or_default();
    labels.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()).collect()
}

// invariant: Every query of a dashboard and of an alert asks for metrics and labels that the server
// exports.
#[test]
fn every_query_asks_for_what_the_server_exports() {
    let server = Running::start();
    server.predict(3);
    let exported = exported(&server);
    let mut wrong = Vec::new();
    for Query { place, text } in dashboards().into_iter().chain(alerts()) {
        let text = text.replace("label_values(", "(").replace(", model)", ")").replace(", version)", ")");
        let Names { metrics, labels } = names(&text);
        let metrics: Vec<String> = metrics.into_iter().filter(|name| !OF_PROMETHEUS.contains(&name.as_str())).collect();
        for metric in metrics.iter().filter(|metric| !exported.contains_key(*metric) && !registered(metric)) {
            wrong.push(format!("{place}: nothing exports `{metric}`"));
        }
        let known: BTreeSet<String> = metrics
            .iter()
            .flat_map(|metric| exported.get(metric).into_iter().flatten().cloned().chain(documented(metric)))
            .collect();
        for label in labels.iter().filter(|label| !known.contains(*label) && *label != "le") {
            if !OF_PROMETHEUS.contains(&label.as_str()) {
                wrong.push(format!("{place}: no metric has the label `{label}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn probes_and_scripts_find_a_server_that_is_ready() {
    let running = Running::start();
    // Kubernetes and Docker have no token.
    for page in ["/health/live", "/health/ready"] {
        assert_eq!(running.server.get(page).status, 200, "{page}");
    }
    assert_eq!(running.server.get("/metrics").status, 401);
    let url = &running.server.url;
    Place::new().run(&["probe", &format!("{url}/health/ready")]).expect(0);
    Place::new().run(&["probe", &format!("{url}/metrics")]).expect(7);
    let (succeeds, said) = running.script("deploy/smoke-test.sh");
    assert!(succeeds, "{said}");
    assert!(said.contains("serves churn-classifier version 1"), "{said}");
}

/// A Prometheus that is ended with this value.
struct Prometheus {
    process: Child,
    url: String,
    _folder: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Prometheus {
    /// Starts one with the settings of the stack, but for addresses, the token's path and how often
    /// it looks.
    fn start(server: &Running) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let address = server.server.address.to_string();
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let settings = text("deploy/prometheus/prometheus.yml")
            .replace("serve:8000", &address)
            .replace("127.0.0.1:9090", &format!("127.0.0.1:{port}"))
            .replace("/run/secrets/metrics-token", server.token_file().to_str().expect("UTF-8"))
            .replace("interval: 15s", "interval: 1s");
        fs::write(folder.path().join("prometheus.yml"), settings).expect("a file");
        fs::write(folder.path().join("alerts.yml"), text("deploy/prometheus/alerts.yml")).expect("a file");
        let mut command = Command::new("prometheus");
        command.current_dir(folder.path()).args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("prometheus starts");
        Self { process, url: format!("http://127.0.0.1:{port}"), _folder: folder }
    }

    /// Asks a query. Returns the values, or the error.
    fn ask(&self, query: &str) -> Result<Vec<Value>, String> {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let url = format!("{}/api/v1/query?query={escaped}", self.url);
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
        let mut answer = ureq::Agent::new_with_config(config).get(url).call().map_err(|error| error.to_string())?;
        let text = answer.body_mut().read_to_string().map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        match answer["data"]["result"].as_array() {
            Some(values) => Ok(values.clone()),
            None => Err(answer["error"].to_string()),
        }
    }

    /// Waits until a query has a value.
    fn wait(&self, query: &str) {
        let start = Instant::now();
        let mut last = String::new();
        while start.elapsed() < Duration::from_secs(60) {
            let connected = TcpStream::connect(self.url.trim_start_matches("http://")).is_ok();
            match if connected { self.ask(query) } else { Err("it does not listen yet".into()) } {
                Ok(values) if !values.is_empty() => return,
                other => last = format!("{other:?}"),
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        panic!("prometheus has no value of `{query}` after a minute: {last}");
    }
}

/// Panels that show nothing as long as nothing goes wrong and no version is replaced.
const QUIET: [&str; 4] = ["Failed", "Failed requests by version", "Versions replaced", "annotation"];

// invariant: Prometheus reads the metrics of the server with the settings of `deploy/`, and every
// panel has an answer.
#[test]
#[ignore = "needs promtool, with prometheus beside it"]
fn prometheus_answers_every_panel_promtool_is_beside_it() {
    let server = Running::start();
    let prometheus = Prometheus::start(&server);
    server.predict(5);
    prometheus.wait("rate(stagewright_requests_total{protocol=\"native\"}[10s])");
    server.predict(5);
    prometheus.wait("rate(stagewright_requests_total{protocol=\"native\"}[10s]) > 0");
    let jobs = yaml("deploy/prometheus/prometheus.yml")["scrape_configs"].as_array().map_or(0, Vec::len);
    assert_eq!(prometheus.ask("up == 1").map(|up| up.len()), Ok(jobs));
    let mut wrong = Vec::new();
    for Query { place, text } in dashboards().into_iter().filter(|query| !query.text.starts_with("label_values(")) {
        let query =
            text.replace("$__rate_interval", "10s").replace("\"$model\"", "\".*\"").replace("\"$version\"", "\".*\"");
        match prometheus.ask(&query) {
            Err(error) => wrong.push(format!("{place}: {error}\n  {query}")),
            Ok(values) if values.is_empty() && !QUIET.iter().any(|quiet| place.ends_with(&format!(", {quiet}"))) => {
                wrong.push(format!("{place}: shows nothing\n  {query}"));
            }
            Ok(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
