//! Which code and which hint an error has, and how it is shown.
//!
//! The matches are exhaustive: whoever adds a condition to a crate decides here what it is to the
//! user. An error that wraps another one has the code of the inner one where the way to go on is
//! the same.

use stagewright_data::DataError;
#[cfg(feature = "pipelines")]
use stagewright_data_versions::DataVersionsError;
use stagewright_deployment::{OperationError, PlanError};
#[cfg(feature = "pipelines")]
use stagewright_exchange::export::ExportError;
#[cfg(feature = "pipelines")]
use stagewright_exchange::import::ImportError;
use stagewright_lifecycle::RunError;
use stagewright_lifecycle::fault::{LimitKind, StageFault};
use stagewright_lifecycle::portable::PortableError;
use stagewright_lifecycle::reproduce::ReproduceError;
use stagewright_manifest::{Condition, ManifestError};
#[cfg(feature = "pipelines")]
use stagewright_mlflow_client::{AddressError, ClientError, SettingError};
use stagewright_promotion::PromotionError;
use stagewright_promotion::promote::PromoteError;
use stagewright_runtime::{Refusal, RuntimeError};
#[cfg(feature = "pipelines")]
use stagewright_server::ServerError as TrackingServerError;
use stagewright_serving::{OriginError, ServerError};
use stagewright_store::{
    AccountError, DAMAGED_HINT, DISK_FULL_HINT, DataVersionError, DeploymentError, StoreError, TrackingError,
    is_disk_full,
};

use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::usage_error::{UsageError, shown};

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

fn condition_code(condition: Condition) -> ErrorCode {
    match condition {
        Condition::Unreadable => ErrorCode::ManifestUnreadable,
        Condition::Syntax => ErrorCode::ManifestSyntax,
        Condition::UnknownKey => ErrorCode::UnknownKey,
        Condition::MissingKey => ErrorCode::MissingKey,
        Condition::WrongType => ErrorCode::WrongType,
        Condition::WrongValue => ErrorCode::WrongValue,
        Condition::Override => ErrorCode::Override,
        Condition::Undeclared => ErrorCode::Undeclared,
        Condition::Wiring => ErrorCode::Wiring,
        Condition::OperatorBound => ErrorCode::OperatorBound,
        Condition::Parameter => ErrorCode::Parameter,
        Condition::ParameterSchema => ErrorCode::ParameterSchema,
        Condition::Task => ErrorCode::TaskUnsupported,
    }
}

fn fault_code(fault: &StageFault) -> ErrorCode {
    match fault {
        StageFault::Data { .. } => ErrorCode::BadData,
        StageFault::Parameter { .. } => ErrorCode::Parameter,
        StageFault::Internal { .. } => ErrorCode::StageFailed,
        StageFault::Trap { .. } => ErrorCode::StageCrashed,
        StageFault::Killed { .. } => ErrorCode::ProcessKilled,
        StageFault::Contract { .. } => ErrorCode::ContractBroken,
        StageFault::Limit { kind, .. } => match kind {
            LimitKind::Memory => ErrorCode::MemoryLimit,
            LimitKind::Cpu => ErrorCode::CpuLimit,
            LimitKind::Wall => ErrorCode::WallLimit,
            LimitKind::Output => ErrorCode::OutputLimit,
            LimitKind::Response => ErrorCode::ResponseLimit,
            LimitKind::Operator(_) => ErrorCode::FixedLimit,
        },
        StageFault::Denied { .. } => ErrorCode::NotGranted,
        StageFault::Untrusted { .. } => ErrorCode::NotSigned,
        StageFault::Outdated { .. } => ErrorCode::ModelOutdated,
        StageFault::Cancelled { .. } => ErrorCode::Cancelled,
        // Such a fault has lost the type of its error on the way between processes; the hint of the
        // error has come through.
        StageFault::Host { hint: Some(hint), .. } if hint == DAMAGED_HINT => ErrorCode::StoreDamaged,
        StageFault::Host { hint: Some(hint), .. } if hint == DISK_FULL_HINT => ErrorCode::DiskFull,
        StageFault::Host { .. } => ErrorCode::HostFailed,
    }
}

