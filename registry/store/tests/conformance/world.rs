//! The fixture of a test: a registry in an empty database, and an artifact store.
//!
//! Tests are functions over a [`World`], which hides the database. A test that has to use SQL (to
//! tamper with rows, to create an old format) does so as an attacker would, beside the registry.
//!
//! A test that needs a second process starts this binary again, with the test's name, and the
//! process's part in the environment.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use stagewright_store::{
    ArtifactKind, ArtifactStore, CHAMPION, Digest, JudgedAgainst, NewRun, NewVerdict, NewVersion, OpenMode,
    PromotionRequest, Reference, Registry, RunId, StoreError, Verdict,
};
use tempfile::TempDir;

/// The address of the database, for the child process of a test.
const PLACE: &str = "STAGEWRIGHT_TEST_PLACE";
/// The directory of the artifacts.
const HOME: &str = "STAGEWRIGHT_TEST_HOME";
/// The part of the child process.
const PART: &str = "STAGEWRIGHT_TEST_PART";

pub(crate) struct World {
    pub(crate) artifacts: ArtifactStore,
    pub(crate) registry: Registry,
    place: Place,
    home: PathBuf,
    /// Whether the database was changed without the registry.
    is_edited: AtomicBool,
    _directory: Option<TempDir>,
}

#[derive(Clone)]
enum Place {
    File(PathBuf),
    #[cfg(feature = "postgres")]
    Server(String),
}

impl Place {
    fn open(&self) -> Result<Registry, StoreError> {
        self.open_as(OpenMode::Full)
    }

    fn open_as(&self, mode: OpenMode) -> Result<Registry, StoreError> {
        match self {
            Self::File(path) => Registry::open_as(path, mode),
            #[cfg(feature = "postgres")]
            Self::Server(url) => Registry::connect_as(url, None, mode),
        }
    }

    fn named(place: &OsStr) -> Self {
        #[cfg(feature = "postgres")]
        if let Some(url) = place.to_str().filter(|place| place.starts_with("postgres")) {
            return Self::Server(url.to_owned());
        }
        Self::File(place.into())
    }
}

impl World {
    /// Returns a world in SQLite; in a child process, its parent's.
    pub(crate) fn sqlite() -> Self {
        Self::of_parent().unwrap_or_else(|| {
            let directory = tempfile::tempdir().unwrap();
            Self::new(Place::File(directory.path().join("stagewright.db")), directory)
        })
    }

    /// Returns a world in SQLite in addition to the test's.
    pub(crate) fn sqlite_of_its_own() -> Self {
        Self::in_file(tempfile::tempdir().unwrap())
    }

    /// Returns a world in PostgreSQL; in a child process, its parent's.
    #[cfg(feature = "postgres")]
    pub(crate) fn postgres() -> Self {
        Self::of_parent().unwrap_or_else(|| {
            let url = stagewright_services::postgres::Cluster::shared().create_database();
            Self::new(Place::Server(url), tempfile::tempdir().unwrap())
        })
    }

    /// Returns a world in a SQLite file that may already exist.
    pub(crate) fn in_file(directory: TempDir) -> Self {
        Self::new(Place::File(directory.path().join("stagewright.db")), directory)
    }

    /// Returns a world in a database on a server that may already have tables.
    #[cfg(feature = "postgres")]
    pub(crate) fn on_server(url: String) -> Self {
        Self::new(Place::Server(url), tempfile::tempdir().unwrap())
    }

    fn new(place: Place, directory: TempDir) -> Self {
        let home = directory.path().to_owned();
        let artifacts = ArtifactStore::open(home.join("artifacts")).unwrap();
        Self {
            artifacts,
            registry: place.open().unwrap(),
            place,
            home,
            is_edited: AtomicBool::new(false),
            _directory: Some(directory),
        }
    }

    fn of_parent() -> Option<Self> {
        let place = Place::named(&std::env::var_os(PLACE)?);
        let home = PathBuf::from(std::env::var_os(HOME)?);
        let artifacts = ArtifactStore::open(home.join("artifacts")).unwrap();
        Some(Self {
            artifacts,
            registry: place.open().unwrap(),
            place,
            home,
            is_edited: AtomicBool::new(false),
            _directory: None,
        })
    }

    /// Returns a directory of the test's own.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Opens the same database again, as another process would.
    pub(crate) fn reopened(&self) -> Registry {
        self.try_reopen().unwrap()
    }

    pub(crate) fn try_reopen(&self) -> Result<Registry, StoreError> {
        self.place.open()
    }

