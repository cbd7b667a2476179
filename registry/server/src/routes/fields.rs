//! Parts of requests that several operations have.

use stagewright_store::search::{Clause, Entity, Filter, Key, OrderBy};
use stagewright_store::{RunId, StoreError, ViewType};

use crate::mlflow_error::MlflowError;
use crate::request::{Fields, number_of_experiment};

/// The most characters in a key: a name of a metric, a parameter or a tag.
const MOST_KEY: usize = 250;

/// Returns the number of the experiment that a request names.
pub(super) fn experiment_id(fields: &Fields) -> Result<i64, MlflowError> {
    number_of_experiment(fields.required("experiment_id")?)
}

/// Returns the numbers of the experiments that a search is about.
pub(super) fn experiment_ids(fields: &Fields, most: usize) -> Result<Vec<i64>, MlflowError> {
    let texts = fields.texts("experiment_ids")?;
    if texts.len() > most {
        return Err(MlflowError::invalid(format!("A search has at most {most} experiments. Got {}.", texts.len())));
    }
    texts.into_iter().map(number_of_experiment).collect()
}

/// Returns the run that a request names.
pub(super) fn run_id(fields: &Fields) -> Result<RunId, MlflowError> {
    parsed_run_id(fields.run_id()?)
}

/// Parses the identifier of a run. None that is formed otherwise exists.
pub(super) fn parsed_run_id(text: &str) -> Result<RunId, MlflowError> {
    text.parse().map_err(|error: StoreError| error.into())
}

/// Returns the view of a search.
pub(super) fn view(fields: &Fields, name: &str) -> Result<ViewType, MlflowError> {
    let views =
        [("ACTIVE_ONLY", 1, ViewType::Active), ("DELETED_ONLY", 2, ViewType::Deleted), ("ALL", 3, ViewType::All)];
    Ok(fields.choice(name, &views)?.unwrap_or_default())
}

/// Returns the filter of a search.
pub(super) fn filter(fields: &Fields, entity: Entity) -> Result<Filter, MlflowError> {
    let text = fields.text("filter")?.unwrap_or_default();
    if text.trim().is_empty() {
        return Ok(Filter::default());
    }
    Filter::parse(entity, text).map_err(|error| StoreError::from(error).into())
}

/// Returns the filter of a search of models or versions. Clients keep prompts as models, and a
/// search finds them only if its filter names their tag.
pub(super) fn filter_of_models(fields: &Fields, entity: Entity) -> Result<Filter, MlflowError> {
    const NO_PROMPTS: &str = "tags.`mlflow.prompt.is_prompt` != 'true'";
    let asked = filter(fields, entity)?;
    let is_of_prompts = |clause: &Clause| matches!(&clause.key, Key::Tag(name) if name == "mlflow.prompt.is_prompt");
    if asked.clauses().iter().any(is_of_prompts) {
        return Ok(asked);
    }
    let joined = match asked.clauses() {
        [] => NO_PROMPTS.to_owned(),
        _ => format!("{} AND {NO_PROMPTS}", fields.text("filter")?.unwrap_or_default()),
    };
    Filter::parse(entity, &joined).map_err(|error| StoreError::from(error).into())
}

/// Returns the order of a search.
pub(super) fn order(fields: &Fields, entity: Entity) -> Result<OrderBy, MlflowError> {
    let texts = fields.texts("order_by")?;
    OrderBy::parse(entity, &texts).map_err(|error| StoreError::from(error).into())
}

/// Checks the length of texts as MLflow counts them, in characters.
pub(super) fn check_length(what: &str, text: &str, most: usize) -> Result<(), MlflowError> {
    // No text has more characters than bytes.
    if text.len() <= most || text.chars().count() <= most {
        return Ok(());
    }
    Err(MlflowError::invalid(format!("'{what}' exceeds the maximum length of {most} characters")))
}

/// Checks the name of a metric, a parameter or a tag. Some clients make files of these.
pub(super) fn check_key(path: &str, key: &str) -> Result<(), MlflowError> {
    check_length(path, key, MOST_KEY)?;
    let is_allowed =
        |character: char| character.is_alphanumeric() || matches!(character, '_' | '/' | '.' | '-' | ' ' | ':');
    let leads_elsewhere = key.starts_with('/') || key.split('/').any(|part| matches!(part, "" | "." | ".."));
    let problem = if leads_elsewhere {
        "Names may be treated as files in certain cases, and must not resolve to other names when treated as such."
    } else if key.chars().all(is_allowed) {
        return Ok(());
    } else {
        "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and \
         slashes (/)."
    };
    let shown = serde_json::Value::from(key);
    Err(MlflowError::invalid(format!("Invalid value {shown} for parameter '{path}' supplied: {problem}")))
}

/// Cuts a value as MLflow does, to a number of characters.
pub(super) fn truncated(value: &mut String, most: usize) {
    if value.len() > most
        && let Some((end, _)) = value.char_indices().nth(most)
    {
        value.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_that_mlflow_takes() {
        for right in ["a", "a b", "train/loss", "mlflow.user", "a:b", "日本", "a..b"] {
            assert!(check_key("key", right).is_ok(), "{right}");
        }
        let long = "a".repeat(251);
        for wrong in ["/a", "..", "a/../b", "a//b", "./a", "a/", "a\\b", "a#b", "a\nb", &long] {
            assert!(check_key("key", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_are_cut_between_characters() {
        let mut value = "äöü".repeat(3);
        truncated(&mut value, 4);
        assert_eq!(value, "äöüä");
        truncated(&mut value, 4);
        assert_eq!(value, "äöüä");
    }
}
