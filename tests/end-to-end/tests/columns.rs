//! Columns as real data has them: many, wide, weighted, dated, reordered. Batches are split where
//! they are too large, and wrong columns are refused before training.

use std::fmt::Write as _;

use serde_json::Value;
use stagewright_end_to_end::{Ended, Place};

/// Returns a manifest that reads `t.csv` with these fields. The target is `y`.
fn manifest(fields: &str, training: &str, more: &str) -> String {
    let mut text = format!(
        "pipeline = \"p\"\nexperiment = \"p\"\nmodel = \"m\"\nseed = 1\n[task]\nkind = \"binary\"\ntarget = \"y\"\n\
         positive = 1\n[sources.data]\nuri = \"csv:t.csv\"\n[signature]\nextra-columns = \"ignore\"\n[signature.fields]\n\
         {fields}y = \"int64\"\n[split]\ntest = 0.25\n[stages.ingestion]\ncomponent = \"ingest-table\"\nsource = \"data\"\n"
    );
    let others = [
        ("validation", "validate-table"),
        ("transformation", "transform-table"),
        ("training", training),
        ("evaluation", "evaluate-classifier"),
        ("promotion", "promote-gated"),
    ];
    for (stage, component) in others {
        let _ = writeln!(text, "[stages.{stage}]\ncomponent = \"{component}\"");
    }
    text + "[gates]\n" + more
}

/// Returns a pseudo-random number that is the same everywhere.
fn noise(row: usize, column: usize) -> usize {
    let mixed = (row as u64 * 31 + column as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ mixed >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 33) as usize
}

/// Returns rows of `columns` text columns with `categories` values each. The first column carries
/// information about `y`.
fn texts(rows: usize, columns: usize, categories: usize) -> String {
    let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
    let mut text = format!("{},y\n", names.join(","));
    for row in 0..rows {
        for column in 0..columns {
            let _ = write!(text, "v{},", noise(row, column) % categories);
        }
        let likely = noise(row, 0) % categories < categories / 2;
        let _ = writeln!(text, "{}", usize::from(noise(row, 99) % 10 < if likely { 7 } else { 3 }));
    }
    text
}

fn fields(columns: usize) -> String {
    (0..columns).map(|column| format!("c{column} = \"utf8\"\n")).collect()
}

#[track_caller]
fn says(ended: &Ended, words: &[&str]) {
    for word in words {
        assert!(ended.stderr.contains(word), "`{word}` is not in: {}", ended.stderr);
    }
}

/// Returns the candidate's metric from `run --json`.
fn auc(run: &Value) -> f64 {
    run["metrics"]["candidate"]["roc_auc"].as_f64().unwrap_or_else(|| panic!("no metric in {run}"))
}

// invariant: A table of any number of features passes the sandbox boundary. The host sizes batches
// by their result, and results do not depend on batch sizes.
#[test]
fn more_features_than_a_batch_has_room_for_pass_through_every_stage_and_prediction() {
    let place = Place::new();
    place.write("t.csv", texts(12_000, 5, 30));
    let smote = "[components.transform-table.parameters]\nsmote = { k_neighbors = 3 }\n\
        [components.train-boosted.parameters]\nn_estimators = 20\n";
    let path = place.write("m.toml", manifest(&fields(5), "train-boosted", smote)).display().to_string();
    let run = place.run(&["run", &path, "--json"]).expect(0).json();
    assert!(auc(&run) > 0.6, "{run}");
    let first = place.run(&["predict", "m", "--input", "t.csv", "--json"]).expect(0).json();
    let first = first["predictions"].as_array().expect("predictions");
    assert_eq!(first.len(), 12_000);
    // A few rows alone need no second crossing and give the same bits.
    let lines: Vec<String> = texts(12_000, 5, 30).lines().map(str::to_owned).collect();
    place.write("few.csv", format!("{}\n{}\n", lines[0], lines[8_100..8_120].join("\n")));
    let few = place.run(&["predict", "m", "--input", "few.csv", "--json"]).expect(0).json();
    assert_eq!(few["predictions"].as_array().expect("predictions")[..], first[8_099..8_119]);
}

