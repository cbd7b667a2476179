//! What can be checked only when components are known: that they exist, and take these parameters.
//!
//! Owns the way from a violation of a JSON Schema to a place in the file. The schema comes from a
//! component that nobody trusts: `schema` takes it over only if it is plain, `check` counts every
//! step, and every text is cut when it is made.

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
use crate::problem::{Collector, ManifestError, Problem};
use crate::stage::StageSection;

/// How many steps it takes to check a value against a schema as [`Manifest::check_parameters`] does, and how many things
/// are wrong with it; both are bounded whatever schema and value are.
///
/// # Errors
/// Why the schema is not used, for people; or that the steps that a check may take do not suffice.
pub fn check_cost(schema: &Json, value: &Json) -> Result<(u64, usize), String> {
    let schema = Schema::new(schema)?;
    let Checked { violations, is_unfinished, steps } = check::check(&schema, value);
    if is_unfinished { Err(too_costly()) } else { Ok((steps, violations.len())) }
}

fn too_costly() -> String {
    format!("to check these parameters by it takes more than {MAX_STEPS} steps")
}

impl Manifest {
    /// Checks the components by name: `built_in` are those that need no `path`. A stage must use
    /// one that exists; a section must configure one that exists.
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
                collector.report(&entry.node.origin, &key, format!("there is no component `{name}`"), Some(hint(name)));
            }
        }
        let used = |name: &str| self.stages.iter().any(|stage| stage.component.as_str() == name);
        for name in self.components.keys().map(AsRef::as_ref).filter(|name| unknown(name) && !used(name)) {
            if let Some(entry) = self.root.at(&["components", name]) {
                let key = format!("components.{name}");
                collector.report(&entry.origin, &key, format!("there is no component `{name}`"), Some(hint(name)));
            }
        }
        collector.into_problems()
    }

    /// Checks the parameters of a stage's component against the component's own JSON Schema
    /// (2020-12).
    ///
    /// A schema that is none, or that refers to itself or to elsewhere, is a problem too: of the
    /// component, cited where the stage names it.
    pub fn check_parameters(&self, stage: &StageSection, schema: &Json) -> Vec<Problem> {
        let collector = Collector::new(self.source.clone());
        let component = stage.component.as_str();
        let faulty = |reason: String| {
            let message =
                format!("component `{component}` describes its parameters by a schema that cannot be used: {reason}");
            let hint = "tell the author of the component".to_owned();
            collector.report(&self.origin_of(&["stages", stage.name.as_str(), "component"]), "", message, Some(hint));
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

    /// A problem with a key of the file, found by somebody else: `key` is its dotted path as parts
    /// (`["stages", "training", "component"]`). It is cited where the key stands, or the nearest
    /// key above it.
    pub fn problem(&self, key: &[&str], message: impl Into<String>, hint: Option<String>) -> Problem {
        let collector = Collector::new(self.source.clone());
        collector.report(&self.origin_of(key), &dotted(key), message.into(), hint);
        collector.into_problems().swap_remove(0)
    }

    /// All problems that were found after loading, as one error.
    pub fn error(&self, problems: Vec<Problem>) -> ManifestError {
        ManifestError::new(&self.source, problems)
    }

    /// Where the value of a key stands, or else the nearest key above it.
    fn origin_of(&self, key: &[&str]) -> Origin {
        let whole = self.root.at(key).map(|entry| match entry.node.value {
            Value::Table(_) => entry.origin.clone(),
            _ => entry.node.origin.clone(),
        });
        let above = || (1..key.len()).rev().find_map(|depth| self.root.at(&key[..depth]));
        whole.or_else(|| above().map(|entry| entry.origin.clone())).unwrap_or(Origin::File(0..0))
    }
}
