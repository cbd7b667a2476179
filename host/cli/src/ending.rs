//! How the program ends: exit codes, and errors as people read them.
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done; of a run: the candidate was accepted |
//! | 2 | wrong usage, or a wrong manifest |
//! | 3 | the data is wrong, or failed validation |
//! | 4 | the candidate was rejected by a gate, or a run was not reproduced |
//! | 5 | a stage crashed, failed or broke the contract |
//! | 6 | a stage ran past a limit |
//! | 7 | the host failed: disk, database, engine |
//! | 130 | interrupted |

use std::process::ExitCode;

use stagewright_data::DataError;
use stagewright_lifecycle::RunError;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::portable::PortableError;
use stagewright_lifecycle::reproduce::ReproduceError;
use stagewright_manifest::ManifestError;
use stagewright_promotion::PromotionError;
use stagewright_promotion::promote::PromoteError;
use stagewright_runtime::RuntimeError;
use stagewright_store::StoreError;
use stagewright_text::Untrusted;

/// An exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ending {
    Done = 0,
    Usage = 2,
    Data = 3,
    Rejected = 4,
    Stage = 5,
    Limit = 6,
    Host = 7,
    Interrupted = 130,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(ending as u8)
    }
}

/// A problem with what the user typed.
#[derive(Debug)]
pub(crate) struct UsageError {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// A message or a hint, which may cite names from outside: a line break in one begins no line of
/// ours.
fn shown(text: &str) -> String {
    Untrusted::lines(text).cut(MOST_SHOWN).to_string()
}

/// Bytes of a message: a hint may list every name that there is.
const MOST_SHOWN: usize = 64 << 10;

impl UsageError {
    pub(crate) fn error(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        Self { message: shown(&message.into()), hint: Some(hint.into()) }.into()
    }
}

impl std::fmt::Display for UsageError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for UsageError {}

/// A run's error with the manifest that hints cite.
#[derive(Debug)]
pub(crate) struct FailedRun {
    pub(crate) error: RunError,
    pub(crate) manifest: String,
}

impl std::fmt::Display for FailedRun {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(formatter)
    }
}

impl std::error::Error for FailedRun {}

/// A registered model's fault while it predicts.
#[derive(Debug)]
pub(crate) struct FailedPrediction(pub(crate) StageFault);

