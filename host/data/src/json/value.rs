//! Values as cells, or as texts to be passed on.
//!
//! Arrays and objects become texts without a tree of their parts. A tree takes up to ninety times
//! the bytes of the text that it is made of. The way here
//! takes a few times as many, and the text itself has a limit.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Number;

use crate::cell::Cell;
use crate::error::DataFault;
use crate::json::scanner::{Kind, NotJson, Raw, Scanner, escape_end, plain_end};

/// The most bytes of an array or object that is a value.
const MAX_NESTED_BYTES: usize = 64 << 10;

impl<'a> Raw<'a> {
    /// Calls `take` with the cell for the value.
    ///
    /// # Errors
    /// If a string has half of a surrogate pair, or a nested value is too long or no value of
    /// `serde_json`.
    #[inline]
    pub(crate) fn with_cell<T>(self, take: impl FnOnce(Cell<'_>) -> T) -> Result<T, Box<DataFault>> {
        let owned;
        let cell = match self.kind {
            Kind::Plain => Cell::Text(self.inner()),
            Kind::Null => Cell::Null,
            Kind::Boolean(value) => Cell::Boolean(value),
            // An integer has no negative zero.
            Kind::Integer if self.text == "-0" => Cell::Decimal(self.text),
            // Beyond int64, the type of the column decides about the digits.
            Kind::Integer => self.text.parse().map_or(Cell::Text(self.text), Cell::Integer),
            Kind::Decimal => Cell::Decimal(self.text),
            Kind::Escaped => {
                owned = serde_json::from_str::<String>(self.text).map_err(|error| not_json(&error))?;
                Cell::Text(&owned)
            }
            Kind::Array | Kind::Object => {
                owned = canonical(self)?;
                Cell::Text(&owned)
            }
        };
        Ok(take(cell))
    }

    /// Returns the value as it is written, to be passed on: a string as its text, an array or
    /// object without the spaces around its parts.
    ///
    /// # Errors
    /// As [`Raw::with_cell`].
    pub(crate) fn kept_text(self) -> Result<Cow<'a, str>, Box<DataFault>> {
        match self.kind {
            Kind::Plain | Kind::Escaped => self.string().map_err(|error| not_json(&error)),
            Kind::Array | Kind::Object => compact(self).map(Cow::Owned),
            Kind::Null | Kind::Boolean(_) | Kind::Integer | Kind::Decimal => Ok(Cow::Borrowed(self.text)),
        }
    }
}

impl From<NotJson> for Box<DataFault> {
    fn from(_: NotJson) -> Self {
        Box::new(DataFault::new("the text is not JSON"))
    }
}

/// Returns the fault of a text that is not JSON.
#[cold]
fn not_json(error: &serde_json::Error) -> Box<DataFault> {
    Box::new(DataFault::new(format!("the text is not JSON: {error}")))
}

/// Returns an array or object in the one form that all texts of the same value have: without
/// spaces, with members in the order of their names, of which the last of several counts, and with
/// numbers as doubles.
///
/// # Errors
/// It has more than [`MAX_NESTED_BYTES`], half of a surrogate pair, or a number beyond a double.
fn canonical(value: Raw<'_>) -> Result<String, Box<DataFault>> {
    check_length(value)?;
    let mut text = String::with_capacity(value.text.len());
    write_canonical(value, &mut text)?;
    Ok(text)
}

/// Returns an array or object as it is written, without the spaces around its parts.
///
/// # Errors
/// It has more than [`MAX_NESTED_BYTES`], or half of a surrogate pair.
fn compact(value: Raw<'_>) -> Result<String, Box<DataFault>> {
    check_length(value)?;
    let bytes = value.text.as_bytes();
    let mut text = String::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => at += 1,
            b'"' => {
                let end = string_end(bytes, at).ok_or(NotJson)?;
                let string = &value.text[at..end];
                if string.contains('\\') {
                    serde_json::from_str::<Cow<'_, str>>(string).map_err(|error| not_json(&error))?;
                }
                text.push_str(string);
                at = end;
            }
            _ => {
                let plain = bytes[at..].iter().take_while(|byte| !b" \n\r\t\"".contains(byte)).count();
                text.push_str(&value.text[at..at + plain]);
                at += plain;
            }
        }
    }
    Ok(text)
}

fn check_length(value: Raw<'_>) -> Result<(), Box<DataFault>> {
    let bytes = value.text.len();
    if bytes <= MAX_NESTED_BYTES {
        return Ok(());
    }
    let kind = if value.kind == Kind::Array { "array" } else { "object" };
    Err(Box::new(DataFault::new(format!(
        "the {kind} has {bytes} bytes, and one that is a value has at most {MAX_NESTED_BYTES}: shorten it, or send it as a text"
    ))))
}

