//! Files that are decoded in a process of their own. They decode as in this process. A file that
//! exhausts time or memory ends only that process. Whatever a decoding process sends, as code that
//! a file broke could, is a fault of the file.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_ipc::writer::FileWriter;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use rusqlite::Connection;
use stagewright_data::{
    CsvOptions, DataError, Decode, DecodeLimits, InProcess, InferenceOptions, Interrupt, Literal, PredictionRows,
    RowsInput, RowsText, Signature, Source, SourceRows, Split, SplitCellSink, Strictness, TextFormat,
};
use stagewright_hostile::process;
use stagewright_runtime::{StageProcess, Walls, decoder};
use stagewright_store::{DataType, Field, Schema};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder")
}

fn source(address: &str) -> Source {
    Source::new(address.parse().expect("an address"))
}

fn signature() -> Signature {
    let fields = vec![
        Field::new("t", DataType::Utf8).with_nullable(true),
        Field::new("n", DataType::Int64),
        Field::new("c", DataType::Categorical),
    ];
    Signature::new(fields).expect("a signature")
}

fn texts() -> Signature {
    Signature::new(vec![Field::new("t", DataType::Utf8).with_nullable(true)]).expect("a signature")
}

/// Returns the values of a batch as texts.
fn shown(batch: &RecordBatch) -> String {
    let mut told = String::new();
    for row in 0..batch.num_rows() {
        let cells = batch.columns().iter().map(|column| {
            let text = arrow_cast::display::array_value_to_string(column, row);
            text.expect("a value that can be shown")
        });
        told.extend(cells.flat_map(|cell| [cell, "|".to_owned()]));
    }
    told
}

/// Returns everything that a reading yields: rows as texts, and its error.
fn told(rows: Result<Box<dyn SourceRows>, DataError>) -> String {
    let mut told = String::new();
    let read = |told: &mut String| -> Result<(), DataError> {
        let mut rows = rows?;
        while let Some(batch) = rows.next(777)? {
            assert!((1..=777).contains(&batch.num_rows()));
            *told += &shown(&batch);
        }
        Ok(())
    };
    let ended = read(&mut told);
    told + &ended.map_or_else(|error| error.to_string(), |()| "end".to_owned())
}

/// Returns everything that a reading of rows to predict yields: pieces as texts, and its error.
fn pieces(rows: Result<Box<dyn PredictionRows>, DataError>) -> String {
    let mut told = String::new();
    let read = |told: &mut String| -> Result<(), DataError> {
        let mut rows = rows?;
        while let Some(piece) = rows.next()? {
            *told += &format!("{} rows: {}", piece.batch.num_rows(), shown(&piece.batch));
            for column in &piece.kept {
                *told += &format!("{} {:?}: ", column.name, column.values.kind());
                (0..column.values.len())
                    .for_each(|row| column.values.with_json(row, |json| *told += &format!("{json}|")));
            }
        }
        Ok(())
    };
    let ended = read(&mut told);
    told + &ended.map_or_else(|error| error.to_string(), |()| "end".to_owned())
}

/// An input that can be opened twice.
type Opened = Box<dyn Fn() -> RowsInput>;

