//! The version of the host's own work is part of every key. A change that makes the host give other
//! results for the same inputs must raise it, or earlier results would be reused.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, StringArray};
use stagewright_data::{
    DataError, InferenceOptions, Interrupt, Source, SplitMethod, SplitPlan, Strictness, Task, hash_rows, infer, open,
    row_key_columns,
};
use stagewright_evaluation::metrics::{MetricSet, binary, multi_class, regression};
use stagewright_lifecycle::invocation::HOST_SEMANTICS;
use stagewright_manifest::World;
use stagewright_store::{Digest, Home, Table, export_parquet};

use crate::test_bed::{RunSpec, TestBed};

/// Cells of every type, including those that are hard to parse.
const CSV: &str = "\
name,whole,part,flag,moment,word,outcome
\"a, b\",1,0.1,true,2026-01-31T23:59:59Z,red,yes
\"said \"\"no\"\"\",-9223372036854775808,1e308,false,1970-01-01T00:00:00.000001Z,green,no
,9223372036854775807,5e-324,true,2026-01-31T23:59:59.5+02:00,red,yes
\"two
lines\",0,-0.0,,1969-12-31T23:59:59Z,blue,no
héllo,,3.141592653589793,false,,green,yes
x,7,,true,2000-02-29T00:00:00Z,,no
";

/// The digests of everything that the host makes, by name.
#[derive(Default)]
struct Golden(String);

impl Golden {
    fn add(&mut self, name: &str, digest: Digest) {
        writeln!(self.0, "{name} {}", digest.to_hex()).expect("a text takes all");
    }

    fn add_text(&mut self, name: &str, text: &str) {
        self.add(name, Digest::of(text.as_bytes()));
    }
}

fn decoded(home: &Home, address: &str) -> Table {
    let source = Source::new(address.parse().expect("an address"));
    let null_values = vec![String::new()];
    let options =
        InferenceOptions { null_values, sample_rows: None, target: Some("outcome".to_owned()), find_dialect: false };
    let never = Interrupt::never();
    let signature = infer(&source, &options, &never).expect("a signature").signature;
    let mut cursor = open(&source, &signature, Strictness::Ingest, &never).expect("a source");
    let staging = home.artifacts.stage();
    let mut writer = staging.create_table(cursor.schema()).expect("a table");
    while let Some(rows) = cursor.next(4).expect("rows that fit") {
        writer.write(&rows).expect("rows of the schema");
    }
    let table = writer.finish().expect("a table");
    staging.publish_only(&[table.digest()]).expect("a place");
    home.artifacts.open_table(&table.digest()).expect("what was published")
}

fn decoding(golden: &mut Golden, home: &Home, folder: &Path) {
    let csv = folder.join("rows.csv");
    let more: String = (0..60_u32)
        .map(|row| {
            format!(
                "row {row},{row},{}.5,true,2026-01-01T00:00:00Z,red,{}\n",
                row % 7,
                if row % 3 == 0 { "yes" } else { "no" }
            )
        })
        .collect();
    std::fs::write(&csv, format!("{CSV}{more}")).expect("a file");
    let table = decoded(home, &format!("csv:{}", csv.display()));
    golden.add("decode.csv", table.digest());
    let parquet = folder.join("rows.parquet");
    export_parquet(&table, &parquet).expect("a file");
    golden.add("decode.parquet", decoded(home, &format!("parquet:{}", parquet.display())).digest());
    let file = folder.join("rows.db");
    let database = rusqlite::Connection::open(&file).expect("a database");
    let rows = "CREATE TABLE rows (name TEXT, whole INTEGER, part REAL, outcome TEXT);
        INSERT INTO rows VALUES ('a', 1, 0.1, 'yes'), (NULL, -9223372036854775808, 5e-324, 'no'), ('b', NULL, NULL, 'yes')";
    database.execute_batch(rows).expect("sql");
    golden.add("decode.sqlite", decoded(home, &format!("sqlite:{}#rows", file.display())).digest());
    let batches = || table.batches(None).map(|batch| Ok::<_, DataError>(batch.expect("rows")));
    for (name, method) in [("hash", SplitMethod::Hash), ("stratified", SplitMethod::Stratified)] {
        let plan = SplitPlan { method, test: 0.3, validation: 0.3, seed: 11 };
        let split = plan.split(table.schema(), batches()).expect("a split");
        golden.add_text(&format!("split.{name}"), &format!("{:?}", split.partitions()));
    }
    let hashes = hash_rows(table.schema(), batches(), &[7; 32]).expect("hashes");
    golden.add_text("row-hashes", &format!("{:?} {hashes:?}", row_key_columns(table.schema())));
}

