//! Predictions that a server logs, and what became of them: the prediction log, outcomes, and the
//! command that joins both.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array as _, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use stagewright_end_to_end::Place;
use stagewright_end_to_end::serving::{Reply, Serving};
use stagewright_services::postgres::Cluster;

use crate::deployments::approved;
use crate::{MODEL, trained};

/// How long a test waits for what comes within seconds.
const SOON: Duration = Duration::from_secs(60);

/// A server whose predictions are logged as `log` says.
fn logging(place: &Place, log: &str) -> Serving {
    let file = place.write("serving.toml", format!("[models.{MODEL}]\nlog = {log}\n"));
    Serving::start(place, &["--config", &file.display().to_string()])
}

/// The customers that the model was trained on, as JSON.
fn customers(place: &Place) -> Vec<Value> {
    let text = fs::read_to_string(place.path().join("customers.csv")).expect("customers");
    let names: Vec<&str> = text.lines().next().expect("a head").split(',').collect();
    let value = |cell: &str| match cell {
        "" => Value::Null,
        cell if cell.parse::<f64>().is_ok() => serde_json::from_str(cell).unwrap_or_else(|_| cell.into()),
        cell => cell.into(),
    };
    let row = |line: &str| -> Value {
        let cells = names.iter().zip(line.split(','));
        Value::Object(cells.map(|(name, cell)| ((*name).to_owned(), value(cell))).collect())
    };
    text.lines().skip(1).map(row).collect()
}

fn folder(place: &Place) -> PathBuf {
    place.home().join("serving").join("predictions").join(MODEL)
}

/// The names of the files of the log.
fn names(place: &Place) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder(place)) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().map(|it| it.file_name().into_string().expect("text")).collect();
    names.sort_unstable();
    names
}

/// Reads a file of the log as anybody can.
fn read(path: &Path) -> Vec<RecordBatch> {
    let file = File::open(path).expect("a file");
    let rows = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("rows");
    rows.map(|batch| batch.expect("rows")).collect()
}

/// Reads the log of a server that has ended.
fn log(place: &Place) -> Vec<RecordBatch> {
    names(place).iter().flat_map(|name| read(&folder(place).join(name))).collect()
}