pub(crate) fn run_error_code(error: &RunError) -> ErrorCode {
    match error {
        RunError::Stage(fault) => fault_code(fault),
        RunError::Server(_) => ErrorCode::SourceUnreachable,
        RunError::Children { why, .. } => run_error_code(why),
        RunError::Unfit { .. } => ErrorCode::FailedValidation,
        RunError::MissingArtifact { .. } => ErrorCode::NothingToWorkOn,
        RunError::OtherComponent { .. } => ErrorCode::OtherComponent,
        RunError::NotMade { .. } | RunError::NoOutput { .. } => ErrorCode::OutputPath,
        RunError::Overtaken { .. } => ErrorCode::ChampionMoved,
        RunError::ChampionMissing { .. } => ErrorCode::ChampionMissing,
        RunError::Store(error) => store_code(error),
        RunError::Promotion(error) => promote_code(error),
    }
}

fn promote_code(error: &PromoteError) -> ErrorCode {
    match error {
        PromoteError::Store(error) => store_code(error),
        PromoteError::Destination(error) => destination_code(error),
        PromoteError::Pointer { .. } | PromoteError::Unnoted { .. } | PromoteError::Withdrawal { .. } => {
            ErrorCode::PointerBehind
        }
        PromoteError::InDoubt { .. } => ErrorCode::PromotionInDoubt,
    }
}

fn destination_code(error: &PromotionError) -> ErrorCode {
    match error {
        PromotionError::BadUri { .. } | PromotionError::WithoutS3 { .. } => ErrorCode::Destination,
        PromotionError::NoCredentials { .. }
        | PromotionError::BadCredentials { .. }
        | PromotionError::BadSetting { .. } => ErrorCode::Credentials,
        PromotionError::NoBucket { .. } | PromotionError::WrongRegion { .. } => ErrorCode::Bucket,
        PromotionError::AccessDenied { .. } => ErrorCode::AccessDenied,
        PromotionError::Unreachable { .. } | PromotionError::Unanswered { .. } | PromotionError::Refused { .. } => {
            ErrorCode::DestinationUnreachable
        }
        PromotionError::NoConditionalWrites { .. } => ErrorCode::NoConditionalWrites,
        PromotionError::OtherRegistry { .. } => ErrorCode::OtherPromoter,
        PromotionError::VersionTaken { .. } => ErrorCode::VersionTaken,
        PromotionError::NoChampion { .. } | PromotionError::NoVersion { .. } => ErrorCode::NotInProduction,
        PromotionError::Unmeasured { .. } => ErrorCode::NotJudged,
        PromotionError::LocalDiffers { .. } => ErrorCode::StoreDamaged,
        PromotionError::UploadDiffers { .. } | PromotionError::Damaged { .. } | PromotionError::BadManifest { .. } => {
            ErrorCode::ProductionDamaged
        }
        PromotionError::LostRace { .. } => ErrorCode::ChampionMoved,
        PromotionError::Io { source, .. } => io_code(source),
        // `BadKey`: the names of models are checked before they become keys.
        _ => ErrorCode::Unexpected,
    }
}

fn io_code(error: &std::io::Error) -> ErrorCode {
    if is_disk_full(error) { ErrorCode::DiskFull } else { ErrorCode::HostFailed }
}

