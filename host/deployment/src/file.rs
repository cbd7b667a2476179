//! Files with a plan: TOML, or JSON.

use serde_json::{Map, Number, Value as Json};
use toml::de::{DeTable, DeValue};

use crate::error::PlanError;

/// The deepest nesting of a plan.
const MAX_DEPTH: usize = 16;

/// Reads the text of a file with a plan: the whole file, or its only table, `deployment`.
///
/// ```
/// let text = "[deployment]\nstrategy = \"canary\"\nversion = 3\nshares = [10, 100]\n";
/// let plan = stagewright_deployment::parse_file(text, false)?;
/// assert_eq!(plan, serde_json::json!({"strategy": "canary", "version": 3, "shares": [10, 100]}));
/// # Ok::<(), stagewright_deployment::PlanError>(())
/// ```
///
/// # Errors
/// [`PlanError`] with the place of the first mistake.
pub fn parse_file(text: &str, is_json: bool) -> Result<Json, PlanError> {
    let whole = if is_json { parse_json(text)? } else { parse_toml(text)? };
    let Json::Object(mut root) = whole else {
        return Err(PlanError::new("file", "it holds no object", "write an object with a `strategy`"));
    };
    match root.remove("deployment") {
        Some(plan) if root.is_empty() => Ok(plan),
        Some(_) => {
            let other = root.keys().next().cloned().unwrap_or_default();
            let other = stagewright_text::Untrusted::new(&other).cut(60).to_string();
            let problem = format!("`{other}` stands beside the table `deployment`");
            Err(PlanError::new("file", problem, "put every key into [deployment], or leave the table out"))
        }
        None => Ok(root.into()),
    }
}

fn parse_json(text: &str) -> Result<Json, PlanError> {
    serde_json::from_str(text).map_err(|error| PlanError::new("file", error.to_string(), "mend the JSON"))
}

fn parse_toml(text: &str) -> Result<Json, PlanError> {
    let hint = "mend the TOML; a plan in JSON has a file name that ends with .json";
    let table = DeTable::parse(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let message = stagewright_text::Untrusted::new(error.message()).cut(200).to_string();
        PlanError::new("file", format!("line {line}: {message}"), hint)
    })?;
    object(table.get_ref(), 0)
}

fn object(table: &DeTable<'_>, depth: usize) -> Result<Json, PlanError> {
    if depth > MAX_DEPTH {
        return Err(PlanError::new("file", "its tables are nested too deeply", "a plan has two levels"));
    }
    let entry = |(key, node): (&toml::Spanned<std::borrow::Cow<'_, str>>, &toml::Spanned<DeValue<'_>>)| {
        Ok((key.get_ref().to_string(), value(node.get_ref(), depth)?))
    };
    Ok(Json::Object(table.iter().map(entry).collect::<Result<Map<_, _>, PlanError>>()?))
}

fn value(node: &DeValue<'_>, depth: usize) -> Result<Json, PlanError> {
    let number = |text: &str| {
        let wrong = || PlanError::new("file", format!("`{text}` is no number of a plan"), "write a finite number");
        text.parse().ok().and_then(Number::from_f64).map(Json::Number).ok_or_else(wrong)
    };
    Ok(match node {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(boolean) => (*boolean).into(),
        DeValue::Datetime(moment) => moment.to_string().into(),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(integer) => integer.into(),
            Err(_) => return number(integer.as_str()),
        },
        DeValue::Float(float) => return number(float.as_str()),
        DeValue::Array(items) if depth <= MAX_DEPTH => {
            let items = items.iter().map(|item| value(item.get_ref(), depth + 1));
            Json::Array(items.collect::<Result<_, _>>()?)
        }
        DeValue::Array(_) => {
            return Err(PlanError::new("file", "its lists are nested too deeply", "a plan has one level"));
        }
        DeValue::Table(table) => return object(table, depth + 1),
    })
}
