//! The conformance suite of stores, run against each of them. A new store is one line in `stores!`.

// invariant: as `registry/store/tests/conformance/main.rs`

#![cfg(feature = "s3")]

mod support;

use std::ops::ControlFlow;
use std::sync::Barrier;
use std::time::{Duration, SystemTime};

use stagewright_promotion::{Condition, Directory, Etag, MAX_DOCUMENT, ObjectStore, PromotionError, Put, S3};
use stagewright_services::s3::Server;
use support::{bytes, object, server, settings};

/// An open store, and what keeps it alive.
struct Open {
    store: Box<dyn ObjectStore>,
    folder: tempfile::TempDir,
    _server: Option<Server>,
}

fn directory() -> Open {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Box::new(Directory::new(folder.path().join("deep/inside")));
    Open { store, folder, _server: None }
}

fn bucket() -> Open {
    let server = server();
    let store = S3::new("models", "deep/inside/", &settings(server.variables())).expect("a store");
    Open { store: Box::new(store), folder: tempfile::tempdir().expect("a folder"), _server: Some(server) }
}

macro_rules! stores {
    ($($store:ident)*; $tests:tt) => { $(stores!(@ $store $tests);)* };
    (@ $store:ident { $($test:ident)* }) => {
        mod $store {
            $(#[test] fn $test() { super::$test(&super::$store()); })*
        }
    };
}

stores!(directory bucket; {
    what_is_written_is_read_back_in_every_range
    files_of_every_size_are_read_back
    a_key_is_created_once
    a_key_is_replaced_only_while_it_is_unchanged
    writing_what_is_there_already_is_no_refusal
    of_many_writers_at_once_one_wins
    no_update_is_lost_among_many_writers
    keys_are_listed_by_prefix_and_in_order
    what_is_removed_is_gone_and_can_be_removed_again
    what_is_not_there_is_none_or_an_error
    keys_that_leave_the_store_are_refused
    a_reader_sees_the_old_bytes_or_the_new_ones
    a_file_that_is_shorter_than_it_was_is_not_written
    a_document_that_is_too_long_is_an_error
});

fn written(put: Result<Put, PromotionError>) -> Etag {
    match put.expect("an answer") {
        Put::Written(etag) => etag,
        Put::Refused => panic!("refused"),
    }
}

fn read(store: &dyn ObjectStore, key: &str, range: std::ops::Range<u64>) -> Result<Vec<u8>, PromotionError> {
    let mut all = Vec::new();
    let mut sink = |bytes: &[u8]| {
        all.extend_from_slice(bytes);
        ControlFlow::Continue(())
    };
    store.read(key, range, &mut sink)?;
    Ok(all)
}

fn what_is_written_is_read_back_in_every_range(Open { store, .. }: &Open) {
    let content = bytes(1, 10_000);
    let etag = written(store.put("a/b", &content, &Condition::Absent));
    assert_eq!(store.get("a/b").expect("an answer"), Some((content.clone(), etag)));
    for range in [0..10_000, 0..1, 9_999..10_000, 17..4_711, 5..5] {
        let expected = &content[range.start as usize..range.end as usize];
        assert_eq!(read(store.as_ref(), "a/b", range.clone()).expect("a range"), expected, "{range:?}");
    }
    let mut calls = 0;
    let mut enough = |_: &[u8]| {
        calls += 1;
        ControlFlow::Break(())
    };
    store.read("a/b", 0..10_000, &mut enough).expect("no more than is wanted");
    assert_eq!(calls, 1);
    let before = SystemTime::now() - Duration::from_secs(60);
    let entry = store.head("a/b").expect("an answer").expect("an entry");
    assert_eq!((entry.key.as_str(), entry.size), ("a/b", 10_000));
    assert!(entry.modified > before && entry.modified < before + Duration::from_secs(120));
}

fn files_of_every_size_are_read_back(Open { store, folder, .. }: &Open) {
    // One request up to 64 KiB, then parts of 40 KiB, the last of which may be shorter.
    for size in [0, 1, 65_536, 65_537, 80 * 1024, 80 * 1024 + 1, 500_000] {
        let content = bytes(size as u64, size);
        let file = object(folder.path(), "file", &content);
        let told = std::cell::Cell::new(0);
        let progress = |bytes: u64| told.set(told.get() + bytes);
        store.put_file("objects/file", &file.path, file.size, &progress).expect("a file");
        assert_eq!(told.get(), size as u64);
        assert_eq!(store.head("objects/file").expect("an answer").expect("an entry").size, size as u64);
        assert!(read(store.as_ref(), "objects/file", 0..size as u64).expect("its bytes") == content, "{size}");
    }
    assert_eq!(store.unfinished().expect("an answer"), []);
}

fn a_key_is_created_once(Open { store, .. }: &Open) {
    written(store.put("key", b"first", &Condition::Absent));
    assert_eq!(store.put("key", b"second", &Condition::Absent).expect("an answer"), Put::Refused);
    assert_eq!(store.get("key").expect("an answer").expect("bytes").0, b"first");
}

fn a_key_is_replaced_only_while_it_is_unchanged(Open { store, .. }: &Open) {
    let first = written(store.put("key", b"first", &Condition::Absent));
    let second = written(store.put("key", b"second", &Condition::Unchanged(first.clone())));
    let stale = store.put("key", b"third", &Condition::Unchanged(first.clone()));
    assert_eq!(stale.expect("an answer"), Put::Refused);
    let elsewhere = store.put("other", b"third", &Condition::Unchanged(second.clone()));
    assert_eq!(elsewhere.expect("an answer"), Put::Refused);
    assert_eq!(store.get("other").expect("an answer"), None);
    assert_eq!(store.get("key").expect("an answer"), Some((b"second".to_vec(), second)));
}

fn writing_what_is_there_already_is_no_refusal(Open { store, .. }: &Open) {
    let first = written(store.put("key", b"same", &Condition::Absent));
    assert_eq!(written(store.put("key", b"same", &Condition::Absent)), first);
    let second = written(store.put("key", b"new", &Condition::Unchanged(first.clone())));
    assert_eq!(written(store.put("key", b"new", &Condition::Unchanged(first))), second);
}

fn of_many_writers_at_once_one_wins(Open { store, .. }: &Open) {
    let winners = |condition: &Condition| {
        let barrier = Barrier::new(8);
        let write = |writer: usize| {
            barrier.wait();
            let content = format!("{condition:?} {writer}");
            store.put("raced", content.as_bytes(), condition).expect("an answer") != Put::Refused
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|writer| scope.spawn(move || write(writer))).collect();
            threads.into_iter().map(|it| it.join().expect("no panic")).filter(|won| *won).count()
        })
    };
    for _ in 0..10 {
        assert_eq!(winners(&Condition::Absent), 1);
        let (_, etag) = store.get("raced").expect("an answer").expect("bytes");
        assert_eq!(winners(&Condition::Unchanged(etag)), 1);
        store.delete("raced").expect("removed");
    }
}

