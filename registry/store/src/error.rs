//! The crate's one error, for artifacts and records.

use std::io;
use std::path::{Path, PathBuf};

use stagewright_text::Untrusted;

use crate::artifact::ArtifactKind;
use crate::database::DatabaseError;
use crate::digest::Digest;
use crate::registry::{AccountError, AuditDifference, DataVersionError, DeploymentError, JudgedAgainst, TrackingError};
use crate::schema::SchemaError;
use crate::search::SearchError;

/// The error of storing, finding or reading something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused an operation on a file.
    #[error("cannot {action} `{}`: {source}{}", path.display(), disk_hint(source))]
    Io {
        /// A verb: `write`, `open`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// No artifact of this kind and digest is stored.
    #[error("{kind} `{digest}` is not in the store `{}`", store.display())]
    Missing {
        /// The kind that was asked for.
        kind: ArtifactKind,
        /// Its digest.
        digest: Digest,
        /// The artifact directory.
        store: PathBuf,
    },
    /// No artifact of this kind and digest is stored, here or where several machines share them.
    #[error("{kind} `{digest}` is neither in the store `{}` nor at `{place}`", store.display())]
    MissingEverywhere {
        /// Its kind.
        kind: ArtifactKind,
        /// Its digest.
        digest: Digest,
        /// The artifact directory.
        store: PathBuf,
        /// The shared place.
        place: String,
    },
    /// The place where several machines share artifacts failed.
    #[error("cannot {action} at `{place}`: {source}")]
    Shared {
        /// The attempt: `write artifact sha256:...`.
        action: String,
        /// The shared place, without secrets.
        place: String,
        /// The reply, with a hint where there is one.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An artifact at the shared place is not what its digest says.
    #[error("{kind} `{digest}` at `{place}` is damaged: {problem}\nhint: delete it there and run the pipeline again")]
    SharedDamaged {
        /// The shared place.
        place: String,
        /// The kind that it should be.
        kind: ArtifactKind,
        /// Its digest.
        digest: Digest,
        /// The problem with it.
        problem: String,
    },
    /// A garbage collection on another machine announced the removal of an artifact and does not
    /// finish.
    #[error(
        "{kind} `{digest}` is being removed at `{place}` by a collection of garbage that does not end\nhint: run again later; what a collection that died had begun counts for an hour"
    )]
    RemovalUnfinished {
        /// The shared place.
        place: String,
        /// The kind of the artifact that is being removed.
        kind: ArtifactKind,
        /// Its digest.
        digest: Digest,
    },
    /// The home shares its artifacts at another place than the one given.
    #[error(
        "the artifacts of the home `{}` are shared at `{place}`\nhint: name that place with --artifacts or STAGEWRIGHT_ARTIFACTS",
        home.display()
    )]
    OtherArtifacts {
        /// The home.
        home: PathBuf,
        /// Where its artifacts are shared, without secrets.
        place: String,
    },
    /// A stored file is damaged: cut off or edited.
    #[error("`{}` is damaged: {problem}\nhint: {DAMAGED_HINT}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// The content of a stored file does not have the digest that names the file.
    #[error("`{}` is damaged: its content has the digest `{actual}`\nhint: {DAMAGED_HINT}", path.display())]
    DigestDiffers {
        /// The file.
        path: PathBuf,
        /// The digest of its content.
        actual: Digest,
    },
    /// A list of fields is not a schema.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A batch does not fit the table that it was written to.
    #[error("a batch does not fit its table: {problem}")]
    BatchMismatch {
        /// The difference.
        problem: String,
    },
    /// A null was written to a column that may not hold one.
    #[error("column `{column}`, row {row}: there is a null in a column that is not nullable")]
    Null {
        /// The column's name.
        column: String,
        /// The row of the table, from 0.
        row: u64,
    },
    /// A chunk's text, or a table's categories, are too long to store.
    #[error("column `{column}`: {problem}")]
    TextTooLong {
        /// The column's name.
        column: String,
        /// The limit that it exceeds.
        problem: String,
    },
    /// A reading starts past the end of a table.
    #[error("row {start} lies past the end of a table of {rows} rows")]
    PastEnd {
        /// The first row asked for.
        start: u64,
        /// How many there are.
        rows: u64,
    },
    /// A reading asks for a column that the table does not have.
    #[error("column {index} does not exist in a table of {columns} columns")]
    NoColumn {
        /// The index asked for.
        index: usize,
        /// How many there are.
        columns: usize,
    },
    /// A table could not be written in another format.
    #[error("cannot export to `{}`: {problem}", path.display())]
    Export {
        /// The file.
        path: PathBuf,
        /// The writer's error.
        problem: String,
    },
    /// The database refused an operation.
    #[error("cannot {action} in `{place}`: {source}")]
    Database {
        /// The attempt: `record a stage`.
        action: &'static str,
        /// The database: a path, or a URL without its password.
        place: String,
        /// The driver's error.
        source: DatabaseError,
    },
    /// The database was written by a newer Stagewright.
    #[error(
        "`{place}` has format {found}; this program knows formats up to {known}\nhint: install a newer Stagewright, or use another STAGEWRIGHT_HOME or STAGEWRIGHT_REGISTRY"
    )]
    TooNew {
        /// The database.
        place: String,
        /// Its format.
        found: u32,
        /// The newest known one.
        known: u32,
    },
    /// The database was written by a newer Stagewright, which lets this program read it, and it was
    /// to be written.
    #[error(
        "`{place}` has format {found}, which this program of format {known} may read and not write, so nothing was recorded\nhint: install Stagewright {program} or newer"
    )]
    OnlyReadable {
        /// The database.
        place: String,
        /// Its format.
        found: u32,
        /// The format of this program.
        known: u32,
        /// The version of the program that made the format.
        program: String,
    },
    /// The database was written by an older Stagewright, and may only be read.
    #[error(
        "`{place}` has format {found}, and this program reads format {known}\nhint: run `stagewright models` once as a user who may write the registry: it converts the registry"
    )]
    TooOld {
        /// The database.
        place: String,
        /// Its format.
        found: u32,
        /// The format that this program reads.
        known: u32,
    },
    /// There is no registry, where one must exist.
    #[error(
        "there is no registry in `{place}`\nhint: run a pipeline first, or name another registry with --home, --registry or STAGEWRIGHT_REGISTRY"
    )]
    NoRegistry {
        /// The database.
        place: String,
    },
    /// The registry was opened only to be read.
    #[error(
        "`{place}` was opened only to be read, so nothing can be recorded in it\nhint: use a registry that this program may write"
    )]
    ReadOnly {
        /// The database.
        place: String,
    },
    /// A row of the database holds what this program never writes.
    #[error("`{place}` is damaged: {problem}")]
    BadRecord {
        /// The database.
        place: String,
        /// The problem.
        problem: String,
    },
    /// The URL does not name a registry that this program can open.
    #[error("`{url}` is not a registry{}", if *built { "\nhint: postgresql://USER@HOST/DATABASE" } else { "\nhint: this program was built without PostgreSQL: leave STAGEWRIGHT_REGISTRY away, or take a build with the feature `postgres`" })]
    BadRegistryUrl {
        /// The URL, without its password.
        url: String,
        /// Whether this program was built with PostgreSQL.
        built: bool,
    },
    /// A home is used with another registry than its own.
    #[error("the home `{}` has its registry in `{own}`\nhint: use that one, or another home: with another registry, everything in this home would look like garbage; if a server has only another name now, remove the file `registry` in the home", home.display())]
    OtherRegistry {
        /// The home.
        home: PathBuf,
        /// Where its registry is.
        own: String,
    },
    /// The system returned no random numbers.
    #[error("cannot get random numbers: {problem}")]
    Random {
        /// The system's error.
        problem: String,
    },
    /// An entry of the audit was edited, removed or moved.
    #[error(
        "the audit was tampered with at entry {seq}: {problem}\nhint: compare with a backup of the registry, and with the heads that promotions wrote beside their models"
    )]
    Tampered {
        /// Its place in the chain, from 1.
        seq: u64,
        /// The problem.
        problem: String,
    },
    /// The registry differs from its audit.
    #[error(
        "the audit's chain is intact, but the registry differs from it in {different} place{}:{}\nhint: somebody changed the database by other means: compare with a backup of the registry", if *different == 1 { "" } else { "s" }, listed(differences)
    )]
    Differs {
        /// The number of differences.
        different: u64,
        /// The differences, at most a hundred of them.
        differences: Vec<AuditDifference>,
    },
    /// No run has this identifier or prefix.
    #[error("no run `{id}`\nhint: `stagewright runs` lists them")]
    NoRun {
        /// The identifier or prefix.
        id: String,
    },
    /// The text of a search is wrong.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// A running run cannot be deleted.
    #[error("run `{id}` is running\nhint: stop it first")]
    RunRunning {
        /// The run.
        id: String,
    },
    /// A parameter that has a value was logged with another one.
    #[error(
        "parameter `{name}` of run `{run}` is `{old}` and cannot become `{new}`\nhint: a parameter is logged once; begin another run, or log a tag"
    )]
    ParameterChanged {
        /// The run.
        run: String,
        /// The parameter.
        name: String,
        /// Its value.
        old: String,
        /// The other value.
        new: String,
    },
    /// No experiment has this name.
    #[error("no experiment `{name}`\nhint: `stagewright runs list` shows the experiments of runs")]
    NoExperiment {
        /// The name.
        name: String,
    },
    /// An experiment of this name exists already.
    #[error("experiment `{name}` exists already")]
    ExperimentExists {
        /// The name.
        name: String,
    },
    /// The experiment is deleted.
    #[error("experiment `{name}` is deleted\nhint: restore it, or use another name")]
    ExperimentDeleted {
        /// The name.
        name: String,
    },
    /// The text cannot name an experiment.
    #[error("`{name}` cannot name an experiment\nhint: use 1 to 500 bytes without control characters")]
    BadExperimentName {
        /// The name.
        name: String,
    },
    /// The name of a tag, a parameter or a metric is too long or empty.
    #[error("`{name}` cannot name a {what}\nhint: use 1 to {limit} bytes without NUL")]
    BadKey {
        /// `tag`, `metric`.
        what: &'static str,
        /// The name.
        name: String,
        /// The most bytes.
        limit: usize,
    },
    /// The value of a tag or a parameter is too long.
    #[error("the value of {what} `{name}` has too many bytes, or a NUL\nhint: use at most {limit} bytes")]
    BadKeyValue {
        /// `tag`.
        what: &'static str,
        /// Its name.
        name: String,
        /// The most bytes.
        limit: usize,
    },
    /// There is no such tag.
    #[error("there is no tag `{name}`")]
    NoTag {
        /// The name.
        name: String,
    },
    /// A model of this name exists already.
    #[error("model `{model}` exists already")]
    ModelExists {
        /// The name.
        model: String,
    },
    /// A version refers to an artifact that is missing or damaged.
    #[error("a version of model `{model}` cannot be registered without its {role}: {source}")]
    Incomplete {
        /// The model's name.
        model: String,
        /// The artifact's role in the version.
        role: String,
        /// The problem.
        source: Box<StoreError>,
    },
    /// The model has no such alias.
    #[error("model `{model}` has no alias `{alias}`")]
    NoAlias {
        /// The model's name.
        model: String,
        /// The alias.
        alias: String,
    },
    /// The alias is reserved.
    #[error(
        "`{alias}` cannot be set as an alias\nhint: `champion` moves by `stagewright models promote`; `latest` and `v1` name versions"
    )]
    ReservedAlias {
        /// The alias.
        alias: String,
    },
    /// The word is not a stage of a version's lifecycle.
    #[error("`{name}` is not a stage of a version\nhint: use one of none, staging, production, archived")]
    BadStage {
        /// The word.
        name: String,
    },
    /// Only a promotion moves a version to production.
    #[error(
        "version {version} of model `{model}` comes to production by promotion alone\nhint: stagewright models promote {model}/{version}"
    )]
    NeedsPromotion {
        /// The model's name.
        model: String,
        /// The version.
        version: u32,
    },
    /// The version in production cannot be deleted, moved or judged.
    #[error(
        "version {version} of model `{model}` is the champion and cannot be {action}\nhint: promote another version first, roll back (`stagewright models rollback {model}`), or take the model out of production (`stagewright models retire {model}`)"
    )]
    IsChampion {
        /// The model's name.
        model: String,
        /// The version.
        version: u32,
        /// `deleted`, `archived`, `judged`.
        action: &'static str,
    },
    /// The model has no version to roll back to.
    #[error(
        "No archived version available for rollback of model `{model}`\nhint: a version is archived when another one follows it as champion; `stagewright models promote` takes any approved version"
    )]
    NoArchivedVersion {
        /// The model's name.
        model: String,
    },
    /// There is no such promotion.
    #[error("no promotion `{id}`")]
    NoPromotion {
        /// The identifier.
        id: String,
    },
    /// The promotion has ended already.
    #[error("promotion `{id}` is {state}")]
    PromotionEnded {
        /// The promotion.
        id: String,
        /// Its state.
        state: &'static str,
    },
    /// A promotion is in progress.
    #[error(
        "promotion `{promotion}` of model `{model}` is not finished\nhint: try again when it is; `stagewright models promote {model}@champion` finishes one whose process died"
    )]
    PromotionRunning {
        /// The model's name.
        model: String,
        /// The promotion.
        promotion: String,
    },
    /// A garbage collection is in progress at the destination.
    #[error("garbage is being collected at `{destination}`\nhint: try again when it is done")]
    CollectionRunning {
        /// The destination.
        destination: String,
    },
    /// Several runs have this prefix.
    #[error("{count} runs begin with `{prefix}`\nhint: give more digits")]
    AmbiguousRun {
        /// The prefix.
        prefix: String,
        /// How many runs begin with it.
        count: usize,
    },
    /// A run of this identifier exists already.
    #[error("run `{id}` exists already")]
    RunExists {
        /// The identifier.
        id: String,
    },
    /// The run has ended, so nothing can be added to it.
    #[error("run `{id}` is {status}, not running")]
    RunEnded {
        /// The run.
        id: String,
        /// Its status.
        status: String,
    },
    /// The text is not a run's identifier.
    #[error("`{text}` is not a run identifier\nhint: a run identifier has 32 lower-case hex digits")]
    BadRunId {
        /// The text, at most its first 100 characters.
        text: String,
    },
    /// The name of a model or an alias is not an identifier.
    #[error("`{name}` is not a valid {what} name\nhint: use 1 to 128 letters, digits, `.`, `_` or `-`")]
    BadName {
        /// `model`, `alias`.
        what: &'static str,
        /// The name, at most its first 200 characters.
        name: String,
    },
    /// No model has this name.
    #[error("no model `{model}`\nhint: `stagewright models` lists them")]
    NoModel {
        /// The model's name.
        model: String,
    },
    /// The model has no such version.
    #[error("model `{model}` has no version {version}")]
    NoVersion {
        /// The model's name.
        model: String,
        /// The version asked for.
        version: u32,
    },
    /// A verdict was reached against another version than the current champion.
    #[error(
        "a verdict on model `{model}` was reached against {judged_against}, and {}; it was not recorded\nhint: judge again",
        champion_text(*.champion)
    )]
    ChampionChanged {
        /// The model's name.
        model: String,
        /// The champion that the verdict was reached against.
        judged_against: JudgedAgainst,
        /// The current champion.
        champion: Option<u32>,
    },
    /// A version is approved, but against another version than the current champion.
    #[error(
        "version {version} of model `{model}` was approved against {judged_against}, and {}\nhint: `stagewright gate {model}/{version} --promote` judges it again",
        champion_text(*.champion)
    )]
    StaleVerdict {
        /// The model's name.
        model: String,
        /// The version.
        version: u32,
        /// The champion that its latest verdict was reached against.
        judged_against: JudgedAgainst,
        /// The current champion.
        champion: Option<u32>,
    },
    /// The model has no champion to retire.
    #[error(
        "model `{model}` has no champion, so there is nothing to retire\nhint: `stagewright models show {model}` lists its versions; `stagewright models delete {model} --reason TEXT` removes them"
    )]
    NothingToRetire {
        /// The model's name.
        model: String,
    },
    /// A destination still points to a version of a retired model.
    #[error(
        "model `{model}` is retired, but `{destination}` still points to version {version}\nhint: `stagewright models retire {model}` removes that pointer"
    )]
    RetirementUnfinished {
        /// The model's name.
        model: String,
        /// The version that was champion.
        version: u32,
        /// The destination.
        destination: String,
    },
    /// A deployment cannot be started, changed or found.
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    /// The registry refuses a request of a client of the tracking server.
    #[error(transparent)]
    Tracking(#[from] TrackingError),
    /// A user, a token or a permission cannot be as asked.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// A version of data cannot be found or recorded.
    #[error(transparent)]
    DataVersion(#[from] DataVersionError),
    /// An outcome cannot be recorded.
    #[error("outcome {index} cannot be recorded: {problem}")]
    BadOutcome {
        /// Its place in the list, from 0.
        index: usize,
        /// The problem, with a remedy.
        problem: String,
    },
    /// The alias moved since the caller looked at it.
    #[error("alias `{alias}` of model `{model}` points to {}, not to {}\nhint: another run moved it; look at it and try again", version_text(*.actual), version_text(*.expected))]
    AliasMoved {
        /// The model's name.
        model: String,
        /// The alias.
        alias: String,
        /// The version that the caller expected it to point to.
        expected: Option<u32>,
        /// The version that it points to.
        actual: Option<u32>,
    },
    /// Only an approved version becomes champion.
    #[error(
        "version {version} of model `{model}` cannot become `{alias}`: it is {state}\nhint: only a version that passed its gates is promoted; `stagewright models show {model}/{version}` tells why"
    )]
    NotApproved {
        /// The model's name.
        model: String,
        /// The version.
        version: u32,
        /// The alias.
        alias: String,
        /// `rejected`, `undecided` or `not judged`.
        state: String,
    },
}

