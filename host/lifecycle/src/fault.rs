//! Why a stage failed, and whose fault it is.
//!
//! Guest text in here is cut at [`GUEST_TEXT`] bytes and its control characters are escaped, so that it can be shown anywhere.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use stagewright_manifest::{StepId, World};
use stagewright_text::Untrusted;

/// The longest text of a guest that is kept, in bytes.
pub const GUEST_TEXT: usize = 4096;

/// The operator's limit on the instances of a process: not the component's to mend.
pub const INSTANCES: &str = "instances at once";

/// Where to look if something else than Stagewright ended a process.
pub const KILLED_HINT: &str = "Stagewright did not end it: most often the machine had no memory left, which `dmesg` or `journalctl -k` tells; lower the stages' `memory` limits, or run fewer at once (`--workers 1`)";

/// A limit of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitKind {
    /// Linear memory of an instance, bytes.
    Memory,
    /// CPU time of all instances, nanoseconds.
    Cpu,
    /// Time on the wall, nanoseconds.
    Wall,
    /// Bytes written to artifacts.
    Output,
    /// Bytes of a response that the host fetches for the stage.
    Response,
    /// An operator's limit that no manifest raises: handles, table elements, instances, stack, or the size of one call.
    Operator(Cow<'static, str>),
}

impl LimitKind {
    /// The manifest's key.
    pub fn key(&self) -> &str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Wall => "wall",
            Self::Output => "output",
            Self::Response => "max-bytes",
            Self::Operator(name) => name,
        }
    }

    /// A figure in the limit's unit, for people.
    pub fn show(&self, amount: u64) -> String {
        match self {
            // Fine enough that what was used does not look like what is allowed.
            Self::Memory | Self::Output | Self::Response if amount < 10 << 20 => {
                format!("{:.1} KiB", amount as f64 / 1024.0)
            }
            Self::Memory | Self::Output | Self::Response => format!("{:.1} MiB", amount as f64 / (1 << 20) as f64),
            Self::Cpu | Self::Wall if amount < 10_000_000_000 => format!("{:.0} ms", amount as f64 / 1e6),
            Self::Cpu | Self::Wall => format!("{:.2} s", amount as f64 / 1e9),
            Self::Operator(_) => amount.to_string(),
        }
    }
}

