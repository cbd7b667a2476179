//! The log from requests to files and back.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array as _, ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringArray};
use arrow_schema::DataType as Arrow;
use stagewright_data::{Signature, Task};
use stagewright_manifest::LoggedFeatures;
use stagewright_store::{DataType, Field, Role};

use super::channel::Channel;
use super::columns::Columns;
use super::entry::Entry;
use super::folder::{ABANDONED, LogCounts, ModelFiles, list};
use super::mask::MaskKey;
use super::name::HOUR_MS;
use super::reader::{LogReadError, PredictionLogFiles};
use super::request::{LoggedRequest, LoggedRows};
use super::writer::Writer;
use super::{LogPolicy, PredictionLog};

mod limits;

/// An hour, in hours since the epoch.
const HOUR: i64 = 490_000;

fn signature() -> Signature {
    Signature::new(vec![
        Field::new("id", DataType::Utf8).with_role(Role::Identifier),
        Field::new("tenure", DataType::Int64),
        Field::new("plan", DataType::Categorical).with_nullable(true),
        Field::new("email", DataType::Utf8),
        Field::new("weight", DataType::Float64).with_role(Role::Weight),
        Field::new("region", DataType::Utf8).with_role(Role::Group),
        Field::new("churn", DataType::Boolean).with_role(Role::Target),
    ])
    .expect("a signature")
}

fn binary() -> Task {
    Task::Binary { negative: "No".to_owned(), positive: "Yes".to_owned() }
}

fn model_files(folder: &Path, policy: &LogPolicy) -> Arc<ModelFiles> {
    let counts = LogCounts::default();
    Arc::new(ModelFiles { folder: folder.to_owned(), most_bytes: policy.most_bytes, keep: policy.keep, counts })
}

fn columns_of(files: &Arc<ModelFiles>, task: Task, policy: &LogPolicy, mask: Option<Arc<MaskKey>>) -> Arc<Columns> {
    Arc::new(Columns::new(files.clone(), ("churn", 3), task, &signature(), policy, mask))
}

/// The rows of a request: tenures, each with a plan and an address.
fn rows(tenures: &[i64], values: &[f64]) -> LoggedRows {
    let plans: DictionaryArray<arrow_array::types::Int32Type> =
        tenures.iter().map(|tenure| (tenure % 2 == 0).then_some("monthly")).collect();
    let emails: StringArray = tenures.iter().map(|tenure| Some(format!("{tenure}@example.org"))).collect();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("tenure", Arc::new(Int64Array::from(tenures.to_vec())), false),
        ("plan", Arc::new(plans), true),
        ("email", Arc::new(emails), false),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).expect("rows");
    let ids = tenures.iter().map(|tenure| Some(format!("C-{tenure}").into_boxed_str())).collect();
    LoggedRows { batch, kept: vec![ids], values: values.to_vec() }
}

/// A request of a minute of [`HOUR`].
fn request(minute: u64, rows: Option<LoggedRows>) -> LoggedRequest {
    let is_answered = rows.as_ref().is_some_and(|rows| !rows.values.is_empty());
    LoggedRequest {
        request_id: format!("request-{minute}"),
        client_request_id: (minute == 0).then(|| "mine".to_owned()),
        at: UNIX_EPOCH + Duration::from_secs(HOUR as u64 * 3600 + minute * 60),
        arm: (minute == 0).then_some("canary"),
        status: if is_answered { 200 } else { 500 },
        latency: Duration::from_micros(250),
        error: (!is_answered).then_some("model_failed"),
        rows: rows.map(Arc::new),
    }
}

/// A writer whose requests come from the test.
fn writer() -> Writer {
    Writer::new(Arc::new(Channel::open().0))
}

fn entry(columns: &Arc<Columns>, request: LoggedRequest) -> Entry {
    Entry::new(columns.clone(), request)
}

/// Reads all rows of a folder.
fn read(folder: &Path) -> Vec<RecordBatch> {
    let log = PredictionLogFiles::in_folder(folder.to_owned());
    let hours = log.hours().expect("a folder");
    let files = hours.into_iter().flat_map(|hour| log.open(hour).expect("files"));
    files.flat_map(|file| file.batches(false).expect("a file")).map(|batch| batch.expect("rows")).collect()
}

