//! The lifecycle on generated customers.

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

    // The very same candidate does not exceed the champion: the margin is strict.
    let second = place.churn(3000, &[]).expect(4).json();
    assert_eq!(second["decision"]["verdict"], "rejected");
    assert_eq!(second["metrics"]["champion"]["roc_auc"], second["metrics"]["candidate"]["roc_auc"]);
    assert_eq!(second["model"]["version"], 2);
    assert_eq!(second["model"]["aliases"].as_array().map(Vec::len), Some(0));
    let models = place.run(&["models", "--json"]).expect(0).json();
    assert_eq!(models[0]["aliases"][0][1], 1, "the champion stays");
}

#[test]
fn artifacts_do_not_depend_on_workers_or_processes() {
    let (one, eight) = (Place::new(), Place::new());
    let alone = one.churn(12_000, &["--workers", "1", "--set", "training.component=train-forest"]).expect(0).json();
    let crowd = eight.churn(12_000, &["--workers", "8", "--set", "training.component=train-forest"]).expect(0).json();
    assert_eq!(digests(&alone), digests(&crowd));
    let boosted = one.churn(12_000, &["--workers", "1", "--register-name", "b"]).json();
    let again = eight.churn(12_000, &["--workers", "8", "--register-name", "b"]).json();
    assert_eq!(digests(&boosted), digests(&again));
}

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

#[test]
fn a_failed_gate_leaves_the_champion_and_the_aliases_as_they_were() {
    let place = Place::new();
    place.churn(2000, &[]).expect(0);
    let before = place.run(&["models", "--json"]).expect(0).json();
    let rejected = place.churn(2000, &["--seed", "7", "--set", "gates.minimum.roc_auc=0.999"]).expect(4).json();
    let failed = rejected["decision"]["reasons"]
        .as_array()
        .expect("reasons")
        .iter()
        .any(|reason| reason["gate"] == "minimum roc_auc" && reason["passed"] == false);
    assert!(failed, "{rejected}");
    let after = place.run(&["models", "--json"]).expect(0).json();
    assert_eq!(before[0]["aliases"], after[0]["aliases"]);
}

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

#[test]
fn a_registered_model_predicts_raw_rows_alike_from_csv_and_json() {
    let place = Place::new();
    place.churn(2000, &[]).expect(0);
    let csv = place.path().join("customers.csv").display().to_string();
    place.run(&["artifacts", "export", "ingestion.table", "--output", &csv]).expect(0);
    let text = std::fs::read_to_string(&csv).expect("the export");
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let row: Vec<&str> = lines.next().expect("a row").split(',').collect();
    let object: serde_json::Map<String, serde_json::Value> = head
        .iter()
        .zip(&row)
        .filter(|(name, _)| !["customerID", "Churn"].contains(name))
        .map(|(name, value)| ((*name).to_owned(), value.parse::<f64>().map_or_else(|_| (*value).into(), Into::into)))
        .collect();
    let one = place.write("one.csv", format!("{}\n{}\n", head.join(","), row.join(",")));
    let json = place.write("one.json", serde_json::to_string(&object).expect("JSON"));
    let from_csv =
        place.run(&["predict", "churn-classifier", "--json", "--input", &one.display().to_string()]).expect(0).json();
    let from_json = place
        .run(&["predict", "churn-classifier@champion", "--json", "--input", &json.display().to_string()])
        .expect(0)
        .json();
    assert_eq!(from_csv, from_json);
    let probability = from_csv["predictions"][0]["probability"].as_f64().expect("a probability");
    assert!((0.0..=1.0).contains(&probability));

    let mut lacking = object;
    lacking.remove("tenure");
    let lacking = place.write("lacking.json", serde_json::to_string(&lacking).expect("JSON"));
    let refused = place.run(&["predict", "churn-classifier", "--input", &lacking.display().to_string()]).expect(3);
    assert!(refused.stderr.contains("tenure"), "{}", refused.stderr);
}

#[test]
fn rows_are_predicted_alike_from_every_source_and_keep_their_columns() {
    let place = Place::new();
    place.churn(2000, &[]).expect(0);
    let path = |name: &str| place.path().join(name).display().to_string();
    for name in ["rows.csv", "rows.parquet"] {
        place.run(&["artifacts", "export", "ingestion.table", "--output", &path(name)]).expect(0);
    }
    let text = std::fs::read_to_string(path("rows.csv")).expect("the export");
    // No cell of these customers holds a delimiter or a quote.
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

    // A pipe, and a reader of the result that has seen enough after a line.
    let pipe = |tail: &str| {
        let command =
            format!("cat '{}' | {} predict churn-classifier --input - {tail}", path("rows.csv"), binary().display());
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &command]).env("STAGEWRIGHT_HOME", place.home());
        shell.env("STAGEWRIGHT_CACHE", binary().with_file_name("test-cache")).output().expect("a shell")
    };
    let whole = pipe("--keep customerID --keep Churn");
    assert_eq!(String::from_utf8_lossy(&whole.stdout), expected);
    let cut = pipe("2>&1 | head -n 1");
    assert_eq!(String::from_utf8_lossy(&cut.stdout), "label,probability\n", "and no word about the pipe");
}

#[test]
fn until_stops_after_a_stage_and_nothing_is_registered() {
    let place = Place::new();
    let run = place.churn(1000, &["--until", "transformation"]).expect(0).json();
    assert_eq!(run["stages"].as_array().map(Vec::len), Some(3));
    assert!(run["model"].is_null() && run["decision"].is_null());
    assert_eq!(place.run(&["models", "--json"]).expect(0).json().as_array().map(Vec::len), Some(0));
}

#[test]
fn an_interrupted_run_leaves_nothing_behind_and_the_next_one_works() {
    let place = Place::new();
    place.churn(3000, &[]).expect(0);
    let before = place.artifacts();
    // Not SIGINT, which faults.rs sends: whoever starts tests in the background may ignore it, and so would the program until its handler stands.
    for delay in [20, 150, 400] {
        let manifest = config("churn.toml");
        let arguments = [
            "run",
            manifest.as_str(),
            "--set",
            "ingestion.component=ingest-synthetic",
            "--set",
            "ingestion.rows=400000",
            "--seed",
            "3",
        ];
        let child = place
            .command(&arguments)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("it starts");
        std::thread::sleep(std::time::Duration::from_millis(delay));
        let killed =
            std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
        assert!(killed.success(), "the run was over before it could be interrupted");
        let ended = child.wait_with_output().expect("it ends");
        // Before the handler stands, the signal itself ends the process.
        assert!(matches!(ended.status.code(), Some(130) | None), "{ended:?}");
    }
    assert_eq!(place.artifacts(), before, "the interrupted runs show nothing");
    let statuses = place.run(&["runs", "--json"]).expect(0).json();
    let running = statuses.as_array().expect("runs").iter().filter(|run| run["status"] == "running").count();
    assert_eq!(running, 0);
    place.churn(3000, &["--register-name", "another"]).expect(0);
}
