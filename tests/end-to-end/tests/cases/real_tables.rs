//! Small inputs that once failed, kept beside the real tables. Each folder has a script and a
//! sentence that says what is right.

use std::path::{Path, PathBuf};
use std::process::Command;

use stagewright_end_to_end::{Ended, Place, binary, data};

/// Checks the output of a case's script.
type Check = fn(&str);

/// The folder's name without its number, with its check.
const CHECKS: [(&str, Check); 15] = [
    ("split_by_whole_row", split_by_whole_row),
    ("champion_reads_columns_by_position", columns_by_position),
    ("a_feature_is_added", a_feature_is_added),
    ("more_than_128_features", a_model),
    ("range_of_a_text_column", range_of_a_text_column),
    ("champion_saw_the_test_rows", champion_saw_the_test_rows),
    ("parquet_int96_9999", parquet_int96),
    // Two of its three tables hold the same rows and make the same model.
    ("csv_options_in_the_uri", |printed| each_ran(printed, 2)),
    ("weights_of_train_logistic", weights),
    ("init_two_dates", |printed| each_ran(printed, 1)),
    ("init_labels", init_labels),
    ("aws_key_with_a_newline", aws_key),
    ("group_is_null", group_is_null),
    ("hints_that_do_not_work", hints),
    ("limits_of_validation", |printed| each_ran(printed, 1)),
];

