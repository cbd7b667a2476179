//! The lifecycle on generated customers.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stagewright_end_to_end::{Place, binary, config, digests};

const STAGES: [&str; 6] = ["ingestion", "validation", "transformation", "training", "evaluation", "promotion"];

#[test]
fn a_first_run_makes_a_champion_and_a_second_is_judged_against_it() {
    let place = Place::new();
    let first = place.churn(3000, &[]).expect(0).json();
    let names: Vec<&str> =
        first["stages"].as_array().expect("stages").iter().filter_map(|stage| stage["name"].as_str()).collect();
    assert_eq!(names, STAGES);
    assert_eq!(first["decision"]["verdict"], "approved");
    assert_eq!(first["model"]["version"], 1);
    assert_eq!(first["model"]["aliases"][0], "champion");
    assert!(first["metrics"]["champion"].is_null());
    for metric in ["roc_auc", "accuracy", "precision", "recall", "f1", "log_loss", "precision_at_recall_80"] {
        assert!(first["metrics"]["candidate"][metric].is_number(), "{metric} is missing");
    }

    // A model with equal predictions does not exceed the champion, since the margin is strict. Its
    // unused trees still make it another version.
    let second = place.churn(3000, &["--set", "training.n_estimators=499"]).expect(4).json();
    assert_eq!(second["decision"]["verdict"], "rejected");
    assert_eq!(second["decision"]["judged_against"], 1);
    assert_eq!(second["metrics"]["champion"]["roc_auc"], second["metrics"]["candidate"]["roc_auc"]);
    assert_eq!(second["model"]["version"], 2);
    assert_eq!(second["model"]["aliases"].as_array().map(Vec::len), Some(0));
    let models = place.run(&["models", "--json"]).expect(0).json();
    assert_eq!(models[0]["aliases"][0][1], 1, "the champion stays");
}

// invariant: Artifacts depend neither on the number of workers nor on the process.
#[test]
fn artifacts_do_not_depend_on_workers_or_processes() {
    let (one, eight) = (Place::new(), Place::new());
    // Enough rows for many pieces, and few trees, since those take long.
    let compare = |name: &str, set: &[&str]| {
        let common = ["--register-name", name, "--set", "gates.policy=absolute", "--set", "gates.minimum.roc_auc=0.5"];
        let arguments =
            |workers| [&common[..], &["--set", "gates.minimum.accuracy=0.5", "--workers", workers], set].concat();
        let alone = one.churn(100_000, &arguments("1")).expect(0).json();
        let crowd = eight.churn(100_000, &arguments("8")).expect(0).json();
        let made = digests(&alone);
        assert!(made.iter().any(|(name, _)| name == "evaluation.predictions"), "{made:?}");
        assert_eq!(made, digests(&crowd));
    };
    compare("forest", &["--set", "training.component=train-forest", "--set", "training.n_estimators=16"]);
    compare("boosted", &["--set", "training.n_estimators=20"]);
    compare("logistic", &["--set", "training.component=train-logistic"]);
}

// invariant: Rebalancing the training rows leaves the test rows unchanged.
#[test]
fn smote_changes_training_rows_and_leaves_test_rows_alone() {
    let place = Place::new();
    let manifest = config("churn-smote.toml");
    let common = [
        "--json",
        "--set",
        "ingestion.component=ingest-synthetic",
        "--set",
        "ingestion.rows=3000",
        "--set",
        "training.n_estimators=20",
    ];
    let plain = place.churn(3000, &["--set", "split.validation=0.0"]).json();
    let smote = place.run(&[&["run", manifest.as_str()][..], &common[..]].concat()).json();
    let of = |run: &serde_json::Value, name: &str| {
        digests(run).into_iter().find(|(artifact, _)| artifact == name).map(|(_, digest)| digest)
    };
    assert_eq!(of(&plain, "transformation.test"), of(&smote, "transformation.test"));
    assert_ne!(of(&plain, "transformation.features-train"), of(&smote, "transformation.features-train"));
    let csv = place.path().join("train.csv");
    let csv = csv.display().to_string();
    place.run(&["artifacts", "export", "transformation.features-train", "--output", &csv]).expect(0);
    let text = std::fs::read_to_string(csv).expect("the export");
    let target =
        text.lines().next().expect("a header").split(',').position(|name| name == "Churn").expect("the target");
    let churned = text.lines().skip(1).filter(|line| line.split(',').nth(target) == Some("1")).count();
    assert_eq!(churned * 2, text.lines().count() - 1, "as many who left as who stayed");
}