/// The hint of errors of a stored file that is damaged.
pub const DAMAGED_HINT: &str = "delete the file and run the pipeline again";

/// The hint of errors of a disk that is full.
pub const DISK_FULL_HINT: &str = "free some space on that disk, or use another";

/// Whether a disk is full: by the system's error, by a quota, or by a limit on the size of files.
pub fn is_disk_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

fn disk_hint(error: &io::Error) -> String {
    if is_disk_full(error) { format!("\nhint: {DISK_FULL_HINT}") } else { String::new() }
}

fn version_text(version: Option<u32>) -> String {
    version.map_or_else(|| "no version".to_owned(), |version| format!("version {version}"))
}

fn champion_text(champion: Option<u32>) -> String {
    champion
        .map_or_else(|| "there is no champion now".to_owned(), |version| format!("version {version} is champion now"))
}

/// Wraps an I/O error with the action and the file.
pub(crate) fn io_error<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io { action, path: path.to_owned(), source }
}

/// Returns the first differences, one a line.
fn listed(differences: &[AuditDifference]) -> String {
    const SHOWN: usize = 20;
    let lines: String =
        differences.iter().take(SHOWN).map(|it| format!("\n  {}", Untrusted::new(&it.to_string()))).collect();
    if differences.len() > SHOWN { lines + "\n  ..." } else { lines }
}