/// Returns the position behind the string that begins at `at`.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        at = plain_end(bytes, at);
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at = escape_end(bytes, at)?,
            _ => return None,
        }
    }
}

/// The scanner has found the value, so it is not nested too deep.
fn write_canonical(value: Raw<'_>, text: &mut String) -> Result<(), Box<DataFault>> {
    match value.kind {
        Kind::Null | Kind::Boolean(_) | Kind::Plain => text.push_str(value.text),
        Kind::Escaped => push_string(&value.string().map_err(|error| not_json(&error))?, text)?,
        Kind::Integer | Kind::Decimal => {
            let number: Number = serde_json::from_str(value.text).map_err(|error| not_json(&error))?;
            text.push_str(&number.to_string());
        }
        Kind::Array => {
            text.push('[');
            let mut is_first = true;
            Scanner::new(value.text).elements(|scanner| {
                if !std::mem::take(&mut is_first) {
                    text.push(',');
                }
                write_canonical(scanner.value()?, text)
            })?;
            text.push(']');
        }
        Kind::Object => {
            let mut members = BTreeMap::new();
            let mut unreadable = None;
            Scanner::new(value.text).members(|name, value| match name.string() {
                Ok(name) => drop(members.insert(name, value)),
                Err(error) => unreadable = Some(error),
            })?;
            if let Some(error) = unreadable {
                return Err(not_json(&error));
            }
            text.push('{');
            for (place, (name, value)) in members.into_iter().enumerate() {
                if place > 0 {
                    text.push(',');
                }
                push_string(&name, text)?;
                text.push(':');
                write_canonical(value, text)?;
            }
            text.push('}');
        }
    }
    Ok(())
}

fn push_string(string: &str, text: &mut String) -> Result<(), Box<DataFault>> {
    text.push_str(&serde_json::to_string(string).map_err(|error| not_json(&error))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn raw(text: &str) -> Raw<'_> {
        Scanner::new(text).value().unwrap()
    }

    #[test]
    fn a_nested_value_is_compact_or_canonical() {
        for (text, as_written, one_form) in [
            ("[ 1.50 , [ null ] ]", "[1.50,[null]]", "[1.5,[null]]"),
            ("{ \"b\" : \"a \\\" b\",\n \"a\": {} }", "{\"b\":\"a \\\" b\",\"a\":{}}", "{\"a\":{},\"b\":\"a \\\" b\"}"),
            ("{\"a\":1,\"\\u0061\":2}", "{\"a\":1,\"\\u0061\":2}", "{\"a\":2}"),
            (
                "[-0, 1e3, 18446744073709551616]",
                "[-0,1e3,18446744073709551616]",
                "[-0.0,1000.0,1.8446744073709552e+19]",
            ),
            ("[\"\\u00e9 \\ud83d\\ude00\\n\"]", "[\"\\u00e9 \\ud83d\\ude00\\n\"]", "[\"é 😀\\n\"]"),
        ] {
            assert_eq!(compact(raw(text)).unwrap(), as_written, "{text}");
            assert_eq!(canonical(raw(text)).unwrap(), one_form, "{text}");
            assert_eq!(canonical(raw(text)).unwrap(), serde_json::from_str::<Value>(text).unwrap().to_string());
        }
        for text in ["[\"\\ud800\"]", "{\"\\ud800\":1}"] {
            assert!(compact(raw(text)).unwrap_err().message.contains("unexpected end of hex escape"), "{text}");
            assert!(canonical(raw(text)).unwrap_err().message.contains("unexpected end of hex escape"), "{text}");
        }
        assert!(canonical(raw("[1e999]")).unwrap_err().message.contains("number out of range"));
    }

    #[test]
    fn a_nested_value_has_a_limit() {
        let longest = format!("[{}0]", "0,".repeat(MAX_NESTED_BYTES / 2 - 2));
        assert_eq!(canonical(raw(&longest)).unwrap().len(), MAX_NESTED_BYTES - 1);
        let longer = format!("{{\"a\": {longest}}}");
        let message =
            "the object has 65542 bytes, and one that is a value has at most 65536: shorten it, or send it as a text";
        assert_eq!(canonical(raw(&longer)).unwrap_err().message, message);
        assert_eq!(compact(raw(&longer)).unwrap_err().message, message);
    }
}