fn encoding(golden: &mut Golden) {
    let texts = |values: &[&str]| -> ArrayRef { Arc::new(StringArray::from_iter_values(values)) };
    let classes = Task::MultiClass { classes: ["a", "b", "c"].map(str::to_owned).to_vec() };
    let two = Task::Binary { negative: "a".to_owned(), positive: "b".to_owned() };
    let number: ArrayRef = Arc::new(Float64Array::from(vec![0.5, -1e300]));
    for (name, task, values) in [
        ("multi-class", classes, texts(&["c", "a", "b"])),
        ("binary", two, texts(&["b", "a"])),
        ("regression", Task::Regression, number),
    ] {
        let encoded = task.encode("outcome", &values, 0).expect("values of the task");
        golden.add_text(&format!("encode.{name}"), &format!("{encoded:?}"));
    }
}

fn measuring(golden: &mut Golden) {
    let text = |set: MetricSet| serde_json::to_string(&set).expect("figures");
    let scores = [0.1, 0.4, 0.35, 0.8, 0.8, 0.61];
    let two = binary(&[0, 0, 1, 1, 0, 1], &scores, 0.5).expect("figures").named();
    golden.add_text("metrics.binary", &text(two));
    let shares = [0.7, 0.2, 0.1, 0.3, 0.3, 0.4, 0.1, 0.8, 0.1, 0.2, 0.5, 0.3];
    let classes = multi_class(&[0, 2, 1, 2], &shares, 3).expect("figures").named();
    golden.add_text("metrics.multi-class", &text(classes));
    let numbers = regression(&[1.0, 2.5, -3.0, 4.0], &[1.5, 2.0, -2.0, 5.0]).expect("figures").named();
    golden.add_text("metrics.regression", &text(numbers));
}

/// Adds everything that a run with fake stages makes: the split, the encoded target, features,
/// metrics, findings, reports and the decision; once without a champion, and once beside one.
fn running(golden: &mut Golden) {
    for (name, split) in [("stratified", "split.method=stratified"), ("hash", "split.method=hash")] {
        let bed = TestBed::new();
        bed.run_ok(RunSpec::whole().column("y").set(split));
        let ended = bed.run_ok(RunSpec::whole().set(split));
        assert_eq!(ended.stages.len(), World::required().count());
        for (artifact, digest) in ended.made() {
            golden.add(&format!("run.{name}.{artifact}"), digest);
        }
    }
}

// invariant: The host's own outputs change only together with the version number of its work.
#[test]
fn outputs_of_the_host_change_with_its_version_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::open(folder.path().join("home")).expect("a home");
    let mut golden = Golden::default();
    decoding(&mut golden, &home, folder.path());
    encoding(&mut golden);
    measuring(&mut golden);
    running(&mut golden);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/flow/semantics/{HOST_SEMANTICS}.txt"));
    let recorded = std::fs::read_to_string(&file).unwrap_or_default();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
    let changed: Vec<_> = lines(&golden.0).symmetric_difference(&lines(&recorded)).cloned().collect();
    assert!(
        changed.is_empty(),
        "the host makes something else of the same inputs than it did. Is that meant? Then raise HOST_SEMANTICS in invocation.rs, and write \
         tests/flow/semantics/{}.txt beside the file of before:\n{}\nwhat changed:\n{}",
        HOST_SEMANTICS + 1,
        golden.0,
        changed.join("\n"),
    );
}