// invariant: A failed gate leaves champion and aliases unchanged.
#[test]
fn a_failed_gate_leaves_the_champion_and_the_aliases_as_they_were() {
    let place = Place::new();
    place.churn(2000, &[]).expect(0);
    let before = place.run(&["models", "--json"]).expect(0).json();
    let production = place.home().join("production");
    let bytes_before = contents(&production);
    assert!(bytes_before.len() > 4, "{:?}", bytes_before.keys());
    let rejected = place.churn(2000, &["--seed", "7", "--set", "gates.minimum.roc_auc=0.999"]).expect(4).json();
    let failed = rejected["decision"]["reasons"]
        .as_array()
        .expect("reasons")
        .iter()
        .any(|reason| reason["gate"] == "minimum roc_auc" && reason["passed"] == false);
    assert!(failed, "{rejected}");
    let after = place.run(&["models", "--json"]).expect(0).json();
    assert_eq!(before[0]["aliases"], after[0]["aliases"]);
    assert_eq!(bytes_before, contents(&production), "the production location is byte-identical");
}

/// Returns every file below a folder by its path.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => drop(files.insert(path.clone(), std::fs::read(&path).expect("a file"))),
            }
        }
    }
    files
}

// invariant: Stages that are run one by one make the same artifacts as a whole run.
#[test]
fn stages_run_alone_make_what_the_whole_run_made() {
    let place = Place::new();
    let whole = place.churn(2000, &[]).expect(0).json();
    let expected = digests(&whole);
    let run = whole["run_id"].as_str().expect("a run").to_owned();
    let changes = ["--set", "ingestion.component=ingest-synthetic", "--set", "ingestion.rows=2000"];
    for stage in ["validation", "transformation", "training"] {
        let alone =
            place.run(&[&["stage", "run", stage, "--run", &run, "--json"][..], &changes[..]].concat()).expect(0).json();
        let made = digests(&alone);
        assert!(!made.is_empty());
        for artifact in made {
            assert!(expected.contains(&artifact), "{artifact:?} differs from the whole run's");
        }
    }
}

// invariant: A registered model alone predicts raw rows, with the same result from CSV and JSON.
#[test]
fn a_registered_model_predicts_raw_rows_alike_from_csv_and_json() {
    let place = Place::new();
    place.churn(2000, &[]).expect(0);
    let csv = place.path().join("customers.csv").display().to_string();
    place.run(&["artifacts", "export", "ingestion.table", "--output", &csv]).expect(0);
    let text = std::fs::read_to_string(&csv).expect("the export");
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let object = |row: &str| -> serde_json::Map<String, serde_json::Value> {
        let cells = head.iter().zip(row.split(',')).filter(|(name, _)| !["customerID", "Churn"].contains(name));
        let value = |cell: &str| match cell {
            "" => serde_json::Value::Null,
            cell => cell.parse::<f64>().map_or_else(|_| cell.into(), Into::into),
        };
        cells.map(|(name, cell)| ((*name).to_owned(), value(cell))).collect()
    };
    let objects: Vec<_> = lines.map(object).collect();
    assert_eq!(objects.len(), 2000);
    let json = place.write("all.json", serde_json::to_string(&objects).expect("JSON"));
    let from_csv = place.run(&["predict", "churn-classifier", "--json", "--input", &csv]).expect(0).json();
    let from_json = place
        .run(&["predict", "churn-classifier@champion", "--json", "--input", &json.display().to_string()])
        .expect(0)
        .json();
    assert_eq!(from_csv, from_json);
    let predictions = from_csv["predictions"].as_array().expect("predictions");
    let probability = |row: &serde_json::Value| row["probability"].as_f64().expect("a probability");
    assert_eq!(predictions.len(), objects.len());
    assert!(predictions.iter().all(|row| (0.0..=1.0).contains(&probability(row))));

    let mut lacking = objects[0].clone();
    lacking.remove("tenure");
    let lacking = place.write("lacking.json", serde_json::to_string(&lacking).expect("JSON"));
    let refused = place.run(&["predict", "churn-classifier", "--input", &lacking.display().to_string()]).expect(3);
    assert!(refused.stderr.contains("tenure"), "{}", refused.stderr);
}