fn ids(folder: &Path) -> Vec<String> {
    let of_batch = |batch: &RecordBatch| -> Vec<String> {
        batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect()
    };
    let mut ids: Vec<String> = read(folder).iter().flat_map(of_batch).collect();
    ids.sort_unstable();
    ids
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("a folder")
        .flatten()
        .map(|it| it.file_name().into_string().expect("text"))
        .collect();
    names.sort_unstable();
    names
}

const NOW: i64 = HOUR * HOUR_MS + HOUR_MS / 2;

// invariant: The prediction log has what the roles of the signature and the operator allow, and
// nothing else: no identifier that the operator does not name, no target, no weight.
#[test]
fn roles_and_the_operator_decide_which_columns_are_logged() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = |policy: &LogPolicy, mask: Option<Arc<MaskKey>>| -> Vec<String> {
        let columns = columns_of(&model_files(folder.path(), policy), binary(), policy, mask);
        let names = columns.schema.fields().iter().skip(super::fixed_columns().len()).map(|field| field.name().clone());
        names.collect()
    };
    let all = LogPolicy::default();
    assert_eq!(names(&all, None), ["feature_tenure", "feature_plan", "feature_email"]);
    let none = LogPolicy { features: LoggedFeatures::None, ..all.clone() };
    assert_eq!(names(&none, None), [""; 0]);
    let some = LogPolicy {
        features: LoggedFeatures::Named(vec!["plan".into(), "id".into()]),
        identifiers: ["id", "region", "churn", "weight", "tenure"].map(str::to_owned).to_vec(),
        ..all.clone()
    };
    assert_eq!(names(&some, None), ["feature_plan", "identifier_id", "identifier_region"]);
    // Without a key, what should be hashed is left out.
    let masked = LogPolicy { mask: vec!["email".into()], ..all.clone() };
    assert_eq!(names(&masked, None), ["feature_tenure", "feature_plan"]);
    // What a column that is not there should hide may have another name.
    let key = Arc::new(MaskKey::open(&folder.path().join("mask.key")).expect("a key"));
    assert_eq!(names(&masked, Some(key.clone())), ["feature_tenure", "feature_plan", "feature_email"]);
    let misspelt = LogPolicy { mask: vec!["email".into(), "emial".into()], ..some.clone() };
    assert_eq!(names(&misspelt, Some(key)), [""; 0]);
    for (policy, problem) in [
        (LogPolicy { mask: vec!["emial".into()], ..all.clone() }, Some("`log.mask` names `emial`")),
        (some, Some("`log.features` names `id`")),
        (LogPolicy { identifiers: vec!["churn".into()], ..all }, Some("`log.identifiers` names `churn`")),
        (masked, None),
    ] {
        let found = policy.problem(&signature());
        assert_eq!(found.is_some(), problem.is_some(), "{found:?}");
        assert!(found.unwrap_or_default().starts_with(problem.unwrap_or_default()));
    }
}