impl std::fmt::Display for FailedPrediction {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for FailedPrediction {}

fn fault_ending(fault: &StageFault) -> Ending {
    match fault {
        StageFault::Data { .. } => Ending::Data,
        StageFault::Parameter { .. } | StageFault::Untrusted { .. } | StageFault::Outdated { .. } => Ending::Usage,
        StageFault::Internal { .. }
        | StageFault::Trap { .. }
        | StageFault::Contract { .. }
        | StageFault::Denied { .. } => Ending::Stage,
        StageFault::Limit { .. } => Ending::Limit,
        StageFault::Cancelled { .. } => Ending::Interrupted,
        StageFault::Killed { .. } | StageFault::Host { .. } => Ending::Host,
    }
}

pub(crate) fn run_ending(error: &RunError) -> Ending {
    match error {
        RunError::Stage(fault) | RunError::Server(fault) => fault_ending(fault),
        RunError::Children { why, .. } => run_ending(why),
        RunError::Unfit { .. } => Ending::Data,
        RunError::MissingArtifact { .. } | RunError::OtherComponent { .. } | RunError::NotMade { .. } => Ending::Usage,
        RunError::NoOutput { .. } => Ending::Usage,
        RunError::Overtaken { .. } | RunError::ChampionMissing { .. } => Ending::Host,
        RunError::Store(error) => store_ending(error),
        RunError::Promotion(error) => promote_ending(error),
    }
}

fn promote_ending(error: &PromoteError) -> Ending {
    match error {
        PromoteError::Store(error) => store_ending(error),
        PromoteError::Destination(error) => destination_ending(error),
        PromoteError::Pointer { .. }
        | PromoteError::Unnoted { .. }
        | PromoteError::InDoubt { .. }
        | PromoteError::Withdrawal { .. } => Ending::Host,
    }
}

/// A destination that was named wrongly, or that gives us no access, is the user's to mend; that it fails is not.
fn destination_ending(error: &PromotionError) -> Ending {
    match error {
        PromotionError::BadUri { .. }
        | PromotionError::WithoutS3 { .. }
        | PromotionError::NoCredentials { .. }
        | PromotionError::BadCredentials { .. }
        | PromotionError::BadSetting { .. }
        | PromotionError::NoBucket { .. }
        | PromotionError::AccessDenied { .. }
        | PromotionError::WrongRegion { .. }
        | PromotionError::NoConditionalWrites { .. }
        | PromotionError::OtherRegistry { .. }
        | PromotionError::NoChampion { .. }
        | PromotionError::NoVersion { .. }
        | PromotionError::Unmeasured { .. } => Ending::Usage,
        _ => Ending::Host,
    }
}

/// The code and the hint of an error.
pub(crate) fn classify(error: &anyhow::Error) -> (Ending, Option<String>) {
    for cause in error.chain() {
        if let Some(usage) = cause.downcast_ref::<UsageError>() {
            return (Ending::Usage, usage.hint.clone());
        }
        if let Some(failed) = cause.downcast_ref::<FailedRun>() {
            return (run_ending(&failed.error), run_hint(&failed.error, &failed.manifest));
        }
        if let Some(FailedPrediction(fault)) = cause.downcast_ref() {
            return (fault_ending(fault), fault.hint_for_model());
        }
        if let Some(error) = cause.downcast_ref::<ReproduceError>() {
            return (reproduce_ending(error), reproduce_hint(error));
        }
        if let Some(error) = cause.downcast_ref::<PortableError>() {
            return portable_ending(error);
        }
        if let Some(fault) = cause.downcast_ref::<StageFault>() {
            return (fault_ending(fault), fault.hint("the manifest"));
        }
        if let Some(error) = cause.downcast_ref::<RuntimeError>() {
            let ending = match error {
                RuntimeError::Cache { .. }
                | RuntimeError::Exposed { .. }
                | RuntimeError::Compiler { .. }
                | RuntimeError::NoCompiler { .. }
                | RuntimeError::Engine(_) => Ending::Host,
                RuntimeError::CompileLimit { .. } => Ending::Limit,
                _ => Ending::Usage,
            };
            return (ending, error.hint());
        }
        if let Some(error) = cause.downcast_ref::<DataError>() {
            return (data_ending(error), None);
        }
        if let Some(error) = cause.downcast_ref::<PromoteError>() {
            return (promote_ending(error), None);
        }
        if let Some(error) = cause.downcast_ref::<PromotionError>() {
            return (destination_ending(error), None);
        }
        if let Some(error) = cause.downcast_ref::<StoreError>() {
            return (store_ending(error), None);
        }
        if cause.is::<ManifestError>() {
            return (Ending::Usage, None);
        }
    }
    (Ending::Host, None)
}

fn reproduce_ending(error: &ReproduceError) -> Ending {
    match error {
        ReproduceError::Stage(fault) => fault_ending(fault),
        ReproduceError::Store(error) => store_ending(error),
        _ => Ending::Usage,
    }
}

fn portable_ending(error: &PortableError) -> (Ending, Option<String>) {
    match error {
        PortableError::Run(error) => (reproduce_ending(error), reproduce_hint(error)),
        PortableError::Store(error) => (store_ending(error), None),
        PortableError::Stopped(fault) => (fault_ending(fault), None),
        PortableError::File { action: "read", .. } => (Ending::Usage, Some("name a file that can be read".to_owned())),
        PortableError::File { .. } => (Ending::Host, None),
        PortableError::SourceWithLog => {
            let hint = "have SQLite write its log back (`PRAGMA wal_checkpoint(TRUNCATE)`) and run the pipeline again";
            (Ending::Usage, Some(hint.to_owned()))
        }
        PortableError::Format { .. } | PortableError::Damaged { .. } => {
            let hint = "nothing was imported: export the run again (`stagewright runs export RUN FILE`)";
            (Ending::Usage, Some(hint.to_owned()))
        }
    }
}

fn reproduce_hint(error: &ReproduceError) -> Option<String> {
    let hint = match error {
        ReproduceError::Stage(fault) => return fault.hint_for_model(),
        ReproduceError::Store(_) => return None,
        ReproduceError::NoSource { .. } => "say where that file is now: --source FILE",
        ReproduceError::NoInvocation { .. } | ReproduceError::Unreadable { .. } => {
            "runs of this version keep all that is needed: run the pipeline again"
        }
        ReproduceError::NoComponent { .. } => {
            "run the pipeline again with --no-cache: a stage that is executed keeps its component"
        }
        ReproduceError::OtherHost { .. } => "use the version of this program that made the run",
        ReproduceError::NoInput { .. } => {
            "garbage collection removed it, or the file was deleted: run the pipeline again"
        }
        ReproduceError::UnknownSource => "let the run read a database that nobody writes to, such as a copy",
        ReproduceError::Nothing => "`stagewright runs show` says how far it came",
    };
    Some(hint.to_owned())
}

/// A source that was mistyped is wrong usage; what is in it is data.
fn data_ending(error: &DataError) -> Ending {
    match error {
        DataError::Uri { .. } => Ending::Usage,
        DataError::Host(_) => Ending::Host,
        _ => Ending::Data,
    }
}

/// Names that the user typed and the registry does not know are his to mend; the rest is the host's.
fn store_ending(error: &StoreError) -> Ending {
    match error {
        StoreError::NoRun { .. }
        | StoreError::RunExists { .. }
        | StoreError::AmbiguousRun { .. }
        | StoreError::RunRunning { .. }
        | StoreError::NoModel { .. }
        | StoreError::NoVersion { .. }
        | StoreError::NoExperiment { .. }
        | StoreError::NoAlias { .. }
        | StoreError::NoTag { .. }
        | StoreError::BadName { .. }
        | StoreError::BadKey { .. }
        | StoreError::BadKeyValue { .. }
        | StoreError::BadStage { .. }
        | StoreError::BadRegistryUrl { .. }
        | StoreError::OtherRegistry { .. }
        | StoreError::OtherArtifacts { .. }
        | StoreError::ReservedAlias { .. }
        | StoreError::NothingToRetire { .. }
        | StoreError::IsChampion { .. }
        | StoreError::NeedsPromotion { .. }
        | StoreError::NoArchivedVersion { .. }
        | StoreError::Search(_) => Ending::Usage,
        StoreError::NotApproved { .. } | StoreError::StaleVerdict { .. } => Ending::Rejected,
        _ => Ending::Host,
    }
}

fn run_hint(error: &RunError, manifest: &str) -> Option<String> {
    match error {
        RunError::Stage(fault) | RunError::Server(fault) => fault.hint(manifest),
        RunError::Children { why, .. } => run_hint(why, manifest),
        RunError::Unfit { step, .. } => Some(format!(
            "`stagewright artifacts export {step}.report --output report.html` shows every check; mend the data, or relax the check under [components.*.parameters]"
        )),
        RunError::MissingArtifact { stage, .. } => Some(format!("run that stage first: stagewright stage run {stage}")),
        RunError::NotMade { path, .. } => {
            Some(format!("take `{}` out of [outputs] in {manifest}, or let the stage make it", path.display()))
        }
        RunError::NoOutput { .. } => Some(format!("name another file under [outputs] in {manifest}")),
        RunError::OtherComponent { stage, .. } => {
            Some(format!("run the stage again: stagewright stage run {stage}; or leave out what changes it"))
        }
        RunError::Overtaken { model, .. } => {
            Some(format!("judge it against the champion of the moment: stagewright gate {model} --promote"))
        }
        RunError::ChampionMissing { model, .. } => Some(format!(
            "name with --artifacts the place where the machine that made it shares its artifacts, or bring the folder `artifacts` of its home here; `stagewright models retire {model}` goes on without a champion"
        )),
        RunError::Store(_) | RunError::Promotion(_) => None,
    }
}

/// Shows an error on standard error; returns its exit code.
pub(crate) fn report(error: &anyhow::Error) -> Ending {
    let (ending, hint) = classify(error);
    if let Some(manifest) = error.downcast_ref::<ManifestError>() {
        crate::terminal::show_manifest_error(manifest);
        return ending;
    }
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        // Some errors repeat their cause in their own text.
        if !text.contains(&cause) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&cause);
        }
    }
    eprintln!("error: {text}");
    if let Some(hint) = hint {
        eprintln!("hint: {}", shown(&hint));
    }
    ending
}