// invariant: Prediction reads every source that training reads, and can keep the columns of its
// input. A closed pipe is not an error.
#[test]
fn rows_are_predicted_alike_from_every_source_and_keep_their_columns() {
    let place = Place::new();
    place.churn(2000, &[]).expect(0);
    let path = |name: &str| place.path().join(name).display().to_string();
    for name in ["rows.csv", "rows.parquet"] {
        place.run(&["artifacts", "export", "ingestion.table", "--output", &path(name)]).expect(0);
    }
    let text = std::fs::read_to_string(path("rows.csv")).expect("the export");
    // No cell of these customers contains a delimiter or a quote.
    place.write("rows.tsv", text.replace(',', "\t"));
    place.write("semicolons.txt", format!("\u{feff}{}", text.replace(',', ";")));
    let predict = |input: &str| {
        place
            .run(&["predict", "churn-classifier", "--keep", "customerID", "--keep", "Churn", "--input", input])
            .expect(0)
    };
    let expected = predict(&path("rows.csv")).stdout;
    let mut lines = expected.lines();
    assert_eq!(lines.next(), Some("customerID,Churn,label,probability"));
    let identifier = text.lines().nth(1).and_then(|row| row.split(',').next()).expect("a first row");
    assert!(lines.next().is_some_and(|line| line.starts_with(&format!("{identifier},"))), "{identifier}");
    assert_eq!(expected.lines().count(), text.lines().count());
    for input in [
        path("rows.parquet"),
        path("rows.tsv"),
        format!("parquet:{}", path("rows.parquet")),
        format!("csv:{}?delimiter=semicolon", path("semicolons.txt")),
        format!("{}?delimiter=;", path("semicolons.txt")),
    ] {
        assert_eq!(predict(&input).stdout, expected, "{input}");
    }
    let json =
        place.run(&["predict", "churn-classifier", "--json", "--keep", "customerID", "--input", &path("rows.tsv")]);
    assert_eq!(json.expect(0).json()["predictions"][0]["customerID"], identifier);
    let refused =
        place.run(&["predict", "churn-classifier", "--keep", "nobody", "--input", &path("rows.csv")]).expect(3);
    assert!(refused.stderr.contains("has no `nobody` to keep"), "{}", refused.stderr);

    // A pipe whose reader closes it after one line.
    let pipe = |tail: &str| {
        let command =
            format!("cat '{}' | {} predict churn-classifier --input - {tail}", path("rows.csv"), binary().display());
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &command]).env("STAGEWRIGHT_HOME", place.home());
        let cache = binary().with_file_name("test-cache");
        // A user's own key would not be that of the cache.
        shell.env("STAGEWRIGHT_HOST_KEY", cache.join("host.key")).env("STAGEWRIGHT_CACHE", cache);
        shell.output().expect("a shell")
    };
    let whole = pipe("--keep customerID --keep Churn");
    assert_eq!(String::from_utf8_lossy(&whole.stdout), expected);
    let cut = pipe("2>&1 | head -n 1");
    assert_eq!(String::from_utf8_lossy(&cut.stdout), "label,probability\n", "and no word about the pipe");
}

#[test]
fn what_predict_says_is_what_evaluation_measured() {
    let place = Place::new();
    place.churn(2000, &["--set", "training.component=train-logistic", "--set", "gates.minimum.accuracy=0.5"]).expect(0);
    let export = |artifact: &str, file: &str| {
        let path = place.path().join(file).display().to_string();
        place.run(&["artifacts", "export", artifact, "--output", &path]).expect(0);
        std::fs::read_to_string(&path).expect("the export")
    };
    let table = export("ingestion.table", "table.csv");
    let index = export("transformation.test-rows", "index.csv");
    let measured = export("evaluation.predictions", "predictions.csv");
    let rows: Vec<&str> = table.lines().collect();
    let test: String = std::iter::once(rows[0])
        .chain(index.lines().skip(1).map(|row| rows[1 + row.parse::<usize>().expect("a row number")]))
        .map(|line| format!("{line}\n"))
        .collect();
    let test = place.write("test.csv", test).display().to_string();
    let predicted = place.run(&["predict", "churn-classifier", "--input", &test, "--json"]).expect(0).json();
    let predicted: Vec<u64> = predicted["predictions"]
        .as_array()
        .expect("predictions")
        .iter()
        .map(|row| row["probability"].as_f64().expect("a probability").to_bits())
        .collect();
    let measured: Vec<u64> =
        measured.lines().skip(1).map(|row| row.parse::<f64>().expect("a number").to_bits()).collect();
    assert!(measured.len() > 300, "{}", measured.len());
    assert_eq!(predicted, measured);
}

