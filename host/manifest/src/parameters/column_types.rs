//! Parameters that apply to columns of certain types only.
//!
//! A component declares them in its schema: `"x-column-types": ["int64", "float64"]` on a parameter
//! that is an object whose keys are columns, or a list of columns. JSON Schema cannot see the
//! manifest's signature, so this module checks them. Columns that the signature does not declare
//! are left to the component, which sees the table.

use std::collections::HashMap;

use serde_json::Value as Json;
use stagewright_store::Field;

use super::check::{MAX_VIOLATIONS, PathStep};
use super::report::Report;
use super::schema::COLUMN_TYPES;
use super::text::brief;
use crate::document::key_text;
use crate::nearest::listed;

/// The deepest table of parameters that is looked into: `warn.ranges` has depth 1.
const MAX_DEPTH: usize = 3;

/// Reports each declared column under a parameter that does not apply to its type.
pub(super) fn check(report: &Report<'_>, parameters: &Json) {
    let fields = &report.manifest.signature.fields;
    let mut walk = Walk { report, fields: fields.iter().map(|field| (&*field.name, field)).collect(), found: 0 };
    walk.tables(report.schema.root, parameters, &[]);
}

struct Walk<'a> {
    report: &'a Report<'a>,
    fields: HashMap<&'a str, &'a Field>,
    found: usize,
}

impl Walk<'_> {
    /// Checks the parameters of a table, and of the tables within it.
    fn tables(&mut self, schema: &Json, parameters: &Json, path: &[PathStep]) {
        let schema = self.report.schema.target(schema).unwrap_or(schema);
        let Some(properties) = schema.get("properties").and_then(Json::as_object) else { return };
        for (name, schema) in properties {
            let Some(value) = parameters.get(name) else { continue };
            let path = [path, &[PathStep::Key(name.clone())]].concat();
            match schema.get(COLUMN_TYPES).and_then(Json::as_array) {
                Some(types) => {
                    let types: Vec<String> = types.iter().filter_map(Json::as_str).map(brief).collect();
                    self.columns(name, &types, value, &path);
                }
                None if path.len() <= MAX_DEPTH && value.is_object() => self.tables(schema, value, &path),
                None => {}
            }
        }
    }

    fn columns(&mut self, name: &str, types: &[String], value: &Json, path: &[PathStep]) {
        for (step, column) in columns(Some(value)) {
            let declared = self.fields.get(column);
            let Some(field) = declared.filter(|field| !types.iter().any(|name| name == field.data_type.name())) else {
                continue;
            };
            self.found += 1;
            if self.found > MAX_VIOLATIONS {
                return;
            }
            let parameter = brief(name);
            let message = format!(
                "`{parameter}` cannot be checked in column `{column}`: the column is `{}`, and `{parameter}` is for {}",
                field.data_type,
                listed(types.iter().map(|name| &**name))
            );
            let hint = format!("remove it, or change the type of `signature.fields.{}`", key_text(column));
            self.report.report_at_key(&[path, &[step]].concat(), message, Some(hint));
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