#[test]
fn requests_come_back_with_their_rows_predictions_and_faults() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = Arc::new(MaskKey::open(&folder.path().join("mask.key")).expect("a key"));
    let log = folder.path().join("churn");
    let policy =
        LogPolicy { identifiers: vec!["id".into()], mask: vec!["email".into(), "id".into()], ..LogPolicy::default() };
    let columns = columns_of(&model_files(&log, &policy), binary(), &policy, Some(key.clone()));
    let mut writer = writer();
    writer.take(entry(&columns, request(0, Some(rows(&[1, 2], &[0.25, 0.75])))), NOW);
    writer.take(entry(&columns, request(1, None)), NOW);
    writer.take(entry(&columns, request(2, Some(rows(&[4], &[])))), NOW);
    writer.end(NOW);
    let batches = read(&log);
    let batch = &batches[0];
    assert_eq!((batches.len(), batch.num_rows()), (1, 4));
    let text = |name: &str| -> Vec<Option<&str>> {
        batch.column_by_name(name).expect(name).as_string::<i32>().iter().collect()
    };
    let whole = |name: &str| -> Vec<Option<i64>> {
        batch.column_by_name(name).expect(name).as_primitive::<Int64Type>().iter().collect()
    };
    assert_eq!(text("request_id"), ["request-0", "request-0", "request-1", "request-2"].map(Some));
    assert_eq!(text("client_request_id"), [Some("mine"), Some("mine"), None, None]);
    assert_eq!(text("arm"), [Some("canary"), Some("canary"), None, None]);
    assert_eq!(text("label"), [Some("No"), Some("Yes"), None, None]);
    assert_eq!(text("error"), [None, None, Some("model_failed"), Some("model_failed")]);
    assert_eq!(whole("row"), [Some(0), Some(1), None, Some(0)]);
    assert_eq!(whole("version"), [Some(3); 4]);
    assert_eq!(whole("status"), [200, 200, 500, 500].map(Some));
    assert_eq!(whole("latency_us"), [Some(250); 4]);
    assert_eq!(whole("feature_tenure"), [Some(1), Some(2), None, Some(4)]);
    assert_eq!(text("feature_plan"), [None, Some("monthly"), None, Some("monthly")]);
    let probability = batch.column_by_name("probability").expect("a column").as_primitive::<Float64Type>();
    assert_eq!(probability.iter().collect::<Vec<_>>(), [Some(0.25), Some(0.75), None, None]);
    let hash = |column, value| Some(key.hash("churn", column, value));
    let owned = |texts: Vec<Option<&str>>| texts.into_iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>();
    let emails = [hash("email", "1@example.org"), hash("email", "2@example.org"), None, hash("email", "4@example.org")];
    assert_eq!(owned(text("feature_email")), emails);
    assert_eq!(owned(text("identifier_id")), [hash("id", "C-1"), hash("id", "C-2"), None, hash("id", "C-4")]);
    assert_eq!(
        batch.schema().field_with_name("time").expect("a column").data_type(),
        &super::fixed_columns()[2].data_type().clone()
    );
}