#[test]
fn until_stops_after_a_stage_and_nothing_is_registered() {
    let place = Place::new();
    let run = place.churn(1000, &["--until", "transformation"]).expect(0).json();
    assert_eq!(run["stages"].as_array().map(Vec::len), Some(3));
    assert!(run["model"].is_null() && run["decision"].is_null());
    assert_eq!(place.run(&["models", "--json"]).expect(0).json().as_array().map(Vec::len), Some(0));
}

// invariant: An interrupted run leaves nothing behind, and the next run works.
#[test]
fn an_interrupted_run_leaves_nothing_behind_and_the_next_one_works() {
    let place = Place::new();
    place.churn(3000, &[]).expect(0);
    let before = place.artifacts();
    let mut known: Vec<String> = Vec::new();
    // SIGTERM; faults.rs sends SIGINT, which a shell that starts tests in the background may have
    // set to be ignored.
    for stage in ["ingestion", "transformation", "training"] {
        let manifest = config("churn.toml");
        let arguments = [
            "--verbose",
            "run",
            manifest.as_str(),
            "--set",
            "ingestion.component=ingest-synthetic",
            "--set",
            "ingestion.rows=100000",
            "--seed",
            "3",
        ];
        let mut child =
            place.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        // The stage has begun and still works.
        let began = format!("{stage}: ");
        assert!(lines.any(|line| line.expect("UTF-8").contains(&began)), "`{stage}` never began");
        let killed = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
        assert!(killed.success(), "the run was over before it could be interrupted");
        let rest: Vec<String> = lines.map(|line| line.expect("UTF-8")).collect();
        assert_eq!(child.wait().expect("it ends").code(), Some(130), "{rest:?}");
        // The output of committed stages stays, and the interrupted stage shows none.
        let run = place.run(&["runs", "show", "--json"]).expect(0).json();
        let stages = run["stages"].as_array().expect("stages");
        let outputs = |stage: &serde_json::Value| stage["outputs"].as_array().expect("outputs").clone();
        let interrupted = stages.last().expect("a stage");
        assert_eq!((&interrupted["name"], &interrupted["status"]), (&stage.into(), &"failed".into()), "{rest:?}");
        assert!(outputs(interrupted).is_empty());
        known.extend(stages.iter().flat_map(outputs).map(|it| it["digest"].as_str().expect("a digest").to_owned()));
    }
    let is_known = |name: &String| {
        let digest = name.split('.').next().expect("a name");
        before.contains(name) || known.iter().any(|known| known.ends_with(digest))
    };
    let unknown: Vec<String> = place.artifacts().into_iter().filter(|name| !is_known(name)).collect();
    assert!(unknown.is_empty(), "nobody recorded {unknown:?}");
    let statuses = place.run(&["runs", "--json"]).expect(0).json();
    let running = statuses.as_array().expect("runs").iter().filter(|run| run["status"] == "running").count();
    assert_eq!(running, 0);
    place.churn(3000, &["--register-name", "another"]).expect(0);
}

#[test]
fn parameters_that_nobody_set_are_recorded_and_found() {
    let place = Place::new();
    let logistic = ["--set", "training.component=train-logistic", "--set", "gates.minimum.accuracy=0.5"];
    place.churn(1500, &[&logistic[..], &["--set", "gates.minimum.roc_auc=0.5"]].concat()).expect(0);
    for (search, json) in [("runs", "--json"), ("models", "--json")] {
        let found = |filter: &str| {
            let found = place.run(&[search, "search", filter, json]).expect(0).json();
            found.as_array().map(Vec::len)
        };
        // The manifest does not mention an intercept.
        assert_eq!(found("params.`training.fit_intercept` = 'true'"), Some(1), "{search}");
        assert_eq!(found("params.`training.fit_intercept` = 'false'"), Some(0), "{search}");
    }
}
