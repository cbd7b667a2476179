//! The answers of mlflow to the same requests, and the table of deviations in
//! docs/compatibility.md.

use std::collections::BTreeMap;

use serde_json::Value;

use super::server::{Answer, Server};

const CASES: &str = include_str!("../../../../compatibility/mlflow/cases.json");
const RECORDED: &str = include_str!("../../../../compatibility/mlflow/recorded.json");
const TABLE: &str = include_str!("../../../../../docs/compatibility.md");

/// Returns what clients see of an answer: its status, and its form. Predictions count in full.
fn outline(status: u64, content_type: &str, body: &Value) -> String {
    // Web frameworks have bodies of their own for these, which are no part of the protocol.
    if let 404 | 405 = status {
        return status.to_string();
    }
    let form = match body {
        Value::Object(members) if members.contains_key("predictions") => body.to_string(),
        Value::Object(members) if members.contains_key("error_code") && members["message"].is_string() => {
            "error".into()
        }
        Value::String(text) if text.trim().is_empty() => "nothing".into(),
        Value::String(_) if content_type.starts_with("text/plain") || content_type.is_empty() => "text".into(),
        Value::String(_) => "a version".into(),
        _ => "another form".into(),
    };
    format!("{status} {form}")
}

/// Returns the rows of the table of deviations: the case, the answer of mlflow, and ours.
fn deviations() -> BTreeMap<String, (String, String)> {
    let (_, table) = TABLE.split_once("<!-- mlflow: begin -->").expect("a table");
    let (table, _) = table.split_once("<!-- mlflow: end -->").expect("its end");
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(2);
    let cells = |row: &str| -> Vec<String> { row.split('|').map(|cell| cell.trim().replace('`', "")).collect() };
    rows.map(cells).map(|row| (row[1].clone(), (row[2].clone(), row[3].clone()))).collect()
}

// invariant: A request of MLflow's scoring protocol gets the answer that mlflow gives, or its
// deviation is documented.
#[test]
fn requests_of_mlflow_are_answered_as_mlflow_answers_them_but_for_the_documented_deviations() {
    let server = Server::start();
    let cases: Vec<Value> = serde_json::from_str(CASES).expect("cases");
    let recorded: Value = serde_json::from_str(RECORDED).expect("answers");
    let mut found = BTreeMap::new();
    for case in &cases {
        let text = |member: &str| case[member].as_str();
        let name = text("name").expect("a name");
        let path = text("path").unwrap_or("/invocations");
        let answer = server.ask(text("method").unwrap_or("POST"), path, text("content_type"), text("body"));
        let theirs = &recorded["answers"][name];
        let theirs = outline(
            theirs["status"].as_u64().expect("a status"),
            theirs["content_type"].as_str().unwrap_or_default(),
            &theirs["body"],
        );
        let Answer { status, content_type, text } = answer;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let ours = outline(status.into(), &content_type, &body);
        if ours != theirs {
            found.insert(name.to_owned(), (theirs, ours));
        }
    }
    let documented = deviations();
    assert_eq!(found, documented, "left: deviations, right: docs/compatibility.md");
    assert!(cases.len() > 70 && found.len() < cases.len() / 2, "most of {} cases agree", cases.len());
}
