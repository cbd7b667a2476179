//! Artifacts: invisible until complete, never served damaged, removed when abandoned.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use stagewright_store::{ArtifactKind, ArtifactStore, DataType, Digest, Field, Schema, StoreError, fsyncs};
use tempfile::TempDir;

fn store() -> (TempDir, ArtifactStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(directory.path().join("artifacts")).unwrap();
    (directory, store)
}

/// Lists all files of a directory, recursively.
fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found.sort();
    found
}

fn floats(rows: usize) -> (Schema, RecordBatch) {
    let schema = Schema::new(vec![Field::new("x", DataType::Float64)]).unwrap();
    let column: ArrayRef = Arc::new(Float64Array::from_iter_values((0..rows).map(|row| row as f64)));
    let batch = RecordBatch::try_new(schema.to_arrow(), vec![column]).unwrap();
    (schema, batch)
}

// invariant: as `what_is_not_published_is_removed`
#[test]
fn handles_are_readable_at_once_and_visible_to_others_after_publication() {
    let (_directory, store) = store();
    let staging = store.stage();
    let mut writer = staging.create_blob().unwrap();
    writer.write(b"hello ").unwrap();
    writer.write(b"world").unwrap();
    let blob = writer.finish().unwrap();
    let document = staging.put_document("text/plain", *b"report").unwrap();
    let (schema, batch) = floats(10);
    let mut writer = staging.create_table(&schema).unwrap();
    writer.write(&batch).unwrap();
    let table = writer.finish().unwrap();

    assert_eq!(blob.digest(), Digest::of(b"hello world"));
    assert_eq!(blob.read(6, 100).unwrap(), b"world");
    assert_eq!(blob.read(11, 1).unwrap(), b"");
    assert_eq!(table.read(0, 10, None).unwrap(), batch);
    assert!(matches!(store.open_blob(&blob.digest()), Err(StoreError::Missing { kind: ArtifactKind::Blob, .. })));

    staging.publish().unwrap();
    assert_eq!(store.open_blob(&blob.digest()).unwrap().read_all().unwrap(), b"hello world");
    assert_eq!(store.open_document(&document.digest(), "text/plain").unwrap(), document);
    assert_eq!(store.open_table(&table.digest()).unwrap().read(0, 10, None).unwrap(), batch);
    assert_eq!(table.read(0, 10, None).unwrap(), batch);
}

// invariant: An unpublished artifact is removed, and a published artifact is complete.
#[test]
fn what_is_not_published_is_removed() {
    let (_directory, store) = store();
    let staging = store.stage();
    staging.put_document("text/plain", *b"one").unwrap();
    let mut unfinished = staging.create_blob().unwrap();
    unfinished.write(b"half").unwrap();
    let (schema, batch) = floats(100_000);
    let mut half = staging.create_table(&schema).unwrap();
    half.write(&batch).unwrap();
    assert_ne!(files(store.directory()), Vec::<String>::new());
    drop((unfinished, half, staging));
    let left = files(store.directory());
    assert!(left.iter().all(|name| name.ends_with(".lock")), "{left:?}");
    let directory = store.directory().to_owned();
    drop(store);
    assert_eq!(files(&directory), Vec::<String>::new());
}

#[test]
fn publication_is_idempotent_and_waits_for_the_disk_once_per_new_file_and_directory() {
    let (_directory, store) = store();
    let publish = || {
        let staging = store.stage();
        staging.put_document("text/plain", *b"same").unwrap();
        staging.put_document("text/plain", *b"same").unwrap();
        staging.put_document("text/plain", *b"other").unwrap();
        staging.publish().unwrap();
    };
    publish();
    let files_after = files(store.directory());
    publish();
    assert_eq!(files(store.directory()), files_after);
    assert_eq!(files_after.iter().filter(|name| name.ends_with(".document")).count(), 2);
    // Other tests of this process wait for the disk too, so that only a lower bound is known.
    assert!(fsyncs() >= 4);
}

// invariant: A damaged artifact is never served. Making it again repairs it.
#[test]
fn a_damaged_blob_or_document_is_never_served() {
    let (_directory, store) = store();
    let staging = store.stage();
    let mut writer = staging.create_blob().unwrap();
    writer.write(&vec![7; 1_000_000]).unwrap();
    let blob = writer.finish().unwrap().digest();
    let document = staging.put_document("text/plain", *b"report").unwrap().digest();
    staging.publish().unwrap();

    let path = store.path(ArtifactKind::Blob, &blob);
    let mut bytes = fs::read(&path).unwrap();
    bytes[999_999] ^= 1;
    replace(&path, &bytes);
    assert!(matches!(store.open_blob(&blob), Err(StoreError::DigestDiffers { .. })));
    let path = store.path(ArtifactKind::Document, &document);
    replace(&path, b"repor");
    assert!(matches!(store.open_document(&document, "text/plain"), Err(StoreError::DigestDiffers { .. })));

    // A truncated file is replaced when the artifact is made again.
    let staging = store.stage();
    staging.put_document("text/plain", *b"report").unwrap();
    staging.publish().unwrap();
    assert_eq!(store.open_document(&document, "text/plain").unwrap().bytes(), b"report");
}

