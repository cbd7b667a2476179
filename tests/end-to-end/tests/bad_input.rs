//! Bad input ends with a clear error that names the fix, and leaves the store unchanged.

use stagewright_end_to_end::{Ended, Place, config};

const MANIFEST: &str = r#"
pipeline = "small"
experiment = "small"
model = "small"
seed = 1
[task]
kind = "binary"
target = "y"
positive = "1"
[sources.rows]
uri = "csv:rows.csv"
[signature]
null-values = [""]
[signature.fields]
a = { type = "float64", nullable = true }
b = { type = "utf8", nullable = true }
y = "int64"
[split]
method = "stratified"
test = 0.3
validation = 0.0
[stages.ingestion]
component = "ingest-table"
source = "rows"
[stages.validation]
component = "validate-table"
[stages.transformation]
component = "transform-table"
[stages.training]
component = "train-logistic"
[stages.evaluation]
component = "evaluate-classifier"
[stages.promotion]
component = "promote-gated"
[gates]
primary = "roc_auc"
margin = 0.0
"#;

fn rows(count: usize) -> String {
    let row = |i: usize| {
        format!("{},{},{}\n", (i * 7919 % 101) as f64 / 10.0, ["x", "y", "z"][i % 3], usize::from(i * 31 % 7 < 3))
    };
    format!("a,b,y\n{}", (0..count).map(row).collect::<String>())
}

/// Runs the pipeline on a file. Asserts the exit code, the words of the message, and that no
/// artifact and no model was made; then that a good table works.
#[track_caller]
fn refused(contents: &[u8], code: i32, words: &[&str]) {
    let place = Place::new();
    place.write("rows.csv", contents);
    let manifest = place.write("small.toml", MANIFEST).display().to_string();
    let ended = place.run(&["run", &manifest]).expect(code);
    says(&ended, words);
    assert_eq!(place.artifacts(), Vec::<String>::new(), "nothing is visible");
    assert_eq!(place.run(&["models", "--json"]).expect(0).json().as_array().map(Vec::len), Some(0));
    place.write("rows.csv", rows(400));
    place.run(&["run", &manifest]).expect(0);
}

#[track_caller]
fn says(ended: &Ended, words: &[&str]) {
    for word in words {
        assert!(ended.stderr.contains(word), "`{word}` is not in:\n{}", ended.stderr);
    }
}

#[test]
fn a_missing_file() {
    let place = Place::new();
    let manifest = place.write("small.toml", MANIFEST).display().to_string();
    says(&place.run(&["run", &manifest]).expect(3), &["rows.csv"]);
}

#[test]
fn an_empty_file() {
    refused(b"", 3, &["empty"]);
}

#[test]
fn a_header_without_rows() {
    refused(b"a,b,y\n", 3, &["empty"]);
}

#[test]
fn a_missing_column() {
    refused(b"a,y\n1,1\n2,0\n", 3, &["`b`"]);
}

#[test]
fn a_wrong_type_in_a_row() {
    refused(b"a,b,y\n1,x,1\nzero,y,0\n3,z,1\n", 3, &["column `a`", "data row 2", "zero"]);
}

#[test]
fn a_truncated_line() {
    let text = rows(100);
    refused(&text.as_bytes()[..text.len() - 4], 3, &["line 101"]);
}

#[test]
fn duplicate_column_names() {
    refused(b"a,a,y\n1,2,1\n", 3, &["`a`"]);
}

#[test]
fn bytes_that_are_no_text() {
    refused(b"a,b,y\n1,\xff\xfe,1\n", 3, &["UTF-8"]);
}

#[test]
fn one_class_only() {
    let place = Place::new();
    place.write("rows.csv", rows(100).replace(",0\n", ",1\n"));
    let manifest = place.write("small.toml", MANIFEST).display().to_string();
    says(&place.run(&["run", &manifest]).expect(3), &["`y`"]);
    assert_eq!(place.run(&["models", "--json"]).expect(0).json().as_array().map(Vec::len), Some(0));
}

