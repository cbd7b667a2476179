//! Packs: several objects that are read as one table.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use stagewright_data::{
    DataError, InferenceOptions, Interrupt, PackWriter, Signature, Source, Strictness, infer, open,
};
use stagewright_store::{DataType, Field};

fn pack(folder: &Path, kind: &str, parts: &[(&str, Vec<u8>)]) -> Source {
    let path = folder.join("pack");
    let mut pack = PackWriter::new(std::fs::File::create(&path).expect("a file"));
    for (name, bytes) in parts {
        pack.begin(name, bytes.len() as u64).and_then(|()| pack.write_all(bytes)).expect("a part");
    }
    pack.finish().expect("a pack");
    Source::new(format!("{kind}:{}", path.display()).parse().expect("an address")).packed()
}

fn signature() -> Signature {
    Signature::new(vec![Field::new("id", DataType::Utf8), Field::new("n", DataType::Int64)]).expect("a signature")
}

fn rows(source: &Source) -> Result<Vec<(String, i64)>, DataError> {
    let mut cursor = open(source, &signature(), Strictness::Ingest, &Interrupt::never())?;
    let mut rows = Vec::new();
    while let Some(batch) = cursor.next(usize::MAX)? {
        let (ids, numbers) = (batch.column(0).as_string::<i32>(), batch.column(1).as_primitive::<Int64Type>());
        rows.extend((0..batch.num_rows()).map(|row| (ids.value(row).to_owned(), numbers.value(row))));
    }
    Ok(rows)
}

fn expected() -> Vec<(String, i64)> {
    [("a", 1), ("b", 2), ("c", 3)].map(|(id, number)| (id.to_owned(), number)).to_vec()
}

fn parquet(ids: &[&str], numbers: &[i64], swapped: bool) -> Vec<u8> {
    let (ids, numbers): (ArrayRef, ArrayRef) =
        (Arc::new(StringArray::from(ids.to_vec())), Arc::new(Int64Array::from(numbers.to_vec())));
    let columns = if swapped { [("n", numbers), ("id", ids)] } else { [("id", ids), ("n", numbers)] };
    let batch = RecordBatch::try_from_iter(columns).expect("a batch");
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("a batch");
    writer.into_inner().expect("a file")
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).expect("memory");
    encoder.finish().expect("memory")
}

// invariant: Parts of a source are one table, in the order of the pack, whatever the order of their
// columns; and a part with other columns is an error.
#[test]
fn parts_of_every_format_are_one_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let of = |kind: &str, parts: &[(&str, Vec<u8>)]| rows(&pack(folder.path(), kind, parts)).expect("rows");
    let csv =
        [("1.csv", b"id,n\na,1\n".to_vec()), ("2.csv.gz", gzip(b"n,id\n2,b\n3,c\n")), ("3.csv", b"id,n\n".to_vec())];
    assert_eq!(of("csv", &csv), expected());
    let lines = [
        ("1.jsonl.gz", gzip(b"{\"id\": \"a\", \"n\": 1}\n")),
        ("2.jsonl", b"{\"n\": 2, \"id\": \"b\"}\n{\"id\": \"c\", \"n\": 3}".to_vec()),
    ];
    assert_eq!(of("jsonl", &lines), expected());
    let parquets = [("1.parquet", parquet(&["a", "b"], &[1, 2], false)), ("2.parquet", parquet(&["c"], &[3], true))];
    assert_eq!(of("parquet", &parquets), expected());
    assert_eq!(of("csv", &csv[..1]), expected()[..1]);
}

#[test]
fn a_fault_names_the_part_the_row_of_the_table_and_the_line_of_the_part() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = ("events/1.csv", b"id,n\na,1\nb,2\n".to_vec());
    for (kind, bad, told) in [
        ("csv", b"n,id\n3,c\nx,d\n".to_vec(), "in `events/2`: column `n`, data row 4 (line 3): `x` is not an int64"),
        ("csv", b"n,id\n3,c\n4\n".to_vec(), "in `events/2`: data row 4 (line 3): the line has 1 cells"),
        ("csv", Vec::new(), "in `events/2`: the text is empty"),
        (
            "csv",
            b"id,m\nc,3\n".to_vec(),
            "in `events/2`: its columns are not those of `events/1.csv`: it lacks `n`; it also has `m`\nhint: ",
        ),
        ("csv", b"id,n,n\nc,3,3\n".to_vec(), "it repeats one\nhint: "),
    ] {
        let source = pack(folder.path(), kind, &[good.clone(), ("events/2", bad)]);
        let error = rows(&source).expect_err("a fault").to_string();
        assert!(error.contains(told), "{error}");
    }
    let parts = [("1", parquet(&["a", "b"], &[1, 2], false)), ("2", parquet(&["c", "d"], &[1 << 40, 2], false))];
    let source = pack(folder.path(), "parquet", &parts);
    let signature = Signature::new(vec![Field::new("id", DataType::Utf8), Field::new("n", DataType::Boolean)]);
    let mut cursor = open(&source, &signature.expect("a signature"), Strictness::Ingest, &Interrupt::never());
    let error = cursor.as_mut().expect("columns").next(9).expect_err("a fault").to_string();
    assert!(error.starts_with("in `1`: column `n`, data row 2: "), "{error}");
}

#[test]
fn a_signature_is_inferred_from_all_parts() {
    let folder = tempfile::tempdir().expect("a folder");
    let parts = [("1.csv", b"id,n\na,1\n".to_vec()), ("2.csv", b"n,id\n2.5,b\n".to_vec())];
    let found = infer(&pack(folder.path(), "csv", &parts), &InferenceOptions::default(), &Interrupt::never());
    let found = found.expect("a proposal");
    let types: Vec<_> =
        found.signature.fields.fields().iter().map(|field| (field.name.as_str(), field.data_type)).collect();
    assert_eq!((types, found.rows), (vec![("id", DataType::Utf8), ("n", DataType::Float64)], 2));
}

#[test]
fn what_is_no_pack_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = pack(folder.path(), "csv", &[("1.csv", b"id,n\na,1\n".to_vec())]);
    let path = source.uri.path().to_owned();
    let whole = std::fs::read(&path).expect("a pack");
    for bytes in [&b"id,n\na,1\n"[..], &whole[..513], &whole[..700], &[]] {
        std::fs::write(&path, bytes).expect("a file");
        assert!(matches!(rows(&source), Err(DataError::Unreadable { .. })), "{} bytes", bytes.len());
    }
}
