//! Every kind of source, valid and invalid, read through the public interface.

mod both;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, Date32Array, Decimal128Array, Int32Array, StringArray, TimestampNanosecondArray, UInt64Array,
};
use arrow_select::concat::concat_batches;
use parquet::arrow::ArrowWriter;
use rusqlite::Connection;
use stagewright_data::{DataError, ExtraColumns, Interrupt, Literal, Signature, Source, SourceUri, Strictness, open};
use stagewright_store::{DataType, Field, Role};
use tempfile::TempDir;

fn signature() -> Signature {
    Signature::new(vec![
        Field::new("id", DataType::Utf8).with_role(Role::Identifier),
        Field::new("tenure", DataType::Int64),
        Field::new("charges", DataType::Float64),
        Field::new("contract", DataType::Categorical),
    ])
    .unwrap()
    .with_null_values(["", " "])
}

fn source(uri: &str) -> Source {
    Source::new(uri.parse().unwrap())
}

fn file(folder: &TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    path
}

fn read(source: &Source, signature: &Signature) -> Result<RecordBatch, DataError> {
    both::alike(read_file(source, signature), source, signature)
}

fn read_file(source: &Source, signature: &Signature) -> Result<RecordBatch, DataError> {
    let mut cursor = open(source, signature, Strictness::Ingest, &Interrupt::never())?;
    let schema = cursor.schema().to_arrow();
    let mut batches = Vec::new();
    while let Some(batch) = cursor.next(1000)? {
        assert!((1..=1000).contains(&batch.num_rows()));
        batches.push(batch);
    }
    Ok(concat_batches(&schema, &batches).unwrap())
}

fn read_csv(text: &[u8]) -> Result<RecordBatch, DataError> {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "table.csv", text);
    read(&source(&format!("csv:{}", path.display())), &signature())
}

fn csv_error(text: &[u8]) -> String {
    read_csv(text).unwrap_err().to_string()
}

/// Creates a database with one table `customers` of the signature's columns.
fn database(folder: &TempDir, rows: &str) -> PathBuf {
    let path = folder.path().join("table.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(&format!("CREATE TABLE customers (id, tenure, charges, contract); {rows}")).unwrap();
    path
}

fn query(path: &Path, sql: &str, parameters: Vec<Literal>) -> Source {
    source(&format!("sqlite:{}", path.display())).with_query(sql, parameters)
}

const CSV: &[u8] = b"contract,charges,more,tenure,id\nMonthly,29.85,x,1,A\n\"One, year\", ,y,34.0,B\n";
const ROWS: &str = "INSERT INTO customers VALUES ('A', 1, 29.85, 'Monthly'), ('B', 34.0, ' ', 'One, year')";

// invariant: as `a_process_of_its_own_decodes_as_this_one_does`
#[test]
fn csv_and_sqlite_give_the_same_batch() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(&folder, ROWS);
    let from_csv = read_csv(CSV).unwrap();
    let from_table = read(&source(&format!("sqlite:{}#customers", path.display())), &signature()).unwrap();
    let from_query = read(&query(&path, "SELECT * FROM customers ORDER BY id", vec![]), &signature()).unwrap();
    assert_eq!(from_csv, from_table);
    assert_eq!(from_csv, from_query);
    assert_eq!(from_csv.column(1).as_primitive::<Int64Type>().values()[..], [1, 34]);
    assert!(from_csv.column(2).is_null(1), "a blank is null");
    assert!(from_csv.schema().field(2).is_nullable(), "ingestion admits nulls everywhere");
}

#[test]
fn text_with_tabs_a_byte_order_mark_and_crlf_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let text = b"\xef\xbb\xbfid\ttenure\tcharges\tcontract\r\nA\t1\t29.85\tMonthly\r\nB\t34\t\t\"One, year\"\r\n";
    let path = file(&folder, "table.tsv", text);
    assert_eq!(read(&source(&format!("csv:{}", path.display())), &signature()).unwrap(), read_csv(CSV).unwrap());
}

#[test]
fn a_file_without_header_has_numbered_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "table.txt", b"1;2.5\n0;3.5\n");
    let fields = vec![Field::new("column_1", DataType::Float64), Field::new("column_0", DataType::Int64)];
    let uri = format!("csv:{}?delimiter=;&header=false", path.display());
    let batch = read(&source(&uri), &Signature::new(fields).unwrap()).unwrap();
    assert_eq!(batch.column(0).as_primitive::<Float64Type>().values()[..], [2.5, 3.5]);
    assert_eq!(batch.column(1).as_primitive::<Int64Type>().values()[..], [1, 0]);
}

