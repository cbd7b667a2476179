//! Changes of the command line to a pipeline file.
//!
//! Owns the meaning of `--set`, `--source` and the like. Each becomes a value in the tree, with the
//! argument as its origin, before anything is checked. So an override is checked like the file, and
//! an error cites the argument.

use std::sync::Arc;

use crate::document::{self, Node, Origin, Table, Value, dotted};
use crate::nearest::nearest;
use crate::problem::{Collector, Condition};
use crate::source::drop_foreign_options;
use crate::world::World;

/// The keys of the top level, in the order in which they are usually written.
pub(crate) const ROOT_KEYS: [&str; 17] = [
    "pipeline",
    "experiment",
    "model",
    "seed",
    "as-of",
    "workers",
    "task",
    "sources",
    "signature",
    "split",
    "stages",
    "foreach",
    "outputs",
    "components",
    "gates",
    "production",
    "problem",
];

/// The keys of a stage. Any other key after a stage's name is a parameter of its component.
const STAGE_KEYS: [&str; 11] =
    ["component", "source", "http", "postgres", "s3", "limits", "world", "inputs", "parameters", "cache", "retry"];

/// Changes of the command line. Later entries win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Each is `KEY=VALUE`. The key is a dotted path of the file (`gates.margin`,
    /// `gates.minimum.accuracy`) or begins with a stage: `training.component`,
    /// `training.limits.cpu`, or `training.learning_rate` for a parameter of that stage's
    /// component. The component is the one after all overrides. A stage that is not named after its
    /// world, or that has parameters of its own, gets the parameter alone. The value is a TOML
    /// value; any other text stands for a string.
    pub set: Vec<String>,
    /// Each is `NAME=URI` for a source that the file declares. Paths are relative to the current
    /// directory. Options that do not apply to the new URI (a delimiter for a database) are
    /// dropped.
    pub sources: Vec<String>,
    /// Replaces `seed`.
    pub seed: Option<u64>,
    /// Replaces `workers`.
    pub workers: Option<usize>,
    /// Replaces `experiment`.
    pub experiment: Option<String>,
    /// Replaces `model`.
    pub register_name: Option<String>,
}

/// A parsed `--set`.
struct Setting {
    path: Vec<String>,
    node: Node,
}

impl Overrides {
    /// Applies every override to the tree and reports those that cannot be applied.
    pub(crate) fn apply(&self, root: &mut Table, collector: &Collector) {
        let settings: Vec<Setting> = self.set.iter().filter_map(|text| setting(text, collector)).collect();
        // Components first: the meaning of a parameter depends on the component.
        let (components, others): (Vec<_>, Vec<_>) = settings.into_iter().partition(Setting::is_component);
        for setting in components.into_iter().chain(others) {
            setting.apply(root, collector);
        }
        for text in &self.sources {
            apply_source(text, root, collector);
        }
        let number = |number: u64| Value::Integer(number.into());
        let workers = self.workers.map(|workers| u64::try_from(workers).unwrap_or(u64::MAX));
        let scalars = [
            ("seed", "--seed", self.seed.map(number)),
            ("workers", "--workers", workers.map(number)),
            ("experiment", "--experiment-name", self.experiment.clone().map(Value::String)),
            ("model", "--register-name", self.register_name.clone().map(Value::String)),
        ];
        for (key, option, value) in scalars {
            let Some(value) = value else { continue };
            let shown = match &value {
                Value::Integer(number) => number.to_string(),
                Value::String(text) => text.clone(),
                _ => String::new(),
            };
            let argument: Arc<str> = format!("{option} {shown}").into();
            Setting { path: vec![key.to_owned()], node: Node { value, origin: Origin::Argument(argument) } }
                .apply(root, collector);
        }
    }
}

impl Setting {
    fn is_component(&self) -> bool {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        matches!(path[..], [_, "component"] | ["stages", _, "component"])
    }

    fn apply(self, root: &mut Table, collector: &Collector) {
        let origin = self.node.origin.clone();
        let Some(path) = full_path(&self.path, root, &origin, collector) else {
            return;
        };
        if let Err(blocked) = root.set(&path, self.node) {
            let message = format!("`{}` is {} in the file and has no keys below it", blocked.key, blocked.kind);
            collector.report_as(Condition::Override, &origin, &dotted(&path), message, None);
        }
    }
}

/// Returns a change without the password that an address of PostgreSQL in it may have. A change is
/// shown in errors, and recorded.
pub fn without_password(change: &str) -> String {
    if change.contains("postgres") { stagewright_data::without_password(change) } else { change.to_owned() }
}