// invariant: as `of_many_promotions_at_once_one_moves_the_pointer`
fn no_update_is_lost_among_many_writers(Open { store, .. }: &Open) {
    written(store.put("counter", b"0", &Condition::Absent));
    let count = || {
        for _ in 0..10 {
            loop {
                let (content, etag) = store.get("counter").expect("an answer").expect("bytes");
                let number: u32 = String::from_utf8(content).expect("text").parse().expect("a number");
                // The thread's number makes it unique: the same bytes of two writers would count as
                // one write.
                let next = (number + 1).to_string();
                let line = format!("{:?}", std::thread::current().id());
                let claim = store.put(&format!("claims/{next}"), line.as_bytes(), &Condition::Absent);
                if claim.expect("an answer") == Put::Refused {
                    continue;
                }
                written(store.put("counter", next.as_bytes(), &Condition::Unchanged(etag)));
                break;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(count);
        }
    });
    assert_eq!(store.get("counter").expect("an answer").expect("bytes").0, b"30");
}

fn keys_are_listed_by_prefix_and_in_order(Open { store, .. }: &Open) {
    let keys = ["a", "b/1", "b/10", "b/2", "b/c/d", "bc", "c/x", "c/y", "c/z"];
    for key in keys.iter().rev() {
        written(store.put(key, key.as_bytes(), &Condition::Absent));
    }
    let list = |prefix: &str| -> Vec<(String, u64)> {
        store.list(prefix).expect("a list").into_iter().map(|it| (it.key, it.size)).collect()
    };
    let expected = |prefix: &str| -> Vec<(String, u64)> {
        keys.iter().filter(|it| it.starts_with(prefix)).map(|it| ((*it).to_owned(), it.len() as u64)).collect()
    };
    for prefix in ["", "b", "b/", "b/1", "b/c/", "c/", "d/", "none/at/all"] {
        assert_eq!(list(prefix), expected(prefix), "{prefix}");
    }
}