#[test]
fn predictions_of_classes_and_numbers_have_columns_of_their_own() {
    let policy = LogPolicy::default();
    let tasks = [
        (Task::MultiClass { classes: vec!["a".into(), "b \"c\"".into()] }, vec![0.25, 0.75]),
        (Task::Regression, vec![1.5]),
    ];
    let mut told = Vec::new();
    for (task, values) in tasks {
        let folder = tempfile::tempdir().expect("a folder");
        let columns = columns_of(&model_files(folder.path(), &policy), task, &policy, None);
        let mut writer = writer();
        writer.take(entry(&columns, request(0, Some(rows(&[1], &values)))), NOW);
        writer.end(NOW);
        let batch = read(folder.path()).remove(0);
        let text = |name: &str| {
            let column = batch.column_by_name(name).expect(name).as_string::<i32>();
            column.is_valid(0).then(|| column.value(0).to_owned())
        };
        let value = batch.column_by_name("value").expect("a column").as_primitive::<Float64Type>();
        told.push((text("label"), text("probabilities"), value.is_valid(0).then(|| value.value(0))));
        assert_eq!(batch.column_by_name("probability").map(|column| column.null_count()), Some(1));
    }
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(told, [(some("b \"c\""), some(r#"{"a":0.25,"b \"c\"":0.75}"#), None), (None, None, Some(1.5))]);
}

// invariant: A file of the prediction log has its name when it is whole, and each row is read once,
// before and after pieces become a file.
#[test]
fn pieces_are_read_at_once_and_become_a_file_when_their_hour_is_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = LogPolicy::default();
    let files = model_files(folder.path(), &policy);
    let columns = columns_of(&files, binary(), &policy, None);
    let mut writer = writer();
    for minute in 0..3 {
        writer.take(entry(&columns, request(minute, Some(rows(&[1], &[0.5])))), NOW);
        writer.flush(NOW);
        writer.flush(NOW);
        assert_eq!(ids(folder.path()).len() as u64, minute + 1);
    }
    let pieces = names(folder.path());
    assert_eq!(pieces.len(), 3, "nothing new, no file: {pieces:?}");
    let kept: Vec<_> = pieces.iter().map(|name| (name, fs::read(folder.path().join(name)).expect("a piece"))).collect();
    writer.flush(NOW + HOUR_MS);
    let expected = ["request-0", "request-1", "request-2"];
    assert_eq!((names(folder.path()).len(), ids(folder.path())), (1, expected.map(str::to_owned).to_vec()));
    assert_eq!(files.counts.rows.get(), 3);
    // A server is killed before it has removed the pieces of a file.
    kept.iter().for_each(|(name, bytes)| fs::write(folder.path().join(name), bytes).expect("a piece"));
    assert_eq!(ids(folder.path()), expected);
    files.clean().expect("a clean folder");
    assert_eq!((names(folder.path()).len(), ids(folder.path())), (1, expected.map(str::to_owned).to_vec()));
}

// invariant: A server that is killed leaves no broken file under the name of a whole one.
#[test]
fn temporary_files_of_a_killed_server_go_and_those_of_a_living_one_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = PredictionLog::start(folder.path()).expect("a log");
    let of_model = || log.of_model("churn", LogPolicy::default(), LogCounts::default()).expect("a model's log");
    for name in ["../elsewhere", "..", "", "a/b", "a\0b"] {
        let refused = log.of_model(name, LogPolicy::default(), LogCounts::default());
        assert!(refused.is_err() && names(folder.path()).is_empty(), "{name:?}");
    }
    of_model();
    let place = folder.path().join("predictions").join("churn");
    let part = |name: &str, age: Duration| {
        let path = place.join(name);
        fs::write(&path, b"PAR1 half").expect("a file");
        let file = fs::File::options().write(true).open(path).expect("a file");
        file.set_modified(SystemTime::now() - age).expect("a time");
    };
    part(".2026-05-13T11-7f3a9c21-0.3.parquet.part", ABANDONED * 2);
    part(".2026-05-13T11-7f3a9c22-0.parquet.part", Duration::ZERO);
    part(".notes.part", ABANDONED * 2);
    assert_eq!(read(&place).len(), 0, "half a file is read");
    of_model();
    assert_eq!(names(&place), [".2026-05-13T11-7f3a9c22-0.parquet.part", ".notes.part"]);
}

/// Rows of a kilobyte each that does not compress.
fn noise(count: usize) -> LoggedRows {
    let mut rows = rows(&vec![1; count], &vec![0.5; count]);
    let mut arrays = rows.batch.columns().to_vec();
    let text = |_| Some((0..960).map(|_| fastrand::alphanumeric()).collect::<String>());
    arrays[2] = Arc::new((0..count).map(text).collect::<StringArray>());
    rows.batch = RecordBatch::try_new(rows.batch.schema(), arrays).expect("rows");
    rows
}

#[test]
fn the_oldest_files_go_when_they_are_too_many_or_too_old() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = LogPolicy { most_bytes: 1 << 20, keep: Duration::from_secs(10 * 3600), ..LogPolicy::default() };
    let files = model_files(folder.path(), &policy);
    let columns = columns_of(&files, binary(), &policy, None);
    let bytes = || list(folder.path()).expect("files").iter().map(|file| file.bytes).sum::<u64>();
    let mut writer = writer();
    for minute in 0..60 {
        writer.take(entry(&columns, request(minute, Some(noise(60)))), NOW);
        writer.flush(NOW);
        // A file that is being put together is there beside its pieces for a moment only.
        assert!(bytes() <= policy.most_bytes, "{} bytes", bytes());
    }
    writer.end(NOW);
    let left = ids(folder.path());
    assert!(left.contains(&"request-59".to_owned()) && !left.contains(&"request-0".to_owned()), "{left:?}");
    assert!(list(folder.path()).expect("files").iter().all(|file| file.bytes <= policy.most_bytes / 4));
    files.make_room(0, NOW + 10 * HOUR_MS).expect("room");
    assert!(!names(folder.path()).is_empty(), "the hour ended less than ten hours ago");
    // Whether requests come or not.
    let channel = Arc::new(Channel::open().0);
    channel.add(files);
    Writer::new(channel).tidy(NOW + 11 * HOUR_MS);
    assert_eq!(names(folder.path()), [""; 0]);
}

// invariant: Several servers that log to one folder lose nothing of each other.
#[test]
fn several_servers_write_to_one_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let threads: Vec<_> = (0..4)
        .map(|server| {
            let folder = folder.path().to_owned();
            std::thread::spawn(move || {
                let policy = LogPolicy::default();
                let log = PredictionLog::start(&folder).expect("a log");
                let of_model = log.of_model("churn", policy, LogCounts::default()).expect("a model's log");
                let version = of_model.of_version(3, &binary(), &signature());
                for number in 0..50 {
                    let request_id = format!("{server}-{number}");
                    let at = SystemTime::now();
                    version.write(LoggedRequest { request_id, at, ..request(0, Some(rows(&[1], &[0.5]))) });
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("a server"));
    let place = folder.path().join("predictions").join("churn");
    let mut expected: Vec<String> =
        (0..4).flat_map(|server| (0..50).map(move |number| format!("{server}-{number}"))).collect();
    expected.sort_unstable();
    assert_eq!(ids(&place), expected);
    assert!(names(&place).iter().all(|name| !name.starts_with('.')), "{:?}", names(&place));
}

// invariant: No request waits for the prediction log: what it cannot take is dropped and counted.
#[test]
fn a_log_that_does_not_keep_up_drops_rows_and_counts_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = LogPolicy::default();
    let files = model_files(folder.path(), &policy);
    let columns = columns_of(&files, binary(), &policy, None);
    let (channel, requests) = Channel::open();
    let many = rows(&[1; 1000], &[0.5; 1000]);
    for minute in 0..20_000 {
        channel.send(Entry::new(columns.clone(), request(minute, Some(many.clone()))));
    }
    let waiting = std::iter::from_fn(|| requests.try_recv().ok().flatten());
    let (count, bytes) = waiting.fold((0_u64, 0), |(count, bytes), entry| (count + 1, bytes + entry.bytes));
    assert!(count > 0 && bytes <= 128 << 20, "{count} requests of {bytes} bytes wait");
    assert_eq!(files.counts.dropped.get(), (20_000 - count) * 1000);
    // What is dropped frees its memory, and what the writer took does when it says so.
    channel.free(bytes);
    channel.send(Entry::new(columns.clone(), request(0, None)));
    assert!(requests.try_recv().is_ok_and(|entry| entry.is_some()));
    channel.close();
    channel.send(Entry::new(columns, request(0, None)));
    assert_eq!(files.counts.dropped.get(), (20_000 - count) * 1000 + 1, "the log has ended");
}

#[test]
fn a_folder_that_takes_no_file_costs_the_rows_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = LogPolicy::default();
    // A file where the folder should be.
    let place = folder.path().join("churn");
    fs::write(&place, b"in the way").expect("a file");
    let files = model_files(&place, &policy);
    let columns = columns_of(&files, binary(), &policy, None);
    let mut writer = writer();
    writer.take(entry(&columns, request(0, Some(rows(&[1, 2], &[0.5, 0.5])))), NOW);
    writer.flush(NOW);
    assert_eq!((files.counts.dropped.get(), files.counts.rows.get()), (2, 0));
    fs::remove_file(&place).expect("the way is free");
    writer.take(entry(&columns, request(1, Some(rows(&[3], &[0.5])))), NOW);
    writer.end(NOW);
    assert_eq!(ids(&place), ["request-1"]);
}

// invariant: A file of a prediction log that is damaged is an error that names it.
#[test]
fn files_that_are_no_logs_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = LogPolicy::default();
    let columns = columns_of(&model_files(folder.path(), &policy), binary(), &policy, None);
    let mut writer = writer();
    writer.take(entry(&columns, request(0, Some(rows(&[1, 2], &[0.5, 0.5])))), NOW);
    writer.end(NOW);
    let path = folder.path().join(names(folder.path()).remove(0));
    let good = fs::read(&path).expect("a file");
    let read = || -> Result<usize, LogReadError> {
        let log = PredictionLogFiles::in_folder(folder.path().to_owned());
        let file = log.open(HOUR * HOUR_MS)?.remove(0);
        file.batches(false)?.map(|batch| batch.map(|batch| batch.num_rows())).sum()
    };
    assert_eq!(read().expect("rows"), 2);
    for length in [0, 4, good.len() / 2, good.len() - 1] {
        fs::write(&path, &good[..length]).expect("a file");
        let error = read().expect_err("half a file").to_string();
        assert!(error.contains("2025-11-2") && error.contains("damaged"), "{error}");
    }
    // Whatever byte is wrong, the answer is rows or an error.
    for place in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[place] ^= 0x41;
        fs::write(&path, bad).expect("a file");
        let _ = read();
    }
    // A table of somebody else.
    let other = RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).expect("rows");
    let file = fs::File::create(&path).expect("a file");
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, other.schema(), None).expect("a writer");
    writer.write(&other).expect("rows");
    writer.close().expect("a file");
    assert!(read().expect_err("no log").to_string().contains("its format is not"));
    assert_eq!(other.schema().field(0).data_type(), &Arrow::Int64);
}
