//! Garbage collection at a shared place keeps what others refer to, and a place that sends more
//! than it should is cut off.

#![cfg(feature = "s3")]

mod support;

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use stagewright_promotion::{ArtifactObjects, Destination, ObjectStore, PromotionError, S3};
use stagewright_store::{
    ArtifactKind, ArtifactRecord, ArtifactStore, Digest, Home, NewRun, RunId, RunStatus, SharedArtifact,
    SharedArtifacts, StageRecord, StoreError,
};
use support::settings;
use support::shared::{Place, bucket, directory, publish};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// A server that announces the same number of bytes for each key, and sends zeros as long as the
/// client reads.
struct Endless {
    address: String,
    sent: Arc<AtomicU64>,
    asked: Arc<AtomicU64>,
}

impl Endless {
    fn start(announced: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let (sent, asked) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let server = Self { address, sent: Arc::clone(&sent), asked: Arc::clone(&asked) };
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (sent, asked) = (Arc::clone(&sent), Arc::clone(&asked));
                std::thread::spawn(move || answer(stream, announced, &sent, &asked));
            }
        });
        server
    }

    fn settings(&self) -> stagewright_promotion::Settings {
        let key = |name: &str| (name.to_owned(), "somebody".to_owned());
        let endpoint = ("AWS_ENDPOINT_URL_S3".to_owned(), self.address.clone());
        settings(vec![key("AWS_ACCESS_KEY_ID"), key("AWS_SECRET_ACCESS_KEY"), endpoint])
    }

    fn artifacts(&self) -> Arc<dyn SharedArtifacts> {
        Arc::new(ArtifactObjects::open("s3://models/team", &self.settings()).expect("a place"))
    }
}

/// Answers the requests of a connection until the client closes it.
fn answer(mut stream: TcpStream, announced: u64, sent: &AtomicU64, asked: &AtomicU64) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    loop {
        let request = lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {}
        let head = "Last-Modified: Sat, 28 Nov 2026 12:00:00 GMT\r\nETag: \"it\"\r\n";
        if request.starts_with("HEAD") {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\n{head}\r\n").ok()?;
            continue;
        }
        asked.fetch_add(1, Ordering::Relaxed);
        write!(stream, "HTTP/1.1 206 Partial Content\r\nTransfer-Encoding: chunked\r\n{head}\r\n").ok()?;
        let zeros = vec![0; 64 << 10];
        loop {
            write!(stream, "{:x}\r\n", zeros.len()).ok()?;
            stream.write_all(&zeros).ok()?;
            stream.write_all(b"\r\n").ok()?;
            sent.fetch_add(zeros.len() as u64, Ordering::Relaxed);
        }
    }
}

/// Returns the bytes of all files in a folder and beneath it.
fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata().expect("an entry") {
        found if found.is_dir() => bytes_in(&entry.path()),
        found => found.len(),
    };
    entries.map(size).sum()
}

/// Bytes that may be in transit when the client stops reading: the buffers of both sides.
const ON_ITS_WAY: u64 = 16 << 20;

// invariant: A download stops at the recorded or announced size, even if the server sends more.
#[test]
fn a_body_without_an_end_is_cut_off_at_the_announced_size() {
    let server = Endless::start(100_000);
    let folder = tempfile::tempdir().expect("a folder");
    let store = ArtifactStore::open(folder.path()).expect("a store").shared_at(server.artifacts());
    for kind in [ArtifactKind::Table, ArtifactKind::Blob, ArtifactKind::Document] {
        let error = store.verify(kind, &Digest::of(b"it")).expect_err("these are zeros");
        assert!(matches!(error, StoreError::SharedDamaged { .. }), "{kind}: {error}");
        assert_eq!(bytes_in(folder.path()), 0, "{kind}: what was read is gone");
    }
    assert_eq!(server.asked.load(Ordering::Relaxed), 3);
    let sent = server.sent.load(Ordering::Relaxed);
    assert!(sent < ON_ITS_WAY, "{sent} bytes were taken");

    // Also a range of an object of a version in production, and a document, which is read into
    // memory.
    let store = S3::new("models", "team", &server.settings()).expect("a bucket");
    let mut taken = 0;
    let mut sink = |piece: &[u8]| {
        taken += piece.len();
        std::ops::ControlFlow::Continue(())
    };
    store.read("objects/it", 10..1000, &mut sink).expect("zeros");
    assert_eq!(taken, 990);
    let destination = Destination::open("s3://models/team", &server.settings()).expect("a destination");
    let error = destination.load("churn", Some(1)).expect_err("no manifest is so long");
    assert!(matches!(error, PromotionError::Refused { .. }), "{error}");
}