/// Why a stage run ended without a result. It crosses between processes, in JSON and in formats
/// that do not describe themselves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageFault {
    /// The data is wrong.
    #[error("stage `{stage}`: the data is wrong: {message}{}", place(.column.as_deref(), *.row, .value.as_deref()))]
    Data {
        /// The stage that says so.
        stage: StepId,
        /// What is wrong.
        message: String,
        /// Where.
        column: Option<String>,
        /// Which row of the source, from 0; messages count from 1. `None` where only its place in
        /// another table is known.
        row: Option<u64>,
        /// The value.
        value: Option<String>,
    },
    /// A parameter is wrong in a way that no schema says.
    #[error("stage `{stage}`: parameter `{parameter}`: {message}")]
    Parameter {
        /// The stage that says so.
        stage: StepId,
        /// The parameter.
        parameter: String,
        /// What is wrong.
        message: String,
        /// The key that `--set` takes for it; `None` if it is no key of the manifest.
        key: Option<String>,
    },
    /// The stage says that it failed.
    #[error("stage `{stage}` (component `{component}`) failed: {message}")]
    Internal {
        /// The stage.
        stage: StepId,
        /// Its component.
        component: String,
        /// What it says.
        message: String,
    },
    /// The stage trapped.
    #[error("stage `{stage}` (component `{component}`) crashed in `{export}`: {message}")]
    Trap {
        /// The stage.
        stage: StepId,
        /// Its component.
        component: String,
        /// The export that was called.
        export: String,
        /// The trap, and what the guest wrote to stderr.
        message: String,
    },
    /// Another program or the system ended the process of the stage. A stage may bring it about, by
    /// the memory that it takes on a machine that has little: so it is not tried again.
    #[error(
        "stage `{stage}` (component `{component}`): its process was ended from outside in `{export}`, by the signal `{signal}`"
    )]
    Killed {
        /// The stage.
        stage: StepId,
        /// Its component.
        component: String,
        /// The export that was called.
        export: String,
        /// The name of the signal, or its number.
        signal: String,
    },
    /// The stage returned something that the contract forbids.
    #[error("stage `{stage}` (component `{component}`) broke the contract in `{export}`: {message}")]
    Contract {
        /// The stage.
        stage: StepId,
        /// Its component.
        component: String,
        /// The export or import where it happened.
        export: String,
        /// What is wrong.
        message: String,
    },
    /// A limit tripped.
    #[error("stage `{stage}` ran past its limit of {} {}: it used {}", .kind.show(*.allowed), .kind.key(), .kind.show(*.used))]
    Limit {
        /// The stage.
        stage: StepId,
        /// Which limit.
        kind: LimitKind,
        /// What was used when it tripped, in the limit's unit.
        used: u64,
        /// What is allowed.
        allowed: u64,
    },
    /// The stage wants what it was not granted.
    #[error("stage `{stage}` (component `{component}`) wants {what}, which it was not granted")]
    Denied {
        /// The stage.
        stage: StepId,
        /// Its component.
        component: String,
        /// The import or the source.
        what: String,
        /// The grant that would permit it.
        grant: String,
    },
    /// A component of a registered model may not be used here: nobody whom the operator trusts
    /// signed it.
    #[error("{message}")]
    Untrusted {
        /// Which component, and why.
        message: String,
        /// A hint at what to do.
        hint: Option<String>,
    },
    /// A component of a registered model speaks another version of the contract.
    #[error("its component `{component}` was made for contract {found}, and this version runs {wanted}")]
    Outdated {
        /// The component.
        component: String,
        /// The version that it speaks.
        found: String,
        /// The version that this host runs.
        wanted: String,
    },
    /// Somebody asked to stop.
    #[error("stage `{stage}` was cancelled")]
    Cancelled {
        /// The stage.
        stage: StepId,
    },
    /// The host failed: disk, database, engine.
    #[error("{message}")]
    Host {
        /// What was tried and what happened.
        message: String,
        /// Advice about it, if there is any.
        hint: Option<String>,
    },
}

