//! Rows to predict: they come in pieces, alike from every input, with the kept columns as they
//! came.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_select::concat::concat_batches;
use parquet::arrow::ArrowWriter;
use rusqlite::Connection;
use stagewright_data::{
    CsvOptions, DataError, Decode as _, DecodeLimits, InProcess, Interrupt, KeptKind, RowsInput, RowsPiece, RowsText,
    Signature, Source, TextFormat,
};
use stagewright_store::{DataType, Field, Role};
use tempfile::TempDir;

/// More rows than a piece has.
const ROWS: usize = 20_000;

fn signature() -> Signature {
    let fields = vec![
        Field::new("id", DataType::Utf8).with_role(Role::Identifier),
        Field::new("n", DataType::Int64),
        Field::new("x", DataType::Float64).with_nullable(true),
        Field::new("c", DataType::Categorical),
        Field::new("b", DataType::Boolean),
    ];
    Signature::new(fields).expect("a signature").with_null_values([" "])
}

/// The result of reading: the pieces, and the error that ended them.
type Pieces = (Vec<RowsPiece>, Option<DataError>);

fn read(input: RowsInput, keep: &[&str]) -> Pieces {
    let keep: Vec<String> = keep.iter().map(|name| (*name).to_owned()).collect();
    let limits = DecodeLimits::until(Interrupt::never());
    let mut rows = match InProcess.open_rows(input, &signature(), &keep, &limits) {
        Ok(rows) => rows,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let mut pieces = Vec::new();
    loop {
        match rows.next() {
            Ok(Some(piece)) => pieces.push(piece),
            Ok(None) => return (pieces, None),
            Err(error) => return (pieces, Some(error)),
        }
    }
}

/// Returns a text as it would come through a pipe.
fn text(format: TextFormat, text: impl Into<Vec<u8>>) -> RowsInput {
    let text = Box::new(std::io::Cursor::new(text.into()));
    RowsInput::Text(RowsText { name: "standard input".to_owned(), format, text })
}

fn csv_format() -> TextFormat {
    TextFormat::Csv { options: CsvOptions::plain() }
}

fn whole(pieces: &[RowsPiece]) -> RecordBatch {
    let batches: Vec<&RecordBatch> = pieces.iter().map(|piece| &piece.batch).collect();
    concat_batches(&batches[0].schema(), batches).expect("batches of one schema")
}

/// Returns the values of a kept column as JSON texts.
fn kept(pieces: &[RowsPiece], column: usize) -> Vec<String> {
    let values = pieces.iter().map(|piece| &piece.kept[column].values);
    values.flat_map(|values| (0..values.len()).map(|row| values.with_json(row, str::to_owned))).collect()
}

fn csv_text() -> String {
    let row = |row: usize| format!("{row:05},{row},{}.5,{},{}\n", row % 7, ["a", "b"][row % 2], row.is_multiple_of(3));
    ["id,n,x,c,b\n".to_owned()].into_iter().chain((0..ROWS).map(row)).collect()
}

fn json_rows() -> Vec<String> {
    let row = |row: usize| {
        let (x, c, b) = (row % 7, ["a", "b"][row % 2], row.is_multiple_of(3));
        format!("{{\"b\": {b}, \"id\": \"{row:05}\", \"n\": {row}, \"x\": {x}.5, \"c\": \"{c}\", \"z\": []}}")
    };
    (0..ROWS).map(row).collect()
}

fn parquet(path: &Path) -> Source {
    let ids: ArrayRef = Arc::new((0..ROWS).map(|row| Some(format!("{row:05}"))).collect::<StringArray>());
    let numbers: ArrayRef = Arc::new((0..ROWS as i64).map(Some).collect::<Int64Array>());
    let floats: ArrayRef = Arc::new((0..ROWS).map(|row| Some((row % 7) as f64 + 0.5)).collect::<Float64Array>());
    let words: ArrayRef = Arc::new((0..ROWS).map(|row| Some(["a", "b"][row % 2])).collect::<StringArray>());
    let flags: ArrayRef = Arc::new((0..ROWS).map(|row| Some(row.is_multiple_of(3))).collect::<BooleanArray>());
    let columns = [("b", flags), ("c", words), ("x", floats), ("n", numbers), ("id", ids)];
    let batch = RecordBatch::try_from_iter(columns).expect("columns");
    let file = fs::File::create(path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).and_then(|()| writer.close()).expect("rows");
    Source::new(format!("parquet:{}", path.display()).parse().expect("an address"))
}

fn database(path: &Path) -> Source {
    let mut connection = Connection::open(path).expect("a database");
    connection.execute_batch("CREATE TABLE rows (id TEXT, n INTEGER, x REAL, c TEXT, b INTEGER)").expect("sql");
    let change = connection.transaction().expect("a transaction");
    for row in 0..ROWS {
        let (x, c, b) = ((row % 7) as f64 + 0.5, ["a", "b"][row % 2], row.is_multiple_of(3));
        change
            .execute("INSERT INTO rows VALUES (?, ?, ?, ?, ?)", (format!("{row:05}"), row as i64, x, c, b))
            .expect("a row");
    }
    change.commit().expect("room");
    Source::new(format!("sqlite:{}#rows", path.display()).parse().expect("an address"))
}

/// Returns the same rows from every kind of input.
fn inputs(folder: &TempDir) -> Vec<RowsInput> {
    let path = |name: &str| folder.path().join(name);
    let (csv, json) = (csv_text(), json_rows());
    fs::write(path("rows.csv"), &csv).expect("a file");
    fs::write(path("rows.json"), format!("\u{feff}[{}]", json.join(",\n"))).expect("a file");
    let source = format!("csv:{}", path("rows.csv").display()).parse().expect("an address");
    vec![
        RowsInput::Source(Source::new(source)),
        RowsInput::Source(parquet(&path("rows.parquet"))),
        RowsInput::Source(database(&path("rows.db"))),
        RowsInput::Json(path("rows.json")),
        text(csv_format(), csv),
        text(TextFormat::Json, json.join("\n")),
    ]
}

// invariant: as `json_and_csv_give_the_same_batch`
#[test]
fn rows_come_in_the_same_pieces_from_every_input() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut expected: Option<(Vec<usize>, RecordBatch)> = None;
    for input in inputs(&folder) {
        let shown = format!("{input:?}");
        let (pieces, error) = read(input, &["id"]);
        assert!(error.is_none(), "{shown}: {error:?}");
        let sizes: Vec<usize> = pieces.iter().map(|piece| piece.batch.num_rows()).collect();
        assert!(sizes.len() > 2 && sizes.iter().sum::<usize>() == ROWS, "{shown}: {sizes:?}");
        let ids: Vec<String> = (0..ROWS).map(|row| format!("\"{row:05}\"")).collect();
        assert_eq!(kept(&pieces, 0), ids, "{shown}");
        assert!(pieces.iter().all(|piece| piece.kept[0].values.kind() == KeptKind::Text), "{shown}");
        let all = whole(&pieces);
        assert_eq!(all.num_columns(), 4, "the identifier is no feature");
        let (expected_sizes, expected) = expected.get_or_insert((sizes.clone(), all.clone()));
        assert_eq!(&sizes, expected_sizes, "{shown}");
        // Pieces may number their categories differently.
        for row in [0, 1, 8_191, 8_192, ROWS - 1] {
            assert_eq!(shown_row(&all, row), shown_row(expected, row), "{shown}, row {row}");
        }
    }
}