// invariant: No stage learns from data that failed a check.
#[test]
fn a_column_of_nulls_fails_validation_and_nothing_is_trained() {
    let place = Place::new();
    let text: String = rows(100)
        .lines()
        .enumerate()
        .map(
            |(i, line)| {
                if i == 0 { format!("{line}\n") } else { format!(",{}\n", line.split_once(',').expect("a comma").1) }
            },
        )
        .collect();
    place.write("rows.csv", text);
    let manifest = place.write("small.toml", MANIFEST).display().to_string();
    let ended = place.run(&["run", &manifest, "--json"]).expect(3).json();
    assert_eq!(ended["stages"].as_array().map(Vec::len), Some(2));
    assert!(
        ended["error"]["message"]
            .as_str()
            .is_some_and(|message| message.contains("null_ratio") && message.contains("`a`")),
        "{ended}"
    );
}

#[test]
fn an_unreadable_database_and_a_table_that_is_not_there() {
    let place = Place::new();
    let manifest = place.write("small.toml", MANIFEST).display().to_string();
    place.write("broken.db", vec![b'x'; 5000]);
    says(&place.run(&["run", &manifest, "--source", "rows=sqlite:broken.db#customers"]).expect(3), &["broken.db"]);
    rusqlite::Connection::open(place.path().join("empty.db"))
        .and_then(|it| it.execute_batch("CREATE TABLE other (a)"))
        .expect("a database");
    says(&place.run(&["run", &manifest, "--source", "rows=sqlite:empty.db#customers"]).expect(3), &["customers"]);
}

#[test]
fn ten_thousand_columns_pass() {
    let place = Place::new();
    let head: Vec<String> = (0..10_000).map(|column| format!("f{column}")).chain(["y".into()]).collect();
    let row = |i: usize| {
        (0..10_000)
            .map(|column| ((i * 31 + column * 17) % 97).to_string())
            .chain([(i % 2).to_string()])
            .collect::<Vec<_>>()
            .join(",")
    };
    let text: String = [head.join(",")].into_iter().chain((0..60).map(row)).map(|line| line + "\n").collect();
    place.write("wide.csv", text);
    place.run(&["init", "--source", "csv:wide.csv", "--target", "y", "--output", "wide.toml"]).expect(0);
    place.run(&["run", "wide.toml", "--until", "transformation"]).expect(0);
}

#[test]
fn a_manifest_with_many_faults_tells_all_of_them_with_their_lines() {
    let place = Place::new();
    let broken = MANIFEST
        .replace("seed = 1", "sead = 1")
        .replace("test = 0.3", "test = 3")
        .replace("train-logistic", "train-logistik");
    let manifest = place.write("small.toml", broken).display().to_string();
    let ended = place.run(&["run", &manifest]).expect(2);
    says(&ended, &["small.toml:5", "sead", "small.toml:20", "hint:"]);
    let unknown = place.write("small.toml", MANIFEST.replace("train-logistic", "train-logistik")).display().to_string();
    says(&place.run(&["run", &unknown]).expect(2), &["train-logistik", "train-logistic"]);
    let wrong = place
        .write("small.toml", format!("{MANIFEST}[components.train-logistic.parameters]\nc = \"much\"\nq = 1\n"))
        .display()
        .to_string();
    let last = MANIFEST.lines().count();
    let (first, second) = (format!("small.toml:{}", last + 2), format!("small.toml:{}", last + 3));
    says(&place.run(&["run", &wrong]).expect(2), &[&first, &second]);
    assert_eq!(place.artifacts(), Vec::<String>::new());
}

// invariant: Stages in the wrong order or world are refused.
#[test]
fn stages_in_another_order_or_world_are_refused() {
    let place = Place::new();
    let swapped = MANIFEST.replace("component = \"train-logistic\"", "component = \"validate-table\"");
    let manifest = place.write("small.toml", swapped).display().to_string();
    says(&place.run(&["run", &manifest]).expect(2), &["validate-table", "training"]);
    let text = std::fs::read_to_string(config("churn.toml")).expect("the manifest");
    let reordered = text
        .replace("[stages.validation]", "[stages.x]")
        .replace("[stages.transformation]", "[stages.validation]")
        .replace("[stages.x]", "[stages.transformation]");
    let manifest = place.write("order.toml", reordered).display().to_string();
    says(
        &place.run(&["plan", &manifest]).expect(2),
        &["ingestion, validation, transformation, training, evaluation, promotion"],
    );
}
