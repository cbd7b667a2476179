//! The codes of errors, and their pages.
//!
//! A code stands for one condition that has one way to go on. Each has a page in `docs/errors`,
//! whose heading is its title; the pages are part of the program. An error has the exit code of its
//! code, so that the two cannot disagree. Numbers are never reused: people look them up in old
//! logs. Which error has which code is in [`classify`](crate::classify).

use std::fmt;

use crate::exit_code::ExitCode;

macro_rules! error_codes {
    ($($name:ident $number:literal $exit:ident,)*) => {
        /// A condition that ends a command.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum ErrorCode {
            $($name,)*
        }

        impl ErrorCode {
            /// All codes in their order.
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code as messages have it: `SW0101`.
            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("SW", $number),)*
                }
            }

            /// The exit code of the program that ends with this error.
            pub(crate) fn exit_code(self) -> ExitCode {
                match self {
                    $(Self::$name => ExitCode::$exit,)*
                }
            }

            /// The page of the code, in Markdown.
            pub(crate) fn page(self) -> &'static str {
                match self {
                    $(Self::$name => include_str!(concat!("../../../docs/errors/SW", $number, ".md")),)*
                }
            }
        }
    };
}

error_codes! {
    // What was typed.
    Argument "0101" Usage,
    NoStage "0102" Usage,
    NoHome "0103" Usage,
    NothingYet "0104" Usage,
    NoManifest "0105" Usage,
    Children "0106" Usage,
    RunRunning "0107" Usage,
    UnknownFormat "0108" Usage,
    NoArtifact "0109" Usage,
    FileUnreadable "0110" Usage,
    FileUnwritable "0111" Usage,
    NoColumn "0112" Usage,
    NothingToLearn "0113" Usage,
    EnvironmentFile "0114" Usage,
    UnknownCode "0115" Usage,
    // The manifest.
    ManifestUnreadable "0201" Usage,
    ManifestSyntax "0202" Usage,
    UnknownKey "0203" Usage,
    MissingKey "0204" Usage,
    WrongType "0205" Usage,
    WrongValue "0206" Usage,
    Override "0207" Usage,
    Undeclared "0208" Usage,
    Wiring "0209" Usage,
    OperatorBound "0210" Usage,
    Parameter "0211" Usage,
    ParameterSchema "0212" Usage,
    TaskUnsupported "0213" Usage,
    OutputPath "0214" Usage,
    // Data and its sources.
    SourceAddress "0301" Usage,
    SourceUnreadable "0302" Data,
    SourceUnreachable "0303" Data,
    BadData "0304" Data,
    FailedValidation "0305" Data,
    // Faults of stages.
    StageFailed "0401" Stage,
    StageCrashed "0402" Stage,
    ContractBroken "0403" Stage,
    NotGranted "0404" Stage,
    Cancelled "0405" Interrupted,
    ProcessKilled "0406" Host,
    ModelOutdated "0407" Usage,
    // Limits.
    MemoryLimit "0501" Limit,
    CpuLimit "0502" Limit,
    WallLimit "0503" Limit,
    OutputLimit "0504" Limit,
    ResponseLimit "0505" Limit,
    FixedLimit "0506" Limit,
    CompileLimit "0507" Limit,
    // Components: their files, signatures, compilation.
    NoComponent "0601" Usage,
    ComponentUnreadable "0602" Usage,
    InvalidComponent "0603" Usage,
    ContractVersion "0604" Usage,
    ImportNotGiven "0605" Usage,
    WrongWorld "0606" Usage,
    NoCompiler "0607" Host,
    NotSigned "0608" Usage,
    NotPinned "0609" Usage,
    Key "0610" Usage,
    CacheUnusable "0611" Host,
    WallsMissing "0612" Usage,
    NoStageProgram "0613" Usage,
    // The registry: runs, models, verdicts.
    NoRun "0701" Usage,
    NoModel "0702" Usage,
    NoVersion "0703" Usage,
    NoAlias "0704" Usage,
    NoTagOrExperiment "0705" Usage,
    BadName "0706" Usage,
    Search "0707" Usage,
    NothingToGoBackTo "0708" Usage,
    ChampionStays "0709" Usage,
    NotApproved "0710" Rejected,
    StaleVerdict "0711" Rejected,
    ChampionMoved "0712" Host,
    PromotionRunning "0713" Host,
    AuditTampered "0714" Host,
    AuditHead "0715" Usage,
    OtherRegistry "0716" Usage,
    RegistryUrl "0717" Usage,
    NoGates "0718" Usage,
    NotComparable "0719" Usage,
    ImportedVersion "0720" Usage,
    NoMetric "0721" Usage,
    GateNotPassed "0722" Rejected,
    RecordIncomplete "0723" Usage,
    NoSource "0724" Usage,
    OtherHost "0725" Usage,
    ExportedRun "0726" Usage,
    NoHistory "0727" Usage,
    NothingToWorkOn "0728" Usage,
    OtherComponent "0729" Usage,
    AlreadyThere "0730" Usage,
    DeploymentActive "0731" Usage,
    NoDeployment "0732" Usage,
    DeploymentChanged "0733" Host,
    VersionDeployed "0734" Usage,
    DeploymentPlan "0735" Usage,
    DeploymentChampion "0736" Usage,
    NoVerdictYet "0737" Rejected,
    ForeignModel "0738" Usage,
    // Production and the champion.
    Destination "0801" Usage,
    Credentials "0802" Usage,
    Bucket "0803" Usage,
    AccessDenied "0804" Usage,
    DestinationUnreachable "0805" Host,
    NoConditionalWrites "0806" Usage,
    OtherPromoter "0807" Usage,
    VersionTaken "0808" Host,
    NotInProduction "0809" Usage,
    NotJudged "0810" Usage,
    ProductionDamaged "0811" Host,
    PointerBehind "0812" Host,
    PromotionInDoubt "0813" Host,
    ChampionMissing "0814" Host,
    NoHook "0815" Usage,
    HookFailed "0816" Host,
    NoWebhook "0817" Usage,
    BadWebhook "0818" Usage,
    // The host.
    DiskFull "0901" Host,
    HostFailed "0902" Host,
    Database "0903" Host,
    RegistryTooNew "0904" Host,
    StoreDamaged "0905" Host,
    SharedPlace "0906" Host,
    RegistryOnlyRead "0907" Host,
    Unexpected "0999" Host,
    // Serving.
    ServerOpen "1001" Usage,
    ListenFailed "1002" Usage,
    ServerFiles "1003" Usage,
    TrackingServerOpen "1004" Usage,
    NoAccount "1005" Usage,
    LastAdministrator "1006" Usage,
    // Other MLflow servers.
    MlflowAddress "1101" Usage,
    MlflowUnreachable "1102" Host,
    MlflowRefused "1103" Usage,
    MlflowAnswer "1104" Host,
    ImportIncomplete "1105" Data,
    // Versions of data.
    NoDataVersion "1201" Usage,
    DataVersionTaken "1202" Usage,
    DataKey "1203" Data,
    NotAtRemote "1204" Usage,
    DataPath "1205" Data,
}

impl ErrorCode {
    /// The code that a text names, in upper or lower case.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str().eq_ignore_ascii_case(text))
    }

    /// The code with the fewest characters that differ from a text; of several, the first.
    pub(crate) fn nearest(text: &str) -> Self {
        let text = text.to_ascii_uppercase();
        let distance = |code: &Self| strsim::levenshtein(code.as_str(), &text);
        Self::ALL.iter().copied().min_by_key(distance).unwrap_or(Self::Unexpected)
    }

    /// The title of the page: its heading without the code.
    pub(crate) fn title(self) -> &'static str {
        let heading = self.page().lines().next().unwrap_or_default();
        heading.split_once(": ").map_or(heading, |(_, title)| title)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
