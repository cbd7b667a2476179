//! One table in every format of files, compressed and in folders: runs on them learn the same
//! model.

use std::fs;
use std::io::Write as _;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_ipc::writer::FileWriter;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use serde_json::{Map, Value};
use stagewright_end_to_end::{Ended, Place, config, data, digests};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).expect("memory")
}

fn zstd(text: &str) -> Vec<u8> {
    zstd::encode_all(text.as_bytes(), 1).expect("memory")
}

/// A table of texts.
struct Rows {
    header: String,
    lines: Vec<String>,
}

impl Rows {
    /// The Telco table, in which no cell is quoted.
    fn telco() -> Self {
        let text = fs::read_to_string(data().join("telco_churn.csv")).expect("the Telco table");
        let mut lines = text.lines().map(str::to_owned);
        Self { header: lines.next().expect("a header"), lines: lines.collect() }
    }

    fn csv(&self, lines: &[String]) -> String {
        format!("{}\n{}\n", self.header, lines.join("\n"))
    }

    /// Objects whose numbers are numbers and whose blanks are left out.
    fn json_lines(&self, lines: &[String]) -> String {
        let object = |line: &String| {
            let mut object = Map::new();
            for (name, cell) in self.header.split(',').zip(line.split(',')) {
                let is_number = matches!(name, "SeniorCitizen" | "tenure" | "MonthlyCharges" | "TotalCharges");
                match cell.parse::<serde_json::Number>() {
                    _ if cell.trim().is_empty() => continue,
                    Ok(number) if is_number => object.insert(name.to_owned(), Value::Number(number)),
                    _ => object.insert(name.to_owned(), cell.into()),
                };
            }
            Value::Object(object).to_string() + "\n"
        };
        lines.iter().map(object).collect()
    }

    fn batch(&self, lines: &[String]) -> RecordBatch {
        let column = |(place, name): (usize, &str)| {
            let cells: StringArray = lines.iter().map(|line| line.split(',').nth(place)).collect();
            (name.to_owned(), Arc::new(cells) as ArrayRef)
        };
        RecordBatch::try_from_iter(self.header.split(',').enumerate().map(column)).expect("columns")
    }

    fn parquet(&self, lines: &[String]) -> Vec<u8> {
        let (batch, mut bytes) = (self.batch(lines), Vec::new());
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).expect("a writer");
        writer.write(&batch).and_then(|()| writer.close().map(drop)).expect("memory");
        bytes
    }

    fn arrow(&self, lines: &[String]) -> Vec<u8> {
        let batch = self.batch(lines);
        let mut writer = FileWriter::try_new(Vec::new(), &batch.schema()).expect("a writer");
        writer.write(&batch).and_then(|()| writer.finish()).expect("memory");
        writer.into_inner().expect("bytes")
    }
}

fn run(place: &Place, source: &str) -> Ended {
    let (manifest, source) = (config("churn.toml"), format!("customers={source}"));
    place.run(&["run", &manifest, "--json", "--source", &source, "--set", "training.component=train-logistic"])
}

// invariant: A table gives the same model, bit for bit, from every format of files, compressed or
// not, and from a folder of files as from one.
#[test]
fn a_table_gives_the_same_model_from_every_format_and_from_folders() {
    let (place, rows) = (Place::new(), Rows::telco());
    let (all, half) = (&rows.lines[..], rows.lines.len() / 2);
    let (first, second) = all.split_at(half);
    for folder in ["csv", "parquet", "jsonl"] {
        fs::create_dir(place.path().join(folder)).expect("a folder");
    }
    place.write("t.csv", rows.csv(all));
    place.write("t.csv.gz", gzip(&rows.csv(all)));
    place.write("t.jsonl", rows.json_lines(all));
    place.write("t.jsonl.zst", zstd(&rows.json_lines(all)));
    place.write("t.arrow", rows.arrow(all));
    place.write("csv/a.csv", rows.csv(first));
    place.write("csv/b.csv.zst", zstd(&rows.csv(second)));
    place.write("csv/_SUCCESS", "");
    fs::create_dir(place.path().join("mixed")).expect("a folder");
    place.write("mixed/a.csv", rows.csv(first));
    place.write("mixed/b.tsv.gz", gzip(&rows.csv(second).replace(',', "\t")));
    place.write("parquet/part-0.parquet", rows.parquet(first));
    place.write("parquet/part-1.parquet", rows.parquet(second));
    place.write("jsonl/a.jsonl", rows.json_lines(first));
    place.write("jsonl/b.jsonl.gz", gzip(&rows.json_lines(second)));
    let made = |source: &str| {
        let made = digests(&run(&place, source).expect(0).json());
        made.into_iter()
            .filter(|(name, _)| name.starts_with("ingestion.table") || name.contains("model"))
            .collect::<Vec<_>>()
    };
    let expected = made("csv:t.csv");
    assert!(expected.len() >= 2, "{expected:?}");
    for source in [
        "csv:t.csv.gz",
        "jsonl:t.jsonl",
        "jsonl:t.jsonl.zst",
        "arrow:t.arrow",
        "csv:csv/",
        "csv:mixed/",
        "parquet:parquet/",
        "jsonl:jsonl/",
    ] {
        assert_eq!(made(source), expected, "{source}");
    }
    // A step on a folder is taken over while its files are the same, and is not once one is added.
    let cached = |source: &str| run(&place, source).expect(0).json()["stages"][0]["cached"].clone();
    assert_eq!(cached("csv:csv/"), true);
    place.write("csv/c.csv", format!("{}\n", rows.header));
    assert_eq!(cached("csv:csv/"), false);
    assert_eq!(made("csv:csv/"), expected, "a file without rows adds none");
}

