//! Dashboards and alerts, and their way to Prometheus and Grafana.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::files::{repository, text, yaml};

/// A query and where it is.
pub(crate) struct Query {
    pub(crate) place: String,
    pub(crate) text: String,
}

/// Returns the queries of all panels, variables and annotations.
pub(crate) fn dashboards() -> Vec<Query> {
    let mut queries = Vec::new();
    for entry in fs::read_dir(repository().join("deploy/grafana/dashboards")).expect("the dashboards").flatten() {
        let name = entry.file_name().into_string().expect("a plain name");
        let dashboard: Value = serde_json::from_str(&fs::read_to_string(entry.path()).expect("text")).expect("JSON");
        let mut add = |place: &str, text: &Value| {
            let text = text.as_str().unwrap_or_else(|| panic!("{name}, {place}: no query")).to_owned();
            queries.push(Query { place: format!("{name}, {place}"), text });
        };
        for panel in dashboard["panels"].as_array().expect("panels") {
            let title = panel["title"].as_str().expect("a title");
            let targets = panel["targets"].as_array();
            assert!(
                panel["type"] == "row" || targets.is_some_and(|targets| !targets.is_empty()),
                "{title} shows nothing"
            );
            targets.into_iter().flatten().for_each(|target| add(title, &target["expr"]));
        }
        for annotation in dashboard["annotations"]["list"].as_array().expect("annotations") {
            add("annotation", &annotation["expr"]);
        }
        for variable in dashboard["templating"]["list"].as_array().expect("variables") {
            if variable["type"] == "query" {
                add("variable", &variable["query"]["query"]);
            }
        }
    }
    assert!(queries.len() > 10, "{} queries", queries.len());
    queries
}

/// Returns the queries of all alerts.
pub(crate) fn alerts() -> Vec<Query> {
    let alerts = yaml("deploy/prometheus/alerts.yml");
    let rules =
        alerts["groups"].as_array().expect("groups").iter().flat_map(|group| group["rules"].as_array().expect("rules"));
    let query = |rule: &Value| {
        let name = rule["alert"].as_str().expect("a name").to_owned();
        Query { place: name, text: rule["expr"].as_str().expect("a query").to_owned() }
    };
    rules.map(query).collect()
}

#[test]
fn every_alert_is_tried_where_it_fires_and_where_it_does_not() {
    let tests = yaml("deploy/prometheus/alerts_test.yml");
    let tests = tests["tests"].as_array().expect("tests");
    for Query { place, .. } in alerts() {
        for fires in [false, true] {
            let tried = tests.iter().flat_map(|test| test["alert_rule_test"].as_array().expect("cases")).any(|case| {
                case["alertname"] == place.as_str()
                    && case["exp_alerts"].as_array().is_some_and(|alerts| alerts.is_empty() != fires)
            });
            assert!(tried, "{place}: no case in which it {}", if fires { "fires" } else { "is quiet" });
        }
    }
}

#[test]
#[ignore = "needs promtool"]
fn promtool_understands_the_queries_of_the_dashboards() {
    let mut rules = String::from("groups:\n  - name: dashboards\n    rules:\n");
    let queries = dashboards();
    for (at, Query { text, .. }) in
        queries.iter().enumerate().filter(|(_, query)| !query.text.starts_with("label_values("))
    {
        // The variables of Grafana stand in text and in ranges.
        let text = text.replace("$__rate_interval", "5m");
        let text = serde_json::to_string(&text).expect("text");
        rules.push_str(&format!("      - record: query_{at}\n        expr: {text}\n"));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rules.yml");
    fs::write(&path, rules).expect("a file");
    let said = Command::new("promtool").args(["check", "rules"]).arg(&path).output().expect("promtool");
    assert!(
        said.status.success(),
        "{}{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr)
    );
}

#[test]
fn prometheus_scrapes_the_server_of_the_stack_and_grafana_finds_prometheus() {
    let settings = yaml("deploy/prometheus/prometheus.yml");
    let job = settings["scrape_configs"].as_array().expect("jobs").iter().find(|job| job["job_name"] == "stagewright");
    let job = job.expect("the job that dashboards and alerts name");
    assert_eq!(job["static_configs"][0]["targets"][0], "serve:8000");
    let stack = yaml("deploy/compose.yaml");
    let token = job["authorization"]["credentials_file"].as_str().expect("a file").trim_start_matches("/run/secrets/");
    assert!(
        stack["services"]["prometheus"]["secrets"].as_array().is_some_and(|secrets| secrets.contains(&token.into()))
    );
    let source = yaml("deploy/grafana/provisioning/datasources/prometheus.yml")["datasources"][0].clone();
    assert_eq!(source["url"], "http://prometheus:9090");
    let provider = yaml("deploy/grafana/provisioning/dashboards/stagewright.yml")["providers"][0].clone();
    let path = provider["options"]["path"].as_str().expect("a path");
    assert!(text("deploy/compose.yaml").contains(&format!("./grafana/dashboards:{path}:ro")));
}
