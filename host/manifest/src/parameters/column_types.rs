//! Parameters that are for columns of certain types only.
//!
//! A component says so beside the parameter in its schema: `"x-column-types": ["int64", "float64"]`
//! on a parameter that is an object whose keys are columns, or a list of columns. JSON Schema
//! cannot see the manifest's signature, so this does. Columns that the signature does not declare
//! are the component's to judge, once it sees the table.

use serde_json::Value as Json;

use super::{Report, Step};
use crate::document::key_text;
use crate::nearest::listed;

/// The keyword.
const COLUMN_TYPES: &str = "x-column-types";

/// Reports each declared column that stands under a parameter which is not for its type.
pub(super) fn check(report: &Report<'_>, parameters: &Json) {
    let Some(properties) = report.schema.get("properties").and_then(Json::as_object) else { return };
    for (parameter, schema) in properties {
        let Some(types) = schema.get(COLUMN_TYPES).and_then(Json::as_array) else { continue };
        let types: Vec<&str> = types.iter().filter_map(Json::as_str).collect();
        for (step, column) in columns(parameters.get(parameter)) {
            let declared = report.manifest.signature.fields.iter().find(|field| field.name == column);
            let Some(field) = declared.filter(|field| !types.contains(&field.data_type.name())) else { continue };
            let message = format!(
                "`{parameter}` cannot be checked in column `{column}`: the column is `{}`, and `{parameter}` is for {}",
                field.data_type,
                listed(types.iter().copied())
            );
            let hint = format!("remove it, or change the type of `signature.fields.{}`", key_text(column));
            report.report_at_key(&[Step::Key(parameter.clone()), step], message, Some(hint));
        }
    }
}

/// The columns that a parameter names, each with the way to it.
fn columns(value: Option<&Json>) -> Vec<(Step, &str)> {
    match value {
        Some(Json::Object(entries)) => entries.keys().map(|name| (Step::Key(name.clone()), name.as_str())).collect(),
        Some(Json::Array(items)) => {
            let named = items.iter().enumerate().filter_map(|(place, item)| Some((Step::Index(place), item.as_str()?)));
            named.collect()
        }
        _ => Vec::new(),
    }
}
