//! `predict` on long inputs: pieces, files of every format, and what a fault or an interrupt
//! leaves.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Float64Type;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use stagewright_end_to_end::{Ended, Place};

/// More rows than a piece has.
const ROWS: usize = 20_000;

/// The rows of a piece.
const PIECE: usize = 8_192;

/// Trains a model on generated customers, and returns their table as lines of CSV.
fn trained() -> (Place, Vec<String>) {
    let place = Place::new();
    place.churn(1500, &[]).expect(0);
    let csv = place.path().join("customers.csv").display().to_string();
    place.run(&["artifacts", "export", "ingestion.table", "--output", &csv]).expect(0);
    let text = std::fs::read_to_string(&csv).expect("the export");
    (place, text.lines().map(str::to_owned).collect())
}

/// Writes a table with so many rows: the same ones again and again.
fn repeated(place: &Place, lines: &[String], name: &str, rows: usize) -> String {
    let body: Vec<&str> = lines[1..].iter().map(String::as_str).cycle().take(rows).collect();
    place.write(name, format!("{}\n{}\n", lines[0], body.join("\n"))).display().to_string()
}

fn predict(place: &Place, arguments: &[&str]) -> Ended {
    place.run(&[&["predict", "churn-classifier"], arguments].concat())
}

/// Returns the names of the files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

// invariant: A model gives a row the same bits in evaluation and in prediction, however its input
// is divided and however many instances predict.
#[test]
fn predictions_are_those_of_the_evaluation_in_pieces_of_any_size_and_with_any_workers() {
    let (place, lines) = trained();
    let export = |artifact: &str| {
        let path = place.path().join("exported.csv").display().to_string();
        place.run(&["artifacts", "export", artifact, "--output", &path]).expect(0);
        let text = std::fs::read_to_string(&path).expect("the export");
        text.lines().skip(1).map(str::to_owned).collect::<Vec<String>>()
    };
    let measured = export("evaluation.predictions");
    let test: Vec<usize> = export("transformation.test-rows").iter().map(|row| row.parse().expect("a row")).collect();
    assert!(measured.len() == test.len() && test.len() > 200, "{}", test.len());
    let test: Vec<String> = test.into_iter().map(|row| lines[1 + row].clone()).collect();
    let expected: Vec<u64> = measured.iter().map(|it| it.parse::<f64>().expect("a number").to_bits()).collect();
    // A long text beside each row: a piece has fewer rows.
    for note in [0, 3_000, 100_000] {
        let rows = if note == 100_000 { 1_000 } else { ROWS };
        let head = format!("{},note", lines[0]);
        let row = |number: usize| format!("{},{}", test[number % test.len()], "x".repeat(note));
        let body: Vec<String> = (0..rows).map(row).collect();
        let input = place.write("noted.csv", format!("{head}\n{}\n", body.join("\n"))).display().to_string();
        for workers in ["1", "2", "3", "7"] {
            let output = place.path().join("noted.parquet").display().to_string();
            let keep = ["--keep", "note", "--input", &input, "--workers", workers];
            predict(&place, &[&keep[..], &["--output", &output]].concat()).expect(0);
            // The file is an input as well: the model reads nothing of it, so its columns are kept.
            let found = probabilities(&output);
            assert_eq!(found.len(), rows);
            for (row, bits) in found.into_iter().enumerate() {
                assert_eq!(bits, expected[row % expected.len()], "row {row}, {workers} workers, {note} bytes");
            }
        }
    }
}

/// Reads a Parquet file.
fn parquet(path: &str) -> Vec<RecordBatch> {
    let file = std::fs::File::open(path).expect("a file");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build()).expect("Parquet");
    reader.map(|batch| batch.expect("rows")).collect()
}

/// Returns the bits of the probabilities in a Parquet file.
fn probabilities(path: &str) -> Vec<u64> {
    let numbers = |batch: RecordBatch| {
        let column = batch.column_by_name("probability").expect("its column");
        column.as_primitive::<Float64Type>().values().to_vec()
    };
    parquet(path).into_iter().flat_map(numbers).map(f64::to_bits).collect()
}