/// Parses `KEY=VALUE`.
fn setting(text: &str, collector: &Collector) -> Option<Setting> {
    let argument: Arc<str> = format!("--set {}", without_password(text)).into();
    let report = |key: &str, message: String, hint: &str| {
        let hint = (!hint.is_empty()).then(|| hint.to_owned());
        collector.report_as(Condition::Override, &Origin::Argument(Arc::clone(&argument)), key, message, hint);
    };
    let Some((key, value)) = split(text) else {
        report("", "there is no `=`".to_owned(), "write `--set stage.key=value`");
        return None;
    };
    let Some(path) = document::parse_key(key.trim()) else {
        report(
            "",
            format!("`{}` is not a key", key.trim()),
            "write names separated by dots; quote what is no bare word",
        );
        return None;
    };
    match document::parse_argument(value, &argument) {
        Ok(node) => Some(Setting { path, node }),
        Err(message) => {
            report(&dotted(&path), format!("`{}` is not a TOML value: {message}", value.trim()), "");
            None
        }
    }
}

/// Splits a text at the first `=` outside of quotes.
fn split(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let at = text.char_indices().find(|(_, letter)| {
        match quote {
            Some(open) if open == *letter => quote = None,
            None if matches!(letter, '"' | '\'') => quote = Some(*letter),
            _ => {}
        }
        quote.is_none() && *letter == '='
    });
    at.map(|(at, _)| (&text[..at], &text[at + 1..]))
}

/// Returns the path in the file that the path of an override means.
pub(crate) fn full_path(path: &[String], root: &Table, origin: &Origin, collector: &Collector) -> Option<Vec<String>> {
    let report = |message: String, hint: String| {
        collector.report_as(Condition::Override, origin, &dotted(path), message, Some(hint))
    };
    let (first, rest) = path.split_first()?;
    let is_stage = root.table_at(&["stages", first]).is_some();
    if ROOT_KEYS.contains(&first.as_str()) {
        return Some(path.to_vec());
    }
    if !is_stage && World::from_name(first).is_none() {
        let stages = root.table_at(&["stages"]).into_iter().flat_map(Table::iter);
        let mut words: Vec<&str> = stages.map(|entry| entry.name.as_str()).collect();
        words.extend(World::all().map(|world| -> &str { world.as_str() }));
        words.extend(ROOT_KEYS);
        let hint = match nearest(first, words) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("begin with a stage ({}) or a key of the file", World::order_of_six()),
        };
        report(format!("`{first}` is neither a stage nor a key of the file"), hint);
        return None;
    }
    let stage = first.as_str();
    let prefix = match rest.first().map(String::as_str) {
        None => {
            let hint = format!("write `{stage}.component=NAME`, or `{stage}.PARAMETER=VALUE`");
            report(format!("`{stage}` is a stage and cannot be set as a whole"), hint);
            return None;
        }
        Some(key) if STAGE_KEYS.contains(&key) => ["stages", stage].map(str::to_owned).to_vec(),
        // Other stages may use the same component, so the parameter belongs to the stage.
        Some(_) if World::from_name(stage).is_none() || root.at(&["stages", stage, "parameters"]).is_some() => {
            ["stages", stage, "parameters"].map(str::to_owned).to_vec()
        }
        Some(_) => {
            let Some(component) = root.string_at(&["stages", stage, "component"]) else {
                let hint = format!("set `{stage}.component` too");
                report(format!("stage `{stage}` has no component whose parameter could be set"), hint);
                return None;
            };
            vec!["components".to_owned(), component.to_owned(), "parameters".to_owned()]
        }
    };
    Some(prefix.into_iter().chain(rest.iter().cloned()).collect())
}

/// Replaces the URI of a source.
fn apply_source(text: &str, root: &mut Table, collector: &Collector) {
    let argument: Arc<str> = format!("--source {}", without_password(text)).into();
    let origin = Origin::Argument(argument);
    let Some((name, uri)) = text.split_once('=') else {
        let hint = "write `--source name=uri`, such as `--source customers=csv:telco.csv`".to_owned();
        collector.report_as(Condition::Override, &origin, "sources", "there is no `=`".to_owned(), Some(hint));
        return;
    };
    let Some(source) = root.table_at_mut(&["sources", name]) else {
        let declared: Vec<&str> =
            root.table_at(&["sources"]).into_iter().flat_map(Table::iter).map(|it| it.name.as_str()).collect();
        let hint = match nearest(name, declared.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None if declared.is_empty() => {
                format!("the file declares no source: add `[sources.{name}]`")
            }
            None => format!("the file declares `{}`", declared.join("`, `")),
        };
        collector.report_as(
            Condition::Undeclared,
            &origin,
            "sources",
            format!("no source is named `{name}`"),
            Some(hint),
        );
        return;
    };
    drop_foreign_options(source, uri);
    // Cannot fail: a path of one key passes through no other value.
    let _ = source.set(&["uri".to_owned()], Node { value: Value::String(uri.to_owned()), origin });
}