fn runtime_code(error: &RuntimeError) -> ErrorCode {
    match error {
        RuntimeError::Unknown { .. } => ErrorCode::NoComponent,
        RuntimeError::Read { .. } | RuntimeError::Changed { .. } => ErrorCode::ComponentUnreadable,
        RuntimeError::Invalid { .. } | RuntimeError::Description { .. } => ErrorCode::InvalidComponent,
        RuntimeError::Contract { .. } => ErrorCode::ContractVersion,
        RuntimeError::Wasi { .. } | RuntimeError::Import { .. } => ErrorCode::ImportNotGiven,
        RuntimeError::World { .. } => ErrorCode::WrongWorld,
        RuntimeError::Wit { .. } => ErrorCode::FileUnreadable,
        RuntimeError::CompileLimit { .. } => ErrorCode::CompileLimit,
        RuntimeError::NoCompiler { .. } => ErrorCode::NoCompiler,
        RuntimeError::Refused { refusal: Refusal::Signature, .. } => ErrorCode::NotSigned,
        RuntimeError::Refused { refusal: Refusal::Pin, .. } => ErrorCode::NotPinned,
        RuntimeError::Exposed { .. } | RuntimeError::Cache { .. } => ErrorCode::CacheUnusable,
        RuntimeError::Walls { .. } => ErrorCode::WallsMissing,
        RuntimeError::Compiler { .. } | RuntimeError::Engine(_) => ErrorCode::HostFailed,
    }
}

/// The code and the hint of an error.
pub(crate) fn classify(error: &anyhow::Error) -> (ErrorCode, Option<String>) {
    for cause in error.chain() {
        if let Some(usage) = cause.downcast_ref::<UsageError>() {
            return (usage.code, usage.hint.clone());
        }
        if let Some(failed) = cause.downcast_ref::<FailedRun>() {
            return (run_error_code(&failed.error), run_hint(&failed.error, &failed.manifest));
        }
        if let Some(FailedPrediction(fault)) = cause.downcast_ref() {
            return (fault_code(fault), fault.hint_for_model());
        }
        if let Some(error) = cause.downcast_ref::<ReproduceError>() {
            return (reproduce_code(error), reproduce_hint(error));
        }
        if let Some(error) = cause.downcast_ref::<PortableError>() {
            return portable_code(error);
        }
        if let Some(fault) = cause.downcast_ref::<StageFault>() {
            return (fault_code(fault), fault.hint("the manifest"));
        }
        if let Some(error) = cause.downcast_ref::<RuntimeError>() {
            return (runtime_code(error), error.hint());
        }
        if let Some(error) = cause.downcast_ref::<ServerError>() {
            return server_code(error);
        }
        #[cfg(feature = "pipelines")]
        if let Some(error) = cause.downcast_ref::<TrackingServerError>() {
            return tracking_server_code(error);
        }
        if let Some(error) = cause.downcast_ref::<DataError>() {
            return (data_code(error), None);
        }
        if let Some(error) = cause.downcast_ref::<PromoteError>() {
            return (promote_code(error), None);
        }
        if let Some(error) = cause.downcast_ref::<PromotionError>() {
            return (destination_code(error), None);
        }
        if let Some(error) = cause.downcast_ref::<OperationError>() {
            return (operation_code(error), None);
        }
        if cause.downcast_ref::<PlanError>().is_some() {
            return (ErrorCode::DeploymentPlan, None);
        }
        // Its own text is that of the registry's error, which is no cause of it.
        if let Some(OriginError::Store(error)) = cause.downcast_ref::<OriginError>() {
            return (store_code(error), None);
        }
        #[cfg(feature = "pipelines")]
        if let Some(code) = exchange_code(cause) {
            return (code, None);
        }
        #[cfg(feature = "pipelines")]
        if let Some(error) = cause.downcast_ref::<DataVersionsError>() {
            return (data_versions_code(error), None);
        }
        if let Some(error) = cause.downcast_ref::<StoreError>() {
            return (store_code(error), None);
        }
        if let Some(error) = cause.downcast_ref::<ManifestError>() {
            let first = error.problems().first();
            return (first.map_or(ErrorCode::Unexpected, |problem| condition_code(problem.condition)), None);
        }
        if let Some(error) = cause.downcast_ref::<std::io::Error>() {
            return (io_code(error), None);
        }
    }
    (ErrorCode::Unexpected, None)
}

