//! Which test rows are chosen, and in which order, as seen from outside.

use std::collections::BTreeMap;

use stagewright_end_to_end::{Place, digests};

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
[signature.fields]
a = "int64"
b = { type = "utf8", nullable = true }
y = "int64"
[split]
test = 0.3
validation = 0.2
seed = 5
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
[components.validate-table.parameters]
max_null_ratio = 0.9
[gates]
primary = "roc_auc"
"#;

/// Returns rows of `a`, `b`, `y` with many equal ones, sorted by `y`.
fn rows(count: usize) -> Vec<String> {
    let mut rows: Vec<[String; 3]> = (0..count)
        .map(|i| {
            let colour = ["red", "blue", ""][i * 7919 % 3];
            [(i * 31 % 5).to_string(), colour.to_owned(), usize::from(i * 17 % 11 < 4).to_string()]
        })
        .collect();
    rows.sort_by(|one, other| one[2].cmp(&other[2]));
    rows.iter().map(|row| row.join(",")).collect()
}

/// Runs only the split of these rows. Returns digests by artifact.
fn split(place: &Place, header: &str, rows: &[String], more: &[&str]) -> BTreeMap<String, String> {
    place.write("rows.csv", format!("{header}\n{}\n", rows.join("\n")));
    let manifest = place.write("small.toml", MANIFEST).display().to_string();
    let run = place.run(&[&["run", &manifest, "--json", "--until", "transformation"], more].concat());
    digests(&run.expect(0).json()).into_iter().collect()
}

/// Returns the test rows of the last run in the order of the artifact.
fn test_rows(place: &Place) -> Vec<String> {
    let file = place.path().join("test.csv");
    std::fs::remove_file(&file).ok();
    place.run(&["artifacts", "export", "transformation.test", "--output", &file.display().to_string()]).expect(0);
    let text = std::fs::read_to_string(&file).expect("the export");
    text.lines().skip(1).map(str::to_owned).collect()
}

fn counts(rows: &[String]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(row.as_str()).or_default() += 1);
    counts
}

// invariant: as `membership_survives_growth_and_reordering`
#[test]
fn another_seed_of_the_run_and_another_order_of_rows_leave_the_split_alone() {
    let place = Place::new();
    let table = rows(600);
    let first = split(&place, "a,b,y", &table, &[]);
    let tested = test_rows(&place);
    assert!(tested.len().abs_diff(180) < 57, "{}: five standard deviations from 0.3", tested.len());

    let seeded = split(&place, "a,b,y", &table, &["--seed", "2"]);
    for artifact in ["transformation.split", "transformation.train", "transformation.validation", "transformation.test"]
    {
        assert_eq!(first[artifact], seeded[artifact], "{artifact}");
    }

    // Reversed rows and reversed columns: another table, but the same test rows in the same order.
    let backwards: Vec<String> =
        table.iter().rev().map(|row| row.split(',').rev().collect::<Vec<_>>().join(",")).collect();
    let moved = split(&place, "y,b,a", &backwards, &[]);
    assert_ne!(first["ingestion.table"], moved["ingestion.table"]);
    assert_eq!(first["transformation.test"], moved["transformation.test"]);

    let grown = [rows(150), table.clone()].concat();
    split(&place, "a,b,y", &grown, &[]);
    let later = test_rows(&place);
    let (before, after) = (counts(&tested), counts(&later));
    assert!(
        before.iter().all(|(row, count)| after.get(row).is_some_and(|after| after >= count)),
        "{before:?} {after:?}"
    );
    assert!(later.len() > tested.len());

    let other = split(&place, "a,b,y", &table, &["--set", "split.seed=6"]);
    assert_ne!(first["transformation.split"], other["transformation.split"]);
}

// invariant: as `the_order_of_test_rows_says_nothing_about_the_target_or_their_place`
#[test]
fn a_source_that_is_sorted_by_its_target_gives_test_rows_that_are_not() {
    let place = Place::new();
    split(&place, "a,b,y", &rows(1000), &[]);
    let targets: Vec<bool> = test_rows(&place).iter().map(|row| row.ends_with(",1")).collect();
    let (mut negatives, mut pairs) = (0, 0);
    for positive in &targets {
        if *positive {
            pairs += negatives;
        } else {
            negatives += 1;
        }
    }
    // The AUC of a model that predicts a row's position has a standard deviation of 0.035 around
    // 0.5.
    let auc = f64::from(pairs) / f64::from(negatives) / (targets.len() as f64 - f64::from(negatives));
    assert!((auc - 0.5).abs() < 0.175, "{auc}");
}
