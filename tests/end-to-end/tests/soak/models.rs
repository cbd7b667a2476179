//! The models of the soak, and what each version predicts offline.

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use stagewright_end_to_end::serving::Serving;
use stagewright_end_to_end::{Place, config, guests};

/// The model whose champion changes.
pub(super) const FOLLOWED: &str = "churn-classifier";

/// The model whose champion stays, and which has a shadow.
pub(super) const STEADY: &str = "steady-classifier";

/// The customers that are asked about.
const CUSTOMERS: usize = 200;

/// Every so many customers, one is unlike any that a model learnt from.
const OUTLIERS: usize = 100;

/// Registered models, in a registry that can go away.
pub(super) struct Models {
    pub(super) place: Place,
    pub(super) registry: String,
    /// The bodies of requests.
    pub(super) bodies: Vec<Vec<u8>>,
    followed: [Vec<Value>; 2],
    steady: Vec<Value>,
}

impl Models {
    /// Trains two versions of one model, and two of the other, of which the second traps at one
    /// customer in a hundred.
    pub(super) fn train(registry: &str) -> Self {
        let place = Place::new();
        let manifest = std::fs::read_to_string(config("churn.toml")).expect("the shipped pipeline");
        let named = |name: &str, more: &str| {
            manifest.replace(&format!("model = \"{FOLLOWED}\""), &format!("model = \"{name}\"")) + more
        };
        let trap = guests().join("trap-outliers.wasm").display().to_string();
        let traps = format!("\n[components.trap-outliers]\npath = {trap:?}\n");
        let followed = place.write("followed.toml", named(FOLLOWED, ""));
        let steady = place.write("steady.toml", named(STEADY, &traps));
        let train = |file: &PathBuf, trainer: &[&str], code: i32| {
            let file = file.display().to_string();
            let mut arguments = vec!["run", &file, "--json", "--registry", registry];
            let gates = ["gates.minimum.accuracy=0.5", "gates.minimum.roc_auc=0.5", "gates.policy=no-worse"];
            let changes = ["ingestion.component=ingest-synthetic", "ingestion.rows=3000", "gates.margin=0.2"];
            for change in gates.iter().chain(&changes).chain(trainer) {
                arguments.extend(["--set", *change]);
            }
            place.run(&arguments).expect(code);
        };
        train(&followed, &["training.component=train-boosted", "training.n_estimators=300"], 0);
        train(&followed, &["training.component=train-logistic"], 0);
        train(&steady, &["training.component=train-logistic"], 0);
        // It predicts the same for everybody, and no gate lets that pass.
        train(&steady, &["training.component=trap-outliers"], 4);
        let run = |arguments: &[&str]| place.run(&[arguments, &["--registry", registry]].concat()).expect(0);
        run(&["models", "approve", &format!("{STEADY}/2"), "--reason", "a shadow"]);
        run(&["models", "rollback", FOLLOWED, "--reason", "the test begins with version 1"]);

        let rows = customers(&place, registry);
        place.write("rows.json", Value::from(rows.clone()).to_string());
        let predicted = |model: &str| -> Vec<Value> {
            let input = place.path().join("rows.json").display().to_string();
            let answer = run(&["predict", model, "--input", &input, "--json"]).json();
            answer["predictions"].as_array().expect("predictions").clone()
        };
        let followed = [1, 2].map(|version| predicted(&format!("{FOLLOWED}/{version}")));
        assert_ne!(followed[0], followed[1], "the versions cannot be told apart");
        let steady = predicted(&format!("{STEADY}/1"));
        let bodies = rows.iter().map(|row| row.to_string().into_bytes()).collect();
        Self { registry: registry.to_owned(), bodies, followed, steady, place }
    }

    /// Returns what a version of a model predicts for a customer; `None` if no version of this
    /// number may answer.
    pub(super) fn expected(&self, model: &str, version: u64, customer: usize) -> Option<&Value> {
        let of_version = match (model, version) {
            (FOLLOWED, 1 | 2) => &self.followed[version as usize - 1],
            (STEADY, 1) => &self.steady,
            _ => return None,
        };
        of_version.get(customer)
    }

    fn run(&self, arguments: &[&str]) {
        self.place.run(&[arguments, &["--registry", &self.registry]].concat()).expect(0);
    }

    /// Makes a version the champion. An approval is good against one champion.
    pub(super) fn promote(&self, version: u32) {
        for step in ["approve", "promote"] {
            self.run(&["models", step, &format!("{FOLLOWED}/{version}"), "--reason", "a soak"]);
        }
    }

    /// Makes the champion before this one the champion.
    pub(super) fn roll_back(&self) {
        self.run(&["models", "rollback", FOLLOWED, "--reason", "a soak"]);
    }

    /// Starts the shadow, and waits until the server has it.
    pub(super) fn shadow(&self, server: &Serving) {
        self.run(&["deploy", "start", STEADY, "--strategy", "shadow", "--version", "2", "--reason", "a soak"]);
        let begin = std::time::Instant::now();
        while !of_shadow(server, "stagewright_sessions").is_some_and(|sessions| sessions > 0.0) {
            assert!(begin.elapsed() < super::SOON, "{}", server.get("/metrics").text());
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Checks that the shadow was asked, and that it failed.
    pub(super) fn check_shadow(&self, server: &Serving) {
        let replaced = of_shadow(server, "stagewright_session_replacements_total");
        assert!(
            replaced.is_some_and(|replaced| replaced > 0.0),
            "the shadow has not trapped: {}",
            server.get("/metrics").text()
        );
    }
}

/// Returns the sum of a metric of the shadow.
fn of_shadow(server: &Serving, metric: &str) -> Option<f64> {
    let reply = server.get("/metrics");
    let model = format!("model=\"{STEADY}\"");
    let is_its = |line: &&str| line.starts_with(metric) && line.contains(&model) && line.contains("version=\"2\"");
    let values = reply.text().lines().filter(is_its).map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
    values.sum()
}

/// Returns customers that were ingested, as requests have them. Some are unlike any other.
fn customers(place: &Place, registry: &str) -> Vec<Value> {
    let file = place.path().join("customers.csv").display().to_string();
    place.run(&["artifacts", "export", "ingestion.table", "--output", &file, "--registry", registry]).expect(0);
    let text = std::fs::read_to_string(&file).expect("customers");
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let row = |(number, line): (usize, &str)| {
        let value = |cell: &str| match cell.parse::<f64>() {
            _ if cell.is_empty() => Value::Null,
            // A number stays as it is written.
            Ok(_) => serde_json::from_str(cell).expect("a number"),
            Err(_) => cell.into(),
        };
        let cells = names.iter().zip(line.split(',')).filter(|(name, _)| !["Churn", "customerID"].contains(name));
        let mut row: Map<String, Value> = cells.map(|(name, cell)| ((*name).to_owned(), value(cell))).collect();
        if number % OUTLIERS == 0 {
            row.insert("MonthlyCharges".into(), json!(1e12));
        }
        Value::Object(row)
    };
    lines.take(CUSTOMERS).enumerate().map(row).collect()
}