fn server_code(error: &ServerError) -> (ErrorCode, Option<String>) {
    let (code, hint) = match error {
        ServerError::Open { .. } => (
            ErrorCode::ServerOpen,
            "name a file of tokens (--tokens-file FILE), listen on 127.0.0.1, or accept it: --insecure",
        ),
        ServerError::Listen { .. } => {
            (ErrorCode::ListenFailed, "choose another port, such as --port 8001, or an address of this machine")
        }
        ServerError::SecretFile(_) | ServerError::Tokens { .. } | ServerError::Tls(_) => {
            (ErrorCode::ServerFiles, "mend the file: `stagewright explain SW1003` says what each has to contain")
        }
        ServerError::Failed(error) => return (io_code(error), None),
    };
    (code, Some(hint.to_owned()))
}

#[cfg(feature = "pipelines")]
fn tracking_server_code(error: &TrackingServerError) -> (ErrorCode, Option<String>) {
    let (code, hint) = match error {
        TrackingServerError::Open { .. } => (
            ErrorCode::TrackingServerOpen,
            "create a user (`stagewright users create NAME --admin`), listen on 127.0.0.1, or accept it: --insecure",
        ),
        TrackingServerError::Tls(_) => {
            (ErrorCode::ServerFiles, "mend the file: `stagewright explain SW1003` says what each has to contain")
        }
        TrackingServerError::Listen { .. } => {
            (ErrorCode::ListenFailed, "choose another port, such as --port 5001, or an address of this machine")
        }
        TrackingServerError::Failed(error) => return (io_code(error), None),
        TrackingServerError::Store(error) => return (store_code(error), None),
    };
    (code, Some(hint.to_owned()))
}