#[test]
fn a_wrong_value_is_a_fault_with_column_row_line_and_value() {
    let text = b"id,tenure,charges,contract\nA,1,2,x\n\"B\nB\",1,2,x\nC,abc,2,x\n";
    assert_eq!(csv_error(text), "column `tenure`, data row 3 (line 5): `abc` is not an int64");
    let folder = tempfile::tempdir().unwrap();
    let path = database(&folder, "INSERT INTO customers VALUES ('A', 1, 2, 'x'), ('B', 1, x'00', 'x')");
    let error = read(&source(&format!("sqlite:{}#customers", path.display())), &signature()).unwrap_err();
    assert!(error.to_string().starts_with("column `charges`, data row 2: the value is a blob"), "{error}");
}

#[test]
fn a_truncated_csv_is_a_fault_with_its_line() {
    let error = csv_error(b"id,tenure,charges,contract\nA,1,2,x\nB,1");
    assert_eq!(error, "data row 2 (line 3): the line has 2 cells, the header has 4\nhint: the file may be truncated");
    let error = csv_error(b"id,tenure,charges,contract\nA,1,2,x\nB,1,2,\"One, ye");
    assert!(error.starts_with("data row 2 (line 3): the quote that opens here is never closed"), "{error}");
}

#[test]
fn bad_csv_is_explained() {
    for (text, message) in [
        (&b"id,tenure,tenure,charges,contract\n"[..], "more than one column is named `tenure`"),
        (b"id,charges\nA,1\n", "the data has no columns `tenure`, `contract`; it has `id`, `charges`"),
        (
            b"id,tenure,charges,contract\nA,1,2,caf\xe9\n",
            "column `contract`, data row 1 (line 2): the text is not UTF-8\nhint: convert the file, e.g. `iconv -f WINDOWS-1252 -t UTF-8 FILE > FILE.utf8.csv`",
        ),
        (b"", "the text is empty: it has not even a header line"),
    ] {
        assert_eq!(csv_error(text), message);
    }
}

#[test]
fn a_header_alone_is_a_table_without_rows() {
    let batch = read_csv(b"id,tenure,charges,contract\n").unwrap();
    assert_eq!((batch.num_rows(), batch.num_columns()), (0, 4));
}

#[test]
fn extra_columns_are_an_error_where_the_signature_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "table.csv", CSV);
    let strict = signature().with_extra_columns(ExtraColumns::Error);
    let error = read(&source(&format!("csv:{}", path.display())), &strict).unwrap_err();
    assert!(error.to_string().contains("does not name `more`"), "{error}");
}

#[test]
fn a_file_that_is_not_there_and_a_directory_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["csv", "sqlite", "parquet"] {
        let table = if kind == "sqlite" { "#t" } else { "" };
        let missing = source(&format!("{kind}:{}/none{table}", folder.path().display()));
        let error = read(&missing, &signature()).unwrap_err().to_string();
        assert!(error.contains("/none`: there is no such file"), "{error}");
        let directory = source(&format!("{kind}:{}{table}", folder.path().display()));
        let error = read(&directory, &signature()).unwrap_err().to_string();
        assert!(error.contains("it is a directory\nhint: name a file in it"), "{error}");
        // A device stands for everything that is neither file nor folder: opening a pipe would wait
        // for its writer.
        let error = read(&source(&format!("{kind}:/dev/zero{table}")), &signature()).unwrap_err().to_string();
        assert!(error.contains("it is no regular file"), "{error}");
    }
}

#[test]
fn ten_thousand_columns_are_read() {
    let fields = (0..10_000).map(|column| Field::new(format!("c{column}"), DataType::Float64)).collect();
    let header: Vec<String> = (0..10_000).map(|column| format!("c{column}")).collect();
    let row = vec!["1.5"; 10_000].join(",");
    let text = format!("{}\n{}", header.join(","), format!("{row}\n").repeat(200));
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "wide.csv", text.as_bytes());
    let batch = read(&source(&format!("csv:{}", path.display())), &Signature::new(fields).unwrap()).unwrap();
    assert_eq!((batch.num_rows(), batch.num_columns()), (200, 10_000));
}

