//! Requests as MLflow's protocol buffers read them: members of a query or of a JSON body, by name
//! and type.
//!
//! Unknown members are ignored. A member may be spelled in lower camel case. An integer may come as
//! text, and a number with a fraction of zero is one. NaN and the infinities come as text.

use serde_json::{Map, Value};
use stagewright_text::Untrusted;

use crate::mlflow_error::{ErrorCode, MlflowError};

/// The end of MLflow's messages about parameters.
const SEE: &str = " See the API docs for more information about request parameters.";

/// The members of a request, or of an object within one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    members: Map<String, Value>,
    /// A query has texts alone, of which a repeated one is a list.
    of_query: bool,
    /// The place of this object in the request, for messages: `metrics[3].`.
    path: String,
}

impl Fields {
    /// Reads the query of a URL.
    pub(crate) fn of_query(query: &str) -> Self {
        let mut members: Map<String, Value> = Map::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name), Value::String(decoded(value)));
            match members.get_mut(&name) {
                Some(Value::Array(values)) => values.push(value),
                Some(first) => *first = Value::Array(vec![first.take(), value]),
                None => drop(members.insert(name, value)),
            }
        }
        Self { members, of_query: true, path: String::new() }
    }

    /// Reads a JSON body. No body has no members. Old clients send a text that holds the JSON.
    ///
    /// # Errors
    /// The body is not a JSON object.
    pub(crate) fn of_body(body: &[u8]) -> Result<Self, MlflowError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let malformed = |problem: String| {
            MlflowError::new(
                ErrorCode::MalformedRequest,
                format!("The body of the request is not a JSON object: {problem}"),
            )
        };
        let mut value: Value = serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
        if let Value::String(text) = &value {
            value = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
        }
        match value {
            Value::Object(members) => Ok(Self { members, ..Self::default() }),
            Value::Null => Ok(Self::default()),
            other => Err(malformed(format!("it is of type '{}'", type_name(&other)))),
        }
    }

    /// Sets a member, such as one that the path of the URL has.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.members.insert(name.to_owned(), Value::String(value.to_owned()));
    }

    /// Returns a text that is present, even if it is empty.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, MlflowError> {
        match self.one(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong_type(name, other)),
        }
    }

    /// Returns a text that is present and not empty.
    pub(crate) fn filled(&self, name: &str) -> Result<Option<&str>, MlflowError> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    /// Returns a text that must be present and not empty.
    pub(crate) fn required(&self, name: &str) -> Result<&str, MlflowError> {
        self.filled(name)?.ok_or_else(|| self.missing(name))
    }

    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, MlflowError> {
        let Some(value) = self.one(name) else { return Ok(None) };
        integer(value).map(Some).ok_or_else(|| self.wrong_type(name, value))
    }

    pub(crate) fn float(&self, name: &str) -> Result<Option<f64>, MlflowError> {
        let Some(value) = self.one(name) else { return Ok(None) };
        let float = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => match text.as_str() {
                "NaN" => Some(f64::NAN),
                "Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                text => text.parse().ok(),
            },
            _ => None,
        };
        float.map(Some).ok_or_else(|| self.wrong_type(name, value))
    }

    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, MlflowError> {
        match self.one(name) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(Value::String(text)) if self.of_query && text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(Value::String(text)) if self.of_query && text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(other) => Err(self.wrong_type(name, other)),
        }
    }

    /// Returns the number of a value of an enumeration, which comes by name or by number.
    pub(crate) fn choice<T: Copy>(&self, name: &str, choices: &[(&str, i64, T)]) -> Result<Option<T>, MlflowError> {
        let Some(value) = self.one(name) else { return Ok(None) };
        let found = match value {
            Value::String(text) => {
                let number = text.parse::<i64>().ok();
                choices.iter().find(|(name, at, _)| name == text || number == Some(*at))
            }
            other => integer(other).and_then(|number| choices.iter().find(|(_, at, _)| *at == number)),
        };
        found.map(|(_, _, choice)| Some(*choice)).ok_or_else(|| self.wrong_type(name, value))
    }

    /// Returns a list of texts; an absent one is empty.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<&str>, MlflowError> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) if self.of_query => Ok(vec![text]),
            Some(value @ Value::Array(items)) => {
                let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
                texts.ok_or_else(|| self.wrong_type(name, value))
            }
            Some(other) => Err(self.wrong_type(name, other)),
        }
    }

    /// Returns a list of objects; an absent one is empty.
    pub(crate) fn objects(&self, name: &str) -> Result<Vec<Self>, MlflowError> {
        let value = match self.get(name) {
            None => return Ok(Vec::new()),
            Some(value) => value,
        };
        let Value::Array(items) = value else { return Err(self.wrong_type(name, value)) };
        let object = |(index, item): (usize, &Value)| match item {
            Value::Object(members) => {
                let path = format!("{}{name}[{index}].", self.path);
                Ok(Self { members: members.clone(), of_query: false, path })
            }
            other => Err(self.wrong_type(&format!("{name}[{index}]"), other)),
        };
        items.iter().enumerate().map(object).collect()
    }

    /// Returns an object; `None` if it is absent.
    pub(crate) fn object(&self, name: &str) -> Result<Option<Self>, MlflowError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(members)) => {
                let path = format!("{}{name}.", self.path);
                Ok(Some(Self { members: members.clone(), of_query: false, path }))
            }
            Some(other) => Err(self.wrong_type(name, other)),
        }
    }

    /// Returns a list of `{key, value}`, such as tags.
    pub(crate) fn pairs(&self, name: &str) -> Result<Vec<(String, String)>, MlflowError> {
        let pair =
            |entry: &Self| Ok((entry.required("key")?.to_owned(), entry.text("value")?.unwrap_or_default().to_owned()));
        self.objects(name)?.iter().map(pair).collect()
    }

    /// Returns the identifier of a run: `run_id`, or its name of old clients.
    pub(crate) fn run_id(&self) -> Result<&str, MlflowError> {
        match self.filled("run_id")? {
            Some(run_id) => Ok(run_id),
            None => self.filled("run_uuid")?.ok_or_else(|| self.missing("run_id")),
        }
    }

    pub(crate) fn missing(&self, name: &str) -> MlflowError {
        MlflowError::invalid(format!("Missing value for required parameter '{}{name}'.{SEE}", self.path))
    }

    /// Returns a member, however it is spelled; null is as absent.
    fn get(&self, name: &str) -> Option<&Value> {
        let found = self.members.get(name).or_else(|| self.members.get(&lower_camel_case(name)));
        found.filter(|value| !value.is_null())
    }

    /// Returns a member; of a repeated one of a query, the first.
    fn one(&self, name: &str) -> Option<&Value> {
        match self.get(name) {
            Some(Value::Array(values)) if self.of_query => values.first(),
            found => found,
        }
    }

    fn wrong_type(&self, name: &str, value: &Value) -> MlflowError {
        let mut text = value.to_string();
        if text.len() > 200 {
            let end = text.floor_char_boundary(200);
            text.truncate(end);
            text.push_str("...");
        }
        MlflowError::invalid(format!(
            "Invalid value {text} for parameter '{}{name}' supplied:  Hint: Value was of type '{}'.{SEE}",
            self.path,
            type_name(value)
        ))
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9.0e18)?;
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
            Some(float as i64)
        }),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Returns the name of a value's type in Python, as MLflow's messages have it.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

