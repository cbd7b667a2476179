//! Splits JSON text into values without parsing them, so that numbers keep their digits.
//!
//! `serde_json` parses `2.9999999999999999999` as a double, which is 3. Here it validates the text
//! and parses single strings. Everything else is found by brackets and quotes, which suffices in
//! valid JSON.

use std::collections::HashMap;

use serde::de::IgnoredAny;
use serde_json::Deserializer;

use crate::error::{DataError, DataFault};

/// Returns the rows of a text: its top-level values, with the elements of arrays one by one.
///
/// # Errors
/// [`DataError::Fault`] if it is not JSON.
pub(crate) fn rows(text: &str) -> Result<Vec<&str>, DataError> {
    for value in Deserializer::from_str(text).into_iter::<IgnoredAny>() {
        value.map_err(|error| DataFault::new(format!("the text is not JSON: {error}")))?;
    }
    let mut rows = Vec::new();
    let mut at = skip_space(text, 0);
    while at < text.len() {
        let end = value_end(text, at);
        let value = &text[at..end];
        match value.as_bytes()[0] {
            b'[' => rows.extend(elements(value)),
            _ => rows.push(value),
        }
        at = skip_space(text, end);
    }
    Ok(rows)
}

/// Returns the members of an object as written; `None` if the value is not an object. The last of
/// several members with the same name wins.
///
/// # Errors
/// A name that is not valid text, such as half of a surrogate pair.
pub(crate) fn members(value: &str) -> Result<Option<HashMap<String, &str>>, serde_json::Error> {
    if !value.starts_with('{') {
        return Ok(None);
    }
    let mut members = HashMap::new();
    let mut at = skip_space(value, 1);
    while value.as_bytes()[at] != b'}' {
        let end = value_end(value, at);
        let name: String = serde_json::from_str(&value[at..end])?;
        at = skip_space(value, skip_space(value, end) + 1);
        let end = value_end(value, at);
        members.insert(name, &value[at..end]);
        at = after_comma(value, end);
    }
    Ok(Some(members))
}

fn elements(value: &str) -> Vec<&str> {
    let mut elements = Vec::new();
    let mut at = skip_space(value, 1);
    while value.as_bytes()[at] != b']' {
        let end = value_end(value, at);
        elements.push(&value[at..end]);
        at = after_comma(value, end);
    }
    elements
}

fn skip_space(text: &str, at: usize) -> usize {
    at + text.as_bytes()[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count()
}

/// Returns the position of the next element, or of the closing bracket.
fn after_comma(text: &str, at: usize) -> usize {
    let at = skip_space(text, at);
    if text.as_bytes()[at] == b',' { skip_space(text, at + 1) } else { at }
}

/// Returns the end of the value that begins at `at`.
fn value_end(text: &str, at: usize) -> usize {
    let bytes = text.as_bytes();
    match bytes[at] {
        b'"' => string_end(bytes, at),
        b'{' | b'[' => {
            let (mut depth, mut at) = (0_usize, at);
            loop {
                match bytes[at] {
                    b'"' => {
                        at = string_end(bytes, at);
                        continue;
                    }
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                at += 1;
                if depth == 0 {
                    return at;
                }
            }
        }
        // At the top level, `"a"1` and `1[2]` are two values each.
        _ => at + bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count(),
    }
}

fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn numbers_keep_their_digits() {
        let rows = rows("[{\"a\": 2.9999999999999999999 , \"b\":[1,{\"c\":\"}\\\"\"}]}]\n{\"a\":1e400}").unwrap();
        let first = members(rows[0]).unwrap().unwrap();
        assert_eq!((first["a"], first["b"]), ("2.9999999999999999999", "[1,{\"c\":\"}\\\"\"}]"));
        assert_eq!(members(rows[1]).unwrap().unwrap()["a"], "1e400");
        assert_eq!(members("[1]").unwrap(), None);
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a\"\\\\{}\\[\\],: é\n]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a\"\\\\}é]{0,3}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn values_are_split_as_a_parser_does(values in prop::collection::vec(json(), 0..4), pretty: bool) {
            let write = |value: &Value| if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
            let text = values.iter().map(|value| write(value).unwrap()).collect::<Vec<_>>().join(" ");
            let expected: Vec<Value> = values.into_iter().flat_map(|value| match value {
                Value::Array(values) => values,
                value => vec![value],
            }).collect();
            let found: Vec<Value> = rows(&text).unwrap().iter().map(|row| serde_json::from_str(row).unwrap()).collect();
            prop_assert_eq!(&found, &expected);
            for (row, value) in rows(&text).unwrap().iter().zip(expected) {
                let members = members(row).unwrap();
                prop_assert_eq!(members.is_some(), value.is_object());
                for (name, raw) in members.into_iter().flatten() {
                    prop_assert_eq!(&serde_json::from_str::<Value>(raw).unwrap(), &value[&name]);
                }
            }
        }

        #[test]
        fn any_text_ends_in_rows_or_an_error(text in "[\\[\\]{}:,\"\\\\ae1.+ -]{0,40}") {
            if let Ok(rows) = rows(&text) {
                for row in rows {
                    let _ = members(row);
                }
            }
        }
    }
}
