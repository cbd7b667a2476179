//! `[task]`: the learning task.

use serde::Serialize;
use stagewright_data::TaskKind;

use crate::document::Value;
use crate::reader::{Item, Section};

/// `[task]`: the learning task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TaskSection {
    /// The kind of task.
    #[serde(flatten)]
    pub kind: TaskKind,
    /// The column that the model predicts.
    pub target: String,
}

/// The kind of task without its parameters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Binary,
    MultiClass,
    Regression,
}

/// The readable parts of a task. Other sections are checked against them.
#[derive(Default)]
pub(crate) struct TaskDraft {
    pub(crate) kind: Option<TaskKind>,
    pub(crate) target: Option<String>,
}

impl TaskDraft {
    pub(crate) fn is_regression(&self) -> bool {
        self.kind == Some(TaskKind::Regression)
    }

    /// Returns the task if all of it could be read.
    pub(crate) fn whole(self) -> Option<TaskSection> {
        Some(TaskSection { kind: self.kind?, target: self.target? })
    }

    pub(crate) fn read(section: Section<'_>) -> Self {
        let choices = [("binary", Kind::Binary), ("multi-class", Kind::MultiClass), ("regression", Kind::Regression)];
        let kind = section.require("kind", "kind = \"binary\"").and_then(|item| item.choice(&choices));
        let target = section.require("target", "target = \"COLUMN\"").and_then(|item| item.text().map(str::to_owned));
        let positive = section.get("positive");
        let kind = match kind {
            Some(Kind::Binary) => match &positive {
                Some(item) => label(item).map(|positive| TaskKind::Binary { positive }),
                None => {
                    let hint = "add `positive = \"...\"`: the target's value whose probability is predicted";
                    section.report("missing key `positive` in `task`".to_owned(), Some(hint.to_owned()));
                    None
                }
            },
            Some(other) => {
                let kind = if other == Kind::MultiClass { TaskKind::MultiClass } else { TaskKind::Regression };
                if let Some(item) = &positive {
                    let hint = "remove it, or set `task.kind` to `binary`".to_owned();
                    item.report(format!("`task.positive` has no meaning in a {} task", kind.as_str()), Some(hint));
                }
                Some(kind)
            }
            None => None,
        };
        section.finish();
        Self { kind, target }
    }
}

/// Reads the label of a class: text, or the text of an integer or a boolean.
fn label(item: &Item<'_>) -> Option<String> {
    match &item.node.value {
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(claim) => Some(claim.to_string()),
        _ => item.text().map(str::to_owned),
    }
}
