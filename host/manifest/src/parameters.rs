//! Checks that need components: that they exist, and accept their parameters.
//!
//! Owns the way from a violation of a JSON Schema to a place in the file. The schema comes from an
//! untrusted component: `schema` accepts only a plain subset, `check` counts every step, and every
//! text is cut before it is shown.

mod check;
mod column_types;
mod numbers;
mod report;
mod schema;
mod text;

use serde_json::Value as Json;

use self::check::{Checked, MAX_STEPS};
use self::report::Report;
use self::schema::Schema;
use crate::document::{Origin, Value, dotted};
use crate::manifest::Manifest;
use crate::nearest::{listed, nearest};
use crate::problem::{Collector, Condition, ManifestError, Problem};
use crate::stage::StageSection;

/// Returns the steps that checking a value against a schema takes, as
/// [`Manifest::check_parameters`] does it, and the number of violations. Both are bounded for every
/// schema and value.
///
/// # Errors
/// The reason for which the schema is refused, or that the check takes too many steps.
pub fn check_cost(schema: &Json, value: &Json) -> Result<(u64, usize), String> {
    let schema = Schema::new(schema)?;
    let Checked { violations, is_unfinished, steps } = check::check(&schema, value);
    if is_unfinished { Err(too_costly()) } else { Ok((steps, violations.len())) }
}

fn too_costly() -> String {
    format!("to check these parameters by it takes more than {MAX_STEPS} steps")
}

impl Manifest {
    /// Checks that components exist: `built_in` are those that need no `path`. Reports stages that
    /// use an unknown component, and sections that configure one.
    pub fn check_components(&self, built_in: &[&str]) -> Vec<Problem> {
        let collector = Collector::new(self.source.clone());
        let unknown =
            |name: &str| !built_in.contains(&name) && self.components.get(name).is_none_or(|it| it.path.is_none());
        let hint = |name: &str| match nearest(name, built_in.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!(
                "give its file: `[components.{name}] path = \"FILE.wasm\"`; built in are {}",
                listed(built_in.iter().copied())
            ),
        };
        for stage in self.stages.iter().filter(|stage| unknown(stage.component.as_str())) {
            let name = stage.component.as_str();
            let key = format!("stages.{}.component", stage.name);
            if let Some(entry) = self.root.at(&["stages", stage.name.as_str(), "component"]) {
                collector.report_as(
                    Condition::Undeclared,
                    &entry.node.origin,
                    &key,
                    format!("there is no component `{name}`"),
                    Some(hint(name)),
                );
            }
        }
        let used = |name: &str| self.stages.iter().any(|stage| stage.component.as_str() == name);
        for name in self.components.keys().map(AsRef::as_ref).filter(|name| unknown(name) && !used(name)) {
            if let Some(entry) = self.root.at(&["components", name]) {
                let key = format!("components.{name}");
                collector.report_as(
                    Condition::Undeclared,
                    &entry.origin,
                    &key,
                    format!("there is no component `{name}`"),
                    Some(hint(name)),
                );
            }
        }
        collector.into_problems()
    }

    /// Checks the parameters of a stage against the JSON Schema (2020-12) of its component.
    ///
    /// An invalid schema, or one that is recursive or refers to other documents, is a problem of
    /// the component, reported where the stage names it.
    pub fn check_parameters(&self, stage: &StageSection, schema: &Json) -> Vec<Problem> {
        let collector = Collector::new(self.source.clone());
        let component = stage.component.as_str();
        let faulty = |reason: String| {
            let message =
                format!("component `{component}` describes its parameters by a schema that cannot be used: {reason}");
            let hint = "tell the author of the component".to_owned();
            let origin = self.origin_of(&["stages", stage.name.as_str(), "component"]);
            collector.report_as(Condition::ParameterSchema, &origin, "", message, Some(hint));
        };
        let schema = match Schema::new(schema) {
            Ok(schema) => schema,
            Err(reason) => {
                faulty(reason);
                return collector.into_problems();
            }
        };
        let parameters = Json::Object(self.parameters_of(stage));
        let Checked { violations, is_unfinished, .. } = check::check(&schema, &parameters);
        if is_unfinished {
            faulty(too_costly());
            return collector.into_problems();
        }
        let report = Report { manifest: self, collector: &collector, stage, component, schema: &schema };
        for violation in &violations {
            report.violation(violation);
        }
        column_types::check(&report, &parameters);
        collector.into_problems()
    }

    /// Returns a problem with a key that was found elsewhere. `key` is the path of the key:
    /// `["stages", "training", "component"]`. The problem is placed at the key, or at the nearest
    /// key above it.
    pub fn problem(
        &self,
        condition: Condition,
        key: &[&str],
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Problem {
        let collector = Collector::new(self.source.clone());
        collector.report_as(condition, &self.origin_of(key), &dotted(key), message.into(), hint);
        collector.into_problems().swap_remove(0)
    }

    /// Returns problems that were found after loading as one error.
    pub fn error(&self, problems: Vec<Problem>) -> ManifestError {
        ManifestError::new(&self.source, problems)
    }

    /// Returns the origin of a key's value, or of the nearest key above it.
    fn origin_of(&self, key: &[&str]) -> Origin {
        let whole = self.root.at(key).map(|entry| match entry.node.value {
            Value::Table(_) => entry.origin.clone(),
            _ => entry.node.origin.clone(),
        });
        let above = || (1..key.len()).rev().find_map(|depth| self.root.at(&key[..depth]));
        whole.or_else(|| above().map(|entry| entry.origin.clone())).unwrap_or(Origin::File(0..0))
    }
}