#[test]
fn a_bound_parameter_never_becomes_sql() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(&folder, ROWS);
    let sql = "SELECT * FROM customers WHERE id = ?";
    let injected = Literal::Text("A' OR '1'='1".to_owned());
    assert_eq!(read(&query(&path, sql, vec![injected]), &signature()).unwrap().num_rows(), 0);
    let honest = Literal::Text("A".to_owned());
    assert_eq!(read(&query(&path, sql, vec![honest]), &signature()).unwrap().num_rows(), 1);
    let error = read(&query(&path, sql, vec![]), &signature()).unwrap_err();
    assert!(error.to_string().contains("it has 1 parameters, and 0 are given"), "{error}");
}

#[test]
fn a_query_can_only_select() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(&folder, ROWS);
    let before = fs::read(&path).unwrap();
    for sql in [
        "DELETE FROM customers",
        "SELECT * FROM customers; DELETE FROM customers",
        "ATTACH 'other.db' AS other",
        "PRAGMA journal_mode = WAL",
        "EXPLAIN SELECT * FROM customers",
        "CREATE TEMP TABLE t (x)",
        "SELECT load_extension('x') AS id, 1 AS tenure, 2 AS charges, 'x' AS contract",
        "BEGIN",
        "",
        "-- nothing",
    ] {
        let error = read(&query(&path, sql, vec![]), &signature()).unwrap_err();
        assert!(matches!(error, DataError::Query { .. }), "{sql}: {error}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn an_unknown_column_in_double_quotes_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(&folder, ROWS);
    let error =
        read(&query(&path, "SELECT \"idd\" AS id, tenure, charges, contract FROM customers", vec![]), &signature());
    assert!(error.unwrap_err().to_string().contains("no such column"));
}

#[test]
fn a_query_without_end_stops_at_the_deadline_and_when_its_cursor_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(&folder, ROWS);
    let narrow = Signature::new(vec![Field::new("n", DataType::Int64)]).unwrap();
    let endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c WHERE n < 0";
    let deadline = Interrupt::at(Instant::now() + Duration::from_millis(100));
    let mut cursor = open(&query(&path, endless, vec![]), &narrow, Strictness::Ingest, &deadline).unwrap();
    assert!(matches!(cursor.next(10), Err(DataError::Interrupted)));
    assert!(cursor.next(10).unwrap().is_none());

    let numbers = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c";
    let never = Interrupt::never();
    let mut cursor = open(&query(&path, numbers, vec![]), &narrow, Strictness::Ingest, &never).unwrap();
    assert_eq!(cursor.next(10).unwrap().unwrap().num_rows(), 10);
    drop(cursor);
    // Would hang in the middle of the statement if dropping did not stop it.
    drop(open(&query(&path, endless, vec![]), &narrow, Strictness::Ingest, &never).unwrap());
}

#[test]
fn tables_with_any_name_are_found_and_others_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(
        &folder,
        "CREATE TABLE \"odd \"\" name\" AS SELECT 'A' AS id, 1 AS tenure, 2.0 AS charges, 'x' AS contract",
    );
    let odd = Source::new(SourceUri::Sqlite { path: path.clone(), table: Some("odd \" name".to_owned()) });
    assert_eq!(read(&odd, &signature()).unwrap().num_rows(), 1);
    let error = read(&source(&format!("sqlite:{}#Customers", path.display())), &signature()).unwrap_err();
    assert!(error.to_string().contains("it has no table `Customers`; it has `customers`, `odd \" name`"), "{error}");
    let error = read(&source(&format!("sqlite:{}", path.display())), &signature()).unwrap_err();
    assert!(error.to_string().contains("names no table and has no query"), "{error}");
}

/// Copies a database and its log, as a crash would leave them.
fn copy_of(path: &Path, folder: &TempDir, name: &str) -> PathBuf {
    let copy = folder.path().join(name);
    fs::copy(path, &copy).unwrap();
    fs::copy(beside(path, "-wal"), beside(&copy, "-wal")).unwrap();
    copy
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    format!("{}{ending}", path.display()).into()
}