// invariant: as `more_features_than_a_batch_has_room_for_pass_through_every_stage_and_prediction`
#[test]
fn one_hot_encoding_of_ten_thousand_categories_passes_in_bounded_memory() {
    let place = Place::new();
    place.write("t.csv", texts(6_000, 3, 5_000));
    let more = "[components.transform-table.parameters]\ncategorical = { max_categories = 10000 }\n\
        [components.train-boosted.parameters]\nn_estimators = 2\n";
    let path = place.write("m.toml", manifest(&fields(3), "train-boosted", more)).display().to_string();
    let run = place.run(&["run", &path, "--json"]).expect(0).json();
    let transformation = &run["stages"][2];
    assert_eq!(transformation["name"], "transformation");
    // Three columns with 2,700 to 2,900 categories each in the training rows; 4,500 rows of them
    // are 250 MB.
    assert!(transformation["bytes_out"].as_u64().expect("bytes") > 200 << 20, "{transformation}");
    assert!(transformation["peak_memory_bytes"].as_u64().expect("bytes") < 64 << 20, "{transformation}");
}

// invariant: as `more_features_than_a_batch_has_room_for_pass_through_every_stage_and_prediction`
#[test]
fn a_row_that_is_larger_than_a_batch_is_a_fault_of_the_data_that_names_column_and_row() {
    let place = Place::new();
    let mut text = "note,x,y\n".to_owned();
    for row in 0..60 {
        let note = if row == 41 { "n".repeat(9 << 20) } else { "short".to_owned() };
        let _ = writeln!(text, "{note},{},{}", noise(row, 0) % 100, row % 2);
    }
    place.write("t.csv", text);
    let fields = "note = \"utf8\"\nx = \"float64\"\n";
    let path = place.write("m.toml", manifest(fields, "train-boosted", "")).display().to_string();
    let ended = place.run(&["run", &path]).expect(3);
    says(&ended, &["the text has 9437184 bytes", "column `note`", "data row 42"]);
    assert!(!ended.stderr.contains("bug"), "{}", ended.stderr);
}

/// Returns rows of `a`, `b` and a weight.
fn weighted(weight: impl Fn(usize) -> String) -> String {
    let mut text = "a,b,w,y\n".to_owned();
    for row in 0..300 {
        let (a, b) = (noise(row, 0) % 100, noise(row, 1) % 100);
        let _ = writeln!(text, "{a},{b},{},{}", weight(row), usize::from(a + noise(row, 2) % 60 > 80));
    }
    text
}

// invariant: The host refuses negative, infinite, NaN and excessive weights, and a class without
// weight, before training.
#[test]
fn wrong_weights_are_refused_alike_before_any_trainer_sees_them() {
    let place = Place::new();
    let fields = "a = \"float64\"\nb = \"int64\"\nw = { type = \"float64\", role = \"weight\" }\n";
    let at = |wrong: &'static str| weighted(move |row| if row == 217 { wrong.into() } else { "1.5".into() });
    let target = |row: usize| noise(row, 0) % 100 + noise(row, 2) % 60 > 80;
    let cases: [(String, &[&str]); 8] = [
        (at("-1"), &["must be finite and at least 0", "column `w`", "value `-1"]),
        (at("nan"), &["must be finite and at least 0", "column `w`", "value `NaN`"]),
        (at("inf"), &["must be finite and at least 0", "column `w`", "value `inf`"]),
        (at("1e308"), &["more than 1e15", "column `w`", "value `1e308`"]),
        (weighted(|_| "1e308".into()), &["more than 1e15", "column `w`"]),
        (weighted(|_| "0".into()), &["no training row has a weight above 0"]),
        (
            weighted(move |row| if target(row) { "0".into() } else { "1".into() }),
            &["of class `1` has a weight above 0:"],
        ),
        (
            weighted(move |row| if target(row) { "2".into() } else { "1e-300".into() }),
            &["of class `0` has a weight above 0 (below 1e-15 counts as 0)"],
        ),
    ];
    for training in ["train-logistic", "train-forest", "train-boosted"] {
        let path = place.write("m.toml", manifest(fields, training, "")).display().to_string();
        for (text, words) in &cases {
            place.write("t.csv", text);
            let ended = place.run(&["run", &path]).expect(3);
            says(&ended, words);
            assert!(!ended.stderr.contains(training), "nothing was trained: {}", ended.stderr);
        }
        place.write("t.csv", weighted(|row| format!("{}", 1 + row % 3)));
        assert!(auc(&place.run(&["run", &path, "--json", "--register-name", training]).expect(0).json()) > 0.7);
    }
}