fn what_is_removed_is_gone_and_can_be_removed_again(Open { store, .. }: &Open) {
    written(store.put("a/key", b"content", &Condition::Absent));
    store.delete("a/key").expect("removed");
    assert_eq!(store.get("a/key").expect("an answer"), None);
    assert_eq!(store.list("").expect("a list"), []);
    store.delete("a/key").expect("no error");
    written(store.put("a/key", b"again", &Condition::Absent));
}

fn what_is_not_there_is_none_or_an_error(Open { store, folder, .. }: &Open) {
    assert_eq!(store.get("none").expect("an answer"), None);
    assert_eq!(store.head("none/here").expect("an answer"), None);
    assert_eq!(store.list("").expect("a list"), []);
    assert_eq!(store.unfinished().expect("a list"), []);
    read(store.as_ref(), "none", 0..10).expect_err("nothing to read");
    let file = object(folder.path(), "file", b"short");
    store.put_file("objects/short", &file.path, file.size, &|_| ()).expect("a file");
    read(store.as_ref(), "objects/short", 0..10).expect_err("fewer bytes");
}

fn keys_that_leave_the_store_are_refused(Open { store, folder, .. }: &Open) {
    let file = object(folder.path(), "file", b"content");
    for key in ["", "../outside", "/etc/passwd", "a//b", "a/./b", "a b"] {
        let refused = |result: Result<(), PromotionError>| matches!(result, Err(PromotionError::BadKey { .. }));
        assert!(refused(store.put(key, b"x", &Condition::Absent).map(drop)), "{key}");
        assert!(refused(store.put_file(key, &file.path, file.size, &|_| ())), "{key}");
        assert!(refused(store.get(key).map(drop)), "{key}");
        assert!(refused(store.head(key).map(drop)), "{key}");
        assert!(refused(store.delete(key)), "{key}");
        assert!(refused(read(store.as_ref(), key, 0..1).map(drop)), "{key}");
    }
}

fn a_reader_sees_the_old_bytes_or_the_new_ones(Open { store, folder, .. }: &Open) {
    let contents = [bytes(1, 200_000), bytes(2, 200_000)];
    let files = [object(folder.path(), "one", &contents[0]), object(folder.path(), "two", &contents[1])];
    let write = |index: usize| store.put_file("objects/key", &files[index].path, files[index].size, &|_| ());
    write(0).expect("written");
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let (seen, _) = store.get("objects/key").expect("an answer").expect("bytes");
                assert!(contents.contains(&seen), "a mixture of {} bytes", seen.len());
            }
        });
        for turn in 0..10 {
            write(turn % 2).expect("written");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        reading.join().expect("a reader that saw nothing mixed");
    });
}

fn a_file_that_is_shorter_than_it_was_is_not_written(Open { store, folder, .. }: &Open) {
    for size in [10, 100_000] {
        let file = object(folder.path(), "file", &bytes(1, size));
        store.put_file("objects/file", &file.path, file.size + 1, &|_| ()).expect_err("it ends too early");
        assert_eq!(store.list("").expect("a list"), []);
    }
    assert_eq!(store.unfinished().expect("a list"), []);
}

fn a_document_that_is_too_long_is_an_error(open: &Open) {
    let store = &open.store;
    let file = open.folder.path().join("long");
    std::fs::File::create(&file).and_then(|file| file.set_len(MAX_DOCUMENT + 1)).expect("a file");
    store.put_file("manifest.json", &file, MAX_DOCUMENT + 1, &|_| ()).expect("a file");
    let error = store.get("manifest.json").expect_err("it is too long").to_string();
    assert!(error.contains("it is longer than 33554432 bytes"), "{error}");
}