fn lower_camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut raise = false;
    for character in name.chars() {
        if character == '_' {
            raise = true;
        } else {
            camel.push(if raise { character.to_ascii_uppercase() } else { character });
            raise = false;
        }
    }
    camel
}

/// Decodes `+` and `%` of a query.
fn decoded(text: &str) -> String {
    String::from_utf8_lossy(&percent_decoded(text.replace('+', " ").as_bytes())).into_owned()
}

/// Decodes `%` with two hex digits; others stay as they are.
pub(crate) fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        if *first == b'%'
            && let (Some(high), Some(low)) = (digit(0), digit(1))
        {
            decoded.push((high * 16 + low) as u8);
            rest = &after[2..];
        } else {
            decoded.push(*first);
            rest = after;
        }
    }
    decoded
}

/// Returns the number of an experiment.
pub(crate) fn number_of_experiment(text: &str) -> Result<i64, MlflowError> {
    text.parse().map_err(|_| {
        let shown = Untrusted::new(text).cut(100);
        MlflowError::invalid(format!("Invalid experiment ID '{shown}'. Experiment ID must be a valid integer."))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Fields {
        Fields::of_body(text.as_bytes()).expect("an object")
    }

    #[test]
    fn a_query_has_texts_of_which_a_repeated_one_is_a_list() {
        let query = Fields::of_query("run_id=a%2Fb&x=1&x=2&empty=&flag=True&name=a+b%zz&&lone");
        assert_eq!(query.text("run_id").expect("a text"), Some("a/b"));
        assert_eq!(query.texts("x").expect("texts"), ["1", "2"]);
        assert_eq!(query.texts("run_id").expect("texts"), ["a/b"]);
        assert_eq!(query.integer("x").expect("an integer"), Some(1));
        assert_eq!((query.text("empty").expect("a text"), query.filled("empty").expect("a text")), (Some(""), None));
        assert_eq!(query.boolean("flag").expect("a boolean"), Some(true));
        assert_eq!(query.text("name").expect("a text"), Some("a b%zz"));
        assert_eq!(query.text("lone").expect("a text"), Some(""));
    }

    #[test]
    fn numbers_are_read_as_protocol_buffers_read_them() {
        let fields =
            body(r#"{"a": 3, "b": "4", "c": 5.0, "d": 5.5, "e": "NaN", "f": "-Infinity", "g": 1e300, "h": true}"#);
        let integers = ["a", "b", "c"].map(|name| fields.integer(name).expect("an integer"));
        assert_eq!(integers, [Some(3), Some(4), Some(5)]);
        for wrong in ["d", "e", "g", "h"] {
            assert!(fields.integer(wrong).is_err(), "{wrong}");
        }
        assert!(fields.float("e").expect("a number").expect("NaN").is_nan());
        assert_eq!(fields.float("f").expect("a number"), Some(f64::NEG_INFINITY));
        assert_eq!(fields.float("b").expect("a number"), Some(4.0));
        assert!(fields.float("h").is_err());
    }

    #[test]
    fn members_may_be_in_camel_case_and_unknown_ones_are_ignored() {
        let fields = body(r#"{"experimentIds": ["1"], "other": {}, "maxResults": null}"#);
        assert_eq!(fields.texts("experiment_ids").expect("texts"), ["1"]);
        assert_eq!(fields.integer("max_results").expect("absent"), None);
    }

    #[test]
    fn messages_are_those_of_mlflow() {
        let fields = body(r#"{"name": 123, "metrics": [{"key": "a"}, {}], "tags": [1]}"#);
        let message = |error: MlflowError| error.message;
        assert_eq!(
            message(fields.required("key").expect_err("missing")),
            "Missing value for required parameter 'key'. See the API docs for more information about request parameters."
        );
        assert_eq!(
            message(fields.text("name").expect_err("a number")),
            "Invalid value 123 for parameter 'name' supplied:  Hint: Value was of type 'int'. See the API docs for \
             more information about request parameters."
        );
        let second = &fields.objects("metrics").expect("objects")[1];
        assert!(message(second.required("key").expect_err("missing")).contains("'metrics[1].key'"));
        assert!(message(fields.pairs("tags").expect_err("a number")).contains("'tags[0]'"));
        let long = body(&format!(r#"{{"name": ["{}"]}}"#, "ä".repeat(1000)));
        assert!(message(long.text("name").expect_err("a list")).len() < 500);
    }

    #[test]
    fn a_body_is_an_object_or_nothing_or_a_text_of_an_object() {
        assert!(body(" \n").members.is_empty());
        assert!(body("null").members.is_empty());
        assert_eq!(body(r#""{\"name\": \"a\"}""#).text("name").expect("a text"), Some("a"));
        for wrong in ["[]", "1", "{", "{\"a\": NaN}", "\u{fffd}"] {
            let error = Fields::of_body(wrong.as_bytes()).expect_err(wrong);
            assert_eq!(error.code, ErrorCode::MalformedRequest);
        }
    }

    #[test]
    fn choices_come_by_name_or_number() {
        let choices = [("ACTIVE_ONLY", 1, 'a'), ("ALL", 3, 'b')];
        let fields = body(r#"{"a": "ALL", "b": 3, "c": "3", "d": "NONE", "e": 2}"#);
        for right in ["a", "b", "c"] {
            assert_eq!(fields.choice(right, &choices).expect("a choice"), Some('b'));
        }
        assert!(fields.choice("d", &choices).is_err() && fields.choice("e", &choices).is_err());
    }
}
