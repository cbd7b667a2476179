//! Objects that others wrote, read as a source from a real server of the protocol.

mod support;

use std::sync::atomic::{AtomicU32, Ordering};

use stagewright_promotion::{ObjectPart, Settings, SourceObject, SourceObjectError, SourceObjects, source_objects};
use stagewright_services::s3::{self, Fault, Options, Plan};

use support::{server, settings};

const NEVER: &dyn Fn() -> bool = &|| false;

fn bucket(server: &s3::Server) -> std::sync::Arc<dyn SourceObjects> {
    source_objects("models", &settings(server.variables())).expect("a client")
}

/// A key, the object's bytes and its version.
type Read = (String, Vec<u8>, Option<String>);

/// Reads objects into memory.
fn read(bucket: &dyn SourceObjects, objects: &[SourceObject]) -> Result<Vec<Read>, SourceObjectError> {
    let (mut found, mut bytes) = (Vec::new(), Vec::new());
    bucket.read(objects, NEVER, &mut |part| {
        match part {
            ObjectPart::Begin(_) => bytes.clear(),
            ObjectPart::Bytes(more) => bytes.extend_from_slice(more),
            ObjectPart::End(object) => found.push((object.key.clone(), bytes.clone(), object.version.clone())),
        }
        Ok(())
    })?;
    Ok(found)
}

/// Different bytes, more than are read at once.
fn large(seed: u8) -> Vec<u8> {
    (0..3 << 20).map(|at: u32| at.wrapping_mul(2_654_435_761).to_le_bytes()[3] ^ seed).collect()
}

fn told(result: Result<impl Sized, SourceObjectError>, parts: &[&str]) {
    let error = result.err().expect("an error").to_string();
    assert!(parts.iter().all(|part| error.contains(part)) && error.contains("\nhint: "), "{error}");
}

// invariant: All objects below a prefix are read, in byte order of their keys, however many pages
// their listing has.
#[test]
fn more_keys_than_a_page_holds_are_read_in_byte_order() {
    let server = s3::Server::start("models", Options::default());
    let name = |number: u32| format!("events/date=2026-11-29/größe {}&{number}.csv", number % 7);
    let mut keys: Vec<String> = (0..2345).map(name).collect();
    for key in &keys {
        server.write(key, key.as_bytes());
    }
    server.write("events/date=2026-11-290/other.csv", b"x");
    server.write("events", b"x");
    keys.sort_unstable();
    let bucket = bucket(&server);
    let objects = bucket.list("events/date=2026-11-29/", 100_000, NEVER).expect("a listing");
    let found = read(&*bucket, &objects).expect("objects");
    assert!(found.iter().map(|(key, ..)| key).eq(&keys));
    assert!(found.iter().all(|(key, bytes, version)| bytes == key.as_bytes() && version.is_none()));
    let listings = server.log().iter().filter(|entry| entry.target.contains("list-type=2")).count();
    assert_eq!(listings, 3);
    assert!(matches!(bucket.list("", 2000, NEVER), Err(SourceObjectError::TooMany { most: 2000 })));
    assert_eq!(bucket.list("nothing/", 1, NEVER).expect("a listing"), []);
}

#[test]
fn large_and_small_objects_keep_their_order_and_versions_are_told() {
    let server = s3::Server::start("models", Options { versions: true, ..Options::default() });
    let contents: Vec<(String, Vec<u8>)> = (0..30)
        .map(|at: u8| (format!("k{at:02}"), if at % 10 == 3 { large(at) } else { vec![at; usize::from(at)] }))
        .collect();
    for (key, bytes) in &contents {
        server.write(key, bytes);
    }
    let bucket = bucket(&server);
    let found = read(&*bucket, &bucket.list("", 100, NEVER).expect("a listing")).expect("objects");
    assert!(found.iter().map(|(key, bytes, _)| (key, bytes)).eq(contents.iter().map(|(key, bytes)| (key, bytes))));
    assert!(found.iter().all(|(.., version)| version.as_ref().is_some_and(|version| version.starts_with("v-"))));
    let one = bucket.look_up("k03", NEVER).expect("an object");
    assert_eq!((one.size, one.version.is_some()), (3 << 20, true));
}

