//! Folders of files as one table.

mod both;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow_select::concat::concat_batches;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;
use stagewright_data::{Content, DataError, InferenceOptions, Interrupt, Signature, Source, Strictness, infer, open};
use stagewright_store::{DataType, Field};
use tempfile::TempDir;

fn signature() -> Signature {
    let field = |name, data_type| Field::new(name, data_type).with_nullable(true);
    Signature::new(vec![field("n", DataType::Int64), field("t", DataType::Utf8)]).unwrap()
}

fn numbers() -> Signature {
    Signature::new(vec![Field::new("n", DataType::Int64)]).unwrap()
}

fn source(kind: &str, folder: &Path) -> Source {
    Source::new(format!("{kind}:{}/", folder.display()).parse().unwrap())
}

fn read(source: &Source, signature: &Signature) -> Result<RecordBatch, DataError> {
    let read = || {
        let mut cursor = open(source, signature, Strictness::Ingest, &Interrupt::never())?;
        let schema = cursor.schema().to_arrow();
        let mut batches = Vec::new();
        while let Some(batch) = cursor.next(usize::MAX)? {
            batches.push(batch);
        }
        Ok(concat_batches(&schema, &batches).unwrap())
    };
    both::alike(read(), source, signature)
}

fn put(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) {
    fs::write(folder.path().join(name), bytes).unwrap();
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn parquet(column: ArrayRef) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn ns(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

#[test]
fn files_of_csv_are_one_table_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "b.csv.gz", gzip("t,n\nx,3\n"));
    put(&folder, "a.csv", "n,t\n1,x\n2,y\n");
    put(&folder, "c.tsv", "n\tt\n4\tz\n");
    put(&folder, "_SUCCESS", "");
    put(&folder, "readme.md", "no table");
    let source = source("csv", folder.path());
    assert_eq!(ns(&read(&source, &signature()).unwrap()), [1, 2, 3, 4]);
    let proposed = infer(&source, &InferenceOptions::default(), &Interrupt::never()).unwrap();
    assert_eq!((proposed.rows, proposed.signature.fields.fields().len()), (4, 2));
}

#[test]
fn files_of_json_lines_may_have_other_keys() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "1.jsonl", "{\"n\":1}\n{\"n\":2}\n");
    put(&folder, "2.ndjson.zst", zstd::encode_all(&b"{\"t\":\"x\",\"n\":3}\n"[..], 1).unwrap());
    let source = source("jsonl", folder.path());
    let batch = read(&source, &signature()).unwrap();
    assert_eq!((ns(&batch), batch.column(1).null_count()), (vec![1, 2, 3], 2));
    let proposed = infer(&source, &InferenceOptions::default(), &Interrupt::never()).unwrap();
    assert_eq!(proposed.signature.fields.fields().len(), 2);
    put(&folder, "3.jsonl", "{\"n\":4}\n{\"n\":\"x\"}\n");
    let error = read(&source, &signature()).unwrap_err().to_string();
    assert_eq!(error, "in `3.jsonl`: column `n`, data row 5 (line 2): `x` is not an int64");
}

#[test]
fn files_of_parquet_are_one_table() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "part-0.parquet", parquet(Arc::new(Int64Array::from_iter_values(0..9000))));
    put(&folder, "part-1.parquet", parquet(Arc::new(Int64Array::from_iter_values(9000..9010))));
    assert_eq!(ns(&read(&source("parquet", folder.path()), &numbers()).unwrap()), (0..9010).collect::<Vec<_>>());
}

#[test]
fn another_schema_is_an_error_that_names_file_and_column() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "a.csv", "n,t\n1,x\n");
    for (text, part) in [
        ("n\n2\n", "in `b.csv`: its columns are not those of `a.csv`: it lacks `t`"),
        ("n,t,u\n2,x,y\n", "in `b.csv`: its columns are not those of `a.csv`: it also has `u`"),
        ("n,t\n2,x\n3\n", "in `b.csv`: data row 3 (line 3): the line has 1 cells, the header has 2"),
        ("n,t\nx,x\n", "in `b.csv`: column `n`, data row 2 (line 2): `x` is not an int64"),
        ("", "in `b.csv`: the text is empty"),
    ] {
        put(&folder, "b.csv", text);
        let error = read(&source("csv", folder.path()), &signature()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    put(&folder, "b.csv", "");
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "a.parquet", parquet(Arc::new(Int64Array::from_iter_values(0..9))));
    put(&folder, "b.parquet", parquet(Arc::new(Float64Array::from_iter_values([1.0]))));
    let error = read(&source("parquet", folder.path()), &numbers()).unwrap_err().to_string();
    assert!(
        error.starts_with("in `b.parquet`: column `n`: its type is Float64, and in `a.parquet` it is Int64"),
        "{error}"
    );
    put(&folder, "b.parquet", "no such file");
    let error = read(&source("parquet", folder.path()), &numbers()).unwrap_err().to_string();
    assert!(error.contains("`b.parquet` in it: it is not a Parquet file"), "{error}");
}

// invariant: The content of a folder is the names and the bytes of all its files.
#[test]
fn content_changes_with_every_file_and_name() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "a.csv", "n\n1\n");
    put(&folder, "b.csv", "n\n2\n");
    let source = source("csv", folder.path());
    let content = || Content::of(&source, &Interrupt::never()).unwrap();
    let first = content();
    assert!(!first.has_changed());
    put(&folder, "notes.md", "are no part of it");
    assert!(!first.has_changed());
    assert_eq!(content().digest, first.digest);
    put(&folder, "c.csv", "n\n3\n");
    assert!(first.has_changed());
    assert_ne!(content().digest, first.digest);
    fs::remove_file(folder.path().join("c.csv")).unwrap();
    assert_eq!(content().digest, first.digest);
    fs::rename(folder.path().join("b.csv"), folder.path().join("c.csv")).unwrap();
    assert!(first.has_changed());
    let renamed = content();
    assert_ne!(renamed.digest, first.digest);
    // Rows that move from one file to another are another content, too.
    put(&folder, "c.csv", "n\n");
    assert!(renamed.has_changed());
}

#[test]
fn a_folder_without_a_slash_gets_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    put(&folder, "a.csv", "n\n1\n");
    let source = Source::new(format!("csv:{}", folder.path().display()).parse().unwrap());
    let error = read(&source, &numbers()).unwrap_err().to_string();
    assert!(error.contains("it is a directory\nhint: name a file in it; an address that ends with `/`"), "{error}");
}