// invariant: A database is read as of one moment, with its committed log and nothing else.
#[test]
fn committed_changes_in_a_log_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(&folder, ROWS);
    let writer = Connection::open(&path).unwrap();
    let insert = |from: u32, to: u32| {
        let numbers = format!("n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {to})");
        let rows = "SELECT 'N' || i, i, 0.5, 'x' FROM n";
        writer.execute_batch(&format!("WITH RECURSIVE {numbers} INSERT INTO customers {rows}")).unwrap();
    };
    writer.execute_batch("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0").unwrap();
    let table = |path: &Path| source(&format!("sqlite:{}#customers", path.display()));
    let before = read(&table(&path), &signature()).unwrap().num_rows();
    insert(1, 3000);
    assert_eq!(read(&table(&path), &signature()).unwrap().num_rows(), before + 3000, "the file grows");
    writer.execute_batch("DELETE FROM customers WHERE id LIKE 'N%' AND tenure > 10").unwrap();
    assert_eq!(read(&table(&path), &signature()).unwrap().num_rows(), before + 10);
    writer.execute_batch("VACUUM").unwrap();
    assert_eq!(read(&table(&path), &signature()).unwrap().num_rows(), before + 10, "the file shrinks");

    // A log that is truncated at every length, and one with a flipped bit.
    let copy = copy_of(&path, &folder, "crashed.db");
    let log = fs::read(beside(&copy, "-wal")).unwrap();
    for length in (0..log.len()).step_by(log.len() / 40) {
        fs::write(beside(&copy, "-wal"), &log[..length]).unwrap();
        let _ = fs::remove_file(beside(&copy, "-shm"));
        read(&table(&copy), &signature()).unwrap();
        let mut changed = log.clone();
        changed[length] ^= 4;
        fs::write(beside(&copy, "-wal"), &changed).unwrap();
        let _ = fs::remove_file(beside(&copy, "-shm"));
        read(&table(&copy), &signature()).unwrap();
    }

    // A log that was restarted over an older one.
    writer.execute_batch("PRAGMA wal_checkpoint(RESTART)").unwrap();
    insert(4000, 4001);
    assert_eq!(read(&table(&path), &signature()).unwrap().num_rows(), before + 12);
}

// invariant: as `committed_changes_in_a_log_are_read`
#[test]
fn a_reader_of_a_database_locks_out_writers() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(&folder, ROWS);
    let table = source(&format!("sqlite:{}#customers", path.display()));
    let writer = Connection::open(&path).unwrap();
    writer.busy_timeout(Duration::ZERO).unwrap();
    let open_files = || table.open_files(1 << 20, &Interrupt::at(Instant::now() + Duration::from_millis(50)));

    let reading = open_files().unwrap();
    assert!(writer.execute_batch("DELETE FROM customers").is_err(), "it is read");
    drop(reading);
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert!(matches!(open_files(), Err(DataError::Interrupted)), "it is written");
    writer.execute_batch("COMMIT; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0").unwrap();
    writer.execute_batch("INSERT INTO customers VALUES ('new', 1, 2, 'x')").unwrap();

    let reading = open_files().unwrap();
    assert!(!reading.log.is_empty());
    writer.execute_batch("INSERT INTO customers VALUES ('newer', 1, 2, 'x')").unwrap();
    let moved = || writer.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(2)).unwrap();
    assert_eq!(moved(), 0, "no page is moved to the file while it is read");
    drop(reading);
    assert!(moved() > 0);
    let long = table.open_files(1, &Interrupt::never());
    assert!(matches!(long, Err(DataError::Memory { allowed: 1, .. })), "{long:?}");
}

// invariant: as `committed_changes_in_a_log_are_read`
#[test]
fn a_database_that_a_writer_left_half_written_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = database(&folder, ROWS);
    let writer = Connection::open(&path).unwrap();
    writer.execute_batch("PRAGMA cache_size = 1; BEGIN; UPDATE customers SET tenure = 7; CREATE TABLE t (x)").unwrap();
    let copy = folder.path().join("crashed.db");
    fs::copy(&path, &copy).unwrap();
    fs::copy(beside(&path, "-journal"), beside(&copy, "-journal")).unwrap();
    // As left by a writer that was interrupted while it wrote to the file.
    let mut journal = fs::read(beside(&copy, "-journal")).unwrap();
    journal[0] = 0xd9;
    fs::write(beside(&copy, "-journal"), journal).unwrap();
    let opened = source(&format!("sqlite:{}#customers", copy.display())).open_files(1 << 20, &Interrupt::never());
    let error = opened.unwrap_err().to_string();
    assert!(error.contains("left it half written") && error.contains("\nhint: "), "{error}");
}

