//! `predict` in parallel, and under the limits of its model.

use std::path::PathBuf;

use stagewright_end_to_end::Place;

/// Trains a model under these settings, and writes a file with so many rows.
fn trained(set: &[&str], rows: usize) -> (Place, PathBuf) {
    let place = Place::new();
    place.churn(1500, set).expect(0);
    let csv = place.path().join("customers.csv").display().to_string();
    place.run(&["artifacts", "export", "ingestion.table", "--output", &csv]).expect(0);
    let text = std::fs::read_to_string(&csv).expect("the export");
    let (head, body) = text.split_once('\n').expect("a header");
    let lines: Vec<&str> = body.lines().cycle().take(rows).collect();
    let input = place.write("many.csv", format!("{head}\n{}\n", lines.join("\n")));
    (place, input)
}

#[test]
fn predictions_depend_neither_on_the_number_of_workers_nor_on_walls() {
    let (place, input) = trained(&[], 20_000);
    let input = input.display().to_string();
    let predict = |workers: &str| {
        let ended = place.run(&["predict", "churn-classifier", "--input", &input, "--workers", workers]).expect(0);
        ended.stdout
    };
    let one = predict("1");
    let lines: Vec<&str> = one.lines().collect();
    assert_eq!(lines.len(), 20_001);
    // The same rows repeatedly, at every position of every piece.
    assert_eq!(lines[1..1501], lines[1501..3001]);
    assert_eq!(lines[1..1501], lines[18_001..19_501]);
    for workers in ["2", "3", "8"] {
        assert!(predict(workers) == one, "{workers} workers predict something else");
    }
    let elsewhere = place.with_walls("sandbox-only");
    let predicted = elsewhere.run(&["predict", "churn-classifier", "--input", &input, "--workers", "2"]).expect(0);
    assert!(predicted.stdout == one, "in one process, something else is predicted");
}

#[test]
fn a_model_predicts_under_the_limits_that_it_was_trained_under() {
    // More than training takes, however slow the machine is, and less than so many rows take.
    let run = Place::new().churn(1500, &["--until", "transformation"]).expect(0).json();
    let used = run["stages"][2]["cpu_ms"].as_f64().expect("milliseconds");
    let limit = format!("{} ms", 20 + 3 * used as u64);
    let (place, input) = trained(&["--set", &format!("transformation.limits.cpu={limit}")], 1_000_000);
    let input = input.display().to_string();
    let common = ["predict", "churn-classifier", "--json", "--input", input.as_str()];
    let predict = |more: &[&str]| place.run(&[&common[..], more].concat());
    let stopped = predict(&[]).expect(6);
    assert!(stopped.stderr.contains(&format!("its limit of {limit} cpu")), "{}", stopped.stderr);
    let hint = stopped.stderr.lines().find(|line| line.contains("hint:")).expect("a hint");
    // The hint's option works.
    let option = hint.split_once("pass ").map(|(_, option)| option.trim_end_matches("...")).expect("an option");
    let (flag, setting) = option.split_once(' ').expect("a flag and its value");
    predict(&[flag, &format!("{setting}10min")]).expect(0);
    // A limit may also be lowered, and must be a valid limit.
    let stopped = predict(&["--set", "training.limits.memory=1 MiB"]).expect(6);
    assert!(stopped.stderr.contains("--set training.limits.memory=..."), "{}", stopped.stderr);
    let refused = predict(&["--set", "training.limits.memry=1 MiB"]).expect(2);
    assert!(refused.stderr.contains("did you mean `memory`?"), "{}", refused.stderr);
}

#[test]
fn the_operators_ceilings_bind_a_prediction() {
    let (place, input) = trained(&[], 10);
    let operator = place.write("operator.toml", "[ceilings.training]\nmemory = \"1 MiB\"\n");
    let input = input.display().to_string();
    let predict = |more: &[&str]| {
        let mut command = place.command(&[&["predict", "churn-classifier", "--input", &input][..], more].concat());
        stagewright_end_to_end::Ended::of({
            command.env("STAGEWRIGHT_OPERATOR", &operator);
            command
        })
    };
    let stopped = predict(&[]).expect(6);
    assert!(stopped.stderr.contains("limit of 1024.0 KiB memory"), "{}", stopped.stderr);
    let refused = predict(&["--set", "training.limits.memory=64 MiB"]).expect(2);
    assert!(refused.stderr.contains("above the operator's ceiling"), "{}", refused.stderr);
}