/// Returns valid and invalid rows to predict: sources, files of JSON, and texts that come as they
/// are asked for.
fn rows_to_predict(folder: &TempDir, sources: &[Source]) -> Vec<Opened> {
    let json_lines: String = (0..30_000)
        .map(|row| format!("{{\"t\": \"text {row}\", \"n\": {row}, \"c\": \"a\", \"k\": [{row}]}}\n"))
        .collect();
    let json = [
        r#"[{"t": "x", "n": 1, "c": "é", "k": [0.1, {"a": null}]}, {"t": null, "n": -0, "c": "b", "k": 12345678901234567890}]"#,
        r#"{"t": "x", "n": 1.5, "c": "a", "k": 1}"#,
        r#"{"t": "x", "n": 1, "k": 1}"#,
        "[{",
        "",
        "\u{1f}\u{8b}",
        json_lines.as_str(),
    ];
    let csv =
        ["t;n;c;k\nx;1;a;2\n".to_owned(), "t;n;c;k\n".to_owned(), "t;n\nx;y\n".to_owned(), many().replace(',', ";")];
    let text = |format: TextFormat, text: String| -> Opened {
        Box::new(move || {
            let text = Box::new(std::io::Cursor::new(text.clone()));
            RowsInput::Text(RowsText { name: "standard input".to_owned(), format: format.clone(), text })
        })
    };
    let mut inputs: Vec<Opened> = Vec::new();
    for source in sources {
        let source = source.clone();
        inputs.push(Box::new(move || RowsInput::Source(source.clone())));
    }
    for (number, json) in json.iter().enumerate() {
        let path = folder.path().join(format!("{number}.json"));
        fs::write(&path, json).expect("a file");
        inputs.push(Box::new(move || RowsInput::Json(path.clone())));
        inputs.push(text(TextFormat::Json, (*json).to_owned()));
    }
    let none = folder.path().join("none.json");
    let semicolons = CsvOptions { delimiter: Some(b';'), ..CsvOptions::plain() };
    inputs.push(Box::new(move || RowsInput::Json(none.clone())));
    inputs.extend(csv.map(|csv| text(TextFormat::Csv { options: semicolons.clone() }, csv)));
    let lines = TextFormat::Jsonl { compression: stagewright_data::Compression::None };
    inputs.extend(json.map(|json| text(lines.clone(), json.to_owned())));
    inputs
}

fn csv(folder: &TempDir, name: &str, text: &[u8]) -> Source {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("a file");
    source(&format!("csv:{}", path.display()))
}

/// Returns so many rows that they cross in several batches.
fn many() -> String {
    let rows = (0..30_000).map(|row| format!("text {row},{row},{}\n", ["a", "b", "c"][row % 3]));
    ["t,n,c\n".to_owned()].into_iter().chain(rows).collect()
}

fn parquet(folder: &TempDir) -> PathBuf {
    let texts: ArrayRef = Arc::new((0..30_000).map(|row| Some(format!("text {row}"))).collect::<StringArray>());
    let numbers: ArrayRef = Arc::new((0..30_000).map(Some).collect::<Int64Array>());
    let columns = [("t", texts.clone()), ("n", numbers), ("c", texts)];
    let batch = RecordBatch::try_from_iter(columns).expect("columns");
    let path = folder.path().join("rows.parquet");
    let mut writer = ArrowWriter::try_new(fs::File::create(&path).expect("a file"), batch.schema(), None).expect("it");
    writer.write(&batch).expect("rows");
    writer.close().expect("a footer");
    path
}

const ROWS: &str = "CREATE TABLE rows (t, n, c);
    WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r WHERE i < 20000)
    INSERT INTO rows SELECT 'text ' || i, i, char(97 + i % 3) FROM r;
    CREATE VIEW v AS SELECT upper(t) AS t, n, c FROM rows ORDER BY t DESC";

/// Returns a database, and a writer that keeps part of it in a log.
fn database(folder: &TempDir) -> (PathBuf, Connection) {
    let path = folder.path().join("rows.db");
    let writer = Connection::open(&path).expect("a database");
    writer.execute_batch(ROWS).expect("sql");
    writer.execute_batch("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0").expect("sql");
    writer.execute_batch("INSERT INTO rows VALUES ('late', 1, 'z'); DELETE FROM rows WHERE n > 9000").expect("sql");
    (path, writer)
}