#[test]
fn a_file_of_every_format_holds_what_standard_output_says() {
    let (place, lines) = trained();
    let csv = repeated(&place, &lines, "rows.csv", ROWS);
    let keep = ["--keep", "customerID", "--keep", "tenure", "--keep", "TotalCharges"];
    let said = predict(&place, &[&["--input", &csv][..], &keep].concat()).expect(0).stdout;
    let output = |name: &str| place.path().join(name).display().to_string();
    for name in ["out.csv", "out.jsonl", "out.parquet"] {
        let ended = predict(&place, &[&["--input", &csv, "--output", &output(name)][..], &keep].concat()).expect(0);
        assert_eq!(ended.stdout, "");
        assert!(ended.stderr.contains(&format!("wrote {}: {ROWS} rows", output(name))), "{}", ended.stderr);
    }
    assert!(std::fs::read_to_string(output("out.csv")).expect("a file") == said);

    let text = std::fs::read_to_string(output("out.jsonl")).expect("a file");
    let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    let as_csv = |row: &Value| {
        let cell = |name: &str| row[name].as_str().map_or_else(|| row[name].to_string(), str::to_owned);
        ["customerID", "tenure", "TotalCharges", "label", "probability"].map(cell).join(",")
    };
    assert!(said.lines().skip(1).eq(objects.iter().map(as_csv)), "{}", text.lines().next().expect("a line"));

    // Features are typed by the signature, other columns as the source has them: CSV has texts.
    let batches = parquet(&output("out.parquet"));
    let types: Vec<String> =
        batches[0].schema().fields().iter().map(|it| format!("{} {}", it.name(), it.data_type())).collect();
    let expected = ["customerID Utf8", "tenure Int64", "TotalCharges Float64"];
    assert_eq!(types[..3], expected);
    assert_eq!(types[3..], ["label Dictionary(Int32, Utf8)", "probability Float64"]);
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), ROWS);
    let bits: Vec<u64> = objects.iter().map(|row| row["probability"].as_f64().expect("a number").to_bits()).collect();
    assert_eq!(probabilities(&output("out.parquet")), bits);

    // The document of `--json` says where the rows are.
    let described = predict(&place, &["--input", &csv, "--json", "--output", &output("out.jsonl")]).expect(0).json();
    assert_eq!((&described["rows"], &described["output"]), (&ROWS.into(), &output("out.jsonl").into()));
    assert_eq!(described["model"], "churn-classifier");
    let refused = predict(&place, &["--input", &csv, "--output", &output("out.xlsx")]).expect(2);
    assert!(refused.stderr.contains("predictions are written as .csv, .jsonl or .parquet"), "{}", refused.stderr);
}

// invariant: A prediction that fails leaves no file. Its message names the row of the input.
#[test]
fn a_fault_in_a_late_row_names_it_and_leaves_no_file() {
    let (place, lines) = trained();
    let input = PathBuf::from(repeated(&place, &lines, "rows.csv", ROWS));
    let mut rows: Vec<String> = std::fs::read_to_string(&input).expect("a file").lines().map(str::to_owned).collect();
    let tenure = lines[0].split(',').position(|name| name == "tenure").expect("a column");
    let mut cells: Vec<&str> = rows[15_001].split(',').collect();
    cells[tenure] = "long";
    rows[15_001] = cells.join(",");
    let input = place.write("rows.csv", rows.join("\n")).display().to_string();
    let message = "column `tenure`, data row 15001 (line 15002): `long` is not an int64";
    let before = names(place.path());
    for name in ["out.csv", "out.jsonl", "out.parquet"] {
        let output = place.path().join(name).display().to_string();
        let failed = predict(&place, &["--input", &input, "--output", &output]).expect(3);
        assert!(failed.stderr.contains(message), "{}", failed.stderr);
        assert_eq!(names(place.path()), before, "{name}");
    }
    // Standard output has the pieces before it, whatever the workers; a document is whole or
    // absent.
    for workers in ["1", "3"] {
        let failed = predict(&place, &["--input", &input, "--workers", workers]).expect(3);
        assert!(failed.stderr.contains(message), "{}", failed.stderr);
        assert_eq!(failed.stdout.lines().count(), 1 + PIECE);
    }
    assert_eq!(predict(&place, &["--input", &input, "--json"]).expect(3).stdout, "");
}