    /// Opens the same database again for a use.
    pub(crate) fn reopened_as(&self, mode: OpenMode) -> Result<Registry, StoreError> {
        self.place.open_as(mode)
    }

    /// Returns whether the database is on a server.
    pub(crate) fn is_on_server(&self) -> bool {
        !matches!(self.place, Place::File(_))
    }

    /// Runs statements without the registry.
    pub(crate) fn sql(&self, statements: &str) -> Result<(), String> {
        self.is_edited.store(true, Ordering::Relaxed);
        match &self.place {
            Place::File(path) => {
                let connection = rusqlite::Connection::open(path).unwrap();
                connection.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
                connection.execute_batch(statements).map_err(|error| error.to_string())
            }
            #[cfg(feature = "postgres")]
            Place::Server(url) => stagewright_services::postgres::Cluster::shared().psql(url, statements).map(drop),
        }
    }

    /// Runs a query without the registry. Returns its rows with columns separated by `|`, as both
    /// databases' shells print them.
    pub(crate) fn rows(&self, query: &str) -> Vec<String> {
        match &self.place {
            Place::File(path) => {
                let connection = rusqlite::Connection::open(path).unwrap();
                let mut statement = connection.prepare(query).unwrap();
                let columns = statement.column_count();
                let text = |row: &rusqlite::Row<'_>| {
                    let value = |index| {
                        Ok(match row.get::<_, rusqlite::types::Value>(index)? {
                            rusqlite::types::Value::Null => String::new(),
                            rusqlite::types::Value::Integer(integer) => integer.to_string(),
                            rusqlite::types::Value::Real(real) => real.to_string(),
                            rusqlite::types::Value::Text(text) => text,
                            // In the format of PostgreSQL's shell.
                            rusqlite::types::Value::Blob(bytes) => {
                                let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
                                format!("\\x{}", digits.collect::<String>())
                            }
                        })
                    };
                    Ok((0..columns).map(value).collect::<Result<Vec<_>, rusqlite::Error>>()?.join("|"))
                };
                statement.query_map([], text).unwrap().collect::<Result<_, _>>().unwrap()
            }
            #[cfg(feature = "postgres")]
            Place::Server(url) => {
                let text = stagewright_services::postgres::Cluster::shared().psql(url, query).unwrap();
                text.lines().map(str::to_owned).collect()
            }
        }
    }

    /// Verifies the audit, unless the database was changed without the registry.
    pub(crate) fn check_unless_edited(&self) {
        if !self.is_edited.load(Ordering::Relaxed) && Self::part().is_none() {
            self.registry.verify_audit().unwrap();
        }
    }

    /// Removes the triggers that protect the audit, as the owner of the database can.
    pub(crate) fn disarm_audit(&self) {
        let drop: String = match &self.place {
            Place::File(_) => {
                let triggers = self.rows("SELECT name FROM sqlite_schema WHERE type = 'trigger'");
                triggers.iter().map(|name| format!("DROP TRIGGER {name};")).collect()
            }
            #[cfg(feature = "postgres")]
            Place::Server(_) => "ALTER TABLE audit DISABLE TRIGGER USER".to_owned(),
        };
        self.sql(&drop).unwrap();
    }

    /// Returns the part of this process, if it is the child of a test.
    pub(crate) fn part() -> Option<String> {
        std::env::var(PART).ok()
    }

    /// Starts the test of this thread again, as a process with a part.
    pub(crate) fn spawn(&self, part: &str) -> Child {
        let place = match &self.place {
            Place::File(path) => path.as_os_str(),
            #[cfg(feature = "postgres")]
            Place::Server(url) => url.as_ref(),
        };
        spawn(place, &self.home, part)
    }

    /// Stores a blob. Returns its digest.
    pub(crate) fn blob(&self, content: &[u8]) -> Digest {
        let staging = self.artifacts.stage();
        let mut writer = staging.create_blob().unwrap();
        writer.write(content).unwrap();
        let digest = writer.finish().unwrap().digest();
        staging.publish().unwrap();
        digest
    }

    /// Registers a version of the model without a verdict.
    pub(crate) fn unjudged(&self, model: &str) -> u32 {
        self.registry.create_version(&self.artifacts, model, &version(), &unnumbered).unwrap()
    }

    /// Registers a version of the model that passed its gates, against the current champion.
    pub(crate) fn approved(&self, model: &str) -> u32 {
        let version = self.unjudged(model);
        self.judge(model, version, Verdict::Approved, "good");
        version
    }

    /// Registers a version of the model that did not pass.
    pub(crate) fn rejected(&self, model: &str) -> u32 {
        let version = self.unjudged(model);
        self.judge(model, version, Verdict::Rejected, "bad");
        version
    }

    /// Records a verdict against the current champion, even if others change it meanwhile. The
    /// champion itself is not judged.
    pub(crate) fn judge(&self, model: &str, version: u32, verdict: Verdict, reason: &str) {
        loop {
            let champion = self.registry.alias(model, CHAMPION).unwrap();
            let verdict = judged(verdict, JudgedAgainst::from(champion), reason);
            match self.registry.record_verdict(&self.artifacts, model, version, &verdict) {
                Err(StoreError::ChampionChanged { .. }) => {}
                Err(StoreError::IsChampion { .. }) => return,
                recorded => return recorded.unwrap(),
            }
        }
    }

    /// Approves the version against the current champion.
    pub(crate) fn approve(&self, model: &str, version: u32) {
        self.judge(model, version, Verdict::Approved, "good");
    }

    /// Judges the version and makes it champion in one step.
    pub(crate) fn promote(&self, model: &str, version: u32) {
        self.approve(model, version);
        self.registry.promote(model, version, &PromotionRequest::default()).unwrap();
    }

    /// Makes the target of a rollback champion.
    pub(crate) fn roll_back(&self, model: &str) -> Result<u32, StoreError> {
        let promotion = self.registry.begin_rollback(model, &PromotionRequest::default())?;
        self.registry.complete_promotion(&promotion.id)?;
        self.registry.finish_promotion(&promotion.id)?;
        Ok(promotion.version)
    }

    /// Returns the champion by its alias, after checking that alias and stages agree and that there
    /// is at most one.
    pub(crate) fn champion(&self, model: &str) -> Option<u32> {
        let production = self.rows(&format!(
            "SELECT version FROM versions JOIN registered_models ON registered_models.id = versions.model
             WHERE name = '{model}' AND stage = 'production'"
        ));
        assert!(production.len() <= 1, "two champions: {production:?}");
        let champion = self.registry.alias(model, stagewright_store::CHAMPION).unwrap();
        assert_eq!(champion.map(|version| version.to_string()), production.first().cloned());
        champion
    }

    /// Returns the stages of the model's versions, oldest version first.
    pub(crate) fn stages_of(&self, model: &str) -> Vec<&'static str> {
        self.registry.versions(model).unwrap().iter().map(|version| version.stage.name()).collect()
    }
}