/// Returns valid and invalid sources of each kind.
fn sources(folder: &TempDir) -> (Vec<Source>, Connection) {
    let (database, writer) = database(folder);
    let (parquet, database) = (parquet(folder), database.display().to_string());
    let asked = |sql: &str, parameters| source(&format!("sqlite:{database}")).with_query(sql, parameters);
    let cut = fs::read(&parquet).expect("a file");
    let cut_path = folder.path().join("cut.parquet");
    fs::write(&cut_path, &cut[..cut.len() - 9]).expect("a file");
    let damaged = folder.path().join("damaged.parquet");
    let mut bytes = cut.clone();
    bytes[100..5000].fill(0xa5);
    fs::write(&damaged, bytes).expect("a file");
    let mut sources = vec![
        csv(folder, "many.csv", many().as_bytes()),
        csv(folder, "empty.csv", b""),
        csv(folder, "header.csv", b"t,n,c\n"),
        csv(folder, "value.csv", b"t,n,c\nx,1,a\n\x1b[2J,2,b\ny,`z`,c\n"),
        csv(folder, "quote.csv", b"t,n,c\nx,1,\"a\n"),
        csv(folder, "columns.csv", b"t,n\nx,1\n"),
        csv(folder, "latin.csv", b"t,n,c\ncaf\xe9,1,a\n"),
        csv(folder, "packed.csv", b"\x1f\x8b\x08\0\0\0\0\0"),
        source(&format!("csv:{}", folder.path().join("none.csv").display())),
        source(&format!("csv:{}", folder.path().display())),
        source(&format!("parquet:{}", parquet.display())),
        source(&format!("parquet:{}", cut_path.display())),
        source(&format!("parquet:{}", damaged.display())),
        source(&format!("parquet:{}", folder.path().join("many.csv").display())),
        source(&format!("sqlite:{}#rows", folder.path().join("many.csv").display())),
        source(&format!("sqlite:{database}")),
        source(&format!("sqlite:{database}#rows")),
        source(&format!("sqlite:{database}#v")),
        source(&format!("sqlite:{database}#none")),
        asked(
            "SELECT t, n, c FROM rows WHERE n < ? AND c = ? ORDER BY random() * 0, n",
            vec![Literal::Float(100.5), Literal::Text("a".to_owned())],
        ),
        asked(
            "SELECT date('now', 'localtime') > '2000' AS t, count(*) AS n, 'x' AS c FROM rows GROUP BY n % 7",
            vec![],
        ),
        asked("SELECT t, n, c FROM rows WHERE n < ?", vec![]),
        asked("DELETE FROM rows", vec![]),
        asked("SELECT nothing", vec![]),
        asked("SELECT x'00' AS t, 1 AS n, 'c' AS c", vec![]),
    ];
    sources.push(sources[0].clone().with_query("SELECT 1", vec![]));
    sources.extend(formats(folder));
    (sources, writer)
}

fn json_lines() -> String {
    (0..30_000).map(|row| format!("{{\"t\": \"text {row}\", \"n\": {row}, \"c\": \"a\"}}\n")).collect()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory")
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 1).expect("memory")
}

fn arrow() -> Vec<u8> {
    let texts: ArrayRef = Arc::new((0..30_000).map(|row| Some(format!("text {row}"))).collect::<StringArray>());
    let numbers: ArrayRef = Arc::new((0..30_000).map(Some).collect::<Int64Array>());
    let batch = RecordBatch::try_from_iter([("t", texts.clone()), ("n", numbers), ("c", texts)]).expect("columns");
    let mut writer = FileWriter::try_new(Vec::new(), &batch.schema()).expect("a writer");
    writer.write(&batch).and_then(|()| writer.finish()).expect("memory");
    writer.into_inner().expect("bytes")
}

/// Returns JSON lines, Arrow files, compressed files and folders of them, valid and invalid.
fn formats(folder: &TempDir) -> Vec<Source> {
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).and_then(|()| fs::write(&path, bytes)).expect("a file");
        path.display().to_string()
    };
    let (json, csv, arrow) = (json_lines(), many(), arrow());
    let cut = &gzip(csv.as_bytes())[..10_000];
    let second = "c,n,t\na,17,x\n";
    let mut addresses = vec![
        format!("jsonl:{}", put("rows.jsonl", json.as_bytes())),
        format!("jsonl:{}", put("value.jsonl", b"{\"n\":1,\"c\":\"a\"}\n{\"n\":\"x\",\"c\":[]}\n")),
        format!("jsonl:{}", put("not.jsonl", b"[1]\n")),
        format!("jsonl:{}", put("empty.jsonl", b"")),
        format!("jsonl:{}", put("rows.jsonl.gz", &gzip(json.as_bytes()))),
        format!("csv:{}", put("rows.csv.gz", &[gzip(csv.as_bytes()), gzip(b"x,1,a\n")].concat())),
        format!("csv:{}", put("rows.csv.zst", &zstd(csv.as_bytes()))),
        format!("csv:{}", put("cut.csv.gz", cut)),
        format!("csv:{}?compression=zstd", put("packed", &zstd(csv.as_bytes()))),
        format!("arrow:{}", put("rows.arrow", &arrow)),
        format!("arrow:{}", put("cut.arrow", &arrow[..arrow.len() - 100])),
        format!("arrow:{}", put("text.arrow", csv.as_bytes())),
    ];
    let parts = [("csv", "a.csv", csv.as_bytes()), ("csv", "b.csv.gz", &gzip(second.as_bytes())), ("csv", "_x", b"")];
    let more = [("jsonl", "a.jsonl", json.as_bytes()), ("jsonl", "b.jsonl", b"{\"n\":7,\"c\":\"z\"}\n")];
    let arrows = [("arrow", "a.arrow", &arrow[..]), ("arrow", "b.arrow", &arrow[..])];
    let bad = [("bad", "a.csv", csv.as_bytes()), ("bad", "b.csv.gz", cut), ("worse", "a.csv", b"t,n\nx,1\n")];
    let odd = [("odd", "a.csv", csv.as_bytes()), ("odd", "b.csv", b"t,n,x\n1,2,3\n"), ("none", "a.txt.bz2", b"")];
    for (kind, name, bytes) in parts.into_iter().chain(more).chain(arrows).chain(bad).chain(odd) {
        put(&format!("{kind}-folder/{name}"), bytes);
    }
    for (kind, of) in [("csv", "csv"), ("jsonl", "jsonl"), ("arrow", "arrow"), ("csv", "bad"), ("csv", "worse")] {
        addresses.push(format!("{kind}:{}/{of}-folder/", folder.path().display()));
    }
    for of in ["odd", "none", "there-is-no"] {
        addresses.push(format!("csv:{}/{of}-folder/", folder.path().display()));
    }
    addresses.iter().map(|address| source(address)).collect()
}

