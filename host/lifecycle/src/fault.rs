//! Why a stage failed, and whose fault it is.
//!
//! Guest text in here is cut at [`GUEST_TEXT`] bytes and its control characters are escaped, so that it can be shown anywhere.

mod data;
mod guest_text;
mod limit_kind;

use serde::{Deserialize, Serialize};
use stagewright_manifest::{StepId, World};

pub use guest_text::{GUEST_TEXT, guest_name, guest_text};
pub use limit_kind::LimitKind;

/// The operator's limit on the instances of a process: not the component's to mend.
pub const INSTANCES: &str = "instances at once";

/// Where to look if something else than Stagewright ended a process.
pub const KILLED_HINT: &str = "Stagewright did not end it: most often the machine had no memory left, which `dmesg` or `journalctl -k` tells; lower the stages' `memory` limits, or run fewer at once (`--workers 1`)";

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

#[cfg(test)]
mod tests;
