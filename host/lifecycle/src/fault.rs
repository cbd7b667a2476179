//! The faults of a stage: why it failed, and who can fix it.
//!
//! Text of a guest is cut at [`GUEST_TEXT`] bytes and its control characters are escaped, so a
//! fault can be shown anywhere.

mod data;
mod guest_text;
mod limit_kind;

use serde::{Deserialize, Serialize};
use stagewright_manifest::{StepId, World};

pub use guest_text::{GUEST_TEXT, guest_name, guest_text};
pub use limit_kind::LimitKind;

/// The name of the operator's limit on the instances of a process. The component cannot fix this
/// one.
pub const INSTANCES: &str = "instances at once";

/// The hint for a process that something other than Stagewright ended.
pub const KILLED_HINT: &str = "Stagewright did not end it: most often the machine had no memory left, which `dmesg` or `journalctl -k` tells; lower the stages' `memory` limits, or run fewer at once (`--workers 1`)";

/// The reason why a stage ended without a result. It is sent between processes, as JSON and in
/// formats that are not self-describing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageFault {
    /// The data is wrong.
    #[error("stage `{stage}`: the data is wrong: {message}{}", place(.column.as_deref(), *.row, .value.as_deref()))]
    Data {
        /// The stage that reports it.
        stage: StepId,
        /// The problem.
        message: String,
        /// The column, if it is one column's data.
        column: Option<String>,
        /// The row of the source, from 0; messages count from 1. `None` where only the row's place
        /// in another table is known.
        row: Option<u64>,
        /// The value, as text.
        value: Option<String>,
    },
    /// A parameter is wrong in a way that its schema does not rule out.
    #[error("stage `{stage}`: parameter `{parameter}`: {message}")]
    Parameter {
        /// The stage that reports it.
        stage: StepId,
        /// The parameter.
        parameter: String,
        /// The problem.
        message: String,
        /// The key that `--set` takes for it; `None` if the manifest has no key for it.
        key: Option<String>,
    },
    /// The component reports that it failed.
    #[error("stage `{stage}` (component `{component}`) failed: {message}")]
    Internal {
        /// The stage.
        stage: StepId,
        /// Its component.
        component: String,
        /// The component's message.
        message: String,
    },
    /// The component trapped.
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
    /// Another program or the system ended the process of the stage. It is not tried again: the
    /// stage may have caused it with the memory that it takes on a small machine.
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
    /// The component returned something that the contract forbids.
    #[error("stage `{stage}` (component `{component}`) broke the contract in `{export}`: {message}")]
    Contract {
        /// The stage.
        stage: StepId,
        /// Its component.
        component: String,
        /// The export or import where it happened.
        export: String,
        /// The problem.
        message: String,
    },
    /// The stage ran past a limit.
    #[error("stage `{stage}` ran past its limit of {} {}: it used {}", .kind.show(*.allowed), .kind.key(), .kind.show(*.used))]
    Limit {
        /// The stage.
        stage: StepId,
        /// The limit.
        kind: LimitKind,
        /// The use when the limit tripped, in the limit's unit.
        used: u64,
        /// The limit's value, in the same unit.
        allowed: u64,
    },
    /// The component asked for something that it was not granted.
    #[error("stage `{stage}` (component `{component}`) wants {what}, which it was not granted")]
    Denied {
        /// The stage.
        stage: StepId,
        /// Its component.
        component: String,
        /// The import or the source that it asked for.
        what: String,
        /// The grant that would allow it.
        grant: String,
    },
    /// A component of a registered model has no signature that the operator trusts.
    #[error("{message}")]
    Untrusted {
        /// The component, and the reason.
        message: String,
        /// A hint, if there is one.
        hint: Option<String>,
    },
    /// A component of a registered model was built for another version of the contract.
    #[error("its component `{component}` was made for contract {found}, and this version runs {wanted}")]
    Outdated {
        /// The component.
        component: String,
        /// The contract's version that it was built for.
        found: String,
        /// The contract's version that this host runs.
        wanted: String,
    },
    /// The run was cancelled.
    #[error("stage `{stage}` was cancelled")]
    Cancelled {
        /// The stage.
        stage: StepId,
    },
    /// The host failed: the disk, the database or the engine.
    #[error("{message}")]
    Host {
        /// The action that failed, and its error.
        message: String,
        /// A hint, if there is one.
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
    /// Returns a fault of the host. If the error's text ends in a line `hint: ...`, as the store's
    /// errors do, that line becomes the fault's [hint](StageFault::hint).
    pub fn host(error: impl std::fmt::Display) -> Self {
        let text = error.to_string();
        match text.rsplit_once("\nhint: ") {
            Some((message, hint)) if !hint.contains('\n') => {
                Self::Host { message: message.to_owned(), hint: Some(hint.to_owned()) }
            }
            _ => Self::Host { message: text, hint: None },
        }
    }

    /// Replaces the stage of the fault by the one that `name` returns for it, and the stage in the
    /// key of a parameter.
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

    /// Adds `first` to the fault's row: the fault is about a batch that begins at row `first` of a
    /// table.
    #[must_use]
    pub fn counted_from(mut self, first: u64) -> Self {
        if let Self::Data { row: Some(row), .. } = &mut self {
            *row += first;
        }
        self
    }

    /// Replaces the fault's row, which counts in the table that the stage was passed, by the row of
    /// the source. `source_row` returns the source's row for a row of that table, if there is one.
    #[must_use]
    pub fn at_source(mut self, source_row: impl FnOnce(u64) -> Option<u64>) -> Self {
        if let Self::Data { row, .. } = &mut self {
            *row = row.take().and_then(source_row);
        }
        self
    }

    /// Returns a hint, if there is one. `manifest` is the file that the hint names.
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

/// Returns the key that `--set` takes for the parameter that a component calls `parameter`.
/// `schema` is the schema of its parameters. `None` if there is no key, or none that can be written
/// without quotes.
pub fn settable(stage: World, parameter: &str, schema: &serde_json::Value) -> Option<String> {
    let is_bare = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if !parameter.split('.').all(is_bare) {
        return None;
    }
    let first = parameter.split('.').next()?;
    match schema.get("properties").and_then(|properties| properties.get(first)) {
        // A number after a dot is an index into a list, and `--set` sets a list as a whole.
        Some(_) if parameter.split('.').any(|name| name.bytes().all(|byte| byte.is_ascii_digit())) => {
            Some(format!("{stage}.{first}"))
        }
        Some(_) => Some(format!("{stage}.{parameter}")),
        // Names that components report as parameters, although they stand elsewhere in the
        // manifest.
        None if parameter == "task" => Some("task.kind".to_owned()),
        None if parameter == "source" && stage == World::Ingestion => Some("ingestion.source".to_owned()),
        None if parameter == "inputs" && stage == World::Preparation => Some("preparation.inputs".to_owned()),
        None => None,
    }
}

impl StageFault {
    /// Returns the [hint](StageFault::hint) for a registered model. It has no manifest: its limits
    /// are those that it was trained under.
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