// invariant: A folder of as many files as it may have is read in one process, and one more is an
// error.
#[test]
fn a_folder_of_thousands_of_files_is_read_in_one_process() {
    let (folder, apart) = (folder(), decoder(Some(&process())));
    for number in 0..4096 {
        let path = folder.path().join(format!("{number:05}.csv"));
        fs::write(path, format!("t,n,c\nx,{number},a\n")).expect("a file");
    }
    let source = source(&format!("csv:{}/", folder.path().display()));
    let leave = DecodeLimits::until(Interrupt::never());
    let read = || told(apart.open(&source, &signature(), Strictness::Ingest, &leave));
    let rows = read();
    assert!(rows.starts_with("x|0|a|x|1|a|") && rows.ends_with("x|4095|a|end"), "{}", &rows[rows.len() - 200..]);
    fs::write(folder.path().join("one-more.csv"), "t,n,c\n").expect("a file");
    let refused = read();
    assert!(refused.contains("it has more than 4096 files\nhint: "), "{refused}");
}

// invariant: A file that unpacks to far more than it has takes no more memory than a process may,
// and ends with its time.
#[test]
fn a_bomb_ends_with_its_time_in_bounded_memory() {
    let (folder, apart) = (folder(), decoder(Some(&process())));
    let lines = zstd(&vec![b'\n'; 32 << 20]).repeat(4096);
    let one_line = zstd(&vec![b'x'; 32 << 20]).repeat(64);
    for (name, bytes, problem) in [
        ("lines.csv.zst", [zstd(b"t,n,c\n"), lines.clone()].concat(), "interrupted"),
        ("lines.jsonl.zst", lines, "interrupted"),
        ("line.csv.zst", one_line.clone(), "longer than 64 MiB"),
        ("line.jsonl.zst", one_line, "longer than 64 MiB"),
    ] {
        assert!(bytes.len() < 64 << 20, "{name}: {}", bytes.len());
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("a file");
        let kind = if name.contains("csv") { "csv" } else { "jsonl" };
        // A hundred gigabytes of line breaks take longer than this on every machine.
        let seconds = if name.starts_with("lines") { 3 } else { 60 };
        let interrupt = Interrupt::at(Instant::now() + Duration::from_secs(seconds));
        let limits = DecodeLimits { memory: 256 << 20, ..DecodeLimits::until(interrupt) };
        let source = source(&format!("{kind}:{}", path.display()));
        let ended = told(apart.open(&source, &signature(), Strictness::Ingest, &limits));
        assert!(ended.contains(problem), "{name}: {ended}");
    }
}

