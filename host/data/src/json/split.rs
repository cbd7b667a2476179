//! A second reader of JSON, for tests: slower than [`Scanner`](super::scanner::Scanner), and plain.
//!
//! `serde_json` validates the text and parses single strings. Everything else is found by brackets
//! and quotes, which suffices in valid JSON.

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