// invariant: as `a_damaged_blob_or_document_is_never_served`
#[test]
fn a_damaged_artifact_of_the_right_length_is_healed_by_making_it_again() {
    let (directory, store) = store();
    // By the process that wrote it and remembers that, and by another one.
    for store in [&store, &ArtifactStore::open(directory.path().join("artifacts")).unwrap()] {
        let make = || {
            let staging = store.stage();
            let (schema, rows) = floats(10);
            let mut table = staging.create_table(&schema).unwrap();
            table.write(&rows).unwrap();
            let mut blob = staging.create_blob().unwrap();
            blob.write(&vec![7; 600_000]).unwrap();
            let made = [
                (ArtifactKind::Table, table.finish().unwrap().digest()),
                (ArtifactKind::Blob, blob.finish().unwrap().digest()),
                (ArtifactKind::Document, staging.put_document("text/plain", *b"report").unwrap().digest()),
            ];
            staging.publish().unwrap();
            made
        };
        for (kind, digest) in make() {
            let path = store.path(kind, &digest);
            let whole = fs::read(&path).unwrap();
            // In a table, one of its values: its structure stays valid.
            let place = whole.windows(8).position(|word| kind == ArtifactKind::Table && word == 3f64.to_le_bytes());
            let mut damaged = whole.clone();
            damaged[place.unwrap_or(whole.len() - 1)] ^= 16;
            replace(&path, &damaged);
            assert!(store.verify(kind, &digest).is_err(), "{kind} is damaged");
            make();
            assert!(store.verify(kind, &digest).is_ok(), "{kind} is whole again");
            assert_eq!(fs::read(&path).unwrap(), whole);
        }
    }
}

fn replace(path: &Path, bytes: &[u8]) {
    let aside = path.with_extension("aside");
    fs::write(&aside, bytes).unwrap();
    fs::rename(aside, path).unwrap();
}

/// Set for a child process of this test binary: the directory in which it plays its part of the
/// same test.
const CHILD_DIRECTORY: &str = "STAGEWRIGHT_TEST_ARTIFACTS";

// invariant: Opening a home removes what dead processes left and leaves live processes alone.
#[test]
fn opening_removes_what_dead_processes_left_and_nothing_of_live_ones() {
    if let Some(directory) = std::env::var_os(CHILD_DIRECTORY) {
        die_while_staging(&directory);
    }
    let (_directory, store) = store();
    let alive = store.stage();
    alive.put_document("text/plain", *b"alive").unwrap();

    let child = Command::new(std::env::current_exe().unwrap())
        .args(["opening_removes_what_dead_processes_left_and_nothing_of_live_ones", "--exact"])
        .env(CHILD_DIRECTORY, store.directory())
        .output()
        .unwrap();
    assert!(!child.status.success());
    let staged = |store: &ArtifactStore| {
        files(&store.directory().join("staging")).into_iter().filter(|name| !name.ends_with(".lock")).count()
    };
    assert_eq!(staged(&store), 2, "{}", String::from_utf8_lossy(&child.stderr));

    let again = ArtifactStore::open(store.directory()).unwrap();
    assert_eq!(staged(&again), 1);
    alive.publish().unwrap();
    assert!(again.contains(ArtifactKind::Document, &Digest::of(b"alive")));
}

fn die_while_staging(directory: &OsStr) -> ! {
    let store = ArtifactStore::open(directory).unwrap();
    let staging = store.stage();
    staging.put_document("text/plain", *b"dead").unwrap();
    std::process::abort();
}

// invariant: as `what_is_not_published_is_removed`
#[test]
fn a_full_disk_is_an_error_that_names_the_file_and_leaves_nothing() {
    if let Some(directory) = std::env::var_os(CHILD_DIRECTORY) {
        return fill_the_disk(&directory);
    }
    let (_directory, store) = store();
    // A limit on file size takes the place of a full disk: writes fail in the same way.
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 200; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["a_full_disk_is_an_error_that_names_the_file_and_leaves_nothing", "--exact", "--nocapture"])
        .env(CHILD_DIRECTORY, store.directory())
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success(), "{text}");
    assert_eq!(files(store.directory()), Vec::<String>::new());
}