fn shown_row(batch: &RecordBatch, row: usize) -> Vec<String> {
    let cell = |column: &ArrayRef| arrow_cast::display::array_value_to_string(column, row).expect("a text");
    batch.columns().iter().map(cell).collect()
}

#[test]
fn kept_columns_have_the_kind_of_their_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let expected = [
        [KeptKind::Text; 3],
        [KeptKind::Int64, KeptKind::Float64, KeptKind::Boolean],
        [KeptKind::Int64, KeptKind::Float64, KeptKind::Int64],
        [KeptKind::Int64, KeptKind::Float64, KeptKind::Boolean],
        [KeptKind::Text; 3],
        [KeptKind::Int64, KeptKind::Float64, KeptKind::Boolean],
    ];
    for (input, expected) in inputs(&folder).into_iter().zip(expected) {
        let shown = format!("{input:?}");
        let (pieces, _) = read(input, &["n", "x", "b"]);
        for piece in pieces {
            let kinds: Vec<KeptKind> = piece.kept.iter().map(|column| column.values.kind()).collect();
            assert_eq!(kinds, expected, "{shown}");
        }
    }
}

#[test]
fn kept_columns_are_passed_on_as_they_came() {
    let csv = b"id,n,x,c,b,extra\n007, 1 , ,Monthly,yes,\"a \"\"b\"\"\"\n";
    let (pieces, error) = read(text(csv_format(), csv), &["id", "extra", "n"]);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(
        [0, 1, 2].map(|column| kept(&pieces, column)),
        [r#""007""#, r#""a \"b\"""#, r#"" 1 ""#].map(|it| vec![it.to_owned()])
    );
    let json = br#"{"id": 18446744073709551616, "extra": [1, { "a" : 1.50 }], "n": 1, "x": null, "c": "a", "b": true}
        {"id": null, "extra": 0.10, "n": 2, "x": 1, "c": "a", "b": true}"#;
    let (pieces, error) = read(text(TextFormat::Json, json), &["id", "extra", "n"]);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(kept(&pieces, 0), ["18446744073709551616", "null"]);
    assert_eq!(kept(&pieces, 1), ["[1,{\"a\":1.50}]", "0.10"]);
    assert_eq!(kept(&pieces, 2), ["1", "2"]);
    let numbers: String = ["0.5", "10.50", "1e3", "-0", "null"]
        .map(|number| format!("{{\"id\": {number}, \"n\": 1, \"x\": 1, \"c\": \"a\", \"b\": true}}"))
        .join("\n");
    let (pieces, error) = read(text(TextFormat::Json, numbers), &["id"]);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(kept(&pieces, 0), ["0.5", "10.50", "1e3", "-0", "null"]);
    let floats: Vec<_> = (0..5).map(|row| pieces[0].kept[0].values.float(row)).collect();
    assert_eq!(floats, [Some(0.5), Some(10.5), Some(1000.0), Some(-0.0), None]);
    let long = format!("{{\"id\": [{}0], \"n\": 1, \"x\": 1, \"c\": \"a\", \"b\": true}}", "0,".repeat(40_000));
    let error = read(text(TextFormat::Json, long), &["id"]).1.expect("it is too long").to_string();
    assert!(
        error.starts_with("column `id`, data row 1: the array has 80003 bytes, and one that is a value"),
        "{error}"
    );
    let nobody = |input| read(input, &["nobody"]).1.expect("no such column").to_string();
    let error = nobody(text(csv_format(), csv));
    assert!(error.starts_with("the data has no `nobody` to keep; it has `id`, `n`"), "{error}");
    let error = nobody(text(TextFormat::Json, json));
    assert!(error.starts_with("data row 1: the object has no `nobody`"), "{error}");
}

#[test]
fn a_fault_names_its_row_and_comes_after_the_pieces_before_it() {
    let broken = 15_000;
    let mut csv: Vec<String> = csv_text().lines().map(str::to_owned).collect();
    csv[broken + 1] = "15000,many,0.5,a,true".to_owned();
    let mut json = json_rows();
    json[broken] = json[broken].replace("\"n\": 15000", "\"n\": \"many\"");
    let mut cut = json_rows();
    cut[broken].truncate(20);
    for (input, message) in [
        (text(csv_format(), csv.join("\n")), "column `n`, data row 15001 (line 15002): `many` is not an int64"),
        (text(TextFormat::Json, json.join("\n")), "column `n`, data row 15001: `many` is not an int64"),
        (text(TextFormat::Json, cut.join("\n")), "data row 15001: the text is not JSON: "),
    ] {
        let (pieces, error) = read(input, &[]);
        let sizes: Vec<usize> = pieces.iter().map(|piece| piece.batch.num_rows()).collect();
        assert_eq!(sizes, [8192]);
        let error = error.expect("row 15001 is broken").to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn no_rows_are_no_piece() {
    for input in [text(csv_format(), "id,n,x,c,b\n"), text(TextFormat::Json, ""), text(TextFormat::Json, " [] ")] {
        let (pieces, error) = read(input, &["id"]);
        assert!(pieces.is_empty() && error.is_none(), "{error:?}");
    }
}

#[test]
fn an_object_holds_rows_as_in_a_request() {
    let row = |n: u32| format!("{{\"n\": {n}, \"x\": 1, \"c\": \"a\", \"b\": true, \"id\": \"i\"}}");
    let wrapped = format!("{{\"rows\": [{}, {}], \"id\": 7}} {}", row(1), row(2), row(3));
    // A kept column is no feature: the object holds rows.
    let (pieces, error) = read(text(TextFormat::Json, wrapped), &["n", "id"]);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(kept(&pieces, 0), ["1", "2", "3"]);
    // With a feature, it is a row; and in an array, every object is.
    let with_rows = row(4).replacen('{', "{\"rows\": [1], ", 1);
    let (pieces, error) = read(text(TextFormat::Json, with_rows), &["n"]);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(kept(&pieces, 0), ["4"]);
    let error = read(text(TextFormat::Json, format!("[{{\"rows\": [{}]}}]", row(1))), &[]).1.expect("no features");
    assert!(error.to_string().starts_with("data row 1: the object has no `n`, `x`, `c`, `b`"), "{error}");
    let error = read(text(TextFormat::Json, r#"{"rows": 1}"#), &[]).1.expect("a number").to_string();
    assert_eq!(error, "column `rows`: `1` is not an array of rows");
    let error = read(text(TextFormat::Json, "7"), &[]).1.expect("a number").to_string();
    assert_eq!(error, "data row 1: `7` is not an object with a value for each column");
}

/// Gives the same bytes again and again, and sets the flag once it has given many.
struct Endless {
    bytes: &'static [u8],
    given: usize,
    is_enough: Arc<AtomicBool>,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let whole = buffer.len() - buffer.len() % self.bytes.len();
        buffer[..whole].chunks_mut(self.bytes.len()).for_each(|part| part.copy_from_slice(self.bytes));
        self.given += whole;
        if self.given > 4 << 20 {
            self.is_enough.store(true, Ordering::Relaxed);
        }
        Ok(whole)
    }
}

// A pipe that never pauses is interrupted, whether or not it has rows.
#[test]
fn a_text_without_an_end_is_interrupted() {
    let csv_header: &'static [u8] = b"id,n,x,c,b\n";
    for (format, first, bytes) in [
        (TextFormat::Json, &b""[..], &b"[]"[..]),
        (TextFormat::Json, b"", b" \n"),
        (TextFormat::Json, b"{\"rows\": [", b"{\"n\": 1, \"x\": 1, \"c\": \"a\", \"b\": true},"),
        (csv_format(), csv_header, b"\n"),
    ] {
        let is_enough = Arc::new(AtomicBool::new(false));
        let text = first.chain(Endless { bytes, given: 0, is_enough: is_enough.clone() });
        let input = RowsInput::Text(RowsText { name: "standard input".to_owned(), format, text: Box::new(text) });
        let limits = DecodeLimits::until(Interrupt::when(move || is_enough.load(Ordering::Relaxed)));
        let mut rows = match InProcess.open_rows(input, &signature(), &[], &limits) {
            Ok(rows) => rows,
            Err(error) => {
                assert!(matches!(error, DataError::Interrupted), "{error}");
                continue;
            }
        };
        let error = loop {
            match rows.next() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it has no end"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, DataError::Interrupted), "{error}");
    }
}