// invariant: An object that is replaced or removed after it was listed is an error, and never a mix
// of two contents.
#[test]
fn an_object_that_changes_or_vanishes_after_the_listing_is_an_error() {
    for content in [b"1\n".to_vec(), large(1)] {
        let server = server();
        server.write("a.csv", &content);
        server.write("b.csv", &content);
        let bucket = bucket(&server);
        let objects = bucket.list("", 10, NEVER).expect("a listing");
        server.write("b.csv", &[&content[1..], b"2"].concat());
        told(read(&*bucket, &objects), &["it has changed since it was listed", "run again"]);
        server.remove("b.csv");
        told(read(&*bucket, &objects), &["it is gone", "run again"]);
        let again = bucket.list("", 10, NEVER).expect("a listing");
        assert_eq!(read(&*bucket, &again).expect("objects").len(), 1);
    }
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_is_an_error_or_the_version_that_was_begun() {
    for versions in [false, true] {
        let server = s3::Server::start("models", Options { versions, ..Options::default() });
        server.write("a", &large(1));
        let bucket = bucket(&server);
        let objects = bucket.list("", 10, NEVER).expect("a listing");
        // The body breaks off, and the object is replaced before the rest is requested.
        server.plan(Plan::At(1, Fault::CutBody));
        let mut bytes = Vec::new();
        let result = bucket.read(&objects, NEVER, &mut |part| {
            if let ObjectPart::Bytes(more) = part {
                if bytes.is_empty() {
                    server.write("a", &large(2));
                }
                bytes.extend_from_slice(more);
            }
            Ok(())
        });
        if versions {
            result.expect("the version that was begun");
            assert!(bytes == large(1));
        } else {
            told(result, &["it has changed since it was listed"]);
        }
    }
}

#[test]
fn a_fault_that_passes_is_passed_over() {
    let server = server();
    let contents = [("a", b"small".to_vec()), ("b", large(3)), ("c", Vec::new())];
    for (key, bytes) in &contents {
        server.write(key, bytes);
    }
    let bucket = bucket(&server);
    for fault in [Fault::Error500, Fault::SlowDown, Fault::Cut, Fault::CutBody, Fault::TimeOut] {
        for at in 1..=4 {
            server.plan(Plan::At(at, fault));
            let objects = bucket.list("", 10, NEVER).unwrap_or_else(|error| panic!("{fault:?} at {at}: {error}"));
            let found = read(&*bucket, &objects).unwrap_or_else(|error| panic!("{fault:?} at {at}: {error}"));
            assert!(
                found
                    .iter()
                    .map(|(key, bytes, _)| (key.as_str(), bytes))
                    .eq(contents.iter().map(|(key, bytes)| (*key, bytes)))
            );
        }
    }
    server.plan(Plan::From(2, Fault::SlowDown));
    let objects = bucket.list("", 10, NEVER).expect("a listing");
    told(read(&*bucket, &objects), &["could not be read in 4 attempts", "SlowDown"]);
}

#[test]
fn what_is_wrong_is_told_with_what_to_do() {
    let server = server();
    server.write("a.csv", b"1\n");
    let own = bucket(&server);
    told(own.look_up("b.csv", NEVER), &["there is no such object", "byte for byte"]);
    let with = |name: &str, value: &str| {
        let mut settings = settings(server.variables());
        settings.variables.insert(name.to_owned(), value.to_owned());
        source_objects("models", &settings).expect("a client")
    };
    told(
        with("AWS_SECRET_ACCESS_KEY", "wrong").list("", 10, NEVER),
        &["the credentials are refused", "AWS_SECRET_ACCESS_KEY"],
    );
    told(
        with("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9").list("", 10, NEVER),
        &["cannot reach `http://127.0.0.1:9`", "AWS_ENDPOINT_URL_S3"],
    );
    told(
        with("AWS_REGION", "us-west-2").list("", 10, NEVER),
        &["not in region `us-west-2` but in `eu-central-1`", "AWS_REGION"],
    );
    let other = source_objects("elsewhere", &settings(server.variables())).expect("a client");
    told(other.list("", 10, NEVER), &["no bucket `elsewhere`"]);
    let none = source_objects("models", &settings(Vec::new())).expect_err("no credentials").to_string();
    assert!(none.contains("AWS_ACCESS_KEY_ID") && none.contains("\nhint: "), "{none}");
}

#[test]
fn a_reader_that_nobody_waits_for_stops() {
    let server = server();
    server.write("a", &large(1));
    server.write("b", b"1");
    let bucket = bucket(&server);
    let objects = bucket.list("", 10, NEVER).expect("a listing");
    server.plan(Plan::From(1, Fault::TimeOut));
    for objects in [&objects[..1], &objects[1..]] {
        let looks = AtomicU32::new(0);
        let stop = || looks.fetch_add(1, Ordering::Relaxed) > 2;
        assert!(matches!(bucket.read(objects, &stop, &mut |_| Ok(())), Err(SourceObjectError::Stopped)));
        assert!(matches!(bucket.list("", 10, &stop), Err(SourceObjectError::Stopped)));
    }
}

// invariant: The address of a store that a manifest names is resolved to addresses that it grants.
#[test]
fn a_host_is_reached_at_the_addresses_that_are_allowed() {
    let server = server();
    server.write("a", b"1");
    let port = server.endpoint().rsplit(':').next().expect("a port").to_owned();
    let with = |allowed: bool| Settings {
        endpoint: Some(format!("http://store.test:{port}")),
        addresses: Some(std::sync::Arc::new(move |host| match (host, allowed) {
            ("store.test", true) => Ok(vec![[127, 0, 0, 1].into()]),
            _ => Err(std::io::Error::other("this address is not granted")),
        })),
        ..settings(server.variables())
    };
    let allowed = source_objects("models", &with(true)).expect("a client");
    assert_eq!(allowed.list("", 10, NEVER).expect("a listing").len(), 1);
    let refused = source_objects("models", &with(false)).expect("a client");
    told(refused.list("", 10, NEVER), &["cannot reach", "this address is not granted"]);
}
