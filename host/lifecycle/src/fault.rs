//! Why a stage failed, and whose fault it is.
//!
//! Guest text in here is cut at [`GUEST_TEXT`] bytes and its control characters are escaped, so that it can be shown anywhere.

use stagewright_manifest::World;
use stagewright_text::Outside;

/// The longest text of a guest that is kept, in bytes.
pub const GUEST_TEXT: usize = 4096;

/// A limit of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
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
    Operator(&'static str),
}

impl LimitKind {
    /// The manifest's key.
    pub fn key(self) -> &'static str {
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
    pub fn show(self, amount: u64) -> String {
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

/// Why a stage run ended without a result.
#[derive(Debug, Clone, thiserror::Error, serde::Serialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum StageFault {
    /// The data is wrong.
    #[error("stage `{stage}`: the data is wrong: {message}{}", place(.column.as_deref(), *.row, .value.as_deref()))]
    Data {
        /// The stage that says so.
        stage: &'static str,
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
        stage: &'static str,
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
        stage: &'static str,
        /// Its component.
        component: String,
        /// What it says.
        message: String,
    },
    /// The stage trapped.
    #[error("stage `{stage}` (component `{component}`) crashed in `{export}`: {message}")]
    Trap {
        /// The stage.
        stage: &'static str,
        /// Its component.
        component: String,
        /// The export that was called.
        export: String,
        /// The trap, and what the guest wrote to stderr.
        message: String,
    },
    /// The stage returned something that the contract forbids.
    #[error("stage `{stage}` (component `{component}`) broke the contract in `{export}`: {message}")]
    Contract {
        /// The stage.
        stage: &'static str,
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
        stage: &'static str,
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
        stage: &'static str,
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
        stage: &'static str,
    },
    /// The host failed: disk, database, engine.
    #[error("{message}")]
    Host {
        /// What was tried and what happened.
        message: String,
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
    /// A fault of the host.
    pub fn host(message: impl std::fmt::Display) -> Self {
        Self::Host { message: message.to_string() }
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

    /// What to do about it, if anything can be said.
    pub fn hint(&self, manifest: &str) -> Option<String> {
        Some(match self {
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
            Self::Untrusted { hint, .. } => return hint.clone(),
            Self::Outdated { .. } => {
                "train the model again, with components of today: `stagewright run MANIFEST`".to_owned()
            }
            Self::Trap { component, .. } | Self::Internal { component, .. } | Self::Contract { component, .. } => {
                format!("this is a bug of the component `{component}`: tell its author, with this message")
            }
            Self::Data { .. } | Self::Cancelled { .. } | Self::Host { .. } => return None,
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
        // Two things that stages complain of and that are no parameters of theirs.
        None if parameter == "task" => Some("task.kind".to_owned()),
        None if parameter == "source" && stage == World::Ingestion => Some("ingestion.source".to_owned()),
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

/// The word for a stage in faults.
pub fn stage_name(world: World) -> &'static str {
    world.as_str()
}

/// Makes text of a guest fit to be shown: cut, and with everything escaped that a terminal or a reader could take for something else: control characters, and those that
/// turn or hide text. A line break stays one, but what follows is marked, so that no guest writes a line that looks like the host's.
pub fn guest_text(text: &str) -> String {
    Outside::lines(text).cut(GUEST_TEXT).to_string()
}

/// The same of a name, or of whatever else is one line: a line break is shown as `\n`.
pub fn guest_name(text: &str) -> String {
    Outside::new(text).cut(GUEST_TEXT).to_string()
}

#[cfg(test)]
mod tests {
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
    }

    #[test]
    fn a_row_is_that_of_the_source_or_left_out() {
        let fault = |row| StageFault::Data {
            stage: "transformation",
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
}