/// Returns the code of an error of another MLflow server, or of what is exchanged with it.
#[cfg(feature = "pipelines")]
fn exchange_code(error: &(dyn std::error::Error + 'static)) -> Option<ErrorCode> {
    if error.is::<AddressError>() || error.is::<SettingError>() {
        return Some(ErrorCode::MlflowAddress);
    }
    if let Some(error) = error.downcast_ref::<ExportError>() {
        return Some(match error {
            ExportError::Server(error) => mlflow_code(error),
            ExportError::Store(error) => store_code(error),
            ExportError::DeletedExperiment { .. } => ErrorCode::MlflowRefused,
        });
    }
    let error = error.downcast_ref::<ImportError>()?;
    Some(match error {
        ImportError::Server(error) => mlflow_code(error),
        ImportError::Store(error) => store_code(error),
        ImportError::Nothing { .. } => ErrorCode::MlflowRefused,
        ImportError::Interrupted => ErrorCode::Cancelled,
    })
}

#[cfg(feature = "pipelines")]
fn mlflow_code(error: &ClientError) -> ErrorCode {
    match error {
        ClientError::Unreachable { .. } | ClientError::Failed { .. } => ErrorCode::MlflowUnreachable,
        ClientError::Denied { .. } | ClientError::Refused { .. } => ErrorCode::MlflowRefused,
        ClientError::NotMlflow { .. } | ClientError::TooLarge { .. } => ErrorCode::MlflowAnswer,
        ClientError::File(_) => ErrorCode::HostFailed,
    }
}

fn reproduce_code(error: &ReproduceError) -> ErrorCode {
    match error {
        ReproduceError::Stage(fault) => fault_code(fault),
        ReproduceError::Store(error) => store_code(error),
        ReproduceError::NoSource { .. } => ErrorCode::NoSource,
        ReproduceError::OtherHost { .. } => ErrorCode::OtherHost,
        ReproduceError::Nothing
        | ReproduceError::NoInvocation { .. }
        | ReproduceError::Unreadable { .. }
        | ReproduceError::NoComponent { .. }
        | ReproduceError::NoInput { .. }
        | ReproduceError::UnknownSource => ErrorCode::RecordIncomplete,
    }
}

fn portable_code(error: &PortableError) -> (ErrorCode, Option<String>) {
    match error {
        PortableError::Run(error) => (reproduce_code(error), reproduce_hint(error)),
        PortableError::Store(error) => (store_code(error), None),
        PortableError::Stopped(fault) => (fault_code(fault), None),
        PortableError::File { action: "read", .. } => {
            (ErrorCode::FileUnreadable, Some("name a file that can be read".to_owned()))
        }
        PortableError::File { reason, .. } => (io_code(reason), None),
        PortableError::SourceWithLog => {
            let hint = "have SQLite write its log back (`PRAGMA wal_checkpoint(TRUNCATE)`) and run the pipeline again";
            (ErrorCode::RecordIncomplete, Some(hint.to_owned()))
        }
        PortableError::SourceIsFolder => {
            let hint = "run the pipeline on one file to export it, e.g. the files written together as Parquet";
            (ErrorCode::RecordIncomplete, Some(hint.to_owned()))
        }
        PortableError::Format { .. } | PortableError::Damaged { .. } => {
            let hint = "nothing was imported: export the run again (`stagewright runs export RUN FILE`)";
            (ErrorCode::ExportedRun, Some(hint.to_owned()))
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

/// A mistyped source is wrong usage; the content of a source is data.
fn data_code(error: &DataError) -> ErrorCode {
    match error {
        DataError::Fault(_) | DataError::Plan { .. } => ErrorCode::BadData,
        DataError::Uri { .. } => ErrorCode::SourceAddress,
        DataError::Unreadable { .. }
        | DataError::Query { .. }
        | DataError::TooLarge { .. }
        | DataError::Memory { .. } => ErrorCode::SourceUnreadable,
        DataError::Unreachable { .. } | DataError::Denied { .. } => ErrorCode::SourceUnreachable,
        DataError::Host(_) => ErrorCode::HostFailed,
        DataError::Interrupted => ErrorCode::Cancelled,
        DataError::Arrow(_) => ErrorCode::Unexpected,
    }
}

fn store_code(error: &StoreError) -> ErrorCode {
    match error {
        StoreError::Io { source, .. } => io_code(source),
        StoreError::Missing { .. }
        | StoreError::MissingEverywhere { .. }
        | StoreError::Damaged { .. }
        | StoreError::DigestDiffers { .. }
        | StoreError::SharedDamaged { .. }
        | StoreError::BadRecord { .. }
        | StoreError::Incomplete { .. } => ErrorCode::StoreDamaged,
        StoreError::Shared { .. } | StoreError::RemovalUnfinished { .. } => ErrorCode::SharedPlace,
        StoreError::OtherArtifacts { .. } | StoreError::OtherRegistry { .. } => ErrorCode::OtherRegistry,
        StoreError::Export { .. } | StoreError::Random { .. } => ErrorCode::HostFailed,
        StoreError::Database { .. } => ErrorCode::Database,
        StoreError::TooNew { .. } => ErrorCode::RegistryTooNew,
        StoreError::BadRegistryUrl { .. } => ErrorCode::RegistryUrl,
        StoreError::Tampered { .. } | StoreError::Differs { .. } => ErrorCode::AuditTampered,
        StoreError::NoRun { .. } | StoreError::AmbiguousRun { .. } => ErrorCode::NoRun,
        StoreError::Search(_) => ErrorCode::Search,
        StoreError::RunRunning { .. } => ErrorCode::RunRunning,
        StoreError::RunExists { .. } => ErrorCode::AlreadyThere,
        StoreError::NoExperiment { .. } | StoreError::NoTag { .. } => ErrorCode::NoTagOrExperiment,
        StoreError::BadName { .. }
        | StoreError::BadKey { .. }
        | StoreError::BadKeyValue { .. }
        | StoreError::BadStage { .. }
        | StoreError::ReservedAlias { .. } => ErrorCode::BadName,
        StoreError::NoAlias { .. } => ErrorCode::NoAlias,
        StoreError::NoModel { .. } => ErrorCode::NoModel,
        StoreError::NoVersion { .. } => ErrorCode::NoVersion,
        StoreError::NoArchivedVersion { .. } | StoreError::NothingToRetire { .. } => ErrorCode::NothingToGoBackTo,
        StoreError::IsChampion { .. } | StoreError::NeedsPromotion { .. } => ErrorCode::ChampionStays,
        StoreError::NotApproved { .. } => ErrorCode::NotApproved,
        StoreError::StaleVerdict { .. } => ErrorCode::StaleVerdict,
        StoreError::ChampionChanged { .. } | StoreError::AliasMoved { .. } => ErrorCode::ChampionMoved,
        StoreError::PromotionRunning { .. } | StoreError::CollectionRunning { .. } => ErrorCode::PromotionRunning,
        StoreError::RetirementUnfinished { .. } => ErrorCode::PointerBehind,
        StoreError::Deployment(error) => deployment_code(error),
        StoreError::Tracking(error) => tracking_code(error),
        StoreError::Account(error) => account_code(error),
        StoreError::DataVersion(error) => data_version_code(error),
        StoreError::NoRegistry { .. } => ErrorCode::NoHome,
        StoreError::ReadOnly { .. } | StoreError::TooOld { .. } | StoreError::OnlyReadable { .. } => {
            ErrorCode::RegistryOnlyRead
        }
        // Programs that use the store as a library meet these; no command leads to them.
        StoreError::Schema(_)
        | StoreError::BatchMismatch { .. }
        | StoreError::Null { .. }
        | StoreError::TextTooLong { .. }
        | StoreError::PastEnd { .. }
        | StoreError::NoColumn { .. }
        | StoreError::ParameterChanged { .. }
        | StoreError::ExperimentExists { .. }
        | StoreError::ExperimentDeleted { .. }
        | StoreError::BadExperimentName { .. }
        | StoreError::ModelExists { .. }
        | StoreError::NoPromotion { .. }
        | StoreError::PromotionEnded { .. }
        | StoreError::RunEnded { .. }
        | StoreError::BadRunId { .. }
        | StoreError::BadOutcome { .. } => ErrorCode::Unexpected,
    }
}

fn deployment_code(error: &DeploymentError) -> ErrorCode {
    match error {
        DeploymentError::Active { .. } => ErrorCode::DeploymentActive,
        DeploymentError::NoneActive { .. } | DeploymentError::NotFound { .. } | DeploymentError::Ended { .. } => {
            ErrorCode::NoDeployment
        }
        DeploymentError::Changed { .. } => ErrorCode::DeploymentChanged,
        DeploymentError::VersionDeployed { .. } => ErrorCode::VersionDeployed,
        // Whoever starts a deployment makes its arms, and checks what it was told before.
        DeploymentError::Invalid { .. } => ErrorCode::Unexpected,
    }
}

fn data_version_code(error: &DataVersionError) -> ErrorCode {
    match error {
        DataVersionError::BadName { .. } => ErrorCode::BadName,
        DataVersionError::BadVersion { .. } | DataVersionError::BadReference { .. } => ErrorCode::Argument,
        DataVersionError::NoData { .. } | DataVersionError::NoVersion { .. } => ErrorCode::NoDataVersion,
        DataVersionError::Moved { .. } | DataVersionError::Taken { .. } => ErrorCode::DataVersionTaken,
    }
}

#[cfg(feature = "pipelines")]
fn data_versions_code(error: &DataVersionsError) -> ErrorCode {
    match error {
        DataVersionsError::Store(error) => store_code(error),
        DataVersionsError::Remote(error) => destination_code(error),
        DataVersionsError::NoKeyColumn { .. }
        | DataVersionsError::KeyType { .. }
        | DataVersionsError::KeyRepeated { .. } => ErrorCode::DataKey,
        DataVersionsError::Kinds { .. } | DataVersionsError::TooLow { .. } | DataVersionsError::TooLarge { .. } => {
            ErrorCode::Argument
        }
        DataVersionsError::BadPath { .. } => ErrorCode::DataPath,
        DataVersionsError::Io { source, .. } => io_code(source),
        DataVersionsError::Damaged { .. } => ErrorCode::StoreDamaged,
        DataVersionsError::NotHere { .. } => ErrorCode::NoDataVersion,
        DataVersionsError::NotAtRemote { .. } => ErrorCode::NotAtRemote,
        DataVersionsError::TakenAtRemote { .. } | DataVersionsError::Crowded { .. } => ErrorCode::DataVersionTaken,
    }
}

fn account_code(error: &AccountError) -> ErrorCode {
    match error {
        AccountError::UnknownPermission { .. }
        | AccountError::BadPassword { .. }
        | AccountError::BadLabel
        | AccountError::TooManyTokens { .. } => ErrorCode::Argument,
        AccountError::BadUserName { .. } => ErrorCode::BadName,
        AccountError::UserExists { .. } => ErrorCode::AlreadyThere,
        AccountError::NoUser { .. } | AccountError::NoToken { .. } => ErrorCode::NoAccount,
        AccountError::LastAdmin { .. } | AccountError::FirstIsNoAdmin { .. } => ErrorCode::LastAdministrator,
        AccountError::Hash { .. } => ErrorCode::HostFailed,
    }
}

fn tracking_code(error: &TrackingError) -> ErrorCode {
    match error {
        TrackingError::Foreign { .. } | TrackingError::ForeignModel { .. } => ErrorCode::ForeignModel,
        TrackingError::BadModelName { .. } => ErrorCode::BadName,
        TrackingError::NoWebhook { .. } => ErrorCode::NoWebhook,
        TrackingError::NoWebhookEvent { .. } | TrackingError::BadWebhook { .. } => ErrorCode::BadWebhook,
        // Clients of the tracking server meet these; no command leads to them.
        TrackingError::RunOfPipeline { .. }
        | TrackingError::BadFilePath { .. }
        | TrackingError::BadParts { .. }
        | TrackingError::PartsTooLarge { .. }
        | TrackingError::TooManyUploads { .. }
        | TrackingError::NoUpload
        | TrackingError::UploadBusy
        | TrackingError::PathTaken { .. }
        | TrackingError::ReservedPath { .. }
        | TrackingError::BadSource { .. }
        | TrackingError::NoFile { .. }
        | TrackingError::NoLoggedModel { .. }
        | TrackingError::BadLoggedModelName { .. }
        | TrackingError::PipelineModel { .. }
        | TrackingError::NotForeign { .. } => ErrorCode::Unexpected,
    }
}

fn operation_code(error: &OperationError) -> ErrorCode {
    match error {
        OperationError::Plan(_) => ErrorCode::DeploymentPlan,
        OperationError::Store(error) => store_code(error),
        OperationError::NoChampion { .. }
        | OperationError::CandidateIsChampion { .. }
        | OperationError::ControlIsNotChampion { .. }
        | OperationError::ChampionMoved { .. } => ErrorCode::DeploymentChampion,
        OperationError::NoVerdict { .. } => ErrorCode::NoVerdictYet,
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

/// An error as the line that people read: with its code, and with its causes.
fn line(error: &anyhow::Error, code: ErrorCode) -> String {
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
    format!("error[{code}]: {text}")
}

/// Shows an error on standard error; returns its exit code.
pub(crate) fn report(error: anyhow::Error) -> ExitCode {
    let (code, hint) = classify(&error);
    match error.downcast::<ManifestError>() {
        Ok(manifest) => {
            let coded = manifest.with_codes(|condition| condition_code(condition).to_string());
            crate::terminal::show_manifest_error(&coded);
        }
        Err(error) => {
            eprintln!("{}", line(&error, code));
            if let Some(hint) = hint {
                eprintln!("hint: {}", shown(&hint));
            }
        }
    }
    code.exit_code()
}

/// An error as the object that programs read.
pub(crate) fn object(error: &anyhow::Error) -> serde_json::Value {
    let (code, hint) = classify(error);
    described(code, &format!("{error:#}"), hint.as_deref())
}

/// The object of an error with this code.
pub(crate) fn described(code: ErrorCode, message: &str, hint: Option<&str>) -> serde_json::Value {
    let exit_code = code.exit_code() as u8;
    serde_json::json!({ "code": code.as_str(), "message": message, "hint": hint, "exit_code": exit_code })
}