// invariant: as `a_body_without_an_end_is_cut_off_at_the_announced_size`
#[test]
fn what_is_longer_than_anything_that_nobody_recorded_is_not_asked_for() {
    let server = Endless::start(1 << 40);
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::open(folder.path()).expect("a home").sharing(Some(server.artifacts())).expect("it shares");
    for kind in [ArtifactKind::Table, ArtifactKind::Blob, ArtifactKind::Document] {
        let error = home.artifacts.verify(kind, &Digest::of(b"it")).expect_err("a tebibyte");
        assert!(error.to_string().contains("at most 1073741824"), "{error}");
    }
    assert_eq!(server.asked.load(Ordering::Relaxed), 0);
}

fn new_run() -> NewRun {
    NewRun {
        run_id: None,
        name: String::new(),
        pipeline: "churn".into(),
        experiment: "churn".into(),
        seed: 1,
        manifest: String::new(),
        config: serde_json::json!({}),
        parameters: Vec::new(),
        tags: Vec::new(),
    }
}

/// Records a run that made these artifacts.
fn recorded(home: &Home, artifacts: &[(ArtifactKind, Digest)]) -> RunId {
    let run = home.registry.begin_run(&new_run()).expect("a run");
    let output = |&(kind, digest): &(ArtifactKind, Digest)| ArtifactRecord {
        name: kind.to_string(),
        kind,
        digest,
        media_type: "application/octet-stream".into(),
        rows: None,
        bytes: home.artifacts.verify(kind, &digest).expect("it is there"),
    };
    let stage = StageRecord {
        name: "training".into(),
        component: "train".into(),
        digest: Digest::of(b"component"),
        status: stagewright_store::FINISHED.into(),
        outputs: artifacts.iter().map(output).collect(),
        started_ms: 1,
        ended_ms: 2,
        wall_ms: 1.0,
        cpu_ms: 1.0,
        peak_memory_bytes: 0,
        rows_in: 0,
        rows_out: 0,
        bytes_in: 0,
        bytes_out: 0,
        copies_bytes: 0,
        error: None,
        inputs: Vec::new(),
        metrics: Vec::new(),
        logs: Vec::new(),
        invocation: None,
        walls: None,
        key: None,
        cached_from: None,
        dropped: 0,
    };
    home.registry.record_stage(&run, &stage, &[]).expect("a stage");
    home.registry.finish_run(&run, RunStatus::Finished, None).expect("an end");
    run
}

/// Returns a home of this name that shares its artifacts at the place.
fn home(place: &Place, name: &str) -> Home {
    let home = Home::open(place.folder.path().join(name)).expect("a home");
    home.sharing(Some(Arc::new(place.open()))).expect("it shares")
}

/// Removes all artifacts of a home's directory.
fn forget(home: &Home, artifacts: &[(ArtifactKind, Digest)]) {
    for (kind, digest) in artifacts {
        let _ = std::fs::remove_file(home.artifacts.path(*kind, digest));
    }
}

