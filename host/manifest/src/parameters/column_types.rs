//! Parameters that apply to columns of certain types only.
//!
//! A component declares them in its schema: `"x-column-types": ["int64", "float64"]` on a parameter
//! that is an object whose keys are columns, or a list of columns. JSON Schema cannot see the
//! manifest's signature, so this module checks them. Columns that the signature does not declare
//! are left to the component, which sees the table.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::check::{MAX_VIOLATIONS, PathStep};
use super::report::Report;
use super::schema::COLUMN_TYPES;
use super::text::brief;
use crate::document::key_text;
use crate::nearest::listed;

/// Reports each declared column under a parameter that does not apply to its type.
pub(super) fn check(report: &Report<'_>, parameters: &Json) {
    let Some(properties) = report.schema.root.get("properties").and_then(Json::as_object) else { return };
    let fields = &report.manifest.signature.fields;
    let fields: HashMap<&str, _> = fields.iter().map(|field| (&*field.name, field)).collect();
    let mut found = 0;
    for (name, schema) in properties {
        let Some(types) = schema.get(COLUMN_TYPES).and_then(Json::as_array) else { continue };
        let types: Vec<String> = types.iter().filter_map(Json::as_str).map(brief).collect();
        for (step, column) in columns(parameters.get(name)) {
            let declared = fields.get(column);
            let Some(field) = declared.filter(|field| !types.iter().any(|name| name == field.data_type.name())) else {
                continue;
            };
            found += 1;
            if found > MAX_VIOLATIONS {
                return;
            }
            let parameter = brief(name);
            let message = format!(
                "`{parameter}` cannot be checked in column `{column}`: the column is `{}`, and `{parameter}` is for {}",
                field.data_type,
                listed(types.iter().map(|name| &**name))
            );
            let hint = format!("remove it, or change the type of `signature.fields.{}`", key_text(column));
            report.report_at_key(&[PathStep::Key(name.clone()), step], message, Some(hint));
        }
    }
}

/// Returns the columns that a parameter names, each with its path.
fn columns(value: Option<&Json>) -> Vec<(PathStep, &str)> {
    match value {
        Some(Json::Object(entries)) => {
            entries.keys().map(|name| (PathStep::Key(name.clone()), name.as_str())).collect()
        }
        Some(Json::Array(items)) => {
            let named =
                items.iter().enumerate().filter_map(|(place, item)| Some((PathStep::Index(place), item.as_str()?)));
            named.collect()
        }
        _ => Vec::new(),
    }
}