#[test]
#[ignore = "needs STAGEWRIGHT_TEST_DATA"]
fn every_case_gives_what_it_expects() {
    let folder = data().parent().expect("a folder above the tables").join("cases");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("cases lie beside the real tables")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("run.sh").is_file())
        .collect();
    cases.sort();
    let mut checked = 0;
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case.file_name().expect("a name").to_string_lossy().into_owned();
        let printed = run(case);
        let check = CHECKS.iter().find(|(known, _)| name.split_once('_').is_some_and(|(_, rest)| rest == *known));
        let found = std::panic::catch_unwind(|| {
            assert!(!printed.contains("panicked"), "the program panicked");
            if let Some((_, check)) = check {
                check(&printed);
            }
        });
        checked += usize::from(check.is_some());
        if let Err(reason) = found {
            let reason = reason.downcast_ref::<String>().cloned().unwrap_or_else(|| "a check failed".to_owned());
            let expected = std::fs::read_to_string(case.join("EXPECTED")).unwrap_or_default();
            wrong.push(format!("{name}: {reason}\nexpected: {expected}printed:\n{printed}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 0, "no case in {} has a check", folder.display());
}

/// Runs a case's script in a copy of its folder with a fresh home.
fn run(case: &Path) -> String {
    let place = Place::new();
    for file in std::fs::read_dir(case).expect("a folder").flatten() {
        let bytes = std::fs::read(file.path()).expect("a file");
        place.write(&file.file_name().to_string_lossy(), bytes);
    }
    let mut command = Command::new("bash");
    command.arg("run.sh").current_dir(place.path());
    // The environment is that of the other tests. Another HOME would mean another host key for the
    // shared cache.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("BIN", binary()).env("STAGEWRIGHT_HOME", place.home());
    command.env("STAGEWRIGHT_CACHE", binary().with_file_name("test-cache"));
    let Ended { stdout, stderr, .. } = Ended::of(command);
    stdout + &stderr
}

fn numbers(line: &str) -> Vec<f64> {
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn split_by_whole_row(printed: &str) {
    let figures: Vec<f64> = printed.lines().map(|line| line.parse().expect("a figure")).collect();
    assert_eq!(figures.len(), 5);
    assert!(figures.iter().all(|auc| (0.77..=0.84).contains(auc)), "{figures:?}");
}

fn columns_by_position(printed: &str) {
    let lines: Vec<Vec<f64>> = printed.lines().map(numbers).collect();
    let [host, component] = &lines[..] else { panic!("two lines") };
    for (host, component) in host.iter().zip(component) {
        assert!((host - component).abs() < 1e-9, "{host} and {component}");
    }
    assert!(host.len() >= 2);
}

fn a_feature_is_added(printed: &str) {
    let words = printed.lines().filter(|line| line.starts_with("approved") || line.starts_with("rejected")).count();
    assert!(words == 2 && !printed.contains("error"), "{words} verdicts");
}

fn a_model(printed: &str) {
    assert!(printed.contains("approved") && !printed.contains("error"), "no model");
}

fn range_of_a_text_column(printed: &str) {
    assert!(!printed.contains("approved"), "the data passed");
    assert!(printed.contains("error"), "nothing was said");
}

fn champion_saw_the_test_rows(printed: &str) {
    let figures: Vec<f64> = printed
        .lines()
        .filter(|line| line.contains("roc_auc") && line.contains('│'))
        .flat_map(|line| line.split(['│', '┆']).filter_map(|cell| cell.trim().parse::<f64>().ok()).collect::<Vec<_>>())
        .collect();
    // No model is measured on rows that it learnt from, which would give a higher figure.
    assert!(figures.len() >= 2 && figures.iter().all(|auc| *auc < 0.9), "{figures:?}");
}

fn parquet_int96(printed: &str) {
    let value = printed.contains("9999-12-31T02:00:00Z");
    let fault = printed.contains("error") && printed.contains("row") && printed.contains("9999");
    assert!(value || fault, "another value");
}

/// Asserts that nothing failed and how many models were approved. A run whose model equals the
/// champion reports neither.
fn each_ran(printed: &str, models: usize) {
    let approved = printed.lines().filter(|line| line.starts_with("approved")).count();
    let refused = printed.contains("error") || printed.contains("rejected");
    assert!(approved == models && !refused, "{approved} of {models} models were approved");
}

fn weights(printed: &str) {
    let parts: Vec<(&str, String)> = ["negative", "zero", "nan", "inf", "oneclass", "huge"]
        .iter()
        .map(|name| {
            let after = printed.split_once(&format!("{name}:\n")).expect("a heading").1;
            let part: Vec<&str> =
                after.lines().take_while(|line| !line.ends_with(".csv:") && !is_heading(line)).collect();
            (*name, part.join("\n"))
        })
        .collect();
    for (name, part) in &parts {
        let refused = part.contains("error") && part.contains("weight") && !part.contains("approved");
        assert!(refused || *name == "huge" && part.contains("approved"), "{name}: {part}");
    }
}

fn is_heading(line: &str) -> bool {
    line.ends_with(':') && !line.contains(' ')
}

fn init_labels(printed: &str) {
    assert!(!printed.contains("error"), "a manifest does not run");
    let ended = printed.lines().filter(|line| line.starts_with("approved") || line.starts_with("rejected")).count();
    assert_eq!(ended, 7, "verdicts");
}

fn aws_key(printed: &str) {
    assert!(printed.contains("AWS_ACCESS_KEY_ID") && printed.contains("line break"), "the key is not named");
    assert!(printed.contains("AWS_REGION"), "the region is not named");
}

fn group_is_null(printed: &str) {
    let counts: Vec<u32> = printed.lines().filter_map(|line| line.parse().ok()).collect();
    assert_eq!(counts.len(), 6);
    // About a fifth of 600 rows, some of which stay together.
    let rows = counts.iter().all(|count| (80..=165).contains(count));
    assert!(rows, "{counts:?}");
}

fn hints(printed: &str) {
    assert!(!printed.contains("--set training.task") && !printed.contains("evaluation.task"), "a hint that is none");
    assert!(!printed.contains("plan: ok"), "a plan that cannot be run");
    assert!(printed.contains("UTF-16"), "the encoding is not named");
    // Both files are read, so that the second manifest would replace the first.
    assert!(printed.contains("gzip") || printed.contains("exists already"), "the compression is not named");
}
