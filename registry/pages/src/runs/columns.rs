//! The columns of the table of runs: the ones that are chosen, and the names that may be.

use serde::Serialize;
use stagewright_store::search::Key;
use stagewright_store::{NamedValue, RunColumns};

use super::scope::experiments_of;
use crate::answer::{Answer, Request};
use crate::fault::Fault;
use crate::query::Query;
use crate::site::Site;

/// The most columns that are chosen at once.
const MOST: usize = 60;
/// The most names of each kind that a search for names returns.
const MOST_NAMES: usize = 100;

/// A column with values by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Column {
    /// `metrics`, `params` or `tags`.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
}

impl Column {
    /// Returns its text in the query: `metrics.auc`.
    pub(crate) fn text(&self) -> String {
        format!("{}.{}", self.kind, self.name)
    }

    /// Returns its key in the grammar of searches.
    pub(crate) fn key(&self) -> String {
        let name = self.name.clone();
        match self.kind {
            "metrics" => Key::Metric(name),
            "params" => Key::Parameter(name),
            _ => Key::Tag(name),
        }
        .to_string()
    }
}

/// Returns the columns in the order of their values: metrics, parameters, tags.
pub(crate) fn listed(columns: &RunColumns) -> Vec<Column> {
    let of = |kind: &'static str, names: &[String]| {
        names.iter().map(move |name| Column { kind, name: name.clone() }).collect::<Vec<_>>()
    };
    [of("metrics", &columns.metrics), of("params", &columns.parameters), of("tags", &columns.tags)].concat()
}

/// Reads the chosen columns, each a `column` in the query. `None` if the query has none, not even
/// an empty one.
///
/// # Errors
/// There are too many, or one is of no kind.
pub(crate) fn chosen(query: &Query) -> Result<Option<RunColumns>, Fault> {
    if !query.has("column") {
        return Ok(None);
    }
    let mut columns = RunColumns::default();
    for (count, text) in query.all("column").enumerate() {
        if count >= MOST {
            return Err(Fault::bad(format!("More than {MOST} columns are chosen.")).hinting("Choose fewer."));
        }
        let (kind, name) = text.split_once('.').unwrap_or((text, ""));
        let names = match kind {
            "metrics" => &mut columns.metrics,
            "params" => &mut columns.parameters,
            "tags" => &mut columns.tags,
            _ => return Err(Fault::bad("A column is `metrics.NAME`, `params.NAME` or `tags.NAME`.")),
        };
        let name = name.to_owned();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(Some(columns))
}

#[derive(Serialize)]
struct Names {
    metrics: Vec<String>,
    params: Vec<String>,
    tags: Vec<String>,
    /// The most names of each kind: more may exist.
    most: usize,
}

/// Answers the names that contain the text `q`, as JSON: for the chooser, which asks when somebody
/// opens it or types. A server may know thousands of names, and no page has them all.
pub(super) fn names(site: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let (_, experiments) = experiments_of(request)?;
    let text = request.query.get("q").unwrap_or_default();
    let names = |what| site.registry.names_of_runs(what, experiments.as_deref(), text, MOST_NAMES);
    Ok(Answer::json(&Names {
        metrics: names(NamedValue::Metric)?,
        params: names(NamedValue::Parameter)?,
        tags: names(NamedValue::Tag)?,
        most: MOST_NAMES,
    }))
}