fn place(column: Option<&str>, row: Option<u64>, value: Option<&str>) -> String {
    let mut parts = Vec::new();
    if let Some(column) = column {
        parts.push(format!("column `{column}`"));
    }
    if let Some(row) = row {
        parts.push(stagewright_data::row_text(row));
    }
    if let Some(value) = value {
        parts.push(format!("value `{value}`"));
    }
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

impl StageFault {
    /// A fault of the host. An error that ends in a line `hint: ...`, as those of the store do,
    /// leaves it to [`StageFault::hint`].
    pub fn host(error: impl std::fmt::Display) -> Self {
        let text = error.to_string();
        match text.rsplit_once("\nhint: ") {
            Some((message, hint)) if !hint.contains('\n') => {
                Self::Host { message: message.to_owned(), hint: Some(hint.to_owned()) }
            }
            _ => Self::Host { message: text, hint: None },
        }
    }

    /// The same fault of the stage that `name` says, and of a key of that stage.
    #[must_use]
    pub(crate) fn of_stage(mut self, name: impl Fn(&StepId) -> Option<StepId>) -> Self {
        if let Self::Parameter { stage, key: Some(key), .. } = &mut self
            && let Some(rest) = key.strip_prefix(stage.as_str()).and_then(|rest| rest.strip_prefix('.'))
            && let Some(named) = name(stage)
        {
            *key = format!("{named}.{rest}");
        }
        match &mut self {
            Self::Data { stage, .. }
            | Self::Parameter { stage, .. }
            | Self::Internal { stage, .. }
            | Self::Trap { stage, .. }
            | Self::Killed { stage, .. }
            | Self::Contract { stage, .. }
            | Self::Limit { stage, .. }
            | Self::Denied { stage, .. }
            | Self::Cancelled { stage } => {
                if let Some(named) = name(stage) {
                    *stage = named;
                }
            }
            Self::Untrusted { .. } | Self::Outdated { .. } | Self::Host { .. } => {}
        }
        self
    }

    /// The same fault with its row counted from `first` rows earlier: of a batch that begins at row
    /// `first` of a table.
    #[must_use]
    pub fn counted_from(mut self, first: u64) -> Self {
        if let Self::Data { row: Some(row), .. } = &mut self {
            *row += first;
        }
        self
    }

    /// The same fault with another row: a stage counts in the table that it was passed, people in
    /// the file that the table comes from. `source_row` says which row of the source a row of that
    /// table is, if it is one.
    #[must_use]
    pub fn at_source(mut self, source_row: impl FnOnce(u64) -> Option<u64>) -> Self {
        if let Self::Data { row, .. } = &mut self {
            *row = row.take().and_then(source_row);
        }
        self
    }

    /// Advice about it, if there is any.
    pub fn hint(&self, manifest: &str) -> Option<String> {
        Some(match self {
            Self::Limit { kind: LimitKind::Operator(name), .. } if name == INSTANCES => {
                "ask for fewer at once (`--workers 1`), or have `permits` under [machine] raised in the operator's file"
                    .to_owned()
            }
            Self::Limit { kind: LimitKind::Operator(name), .. } => {
                format!("the `{name}` limit is the operator's; the component has to use less")
            }
            Self::Limit { kind: LimitKind::Response, .. } => {
                format!("if the server means well, raise `max-bytes` of the source in {manifest}")
            }
            Self::Limit { stage, kind, .. } => {
                format!(
                    "raise `{}` under [stages.{stage}.limits] in {manifest}, or pass --set {stage}.limits.{}=...",
                    kind.key(),
                    kind.key()
                )
            }
            Self::Parameter { key: Some(key), .. } => format!("change it in {manifest}, or pass --set {key}=..."),
            Self::Parameter { .. } => format!("change it in {manifest}"),
            Self::Denied { grant, .. } => grant.clone(),
            Self::Untrusted { hint, .. } | Self::Host { hint, .. } => return hint.clone(),
            Self::Outdated { .. } => {
                "train the model again, with components of today: `stagewright run MANIFEST`".to_owned()
            }
            Self::Trap { component, .. } | Self::Internal { component, .. } | Self::Contract { component, .. } => {
                format!("this is a bug of the component `{component}`: tell its author, with this message")
            }
            Self::Killed { .. } => KILLED_HINT.to_owned(),
            Self::Data { .. } | Self::Cancelled { .. } => return None,
        })
    }
}

/// The key that `--set` takes for what a component calls `parameter`, given the schema of its
/// parameters; `None` if there is none, or none that could be written without quotes.
pub fn settable(stage: World, parameter: &str, schema: &serde_json::Value) -> Option<String> {
    let is_bare = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if !parameter.split('.').all(is_bare) {
        return None;
    }
    let first = parameter.split('.').next()?;
    match schema.get("properties").and_then(|properties| properties.get(first)) {
        // A number after a dot is the place in a list, which `--set` sets as a whole.
        Some(_) if parameter.split('.').any(|name| name.bytes().all(|byte| byte.is_ascii_digit())) => {
            Some(format!("{stage}.{first}"))
        }
        Some(_) => Some(format!("{stage}.{parameter}")),
        // Things that stages complain of and that are no parameters of theirs.
        None if parameter == "task" => Some("task.kind".to_owned()),
        None if parameter == "source" && stage == World::Ingestion => Some("ingestion.source".to_owned()),
        None if parameter == "inputs" && stage == World::Preparation => Some("preparation.inputs".to_owned()),
        None => None,
    }
}

impl StageFault {
    /// As [`StageFault::hint`] for a registered model, which has no manifest: its limits are those
    /// that it was trained under.
    pub fn hint_for_model(&self) -> Option<String> {
        match self {
            Self::Limit { stage, kind: kind @ (LimitKind::Memory | LimitKind::Cpu | LimitKind::Wall), .. } => {
                let key = kind.key();
                Some(format!(
                    "the model was trained under this limit; to raise it here, pass --set {stage}.limits.{key}=..."
                ))
            }
            _ => self.hint("the manifest"),
        }
    }
}

/// Makes text of a guest fit to be shown: cut, and with everything escaped that a terminal or a reader could take for something else: control characters, and those that
/// turn or hide text. A line break stays one, but what follows is marked, so that no guest writes a line that looks like the host's.
pub fn guest_text(text: &str) -> String {
    Untrusted::lines(text).cut(GUEST_TEXT).to_string()
}

/// The same of a name, or of whatever else is one line: a line break is shown as `\n`.
pub fn guest_name(text: &str) -> String {
    Untrusted::new(text).cut(GUEST_TEXT).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use stagewright_store::StoreError;

    use super::*;

    #[test]
    fn only_keys_that_exist_are_settable() {
        let schema = serde_json::json!({ "properties": { "max_depth": {}, "columns": {} } });
        let key = |parameter| settable(World::Training, parameter, &schema);
        assert_eq!(key("max_depth").as_deref(), Some("training.max_depth"));
        assert_eq!(key("columns.age.missing").as_deref(), Some("training.columns.age.missing"));
        assert_eq!(key("columns.1").as_deref(), Some("training.columns"));
        assert_eq!(key("task").as_deref(), Some("task.kind"));
        for parameter in ["source", "nonsense", "", "columns.my age", "columns[0].name", "columns.", "max_depth=1"] {
            assert_eq!(key(parameter), None, "{parameter}");
        }
        assert_eq!(settable(World::Ingestion, "source", &schema).as_deref(), Some("ingestion.source"));
        assert_eq!(settable(World::Preparation, "inputs", &schema).as_deref(), Some("preparation.inputs"));
        assert_eq!(settable(World::Validation, "inputs", &schema), None);
    }

    #[test]
    fn a_row_is_that_of_the_source_or_left_out() {
        let fault = |row| StageFault::Data {
            stage: World::Transformation.into(),
            message: "a value is infinite".into(),
            column: Some("x".into()),
            row,
            value: None,
        };
        let sources = [7, 3, 9];
        let told = |row| fault(row).at_source(|row| sources.get(row as usize).copied()).to_string();
        assert!(told(Some(1)).ends_with("a value is infinite (column `x`, data row 4)"), "{}", told(Some(1)));
        assert!(told(Some(3)).ends_with("a value is infinite (column `x`)"), "{}", told(Some(3)));
        assert!(told(None).ends_with("a value is infinite (column `x`)"), "{}", told(None));
    }

    #[test]
    fn text_of_a_guest_is_cut_escaped_and_cannot_look_like_the_hosts() {
        let shown = guest_text("\u{1b}[2J\u{202e}\u{200b}\r\u{9b}31m\0\nhint: run rm -rf");
        assert_eq!(shown, "\\u{1b}[2J\\u{202e}\\u{200b}\\r\\u{9b}31m\\u{0}\n  | hint: run rm -rf");
        let long = guest_text(&"\u{1b}".repeat(1 << 20));
        assert!(long.len() < GUEST_TEXT + 32 && long.ends_with("… (cut)"), "{}", long.len());
        assert_eq!(guest_text("naïve 日本 <b>&amp;"), "naïve 日本 <b>&amp;");
    }

    /// One of each kind, and of each kind of limit.
    fn every_fault() -> Vec<StageFault> {
        let (stage, component) = (StepId::from(World::Training), "train-own".to_owned());
        let (message, export) = ("it\nwent wrong".to_owned(), "train.train".to_owned());
        let kinds = [LimitKind::Memory, LimitKind::Cpu, LimitKind::Wall, LimitKind::Output, LimitKind::Response];
        let limit = |kind| StageFault::Limit { stage: stage.clone(), kind, used: u64::MAX, allowed: 1 };
        let mut faults: Vec<_> = kinds.into_iter().map(limit).collect();
        faults.extend([
            limit(LimitKind::Operator("bytes of one call".into())),
            StageFault::Data {
                stage: stage.clone(),
                message: message.clone(),
                column: Some("age".into()),
                row: Some(u64::MAX),
                value: Some("\u{0}".into()),
            },
            StageFault::Data { stage: stage.clone(), message: message.clone(), column: None, row: None, value: None },
            StageFault::Parameter {
                stage: stage.clone(),
                parameter: "depth".into(),
                message: message.clone(),
                key: Some("training.depth".into()),
            },
            StageFault::Internal { stage: stage.clone(), component: component.clone(), message: message.clone() },
            StageFault::Trap {
                stage: stage.clone(),
                component: component.clone(),
                export: export.clone(),
                message: message.clone(),
            },
            StageFault::Killed {
                stage: stage.clone(),
                component: component.clone(),
                export: export.clone(),
                signal: "SIGKILL".into(),
            },
            StageFault::Contract { stage: stage.clone(), component: component.clone(), export, message },
            StageFault::Denied {
                stage: stage.clone(),
                component: component.clone(),
                what: "a source".into(),
                grant: "grant it".into(),
            },
            StageFault::Untrusted { message: "nobody signed it".into(), hint: Some("sign it".into()) },
            StageFault::Outdated { component, found: "0.1.0".into(), wanted: "0.2.0".into() },
            StageFault::Cancelled { stage },
            StageFault::Host { message: "the disk is full".into(), hint: Some("free some space".into()) },
        ]);
        faults
    }

    /// The place of a kind: whoever adds one has to add it to the list above.
    fn place_of(fault: &StageFault) -> usize {
        match fault {
            StageFault::Data { .. } => 0,
            StageFault::Parameter { .. } => 1,
            StageFault::Internal { .. } => 2,
            StageFault::Trap { .. } => 3,
            StageFault::Contract { .. } => 4,
            StageFault::Denied { .. } => 5,
            StageFault::Untrusted { .. } => 6,
            StageFault::Outdated { .. } => 7,
            StageFault::Cancelled { .. } => 8,
            StageFault::Host { .. } => 9,
            StageFault::Limit { kind, .. } => match kind {
                LimitKind::Memory => 10,
                LimitKind::Cpu => 11,
                LimitKind::Wall => 12,
                LimitKind::Output => 13,
                LimitKind::Response => 14,
                LimitKind::Operator(_) => 15,
            },
            StageFault::Killed { .. } => 16,
        }
    }

    #[test]
    fn every_fault_crosses_between_processes() {
        let places: BTreeSet<usize> = every_fault().iter().map(place_of).collect();
        assert_eq!(places, (0..17).collect());
        for fault in every_fault() {
            let json = serde_json::to_string(&fault).expect("plain data");
            let read: StageFault = serde_json::from_str(&json).expect("what was written");
            assert_eq!(read, fault, "{json}");
            assert_eq!((read.to_string(), read.hint("m.toml")), (fault.to_string(), fault.hint("m.toml")));
        }
    }

    #[test]
    fn an_error_of_the_store_keeps_its_hint() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = StoreError::Io { action: "write", path: "/x/table".into(), source: full };
        let fault = StageFault::host(error);
        assert!(fault.to_string().starts_with("cannot write `/x/table`"), "{fault}");
        assert!(!fault.to_string().contains("hint"), "{fault}");
        assert_eq!(fault.hint("m.toml").as_deref(), Some("free some space on that disk, or use another"));
        assert_eq!(fault.hint_for_model(), fault.hint("m.toml"));
        assert_eq!(StageFault::host("no advice").hint("m.toml"), None);
    }
}