macro_rules! places {
    ($($place:ident)*; $tests:tt) => { $(places!(@ $place $tests);)* };
    (@ $place:ident { $($test:ident)* }) => {
        mod $place {
            $(#[test] fn $test() { super::$test(&super::$place()); })*
        }
    };
}

places!(directory bucket; {
    what_is_longer_than_it_is_on_record_is_not_fetched
    what_a_deleted_run_made_is_kept_for_a_day
    what_is_taken_over_from_the_place_alone_is_young_again
    age_is_told_by_the_clock_of_the_place
    what_is_sent_while_it_is_removed_is_sent_again
    a_component_that_is_here_already_is_sent_once_and_again_where_it_is_gone
});

// invariant: as `a_body_without_an_end_is_cut_off_at_the_announced_size`
fn what_is_longer_than_it_is_on_record_is_not_fetched(place: &Place) {
    let home = home(place, "home");
    let published = publish(&home.artifacts).expect("published");
    recorded(&home, &published);
    for (kind, digest) in published {
        let file = std::fs::read(home.artifacts.path(kind, &digest)).expect("bytes");
        forget(&home, &[(kind, digest)]);
        // A table's file has more than its values, and another version of this program may write
        // more.
        let longer = if kind == ArtifactKind::Table { 70 << 20 } else { file.len() + 1 };
        let mut long = file.clone();
        long.resize(longer, 0);
        place.overwrite(kind, &digest, &long);
        if let Some(server) = &place.server {
            server.plan(stagewright_services::s3::Plan::Faultless);
        }
        let error = home.artifacts.verify(kind, &digest).expect_err("it is longer");
        let told = error.to_string();
        assert!(matches!(error, StoreError::SharedDamaged { .. }) && told.contains(&longer.to_string()), "{told}");
        if let Some(server) = &place.server {
            assert!(server.log().iter().all(|request| request.method == "HEAD"), "{:?}", server.log());
        }
        place.overwrite(kind, &digest, &file);
        home.artifacts.verify(kind, &digest).expect("whole again");
    }
}

// invariant: as `a_passing_fault_at_any_request_is_survived`
fn what_a_deleted_run_made_is_kept_for_a_day(place: &Place) {
    let (home, other) = (home(place, "home"), place.machine("other"));
    let published = publish(&home.artifacts).expect("published");
    let run = recorded(&home, &published);
    home.registry.delete_run(&run, true).expect("deleted");
    place.age(HOUR * 25);
    let collect = || {
        let reachable = |kept| home.registry.reachable_of_late(kept);
        home.artifacts.collect(Duration::ZERO, false, reachable).expect("collected")
    };
    let collected = collect();
    assert!(collected.len() == 3 && collected.iter().all(|it| it.place.is_none()), "{collected:?}");
    // A run of another machine found them while they were recorded, and records them now.
    assert!(other.renew(&published).expect("an answer"));
    place.age(HOUR * 25);
    let database = rusqlite::Connection::open(home.path().join("stagewright.db")).expect("a database");
    let aged = database.execute("UPDATE runs SET deleted_ms = deleted_ms - 25 * 3600 * 1000", []).expect("aged");
    assert_eq!((aged, collect().len()), (1, 3), "nobody records them any more");
}

// invariant: as `a_passing_fault_at_any_request_is_survived`
fn what_is_taken_over_from_the_place_alone_is_young_again(place: &Place) {
    let (one, other) = (place.machine("one"), place.machine("other"));
    let published = publish(&one).expect("published");
    assert!(other.renew(&published).expect("an answer"));
    assert!(published.iter().all(|(kind, digest)| !other.contains(*kind, digest)), "young, and left where they are");
    place.age(HOUR * 25);
    assert!(other.renew(&published).expect("an answer"));
    let nothing = |_| Ok(HashSet::new());
    let collected = one.collect(Duration::from_secs(60), false, nothing).expect("collected");
    assert_eq!(collected, [], "another machine is about to record them");
    assert!(!other.renew(&[(ArtifactKind::Blob, Digest::of(b"nobody's"))]).expect("an answer"));
}

/// Synchronises a publisher and a collector at one artifact: it is sent when its removal has been
/// decided, and removed when it has been sent.
#[derive(Debug, Default)]
struct Meeting {
    about: OnceLock<(ArtifactKind, Digest)>,
    is_decided: AtomicBool,
    is_sent: AtomicBool,
}

/// A place with an intermediary that changes what its users see.
#[derive(Debug)]
struct Between {
    place: ArtifactObjects,
    /// How far its clock is behind this machine's.
    behind: Duration,
    meeting: Option<Arc<Meeting>>,
}

impl Between {
    fn of(place: &Place) -> Self {
        Self { place: place.open(), behind: Duration::ZERO, meeting: None }
    }

    /// Returns a machine of this name that uses the place through this.
    fn machine(self, place: &Place, name: &str) -> ArtifactStore {
        let store = ArtifactStore::open(place.folder.path().join(name)).expect("a store");
        store.shared_at(Arc::new(self))
    }
}

fn until(holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it never comes about");
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl SharedArtifacts for Between {
    fn uri(&self) -> &str {
        self.place.uri()
    }

    fn find(&self, kind: ArtifactKind, digest: &Digest) -> Result<Option<SharedArtifact>, StoreError> {
        self.place.find(kind, digest)
    }

    fn send(&self, kind: ArtifactKind, digest: &Digest, file: &Path, bytes: u64) -> Result<(), StoreError> {
        let meeting = self.meeting.as_ref().filter(|meeting| meeting.about.set((kind, *digest)).is_ok());
        if let Some(meeting) = meeting {
            until(|| meeting.is_decided.load(Ordering::SeqCst));
        }
        self.place.send(kind, digest, file, bytes)?;
        if let Some(meeting) = meeting {
            meeting.is_sent.store(true, Ordering::SeqCst);
        }
        Ok(())
    }

    fn fetch(
        &self,
        artifact: &SharedArtifact,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.place.fetch(artifact, sink)
    }

    fn list(&self) -> Result<Vec<SharedArtifact>, StoreError> {
        self.place.list()
    }

    fn remove(&self, artifact: &SharedArtifact) -> Result<(), StoreError> {
        let is_meant = |meeting: &&Arc<Meeting>| meeting.about.get() == Some(&(artifact.kind, artifact.digest));
        if let Some(meeting) = self.meeting.as_ref().filter(is_meant) {
            meeting.is_decided.store(true, Ordering::SeqCst);
            until(|| meeting.is_sent.load(Ordering::SeqCst));
        }
        self.place.remove(artifact)
    }

    fn announce(&self, kind: ArtifactKind, digest: &Digest) -> Result<(), StoreError> {
        self.place.announce(kind, digest)
    }

    fn withdraw(&self, kind: ArtifactKind, digest: &Digest) -> Result<(), StoreError> {
        self.place.withdraw(kind, digest)
    }

    fn announced(&self, kind: ArtifactKind, digest: &Digest) -> Result<Option<SystemTime>, StoreError> {
        self.place.announced(kind, digest)
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        Ok(self.place.now()? - self.behind)
    }
}

// invariant: as `a_passing_fault_at_any_request_is_survived`
fn age_is_told_by_the_clock_of_the_place(place: &Place) {
    publish(&place.machine("one")).expect("published");
    let nothing = |_| Ok(HashSet::new());
    // To this machine, whose clock is two days ahead, they look two days old.
    place.age(HOUR * 48);
    let store = Between { behind: HOUR * 48, ..Between::of(place) }.machine(place, "ahead");
    assert_eq!(store.collect(Duration::ZERO, false, nothing).expect("collected"), []);
    let exact = place.machine("exact");
    assert_eq!(exact.collect(Duration::ZERO, false, nothing).expect("collected").len(), 3);
}

// invariant: as `a_passing_fault_at_any_request_is_survived`
fn what_is_sent_while_it_is_removed_is_sent_again(place: &Place) {
    let published = publish(&place.machine("one")).expect("published");
    place.age(HOUR * 25);
    let meeting = Arc::new(Meeting::default());
    let met = |name| Between { meeting: Some(Arc::clone(&meeting)), ..Between::of(place) }.machine(place, name);
    let (publisher, collector) = (met("publisher"), met("collector"));
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| publish(&publisher).expect("published"));
        until(|| meeting.about.get().is_some());
        let collected = collector.collect(Duration::ZERO, false, |_| Ok(HashSet::new())).expect("collected");
        assert!(collected.iter().any(|it| Some(&(it.kind, it.digest)) == meeting.about.get()), "{collected:?}");
        assert_eq!(publishing.join().expect("it publishes"), published);
    });
    for (kind, digest) in published {
        place.machine("third").verify(kind, &digest).expect("it is there");
        assert_eq!(place.open().announced(kind, &digest).expect("an answer"), None);
    }
}