#[test]
fn what_is_wrong_in_a_file_of_a_folder_is_told_with_its_name() {
    let (place, rows) = (Place::new(), Rows::telco());
    fs::create_dir(place.path().join("days")).expect("a folder");
    let none = run(&place, "csv:days/").expect(3).stderr;
    assert!(none.contains("there is no file in it whose name ends with .csv") && none.contains("hint: "), "{none}");
    place.write("days/1.csv", rows.csv(&rows.lines[..500]));
    place.write("days/2.csv.gz", &gzip(&rows.csv(&rows.lines[500..1000]))[..4000]);
    let cut = run(&place, "csv:days/").expect(3).stderr;
    assert!(cut.contains("`2.csv.gz` in it: it ends in the middle of its gzip data"), "{cut}");
    let wrong = rows.csv(&rows.lines[500..1000]).replacen(",No,", ",No,No,", 1);
    place.write("days/2.csv.gz", gzip(&wrong));
    let wrong = run(&place, "csv:days/").expect(3).stderr;
    assert!(wrong.contains("2.csv.gz") && wrong.contains("the line has 22 cells"), "{wrong}");
}

// invariant: A file that unpacks to far more than it has is stopped by the limits of the stage.
#[test]
fn a_bomb_is_stopped_by_the_limits_of_the_stage() {
    let place = Place::new();
    let zeros = vec![b'\n'; 64 << 20];
    let piece = zstd::encode_all(&zeros[..], 1).expect("memory");
    // 64 GiB of blank lines in a few megabytes.
    let header = zstd(&format!("{}\n", Rows::telco().header));
    place.write("bomb.csv.zst", [header, piece.repeat(1024)].concat());
    let manifest = config("churn.toml");
    let arguments = ["run", &manifest, "--source", "customers=csv:bomb.csv.zst", "--set", "ingestion.limits.cpu=2 s"];
    let stopped = place.run(&arguments).expect(6).stderr;
    assert!(stopped.contains("cpu"), "{stopped}");
}

// invariant: `init` writes a dialect down, and what it wrote reads the same table as a plain file.
#[test]
fn init_finds_a_dialect_and_its_manifest_runs() {
    let (place, rows) = (Place::new(), Rows::telco());
    let cells = |line: &String| line.split(',').map(str::to_owned).collect::<Vec<_>>();
    let (mut plain, mut german) = ("id,street,months,total,since,churn\n".to_owned(), "# Export\n".to_owned());
    german += "id;street;months;total;since;churn\n";
    for (number, row) in rows.lines.iter().take(1500).map(cells).enumerate() {
        let (id, months, total, churn) = (&row[0], &row[5], row[19].trim(), &row[20]);
        let (day, street) = (1 + number % 28, format!("Straße {}", number % 50));
        plain += &format!("{id},{street},{months},{total},2024-03-{day:02},{churn}\n");
        let total = total.replace('.', ",");
        german += &format!("{id};{street};{months};{total};{day:02}.03.2024;{churn}\n");
    }
    place.write("plain.csv", plain);
    let latin: Vec<u8> = german.chars().map(|letter| u8::try_from(letter).expect("a letter of Latin-1")).collect();
    place.write("german.csv", latin);
    let table = |name: &str| {
        let (file, output) = (format!("{name}.csv"), format!("{name}.toml"));
        let said = place.run(&["init", &file, "--target", "churn", "--output", &output]).expect(0).stdout;
        let run = place.run(&["run", &output, "--json", "--set", "training.component=train-logistic"]).expect(0).json();
        let table = digests(&run).into_iter().find(|(name, _)| name == "ingestion.table").expect("a table");
        (said, table.1)
    };
    let (said, german) = table("german");
    for part in [
        "delimiter=;&encoding=windows-1252&decimal=,&comment=#&date-formats=%d.%m.%Y",
        "is read as windows-1252: is `Straße 0` right?",
        "lines that begin with # are taken for comments",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(german, table("plain").1);
}