#[test]
fn a_file_that_is_no_database_and_a_damaged_one_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let text = file(&folder, "text.db", &b"id,tenure\n".repeat(100));
    let error = read(&source(&format!("sqlite:{}#customers", text.display())), &signature()).unwrap_err();
    assert!(error.to_string().contains("it is not a SQLite database"), "{error}");
    let rows: String = (0..2000).map(|row| format!("INSERT INTO customers VALUES ('A{row}', 1, 2, 'x');")).collect();
    let path = database(&folder, &format!("BEGIN; {rows} COMMIT"));
    let mut bytes = fs::read(&path).unwrap();
    let length = bytes.len();
    bytes[4096..length - 4096].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let error = read(&source(&format!("sqlite:{}#customers", path.display())), &signature()).unwrap_err();
    assert!(error.to_string().contains("the database is damaged"), "{error}");
}

fn parquet(folder: &TempDir, columns: Vec<(&str, ArrayRef)>) -> PathBuf {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let path = folder.path().join("table.parquet");
    let mut writer = ArrowWriter::try_new(fs::File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    path
}

#[test]
fn parquet_types_become_types_of_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let decimals = Decimal128Array::from(vec![12345, -50]).with_precision_and_scale(10, 2).unwrap();
    let words: arrow_array::DictionaryArray<arrow_array::types::Int8Type> = ["b", "a"].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("word", Arc::new(words)),
        ("small", Arc::new(Int32Array::from(vec![Some(7), None]))),
        ("money", Arc::new(decimals)),
        ("day", Arc::new(Date32Array::from(vec![0, 19_728]))),
        ("time", Arc::new(TimestampNanosecondArray::from(vec![-1, 1_999]))),
        ("text", Arc::new(StringArray::from(vec!["5", " "]))),
        ("big", Arc::new(UInt64Array::from(vec![1, u64::MAX]))),
    ];
    let path = parquet(&folder, columns);
    let field = |name: &str, data_type| Field::new(name, data_type);
    let fields = vec![
        field("text", DataType::Int64),
        field("word", DataType::Categorical),
        field("small", DataType::Float64),
        field("money", DataType::Float64),
        field("day", DataType::Timestamp),
        field("time", DataType::Timestamp),
    ];
    let parquet = source(&format!("parquet:{}", path.display()));
    let batch = read(&parquet, &Signature::new(fields).unwrap().with_null_values([" "])).unwrap();
    assert_eq!(batch.column(0).as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(5), None]);
    assert_eq!(batch.column(2).as_primitive::<Float64Type>().iter().collect::<Vec<_>>(), [Some(7.0), None]);
    assert_eq!(batch.column(3).as_primitive::<Float64Type>().values()[..], [123.45, -0.5]);
    assert_eq!(batch.column(4).as_primitive::<TimestampMicrosecondType>().values()[..], [0, 1_704_499_200_000_000]);
    assert_eq!(batch.column(5).as_primitive::<TimestampMicrosecondType>().values()[..], [-1, 1]);

    let narrow = Signature::new(vec![field("big", DataType::Int64)]).unwrap();
    let error = read(&parquet, &narrow).unwrap_err();
    assert_eq!(error.to_string(), "column `big`, data row 2: `18446744073709551615` lies outside int64");
    let narrow = Signature::new(vec![field("big", DataType::Utf8)]).unwrap();
    assert_eq!(read(&parquet, &narrow).unwrap().column(0).as_string::<i32>().value(1), "18446744073709551615");
}

#[test]
fn a_truncated_parquet_file_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = parquet(&folder, vec![("id", Arc::new(StringArray::from(vec!["A"])))]);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = read(&source(&format!("parquet:{}", path.display())), &signature()).unwrap_err();
    assert!(error.to_string().contains("does not end as one\nhint: the file may be truncated"), "{error}");
}

#[test]
fn only_databases_take_a_query() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "table.csv", CSV);
    let error =
        read(&source(&format!("csv:{}", path.display())).with_query("SELECT 1", vec![]), &signature()).unwrap_err();
    assert!(error.to_string().contains("only databases answer"), "{error}");
}