// invariant: A file decodes the same in the host's process and in a child, from disk and from
// memory.
#[test]
fn a_process_of_its_own_decodes_as_this_one_does() {
    let folder = folder();
    let apart = decoder(Some(&process()));
    let (sources, _writer) = sources(&folder);
    let walls = Arc::new(Mutex::new(Vec::new()));
    let stood = walls.clone();
    let leave = DecodeLimits {
        on_walls: Some(Arc::new(move |walls: &[&'static str]| stood.lock().expect("no panic").push(walls.to_vec()))),
        ..DecodeLimits::until(Interrupt::never())
    };
    let mut proposed = 0;
    for source in &sources {
        let read = |decoder: &dyn Decode| told(decoder.open(source, &signature(), Strictness::Ingest, &leave));
        assert_eq!(read(&*apart), read(&InProcess), "{source:?}");
        for target in [None, Some("c".to_owned())] {
            let options = InferenceOptions { target, ..InferenceOptions::default() };
            let infer = |decoder: &dyn Decode| {
                let inference = decoder.infer(source, &options, true, &leave);
                inference.map(|inference| format!("{inference:?}")).map_err(|error| error.to_string())
            };
            let inferred = infer(&*apart);
            proposed += usize::from(inferred.is_ok());
            assert_eq!(inferred, infer(&InProcess), "{source:?}");
        }
    }
    assert!(proposed >= 10, "{proposed}");
    let mut whole = 0;
    for (number, input) in rows_to_predict(&folder, &sources).iter().enumerate() {
        for keep in [vec![], vec!["n".to_owned(), "t".to_owned()], vec!["k".to_owned()]] {
            let read = |decoder: &dyn Decode| pieces(decoder.open_rows(input(), &signature(), &keep, &leave));
            let rows = read(&*apart);
            whole += usize::from(rows.ends_with("end"));
            assert_eq!(rows, read(&InProcess), "{number}, keeping {keep:?}");
        }
    }
    assert!(whole >= 20, "{whole}");
    let walls = walls.lock().expect("no panic");
    assert!(walls.len() > sources.len() && walls.iter().all(|stood| *stood == ["seccomp", "landlock", "rlimits"]));
}

/// Returns limits that end after so much elapsed and CPU time.
fn short(wall: Duration, cpu: Duration) -> (DecodeLimits, Arc<AtomicU64>) {
    let used = Arc::new(AtomicU64::new(0));
    let (read, charged, until) = (used.clone(), used.clone(), Instant::now() + wall);
    let interrupt =
        Interrupt::when(move || Instant::now() > until || read.load(Ordering::Relaxed) > cpu.as_nanos() as u64);
    let interrupt = interrupt.charging(move |nanoseconds| {
        charged.fetch_add(nanoseconds, Ordering::Relaxed);
    });
    (DecodeLimits { memory: 64 << 20, ..DecodeLimits::until(interrupt) }, used)
}

const LONG: Duration = Duration::from_secs(120);

/// Writes a file of some kilobytes whose only page unpacks to so many empty texts of four bytes
/// each.
fn page(folder: &TempDir, texts: usize) -> PathBuf {
    let empty: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n("", texts)));
    let batch = RecordBatch::try_from_iter([("t", empty)]).expect("a column");
    let path = folder.path().join("page.parquet");
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_data_page_size_limit(usize::MAX)
        .set_data_page_row_count_limit(usize::MAX)
        .set_max_row_group_row_count(None)
        .build();
    let file = fs::File::create(&path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("rows");
    writer.close().expect("a footer");
    path
}

// invariant: as `whatever_a_process_sends_that_decodes_is_a_fault_of_the_file_and_nothing_else`
#[test]
fn a_page_that_unpacks_to_more_than_its_reader_may_have_ends_that_process_and_nothing_else() {
    let folder = folder();
    let path = page(&folder, 80 << 20);
    assert!(fs::metadata(&path).expect("a file").len() < 1 << 20);
    let apart = decoder(Some(&process()));
    let (leave, _) = short(LONG, LONG);
    let source = source(&format!("parquet:{}", path.display()));
    let rows = apart.open(&source, &texts(), Strictness::Ingest, &leave);
    let ended = rows.and_then(|mut rows| rows.next(1)).expect_err("there is no room for it");
    assert!(matches!(ended, DataError::Memory { .. }), "{ended}");
    let good = csv(&folder, "good.csv", b"t\nx\n");
    assert_eq!(told(apart.open(&good, &texts(), Strictness::Ingest, &leave)), "x|end");
}

// invariant: as `whatever_a_process_sends_that_decodes_is_a_fault_of_the_file_and_nothing_else`
#[test]
fn a_file_that_takes_all_time_or_memory_ends_its_process_and_nothing_else() {
    let folder = folder();
    let (database, _writer) = database(&folder);
    let apart = decoder(Some(&process()));
    let asked = |sql: &str| source(&format!("sqlite:{}", database.display())).with_query(sql, vec![]);
    let open = |source: &Source, leave: &DecodeLimits| apart.open(source, &texts(), Strictness::Ingest, leave);

    // SQLite does not look at a clock within one call of a function.
    let within_a_call = asked("SELECT instr(hex(zeroblob(4000000)), hex(zeroblob(2000000)) || '1') AS t");
    let (leave, used) = short(LONG, Duration::from_millis(200));
    let began = Instant::now();
    let ended = open(&within_a_call, &leave).and_then(|mut rows| rows.next(1));
    assert!(matches!(ended, Err(DataError::Interrupted)), "{ended:?}");
    let used = Duration::from_nanos(used.load(Ordering::Relaxed));
    assert!(used >= Duration::from_millis(200) && used < Duration::from_secs(2), "{used:?}");
    assert!(began.elapsed() < LONG);
    let (leave, _) = short(Duration::from_millis(200), LONG);
    let ended = open(&within_a_call, &leave).and_then(|mut rows| rows.next(1));
    assert!(matches!(ended, Err(DataError::Interrupted)), "{ended:?}");

    // A record without an end, and many distinct values, which the counts keep.
    let quoted = csv(&folder, "quoted.csv", &[b"t\n\"", &vec![b'x'; 300 << 20][..]].concat());
    let (leave, _) = short(LONG, LONG);
    let ended = open(&quoted, &leave).and_then(|mut rows| rows.next(1)).expect_err("it does not end");
    assert!(ended.to_string().contains("longer than 64 MiB") || matches!(ended, DataError::Memory { .. }), "{ended}");
    let sorted = asked(
        "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT hex(randomblob(9999)) AS t FROM r ORDER BY 1",
    );
    let ended = open(&sorted, &leave).and_then(|mut rows| rows.next(1)).expect_err("it does not end");
    assert!(ended.to_string().contains("more than") || matches!(ended, DataError::Memory { .. }), "{ended}");

    // A query without an end.
    let endless = asked("WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT 'x' AS t FROM r");
    let mut rows = open(&endless, &leave).expect("rows");
    assert_eq!(rows.next(10).expect("rows").expect("rows").num_rows(), 10);
    drop(rows);
    let good = csv(&folder, "good.csv", b"t\nx\n");
    assert_eq!(told(open(&good, &leave)), "x|end");
}

/// Returns a decoder that lies.
fn liar(folder: &Path, deed: &str) -> Arc<dyn Decode> {
    let program = folder.join(format!("decodes-{deed}"));
    fs::hard_link(env!("CARGO_BIN_EXE_lying-stage"), &program).expect("a link");
    decoder(Some(&StageProcess { program, required: Walls::ALL }))
}

// invariant: Everything that a decoder process does or sends becomes a fault of the file or of its
// reader's limit.
#[test]
fn whatever_a_process_sends_that_decodes_is_a_fault_of_the_file_and_nothing_else() {
    let folder = folder();
    let file = csv(&folder, "good.csv", b"t\nx\n");
    let name = folder.path().join("good.csv").display().to_string();
    let forged = "sent what no such process sends";
    for (deed, words) in [
        ("unopened", forged),
        ("opened-with-bytes", "ended: "),
        ("opened-twice", forged),
        ("no-rows", forged),
        ("without-a-number", forged),
        ("too-many-rows", forged),
        ("cut-rows", forged),
        ("more-behind", forged),
        ("long-rows", "ended: "),
        ("signature", forged),
        ("kind-0", "ended: "),
        ("kind-77", "ended: "),
        ("failed-with-garbage", forged),
        ("failed-with-nasty-text", "warning: all is well"),
        ("failed-first-with-a-plan", "warning: all is well"),
        ("failed-first-with-a-query", "warning: all is well"),
        ("failed-first-with-a-fault", "warning: all is well"),
        ("failed-at-length", "ended: "),
        ("exit", "ended: "),
        ("abort", "ended: "),
    ] {
        let (leave, _) = short(LONG, LONG);
        let read = |rows: Result<Box<dyn SourceRows>, DataError>| rows.and_then(|mut rows| rows.next(9));
        let ended = read(liar(folder.path(), deed).open(&file, &texts(), Strictness::Ingest, &leave));
        let error = ended.expect_err("a lie is an error");
        assert!(
            matches!(&error, DataError::Unreadable { path, .. } if *path == name)
                || matches!(error, DataError::Fault(_) | DataError::Plan { .. } | DataError::Query { .. }),
            "{deed}: {error:?}"
        );
        let told = error.to_string();
        assert!(told.contains(words), "{deed}: {told}");
        assert!(told.len() < 64 << 10, "{deed}: {} bytes", told.len());
        assert!(!told.chars().any(|letter| letter != '\n' && letter.is_control()), "{deed}: {told:?}");
        // A message and one hint.
        let lines: Vec<&str> = told.lines().collect();
        assert!(lines.len() <= 2 && lines[1..].iter().all(|line| line.starts_with("hint: ")), "{deed}: {told:?}");
    }
    let open = |deed: &str, leave: &DecodeLimits| {
        let mut rows = liar(folder.path(), deed).open(&file, &texts(), Strictness::Ingest, leave)?;
        rows.next(9)
    };
    let (leave, _) = short(Duration::from_millis(300), LONG);
    assert!(matches!(open("silence", &leave), Err(DataError::Interrupted)));
    let (leave, _) = short(LONG, Duration::from_millis(100));
    assert!(matches!(open("spin", &leave), Err(DataError::Interrupted)));
    let (leave, _) = short(LONG, LONG);
    assert!(matches!(open("memory", &leave), Err(DataError::Memory { .. })));
    assert!(matches!(open("ended-twice", &leave), Ok(None)));
    let forge = liar(folder.path(), "forged-signature").infer(&file, &InferenceOptions::default(), true, &leave);
    let error = forge.expect_err("a lie is an error").to_string();
    assert!(error.contains("reports of other columns"), "{error}");
}

// invariant: as `whatever_a_process_sends_that_decodes_is_a_fault_of_the_file_and_nothing_else`
#[test]
fn whatever_a_process_sends_of_rows_to_predict_is_a_fault_of_the_file_and_nothing_else() {
    let folder = folder();
    let file = csv(&folder, "good.csv", b"t\nx\n");
    let (leave, _) = short(LONG, LONG);
    for (deed, words) in [
        ("kept-missing", "rows without the kept values"),
        ("kept-first", "something else than rows"),
        ("kept-without-kinds", "kept values without their kinds"),
        ("kept-of-no-kind", "kept values of a kind that nobody knows"),
        ("kept-of-another-kind", "kept values of another kind"),
        ("kept-of-two-rows", "another number of kept values than of rows"),
        ("asks-for-text", "the wish for a text that has ended"),
        ("asks-for-ever", "the wish for a text that has ended"),
        ("unopened", "rows before it says that there are some"),
        ("more-behind", "sent what no such process sends"),
        ("long-rows", "ended: "),
        ("abort", "ended: "),
    ] {
        let input = match deed {
            "asks-for-ever" => {
                let (name, text) = ("a pipe".to_owned(), Box::new(&b"t\nx\n"[..]));
                RowsInput::Text(RowsText { name, format: TextFormat::Json, text })
            }
            _ => RowsInput::Source(file.clone()),
        };
        let rows = liar(folder.path(), deed).open_rows(input, &texts(), &["t".to_owned()], &leave);
        let error = rows.and_then(|mut rows| rows.next()).expect_err("a lie is an error");
        assert!(matches!(error, DataError::Unreadable { .. }), "{deed}: {error:?}");
        assert!(error.to_string().contains(words), "{deed}: {error}");
    }
    // A text that claims to be JSON is one.
    let rows =
        liar(folder.path(), "kept-no-json").open_rows(RowsInput::Source(file), &texts(), &["t".to_owned()], &leave);
    let piece = rows.and_then(|mut rows| rows.next()).expect("a piece").expect("a piece");
    assert_eq!(piece.kept[0].values.with_json(0, str::to_owned), r#""x""#);
}

/// Returns a table of so many rows without an identifier.
fn table(rows: i64) -> (Schema, Vec<Result<RecordBatch, DataError>>) {
    let schema = Schema::new(vec![Field::new("n", DataType::Int64)]).expect("a schema");
    let numbers: ArrayRef = Arc::new((0..rows).map(Some).collect::<Int64Array>());
    let batch = RecordBatch::try_new(schema.to_arrow(), vec![numbers]).expect("a column");
    (schema, vec![Ok(batch)])
}

// invariant: An imported split reads the same in a child process. Everything that the child sends
// is a valid split or a fault of the file.
#[test]
fn a_split_is_read_in_a_process_of_its_own_as_in_this_one() {
    let folder = folder();
    let apart = decoder(Some(&process()));
    let (leave, _) = short(LONG, LONG);
    let rows = |rows: usize| (0..rows).map(|row| format!("{row},{}\n", ["train", "validation", "test"][row % 3]));
    let long = |count| ["row,partition\n".to_owned()].into_iter().chain(rows(count)).collect::<String>();
    let mut made = 0;
    for (number, text) in [
        long(30_000),
        long(29_999),
        "partition,row\ntest,1\ntrain,0\n".to_owned(),
        "partition,row\ntest,1\ntrain,0".to_owned(),
        "partition\ntest\n".to_owned(),
        "row\n0\n".to_owned(),
        "row,partition\n0,\"te\nst\"\n".to_owned(),
        "row,partition\n0,\u{1b}[2J\n".to_owned(),
        "row,partition\n0,test\n0\n".to_owned(),
        "row,partition\n0,\"test\n".to_owned(),
        "row,partition\n".to_owned(),
        String::new(),
        "PK\u{3}\u{4}".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join("split.csv");
        fs::write(&path, &text).expect("a file");
        let read = |decoder: &dyn Decode| {
            let (schema, batches) = table(if number < 2 { 30_000 } else { 2 });
            let cells = |names: &[String], take: &mut SplitCellSink<'_>| decoder.read_split(&path, names, &leave, take);
            Split::import(cells, &schema, batches).map_err(|error| error.to_string())
        };
        let found = read(&*apart);
        made += usize::from(found.is_ok());
        assert_eq!(found, read(&InProcess), "{number}");
    }
    assert_eq!(made, 3);
    for decoder in [&*apart, &InProcess] {
        let ended = decoder.read_split(&folder.path().join("none.csv"), &[], &leave, &mut |_| Ok(()));
        assert!(matches!(ended, Err(DataError::Unreadable { .. })), "{ended:?}");
    }
}

// invariant: as `a_split_is_read_in_a_process_of_its_own_as_in_this_one`
#[test]
fn whatever_a_process_sends_that_reads_a_split_is_a_fault_of_the_file_and_nothing_else() {
    let folder = folder();
    let path = folder.path().join("split.csv");
    fs::write(&path, "row,partition\n0,train\n1,test\n").expect("a file");
    let forged = "sent what no such process sends";
    for (deed, words) in [
        ("split-opened", forged),
        ("split-of-numbers", forged),
        ("split-without-end", "more cells than the file has"),
        ("split-of-nobody", "do not have the cells of one file"),
        ("split-of-nothing", "do not have the cells of one file"),
        ("split-of-two-files", "do not have the cells of one file"),
        ("split-ended", "does not name these rows of the table"),
        ("failed-first-with-a-fault", "warning: all is well"),
        ("unopened", forged),
        ("abort", forged),
    ] {
        let (leave, _) = short(LONG, LONG);
        let liar = liar(folder.path(), deed);
        let (schema, batches) = table(2);
        let mut taken = 0;
        let cells = |names: &[String], take: &mut SplitCellSink<'_>| {
            // Duplicates would end it before its bytes are too many.
            let mut counted = |cells: &RecordBatch| {
                taken += cells.num_rows();
                if deed == "split-without-end" { Ok(()) } else { take(cells) }
            };
            liar.read_split(&path, names, &leave, &mut counted)
        };
        let error = Split::import(cells, &schema, batches).expect_err("a lie is an error");
        assert!(matches!(error, DataError::Unreadable { .. } | DataError::Fault(_)), "{deed}: {error:?}");
        let told = error.to_string();
        assert!(told.contains(words), "{deed}: {told}");
        assert!(told.len() < 64 << 10 && taken < 31, "{deed}: {} bytes, {taken} rows", told.len());
    }
}