#[test]
fn what_a_collection_that_died_announced_is_waited_for_no_longer_than_an_hour() {
    let place = bucket();
    let (one, other) = (place.machine("one"), place.machine("other"));
    let published = publish(&one).expect("published");
    place.age(HOUR * 25);
    for (kind, digest) in published {
        place.open().announce(kind, &digest).expect("announced");
    }
    // By the place's clock, the announcements are now older than any collection takes.
    place.age(HOUR * 2);
    let begin = Instant::now();
    publish(&other).expect("published");
    assert!(begin.elapsed() < Duration::from_secs(30), "it waited for a dead process");
    assert!(published.iter().all(|(kind, digest)| place.machine("third").verify(*kind, digest).is_ok()));
}

fn a_component_that_is_here_already_is_sent_once_and_again_where_it_is_gone(place: &Place) {
    let home = Home::open(place.folder.path().join("home")).expect("a home");
    // Made before the home named a place.
    let [_, component, _] = publish(&home.artifacts).expect("published");
    let home = home.sharing(Some(Arc::new(place.open()))).expect("it shares");
    let there = || place.open().find(component.0, &component.1).expect("an answer");
    let sent = there().expect("it is there").modified;
    for _ in 0..3 {
        assert!(home.artifacts.renew(&[component]).expect("an answer"));
    }
    assert_eq!(there().map(|it| it.modified), Some(sent), "it was not sent twice");
    let removed = there().expect("it is there");
    place.open().remove(&removed).expect("removed");
    assert!(home.artifacts.renew(&[component]).expect("an answer"));
    assert!(there().is_some(), "it is sent, though it is here");
}