fn texts(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let column = batch.column_by_name(name).unwrap_or_else(|| panic!("{name} is missing"));
    column.as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

fn numbers(batch: &RecordBatch, name: &str) -> Vec<Option<i64>> {
    batch.column_by_name(name).expect("a column").as_primitive::<Int64Type>().iter().collect()
}

fn id(reply: &Reply) -> String {
    reply.header("x-request-id").expect("an identifier").to_owned()
}

/// The body of the Open Inference Protocol for a row.
fn tensors(row: &Value) -> Value {
    let features =
        row.as_object().expect("a row").iter().filter(|(name, _)| !["customerID", "Churn"].contains(&name.as_str()));
    let tensor = |(name, value): (&String, &Value)| {
        let datatype = match value {
            Value::String(_) => "BYTES",
            Value::Number(number) if number.is_i64() => "INT64",
            _ => "FP64",
        };
        json!({ "name": name, "shape": [1], "datatype": datatype, "data": [value] })
    };
    json!({ "inputs": features.map(tensor).collect::<Vec<_>>() })
}

// invariant: The prediction log has requests of every protocol, with the columns that the operator
// allows and no others.
#[test]
fn what_is_asked_by_any_protocol_is_logged_as_the_operator_allows() {
    let place = trained();
    let rows = customers(&place);
    let policy = "{ features = [\"tenure\", \"Contract\"], identifiers = [\"customerID\"], mask = [\"Contract\"] }";
    let server = logging(&place, policy);
    let native = server.ask("POST", "/predict", &["x-request-id: mine-7"], json!(rows[..2]).to_string().as_bytes());
    let mlflow = server.post("/invocations", &json!({ "dataframe_records": [rows[2]] }));
    let v2 = server.post(&format!("/v2/models/{MODEL}/infer"), &tensors(&rows[3]));
    let wrong = server.post("/predict", &json!({ "tenure": "many" }));
    let statuses = [&native, &mlflow, &v2, &wrong].map(|reply| reply.status);
    assert_eq!(statuses, [200, 200, 200, 422], "{} {} {}", native.text(), mlflow.text(), v2.text());
    let metrics = server.get("/metrics").text().to_owned();
    assert!(metrics.contains(&format!("stagewright_prediction_log_dropped_rows_total{{model=\"{MODEL}\"}} 0")));
    assert_eq!(server.stop().code, Some(0));

    assert_eq!(names(&place).len(), 1, "{:?}", names(&place));
    assert_eq!(fs::metadata(folder(&place)).expect("a folder").permissions().mode() & 0o777, 0o700);
    let batches = log(&place);
    let batch = &batches[0];
    assert_eq!((batches.len(), batch.num_rows()), (1, 5));
    let logged = batch.schema();
    let others = logged.fields().iter().map(|field| field.name().as_str()).skip(14);
    assert_eq!(others.collect::<Vec<_>>(), ["feature_tenure", "feature_Contract", "identifier_customerID"]);
    let ids = [id(&native), id(&native), id(&mlflow), id(&v2), id(&wrong)];
    assert_eq!(texts(batch, "request_id"), ids.map(Some));
    let mine = Some("mine-7".to_owned());
    assert_eq!(texts(batch, "client_request_id"), [mine.clone(), mine, None, None, None]);
    assert_eq!(numbers(batch, "row"), [Some(0), Some(1), Some(0), Some(0), None]);
    assert_eq!(numbers(batch, "status"), [200, 200, 200, 200, 422].map(Some));
    assert_eq!(texts(batch, "error")[4].as_deref(), Some("invalid_rows"));
    assert_eq!(numbers(batch, "version"), [Some(1); 5]);
    let answer = native.json();
    let probability = batch.column_by_name("probability").expect("a column").as_primitive::<Float64Type>();
    for row in 0..2 {
        assert_eq!(answer["predictions"][row]["probability"].as_f64(), Some(probability.value(row)), "{answer}");
        assert_eq!(answer["predictions"][row]["label"].as_str(), texts(batch, "label")[row].as_deref());
    }
    assert!(probability.is_null(4));
    let tenures = rows[..4].iter().map(|row| row["tenure"].as_i64()).chain([None]).collect::<Vec<_>>();
    assert_eq!(numbers(batch, "feature_tenure"), tenures);
    let names = rows[..3].iter().map(|row| row["customerID"].as_str().map(str::to_owned)).chain([None, None]);
    assert_eq!(texts(batch, "identifier_customerID"), names.collect::<Vec<_>>());
    let hashes = texts(batch, "feature_Contract");
    for (one, row) in hashes.iter().zip(&rows[..4]) {
        assert!(one.as_ref().is_some_and(|hash| hash.len() == 32 && !hash.contains(' ')), "{one:?}");
        for (other, another) in hashes.iter().zip(&rows[..4]) {
            assert_eq!(one == other, row["Contract"] == another["Contract"]);
        }
    }
    let bytes: Vec<u8> = fs::read_dir(folder(&place))
        .expect("files")
        .flatten()
        .flat_map(|it| fs::read(it.path()).expect("a file"))
        .collect();
    let contract = rows[0]["Contract"].as_str().expect("a text");
    assert!(
        !bytes.windows(contract.len()).any(|window| window == contract.as_bytes()),
        "a masked value is in the file"
    );

    // The rate takes none, and a failure is logged all the same.
    let server = logging(&place, "{ rate = 0.0, features = \"none\" }");
    assert_eq!(server.post("/predict", &rows[0]).status, 200);
    let wrong = server.post("/predict", &json!({ "tenure": "many" }));
    assert_eq!(server.stop().code, Some(0));
    let ids: Vec<_> = log(&place).iter().flat_map(|batch| texts(batch, "request_id")).flatten().collect();
    assert_eq!((ids.len(), ids.contains(&id(&wrong))), (6, true));
}

// invariant: A server that is killed loses seconds of its prediction log, and leaves no broken
// file.
#[test]
fn a_killed_server_leaves_whole_files_and_the_next_one_goes_on() {
    let place = trained();
    let rows = customers(&place);
    let server = logging(&place, "{}");
    let first = id(&server.post("/predict", &rows[0]));
    let began = Instant::now();
    while !names(&place).iter().any(|name| !name.starts_with('.')) {
        assert!(began.elapsed() < SOON, "no file: {:?}", names(&place));
        std::thread::sleep(Duration::from_millis(50));
    }
    // The next ones may be lost.
    for row in &rows[..20] {
        server.post("/predict", row);
    }
    drop(server);
    let whole = names(&place).into_iter().filter(|name| !name.starts_with('.'));
    let ids: Vec<_> = whole
        .flat_map(|name| read(&folder(&place).join(name)))
        .flat_map(|batch| texts(&batch, "request_id"))
        .flatten()
        .collect();
    assert!(ids.contains(&first), "{ids:?}");
    let server = logging(&place, "{}");
    let second = id(&server.post("/predict", &rows[1]));
    assert_eq!(server.stop().code, Some(0));
    let after: Vec<_> = log(&place).iter().flat_map(|batch| texts(batch, "request_id")).flatten().collect();
    assert!(after.contains(&first) && after.contains(&second), "{after:?}");
}

#[test]
fn a_name_that_is_misspelt_in_the_logs_policy_is_refused() {
    let place = trained();
    let file = place.write("serving.toml", format!("[models.{MODEL}]\nlog = {{ mask = [\"Contrakt\"] }}\n"));
    let refused = place.run(&["serve", "--port", "0", "--config", &file.display().to_string()]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    for part in ["SW0112", "`log.mask` names `Contrakt`", "stagewright models card"] {
        assert!(refused.stderr.contains(part), "{part} is missing:\n{}", refused.stderr);
    }
    assert!(names(&place).is_empty());
}

/// Posts outcomes, and returns the result of each.
fn results(server: &Serving, outcomes: &Value) -> Vec<String> {
    let reply = server.post(&format!("/models/{MODEL}/outcomes"), outcomes);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    let results = answer["outcomes"].as_array().expect("results").iter();
    results.map(|it| it["result"].as_str().expect("a result").to_owned()).collect()
}

// invariant: Accuracy, area and Brier score of a version in production are those of its logged
// predictions and of the outcomes that were posted for them.
#[test]
fn outcomes_are_recorded_once_and_tell_how_good_a_version_is() {
    let place = trained();
    let rows = customers(&place);
    let server = logging(&place, "{ features = \"none\" }");
    let mut outcomes = Vec::new();
    let (mut right, mut brier) = (0, 0.0);
    for row in &rows[..80] {
        let reply = server.post("/predict", row);
        let prediction = reply.json()["predictions"][0].clone();
        let truth = row["Churn"].as_str().expect("a label");
        right += u32::from(prediction["label"] == truth);
        brier += (prediction["probability"].as_f64().expect("a number") - f64::from(u8::from(truth == "Yes"))).powi(2);
        outcomes.push(json!({ "request_id": id(&reply), "label": truth, "time": "2026-11-29T11:00:00Z" }));
    }
    assert_eq!(results(&server, &outcomes.clone().into()), vec!["recorded"; 80]);
    let several = server.post("/predict", &json!(rows[..2]));
    let first = outcomes[0]["request_id"].as_str().expect("an identifier");
    let ulid = &first[..26];
    let posted = json!({ "outcomes": [
        { "request_id": first, "label": "Yes" },
        { "request_id": id(&several), "label": "Yes" },
        { "request_id": id(&several), "label": "No" },
        { "request_id": "01KB6TZ7M0V3W6QK5S0J3Z6T6N.v1", "label": "No" },
        { "request_id": format!("{ulid}.v99"), "label": "No" },
        { "request_id": "nonsense", "label": "No" },
        { "request_id": format!("{ulid}.v1.nowhere"), "label": "No" },
        { "request_id": "01KB6TZ7M0V3W6QK5S0J3Z6T6P.v1", "label": "Maybe" },
        { "request_id": "01KB6TZ7M0V3W6QK5S0J3Z6T6Q.v1" },
    ]});
    let expected = [
        "duplicate",
        "recorded",
        "duplicate",
        "recorded",
        "unknown_version",
        "malformed_id",
        "malformed_id",
        "unknown_label",
        "invalid",
    ];
    assert_eq!(results(&server, &posted), expected);
    assert_eq!(server.post("/outcomes", &json!([])).json()["model"], MODEL, "the first model");
    assert_eq!(server.post("/models/other/outcomes", &json!([])).status, 404);
    assert_eq!(server.ask("POST", "/outcomes", &["content-type: text/csv"], b"a,b").status, 415);
    assert_eq!(server.ask("POST", "/outcomes", &[], b"[]").status, 415);
    assert_eq!(server.ask("POST", "/outcomes", &["content-type: application/json"], b"{").status, 400);
    let counted = server.get("/metrics").text().to_owned();
    let yes = rows[..80].iter().filter(|row| row["Churn"] == "Yes").count() + 1;
    let line = format!("stagewright_outcomes_total{{model=\"{MODEL}\",version=\"1\",arm=\"\",label=\"Yes\"}} {yes}");
    assert!(counted.lines().any(|found| found == line), "{line} is missing:\n{counted}");

    // The server runs, and its log is some seconds old.
    let measured = || place.run(&["models", "outcomes", MODEL, "--json"]).expect(0).json();
    let began = Instant::now();
    while measured()["arms"][0]["joined"] != 80 {
        assert!(began.elapsed() < SOON, "{}", measured());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(server.stop().code, Some(0));
    let found = measured();
    let arm = &found["arms"][0];
    assert_eq!(found["arms"].as_array().map(Vec::len), Some(1), "{found}");
    for (member, number) in
        [("version", 1), ("outcomes", 82), ("joined", 80), ("without_prediction", 1), ("of_several_rows", 1)]
    {
        assert_eq!(arm[member], number, "{member}: {found}");
    }
    for (place, name, value) in [(0, "accuracy", f64::from(right) / 80.0), (2, "brier", brier / 80.0)] {
        let metric = &arm["metrics"][place];
        assert_eq!(metric["metric"], name, "{found}");
        let [own, low, high] = ["value", "low", "high"].map(|end| metric[end].as_f64().expect("a number"));
        assert!((own - value).abs() < 1e-12 && low < own && own < high, "{metric}");
    }
    let [low, area] = ["low", "value"].map(|end| arm["metrics"][1][end].as_f64().expect("a number"));
    assert!(area > 0.5 && low < area, "{found}");
    let none = place.run(&["models", "outcomes", MODEL, "--since", "2026-12-01", "--json"]).expect(0).json();
    assert_eq!(none["arms"], json!([]));
    let shown = place.run(&["models", "outcomes", &format!("{MODEL}/1")]).expect(0).stdout;
    for part in ["roc_auc", "brier", "82", "95 % confidence"] {
        assert!(shown.contains(part), "{part} is missing:\n{shown}");
    }
    assert_eq!(place.run(&["models", "outcomes", MODEL, "--version", "9"]).code, 2);
}

// invariant: An outcome counts for the version and the arm that answered its request.
#[test]
fn arms_of_a_deployment_are_logged_and_measured_apart() {
    let place = approved();
    let rows = customers(&place);
    let server = logging(&place, "{ features = \"none\" }");
    let start = ["deploy", "start", MODEL, "--strategy", "canary", "--version", "2", "--shares", "50,100"];
    place.run(&start).expect(0);
    let began = Instant::now();
    while server.get("/").json()["deployment"].is_null() {
        assert!(began.elapsed() < SOON, "{}", server.get("/").text());
        std::thread::sleep(Duration::from_millis(20));
    }
    let (mut outcomes, mut asked) = (Vec::new(), BTreeMap::<(i64, String), usize>::new());
    for row in &rows[..100] {
        let reply = server.post("/predict", row);
        let (version, id) = (reply.json()["version"].as_i64().expect("a version"), id(&reply));
        let (_, arm) = id.rsplit_once('.').expect("an arm");
        *asked.entry((version, arm.to_owned())).or_default() += 1;
        outcomes.push(json!({ "request_id": id, "label": row["Churn"] }));
    }
    let arms = asked.keys().map(|(version, arm)| (*version, arm.as_str()));
    assert_eq!(arms.collect::<Vec<_>>(), [(1, "control"), (2, "canary")]);
    assert_eq!(results(&server, &outcomes.into()), vec!["recorded"; 100]);
    assert_eq!(server.stop().code, Some(0));
    let mut logged = BTreeMap::<(i64, String), usize>::new();
    for batch in log(&place) {
        let arms = texts(&batch, "arm").into_iter().flatten();
        for arm in numbers(&batch, "version").into_iter().flatten().zip(arms) {
            *logged.entry(arm).or_default() += 1;
        }
    }
    assert_eq!(logged, asked);
    let found = place.run(&["models", "outcomes", MODEL, "--json"]).expect(0).json();
    let measured = found["arms"].as_array().expect("arms").iter().map(|arm| {
        let name = arm["arm"].as_str().expect("an arm").to_owned();
        ((arm["version"].as_i64().expect("a version"), name), arm["joined"].as_u64().expect("a number") as usize)
    });
    assert_eq!(measured.collect::<BTreeMap<_, _>>(), asked, "{found}");
    let one = place.run(&["models", "outcomes", MODEL, "--version", "2", "--json"]).expect(0).json();
    assert_eq!(one["arms"], json!([found["arms"][1]]));
}

// invariant: Only a token with the role posts outcomes.
#[test]
fn outcomes_need_their_role() {
    let place = trained();
    place.write("tokens", "reader-0123456789ab predict\nposter-0123456789ab outcomes\n");
    let server = Serving::start(&place, &[MODEL, "--tokens-file", "tokens"]);
    let status = |token: &str, path: &str| {
        server
            .ask("POST", path, &[&format!("authorization: Bearer {token}"), "content-type: application/json"], b"[]")
            .status
    };
    for path in ["/outcomes".to_owned(), format!("/models/{MODEL}/outcomes")] {
        assert_eq!(status("reader-0123456789ab", &path), 403);
        assert_eq!(status("poster-0123456789ab", &path), 200);
        assert_eq!(status("nobody-0123456789ab", &path), 401);
    }
    assert_eq!(status("poster-0123456789ab", "/predict"), 403);
}

/// Posts an outcome again and again, until it is taken.
fn posted_again(server: &Serving, outcome: &Value) -> Value {
    let began = Instant::now();
    loop {
        let reply = server.post("/outcomes", outcome);
        if reply.status == 200 {
            return reply.json();
        }
        assert_eq!(reply.status, 503, "{}", reply.text());
        assert!(began.elapsed() < SOON, "{}", reply.text());
        std::thread::sleep(Duration::from_millis(200));
    }
}

// invariant: An outcome that the registry does not take now is posted again, and none is lost.
#[test]
fn outcomes_wait_with_their_client_while_the_registry_is_away() {
    let place = trained();
    let server = Serving::start(&place, &[MODEL]);
    let request = id(&server.post("/predict", &customers(&place)[0]));
    let outcome = json!({ "request_id": request, "value": 12.5, "label": "Yes" });
    let (database, away) = (place.home().join("stagewright.db"), place.home().join("away.db"));
    fs::rename(&database, &away).expect("the registry goes");
    let refused = server.post("/outcomes", &outcome);
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.text());
    assert_eq!(refused.json()["error"]["code"], "registry_away");
    fs::rename(&away, &database).expect("the registry is back");
    let recorded = posted_again(&server, &outcome);
    assert_eq!(recorded["outcomes"][0]["result"], "recorded", "{recorded}");
    assert_eq!(server.post("/outcomes", &outcome).json()["outcomes"][0]["result"], "duplicate");
    assert_eq!(server.stop().code, Some(0));

    // A production location has no registry.
    let from = place.home().join("production").display().to_string();
    let alone = Place::new();
    let server = Serving::start(&alone, &[MODEL, "--from", &from]);
    let refused = server.post("/outcomes", &outcome);
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (501, &"no_registry".into()));
    assert!(refused.text().contains("--from registry"), "{}", refused.text());
}

// invariant: as `outcomes_wait_with_their_client_while_the_registry_is_away`
#[test]
#[ignore = "needs PostgreSQL"]
fn outcomes_wait_while_a_postgresql_registry_is_away() {
    let place = Place::new();
    let mut cluster = Cluster::start();
    let registry = cluster.create_database();
    let gates = ["--set", "gates.minimum.roc_auc=0.5", "--set", "gates.minimum.accuracy=0.5"];
    let trainer = ["--set", "training.component=train-logistic"];
    place.churn(1500, &[&["--registry", &registry][..], &gates[..], &trainer[..]].concat()).expect(0);
    let csv = place.path().join("customers.csv").display().to_string();
    place.run(&["artifacts", "export", "ingestion.table", "--output", &csv, "--registry", &registry]).expect(0);
    let server = Serving::start(&place, &[MODEL, "--registry", &registry]);
    let row = &customers(&place)[0];
    let outcome = || json!({ "request_id": id(&server.post("/predict", row)), "label": "No" });
    let (first, second) = (outcome(), outcome());
    assert_eq!(results(&server, &first), ["recorded"]);
    cluster.stop();
    let refused = server.post("/outcomes", &second);
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.text());
    assert_eq!(server.post("/predict", row).status, 200, "predictions need no registry");
    cluster.start_again();
    assert_eq!(posted_again(&server, &second)["outcomes"][0]["result"], "recorded");
    assert_eq!(results(&server, &json!([first, second])), ["duplicate", "duplicate"]);
    assert_eq!(server.stop().code, Some(0));
}