/// Starts a prediction of what is written to its standard input.
fn started(place: &Place, arguments: &[&str]) -> Child {
    let mut command = place.command(&[&["predict", "churn-classifier", "--input", "-"], arguments].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the binary starts")
}

/// Writes a line of CSV as a row in some format.
type RowText<'a> = dyn Fn(&String) -> String + 'a;

#[test]
fn rows_of_a_pipe_are_predicted_before_it_ends() {
    let (place, lines) = trained();
    let json = |line: &String| object(&lines, line, "");
    let csv = |line: &String| line.clone();
    let forms: [(&str, &RowText<'_>); 2] = [("csv", &csv), ("json", &json)];
    for (form, row) in forms {
        let mut running = started(&place, &["--keep", "customerID"]);
        let mut input = running.stdin.take().expect("a pipe");
        let mut output = std::io::BufReader::new(running.stdout.take().expect("a pipe"));
        if form == "csv" {
            writeln!(input, "{}", lines[0]).expect("it reads");
        }
        let rows: Vec<String> = lines[1..].iter().map(row).collect();
        let mut write = |count: usize| {
            let body: Vec<&str> = rows.iter().map(String::as_str).cycle().take(count).collect();
            writeln!(input, "{}", body.join("\n")).and_then(|()| input.flush()).expect("it reads");
        };
        // One more row than a piece has. The pipe stays open.
        write(PIECE + 1);
        let mut line = String::new();
        for number in 0..=PIECE {
            line.clear();
            std::io::BufRead::read_line(&mut output, &mut line).expect("a line");
            let id = lines[1 + number.saturating_sub(1) % (lines.len() - 1)].split(',').next().expect("a cell");
            assert!(line.starts_with(if number == 0 { "customerID,label" } else { id }), "{form}, {number}: {line}");
        }
        drop(input);
        let rest = std::io::read_to_string(output).expect("text");
        assert_eq!(rest.lines().count(), 1, "{form}");
        assert!(running.wait().expect("it ends").success());
    }
}

/// Returns a line of CSV as a JSON object, with more members.
fn object(lines: &[String], line: &str, more: &str) -> String {
    let cells = lines[0].split(',').zip(line.split(','));
    let object: serde_json::Map<String, Value> = cells.map(|(name, cell)| (name.to_owned(), cell.into())).collect();
    Value::Object(object).to_string().replacen('{', &format!("{{{more}"), 1)
}

#[test]
fn kept_numbers_of_json_keep_their_digits_and_their_type() {
    let (place, lines) = trained();
    let numbers = ["10.50", "1e3", "null", "7"];
    let row = |(line, number): (&String, &&str)| object(&lines, line, &format!("\"note\": {number}, "));
    let rows: Vec<String> = lines[1..].iter().zip(&numbers).map(row).collect();
    let input = place.write("rows.jsonl", rows.join("\n")).display().to_string();
    let output = |name: &str| place.path().join(name).display().to_string();
    for name in ["out.jsonl", "out.csv", "out.parquet"] {
        predict(&place, &["--input", &input, "--keep", "note", "--output", &output(name)]).expect(0);
    }
    let text = std::fs::read_to_string(output("out.jsonl")).expect("a file");
    let begins = numbers.map(|number| format!("{{\"note\":{number},\"label\":"));
    assert!(text.lines().zip(&begins).all(|(line, begin)| line.starts_with(begin)), "{text}");
    let text = std::fs::read_to_string(output("out.csv")).expect("a file");
    let cells: Vec<&str> = text.lines().skip(1).map(|line| line.split(',').next().expect("a cell")).collect();
    assert_eq!(cells, ["10.50", "1e3", "", "7"]);
    let batches = parquet(&output("out.parquet"));
    let floats: Vec<Option<f64>> = batches[0].column(0).as_primitive::<Float64Type>().iter().collect();
    assert_eq!(floats, [Some(10.5), Some(1000.0), None, Some(7.0)]);
    let document = predict(&place, &["--input", &input, "--keep", "note", "--json"]).expect(0);
    assert!(document.stdout.contains("\"note\": 10.50,") && document.json()["predictions"][1]["note"] == 1000.0);
}

// A pipe that never pauses may have no rows at all.
#[test]
fn a_prediction_of_a_pipe_that_never_pauses_is_interrupted() {
    let (place, lines) = trained();
    let before = names(place.path());
    let header = format!("{}\n", lines[0]);
    for (first, endless) in [("", "[]".repeat(4096)), (header.as_str(), "\n".repeat(4096))] {
        let output = place.path().join("out.csv").display().to_string();
        let mut running = started(&place, &["--output", &output]);
        let mut input = running.stdin.take().expect("a pipe");
        let first = first.to_owned();
        let writer = std::thread::spawn(move || {
            let begun = input.write_all(first.as_bytes());
            begun.and_then(|()| {
                loop {
                    input.write_all(endless.as_bytes())?;
                }
            })
        });
        while names(place.path()).len() == before.len() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let id = rustix::process::Pid::from_child(&running);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it runs");
        let ended = running.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(130), "{told}");
        let written: std::io::Result<()> = writer.join().expect("it writes");
        assert_eq!(written.expect_err("nobody reads").kind(), std::io::ErrorKind::BrokenPipe);
        assert_eq!(names(place.path()), before);
    }
}

// invariant: An interrupted prediction leaves no file.
#[test]
fn an_interrupted_prediction_leaves_no_file() {
    let (place, lines) = trained();
    let before = names(place.path());
    for (name, silent) in [("out.csv", false), ("out.parquet", true)] {
        let output = place.path().join(name).display().to_string();
        let mut running = started(&place, &["--output", &output]);
        let mut input = running.stdin.take().expect("a pipe");
        let rows = if silent { String::new() } else { format!("{}\n", lines[1..].join("\n")).repeat(20) };
        write!(input, "{}\n{rows}", lines[0]).and_then(|()| input.flush()).expect("it reads");
        // The file is being written, or its rows are waited for.
        while names(place.path()).len() == before.len() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let id = rustix::process::Pid::from_child(&running);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("it runs");
        let ended = running.wait_with_output().expect("it ends");
        let told = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(130), "{told}");
        assert!(told.contains("error[SW0405]"), "{told}");
        assert_eq!(names(place.path()), before);
        drop(input);
    }
}