// invariant: A champion's columns are found by name, both by the host and by the evaluation stage.
#[test]
fn a_champion_finds_its_columns_by_name_whatever_their_order_and_number() {
    let place = Place::new();
    let mut text = "a,b,extra,y\n".to_owned();
    for row in 0..600 {
        let (a, b) = (noise(row, 0) % 100, noise(row, 1) % 100);
        let _ = writeln!(text, "{a},{b},{},{}", noise(row, 3) % 9, usize::from(2 * a + noise(row, 2) % 120 > b + 100));
    }
    place.write("t.csv", text);
    let run = |fields: &str, seed: &str, codes: &[i32]| -> Ended {
        let path = place.write("m.toml", manifest(fields, "train-logistic", "")).display().to_string();
        let ended = place.run(&["run", &path, "--set", seed]);
        assert!(codes.contains(&ended.code), "{}", ended.stderr);
        ended
    };
    run("a = \"float64\"\nb = \"float64\"\n", "training.c=1.0", &[0]);
    let evaluation = || -> Value {
        let text = place.run(&["artifacts", "export", "evaluation.evaluation", "--output", "-"]).expect(0);
        text.json()
    };
    for fields in [
        "b = \"float64\"\na = \"float64\"\n",
        "extra = \"float64\"\nb = \"float64\"\na = \"float64\"\n",
        "b = \"float64\"\nextra = \"utf8\"\na = \"float64\"\n",
    ] {
        run(fields, "training.c=0.5", &[0, 4]);
        let report = evaluation();
        let (host, component) = (&report["champion"]["metrics"], &report["reported"]["metrics"]);
        let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("no number in {report}"));
        assert!((number(&host["brier"]) - number(&component["champion_brier"])).abs() < 1e-12, "{fields}");
        let difference = number(&report["candidate"]["metrics"]["roc_auc"]) - number(&host["roc_auc"]);
        assert!((difference - number(&component["auc_difference"])).abs() < 1e-12, "{fields}");
    }
    // A champion that lacks a column follows `champion-unreadable`.
    let path = place.write("m.toml", manifest("a = \"float64\"\n", "train-logistic", "")).display().to_string();
    says(
        &place.run(&["run", &path]).expect(3),
        &["cannot read today's table", "`b` is missing", "champion-unreadable"],
    );
}