/// Starts the test of this thread again, as a process that opens this database.
pub(crate) fn spawn(place: &OsStr, home: &Path, part: &str) -> Child {
    let thread = std::thread::current();
    let test = thread.name().expect("a test's thread has its name");
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--include-ignored"])
        .env(PLACE, place)
        .env(HOME, home)
        .env(PART, part)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Returns the output of a child that succeeded.
pub(crate) fn said(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", everything(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the output of a process.
pub(crate) fn everything(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn new_run(pipeline: &str) -> NewRun {
    NewRun {
        run_id: None,
        name: String::new(),
        pipeline: pipeline.into(),
        experiment: "churn".into(),
        seed: u64::MAX,
        manifest: "[pipeline]".into(),
        config: json!({"seed": 1}),
        parameters: vec![("training.learning_rate".into(), "0.1".into())],
        tags: vec![("team".into(), "growth".into())],
    }
}

/// Returns a version without artifacts.
pub(crate) fn version() -> NewVersion {
    NewVersion { contents: json!({"components": []}), ..NewVersion::default() }
}

/// Returns a verdict of gates that measured nothing.
pub(crate) fn judged(verdict: Verdict, judged_against: JudgedAgainst, reason: &str) -> NewVerdict {
    NewVerdict { policy: "better".into(), is_override: false, ..NewVerdict::by_person(verdict, judged_against, reason) }
}

pub(crate) fn reference(role: &str, digest: Digest) -> Reference {
    Reference { role: role.into(), kind: ArtifactKind::Blob, digest, needed: true }
}

/// Assigns no semantic versions.
pub(crate) fn unnumbered(_: Option<(&serde_json::Value, &str)>) -> Option<String> {
    None
}

pub(crate) fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Returns a run identifier that no registry assigned.
pub(crate) fn nobody() -> RunId {
    "0123456789abcdef0123456789abcdef".parse().unwrap()
}

/// Repeats until there is an answer: a server takes time to notice that a client died.
///
/// # Panics
/// If there is none within a minute.
pub(crate) fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = std::time::Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed().as_secs() < 60, "nothing happens");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
