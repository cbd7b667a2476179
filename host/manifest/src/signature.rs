//! `[signature]`: the columns of the data.

use serde::Serialize;
use stagewright_data::ExtraColumns;
use stagewright_store::{DataType, Field, Role};

use crate::document::{Value, key_text};
use crate::nearest::{listed, nearest};
use crate::reader::{Item, Section};
use crate::task::TaskDraft;

/// The most bytes in the name of a column, as in the contract (wit/types.wit).
const MAX_NAME_BYTES: usize = 256;

/// `[signature]`: the columns of the data, and how text becomes values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SignatureSection {
    /// Texts that mean null. They are compared with the whole cell, untrimmed, before anything
    /// else.
    pub null_values: Vec<String>,
    /// How columns that `fields` does not name are treated.
    pub extra_columns: ExtraColumns,
    /// The columns in order; empty to infer them at ingestion.
    pub fields: Vec<Field>,
}

impl Default for SignatureSection {
    /// Returns inferred columns, with the empty text as null.
    fn default() -> Self {
        Self { null_values: vec![String::new()], extra_columns: ExtraColumns::Error, fields: Vec::new() }
    }
}

impl SignatureSection {
    pub(crate) fn read(section: Section<'_>, task: &TaskDraft) -> Self {
        let mut signature = Self::default();
        if let Some(values) = section.get("null-values").and_then(|item| item.strings()) {
            signature.null_values = values;
        }
        let policies = [("error", ExtraColumns::Error), ("ignore", ExtraColumns::Ignore)];
        if let Some(policy) = section.get("extra-columns").and_then(|item| item.choice(&policies)) {
            signature.extra_columns = policy;
        }
        if let Some(fields) = section.section("fields") {
            let read = fields.items().map(|(name, item)| read_field(name, &item, task)).collect::<Vec<_>>();
            check_roles(&fields, &read, task);
            signature.fields = read.into_iter().flatten().collect();
        }
        section.finish();
        signature
    }
}

fn read_field(name: &str, item: &Item<'_>, task: &TaskDraft) -> Option<Field> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        let hint = format!("a column's name has 1 to {MAX_NAME_BYTES} bytes and no control characters");
        item.report(format!("`{}` is not a name for a column", name.escape_debug()), Some(hint));
        return None;
    }
    let implied = task.target.as_deref() == Some(name);
    let (data_type, nullable, role) = match &item.node.value {
        Value::String(_) => (data_type(item)?, false, None),
        Value::Table(_) => {
            let section = item.section()?;
            let data_type = section.require("type", "type = \"float64\"").and_then(|item| data_type(&item));
            let nullable = section.get("nullable").map_or(Some(false), |item| item.boolean());
            let roles = Role::ALL.map(|role| (role.name(), role));
            let role = section.get("role").map(|item| item.choice(&roles));
            section.finish();
            (data_type?, nullable?, role.map_or(Some(None), |role| role.map(Some))?)
        }
        other => {
            let hint = "write `\"float64\"` or `{ type = \"float64\", nullable = true }`".to_owned();
            item.report_value(format!("`{}` must be a type or a table, not {}", item.key, other.kind()), Some(hint));
            return None;
        }
    };
    let role = check_target(item, implied, role, task);
    check_type(item, data_type, nullable, role, task);
    Some(Field { name: name.to_owned(), data_type, nullable, role })
}

/// Returns the role of a field; the target's is implied by the task. Reports contradictions with
/// the task.
fn check_target(item: &Item<'_>, implied: bool, role: Option<Role>, task: &TaskDraft) -> Role {
    match (role, &task.target) {
        (Some(Role::Target), Some(target)) if !implied => {
            let hint = format!("`task.target` is `{target}`: change one of the two");
            item.report(format!("`{}` has the role `target`, but is not the task's target", item.key), Some(hint));
            Role::Target
        }
        (Some(role), _) if implied && role != Role::Target => {
            let hint = "remove the role, or change `task.target`".to_owned();
            item.report(format!("`{}` is the task's target, but has the role `{role}`", item.key), Some(hint));
            role
        }
        _ if implied => Role::Target,
        (role, _) => role.unwrap_or(Role::Feature),
    }
}

/// Reports a type that does not fit the role.
fn check_type(item: &Item<'_>, data_type: DataType, nullable: bool, role: Role, task: &TaskDraft) {
    let regression = task.is_regression();
    let numeric = matches!(data_type, DataType::Float64 | DataType::Int64);
    let needed = match role {
        Role::Target if regression && !numeric => "`float64` or `int64` in a regression task",
        Role::Target if data_type == DataType::Timestamp => "a class or a number",
        Role::Weight if !numeric => "`float64` or `int64`",
        Role::Time if data_type != DataType::Timestamp => "`timestamp`",
        _ => "",
    };
    if !needed.is_empty() {
        let hint = format!("a column with the role `{role}` must be {needed}");
        item.report(format!("`{}` is `{data_type}`, which does not go with its role", item.key), Some(hint));
    }
    if nullable && matches!(role, Role::Target | Role::Weight) {
        let hint = "remove `nullable = true`, and the rows without a value from the data".to_owned();
        item.report(format!("`{}` has the role `{role}` and must not be nullable", item.key), Some(hint));
    }
}

/// Checks the fields together. Skipped in part if a field could not be read: it may be the missing
/// one.
fn check_roles(section: &Section<'_>, fields: &[Option<Field>], task: &TaskDraft) {
    for role in [Role::Weight, Role::Time, Role::Group] {
        let mut holders = fields.iter().flatten().filter(|field| field.role == role);
        let Some(first) = holders.next() else { continue };
        for second in holders {
            if let Some((_, item)) = section.items().find(|(name, _)| *name == second.name) {
                let message = format!("`{}` has the role `{role}`, and so has `{}`", item.key, first.name);
                item.report(message, Some("give it to one of them".to_owned()));
            }
        }
    }
    let Some(target) = &task.target else { return };
    if !section.table.iter().any(|entry| entry.name == *target) {
        let names: Vec<&str> = section.table.iter().map(|entry| entry.name.as_str()).collect();
        let hint = match nearest(target, names.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("add `{} = \"utf8\"`, or change `task.target`", key_text(target)),
        };
        section.report(format!("the task's target, `{target}`, is not a field of the signature"), Some(hint));
    }
    let all_read = fields.iter().all(Option::is_some);
    if all_read && !fields.iter().flatten().any(|field| field.role == Role::Feature) {
        let hint = "declare at least one column without a role".to_owned();
        section.report("the signature has no feature".to_owned(), Some(hint));
    }
}

fn data_type(item: &Item<'_>) -> Option<DataType> {
    let word = item.string()?;
    let found = DataType::ALL.into_iter().find(|data_type| data_type.name() == word);
    if found.is_none() {
        let names = || DataType::ALL.into_iter().map(DataType::name);
        let other = match word.to_ascii_lowercase().as_str() {
            "string" | "str" | "text" | "object" | "varchar" => Some("utf8"),
            "int" | "integer" | "long" | "int32" | "bigint" => Some("int64"),
            "float" | "double" | "number" | "numeric" | "real" | "decimal" | "float32" => Some("float64"),
            "category" | "enum" | "factor" => Some("categorical"),
            "date" | "datetime" | "time" => Some("timestamp"),
            _ => nearest(word, names()),
        };
        let hint =
            other.map_or_else(|| format!("use one of {}", listed(names())), |it| format!("did you mean `{it}`?"));
        item.report_value(format!("`{word}` is not a type"), Some(hint));
    }
    found
}