fn fill_the_disk(directory: &OsStr) {
    let store = ArtifactStore::open(directory).unwrap();
    let staging = store.stage();
    let (schema, batch) = floats(1_000_000);
    let mut writer = staging.create_table(&schema).unwrap();
    let error = writer.write(&batch).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("cannot write `") && text.contains(&*directory.to_string_lossy()), "{text}");
    drop(writer);
    let mut blob = staging.create_blob().unwrap();
    assert!(matches!(blob.write(&vec![0; 1_000_000]), Err(StoreError::Io { action: "write", .. })));
    drop(blob);
    let document = staging.put_document("text/plain", vec![0; 1_000_000]);
    assert!(matches!(document, Err(StoreError::Io { action: "write", .. })));
    staging.publish().unwrap();
}

// invariant: as `what_is_not_published_is_removed`
#[test]
fn a_staging_directory_whose_lock_is_gone_is_removed_and_one_whose_lock_is_there_is_not() {
    let (_directory, store) = store();
    let alive = store.stage();
    alive.put_document("text/plain", *b"alive").unwrap();
    let lost = store.directory().join("staging/1-lost");
    fs::create_dir(&lost).unwrap();
    fs::write(lost.join("0"), b"half").unwrap();

    let again = ArtifactStore::open(store.directory()).unwrap();
    assert!(!lost.exists());
    alive.publish().unwrap();
    assert!(again.contains(ArtifactKind::Document, &Digest::of(b"alive")));
}

#[test]
fn an_artifact_that_was_verified_is_read_again_when_its_file_has_changed() {
    let (_directory, store) = store();
    let staging = store.stage();
    let mut blob = staging.create_blob().unwrap();
    blob.write(&[7; 1000]).unwrap();
    let blob = blob.finish().unwrap().digest();
    let (schema, batch) = floats(1000);
    let mut table = staging.create_table(&schema).unwrap();
    table.write(&batch).unwrap();
    let table = table.finish().unwrap().digest();
    let document = staging.put_document("application/json", b"{\"report\": true}".to_vec()).unwrap().digest();
    staging.publish().unwrap();
    let again = ArtifactStore::open(store.directory()).unwrap();
    for (kind, digest, bytes) in
        [(ArtifactKind::Blob, blob, 1000), (ArtifactKind::Table, table, 8000), (ArtifactKind::Document, document, 16)]
    {
        // Whether this process wrote it or another one, and whether it is read or remembered.
        for store in [&store, &again, &again] {
            assert_eq!(store.verify(kind, &digest).unwrap(), bytes, "{kind}");
        }
        let path = store.path(kind, &digest);
        let before = fs::metadata(&path).unwrap();
        flip_in_place(&path, before.modified().unwrap());
        let after = fs::metadata(&path).unwrap();
        assert_eq!((before.len(), before.modified().unwrap()), (after.len(), after.modified().unwrap()));
        for store in [&store, &again] {
            let found = store.verify(kind, &digest);
            assert!(matches!(found, Err(StoreError::DigestDiffers { .. } | StoreError::Damaged { .. })), "{found:?}");
        }
        fs::remove_file(&path).unwrap();
        assert!(matches!(store.verify(kind, &digest), Err(StoreError::Missing { .. })));
    }
}

/// Flips a byte of a file, and hides that as far as a user can: size, name and modification time
/// stay.
fn flip_in_place(path: &Path, modified: std::time::SystemTime) {
    use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let (mut byte, middle) = ([0], fs::metadata(path).unwrap().len() / 2);
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 1], middle).unwrap();
    file.set_modified(modified).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
}

#[test]
fn eviction_keeps_to_the_size_to_the_order_and_to_the_grace() {
    let directory = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(directory.path()).unwrap();
    let put = |text: &str| {
        let staging = store.stage();
        let digest = staging.put_document("text/plain", text.as_bytes()).unwrap().digest();
        staging.publish().unwrap();
        digest
    };
    let digests: Vec<_> = ["one..", "two..", "three", "kept."].map(put).to_vec();
    let evict = |most, grace, dry_run| {
        let order = vec![digests[1], digests[0], digests[2]];
        let evicted = store.evict(most, grace, dry_run, || Ok(order)).unwrap();
        evicted.iter().map(|it| it.digest).collect::<Vec<_>>()
    };
    let at_once = std::time::Duration::ZERO;
    assert_eq!(evict(20, at_once, false), []);
    assert_eq!(evict(0, std::time::Duration::from_secs(3600), false), [], "all of them are young");
    assert_eq!(evict(14, at_once, true), [digests[1], digests[0]]);
    assert!(store.contains(ArtifactKind::Document, &digests[1]), "nothing was removed");
    assert_eq!(evict(15, at_once, false), [digests[1]]);
    assert!(!store.contains(ArtifactKind::Document, &digests[1]));
    assert_eq!(evict(0, at_once, false), [digests[0], digests[2]], "what is not named stays");
    assert!(store.contains(ArtifactKind::Document, &digests[3]));
    assert!(store.renew(&[(ArtifactKind::Document, digests[3])]).unwrap());
    assert!(!store.renew(&[(ArtifactKind::Document, digests[3]), (ArtifactKind::Document, digests[0])]).unwrap());
}