// invariant: Categories that training did not see are counted by column. The counts do not depend
// on the number of workers.
#[test]
fn what_training_never_saw_is_counted_by_column_and_refused_if_the_manifest_says_so() {
    let place = Place::new();
    let fields = "c0 = \"utf8\"\nc1 = \"categorical\"\n";
    place.write("t.csv", texts(3_000, 2, 4));
    let path = place.write("m.toml", manifest(fields, "train-logistic", "")).display().to_string();
    place.run(&["run", &path]).expect(0);
    let mut rows = "c0,c1\n".to_owned();
    for row in 0..20_000 {
        let known = row % 4 != 1;
        let _ = writeln!(rows, "{},v{}", if known { "v1" } else { "never" }, row % 3);
    }
    place.write("rows.csv", rows);
    for workers in ["1", "4"] {
        let ended = place.run(&["predict", "m", "--input", "rows.csv", "--json", "--workers", workers]).expect(0);
        assert_eq!(ended.json()["unseen"], serde_json::json!({ "c0": 5_000, "c1": 0 }));
    }
    let ended = place.run(&["predict", "m", "--input", "rows.csv"]).expect(0);
    says(&ended, &["column `c0`: 5000 of 20000 rows have a category that training never saw"]);
    assert!(!ended.stderr.contains("`c1`"), "{}", ended.stderr);

    let strict = "[components.transform-table.parameters]\ncategorical = { unseen = \"error\" }\n";
    let path = place.write("strict.toml", manifest(fields, "train-logistic", strict)).display().to_string();
    place.run(&["run", &path, "--register-name", "strict"]).expect(0);
    let ended = place.run(&["predict", "strict", "--input", "rows.csv"]).expect(3);
    says(&ended, &["the training rows had no such category", "column `c0`", "value `never`"]);
}

#[test]
fn dates_become_features_by_their_parts() {
    let place = Place::new();
    let mut text = "joined,x,y\n".to_owned();
    for row in 0..800 {
        let month = 1 + noise(row, 0) % 12;
        let _ = writeln!(
            text,
            "2024-{month:02}-{:02},{},{}",
            1 + noise(row, 1) % 28,
            noise(row, 2) % 50,
            usize::from(noise(row, 3) % 10 < if month > 6 { 8 } else { 2 })
        );
    }
    place.write("t.csv", text);
    let fields = "joined = \"timestamp\"\nx = \"float64\"\n";
    let path = place.write("m.toml", manifest(fields, "train-boosted", "")).display().to_string();
    let run = place.run(&["run", &path, "--json"]).expect(0).json();
    assert!(auc(&run) > 0.7, "{run}");
    let importance = place.run(&["artifacts", "export", "training.importance", "--output", "-"]).expect(0).stdout;
    assert!(importance.contains("joined.month"), "{importance}");
    let without = place.run(&["run", &path, "--set", "transformation.timestamp.parts=[]", "--register-name", "no"]);
    says(&without, &["column `joined` makes no feature"]);
}

// invariant: as `a_check_that_the_columns_type_leaves_nothing_to_look_at_fails`
#[test]
fn a_check_that_cannot_look_at_its_column_is_refused_before_anything_runs_or_fails() {
    let place = Place::new();
    place.write("t.csv", texts(200, 1, 3));
    let check = "[components.validate-table.parameters]\nranges = { c0 = { min = 0.0 } }\n";
    let path = place.write("m.toml", manifest("c0 = \"utf8\"\n", "train-boosted", check)).display().to_string();
    for command in ["plan", "run"] {
        says(&place.run(&[command, &path]).expect(2), &["m.toml:", "`ranges` cannot be checked in column `c0`"]);
    }
    let inferred = manifest("", "train-boosted", check).replace("[signature.fields]\ny = \"int64\"\n", "");
    let path = place.write("inferred.toml", inferred).display().to_string();
    says(&place.run(&["run", &path]).expect(3), &["range of `c0`", "not checkable: the column is of type"]);
}

#[test]
fn limits_of_rows_and_nulls_pass_what_meets_them() {
    let place = Place::new();
    place.write("t.csv", texts(300, 1, 3));
    let path = place.write("m.toml", manifest("c0 = \"utf8\"\n", "train-boosted", "")).display().to_string();
    for (setting, code) in [
        ("validation.max_null_ratio=0", 0),
        ("validation.min_rows=300", 0),
        ("validation.more_than_rows=299", 0),
        ("validation.null_ratio_below=0.01", 0),
        ("validation.min_rows=301", 3),
        ("validation.more_than_rows=300", 3),
    ] {
        let ended = place.run(&["run", &path, "--until", "transformation", "--set", setting]);
        assert_eq!(ended.code, code, "{setting}: {}", ended.stderr);
    }
}
