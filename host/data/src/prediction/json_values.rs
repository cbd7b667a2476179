//! Splits JSON text into values while it is read: the top-level values, with the elements of arrays
//! one by one.
//!
//! Each value is validated by `serde_json` and passed on as written, so that numbers keep their
//! digits. Brackets and quotes find its end, which suffices in valid JSON; what they find in other
//! text does not pass the validation.

use std::io::Read;
use std::path::Path;

use serde::de::IgnoredAny;

use crate::error::{DataError, DataFault};
use crate::interrupt::Interrupt;
use crate::source::recognise;

/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;

/// The longest value, as the longest record of CSV.
const MAX_VALUE_BYTES: usize = 64 << 20;

/// Where the reader is in the top-level array, if it is in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Outside,
    Begun,
    AfterValue,
    AfterComma,
}

/// The place of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// At the top level.
    Top,
    /// In an array at the top level.
    Element,
}

/// Reads values.
pub(super) struct JsonValues<'i, R> {
    input: R,
    interrupt: &'i Interrupt,
    /// The name of the text in errors.
    name: String,
    buffer: Vec<u8>,
    /// The first byte of the buffer that was not consumed.
    at: usize,
    is_at_end: bool,
    list: List,
    place: TextPlace,
}

/// A place in the text.
#[derive(Clone, Copy, Debug)]
struct TextPlace {
    /// The bytes before it.
    bytes: u64,
    /// The line, from 1.
    line: usize,
    /// The bytes before it in its line.
    column: usize,
}

impl TextPlace {
    fn pass(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.line += bytes.iter().filter(|byte| **byte == b'\n').count();
        match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(last) => self.column = bytes.len() - last - 1,
            None => self.column += bytes.len(),
        }
    }

    fn fault(&self, problem: &str) -> DataFault {
        // The byte that is the problem counts.
        DataFault::new(format!("the text is not JSON: {problem} at line {} column {}", self.line, self.column + 1))
    }

    /// Returns the fault of a value that begins here. The error counts from the value's beginning.
    fn fault_of_value(&self, error: &serde_json::Error) -> DataFault {
        let text = error.to_string();
        let own = format!(" at line {} column {}", error.line(), error.column());
        let problem = text.strip_suffix(&own).unwrap_or(&text);
        let line = self.line + error.line().saturating_sub(1);
        let column = if error.line() <= 1 { self.column + error.column() } else { error.column() };
        DataFault::new(format!("the text is not JSON: {problem} at line {line} column {column}"))
    }
}

impl<'i, R: Read> JsonValues<'i, R> {
    /// Reads the beginning of the text.
    pub(super) fn new(input: R, name: &str, interrupt: &'i Interrupt) -> Result<Self, DataError> {
        let mut values = Self {
            input,
            interrupt,
            name: name.to_owned(),
            buffer: Vec::new(),
            at: 0,
            is_at_end: false,
            list: List::Outside,
            place: TextPlace { bytes: 0, line: 1, column: 0 },
        };
        while values.buffer.len() < MARK.len() && values.read()? {}
        if let Some(found) = recognise(&values.buffer) {
            return Err(found.error(Path::new(name)));
        }
        if values.buffer.starts_with(MARK) {
            values.at = MARK.len();
            values.place.bytes = MARK.len() as u64;
        }
        Ok(values)
    }

    /// Returns the next value as written, and where it is; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(&str, Position)>, DataError> {
        loop {
            let byte = self.first_byte()?;
            match (self.list, byte) {
                (List::Outside, None) => return Ok(None),
                (List::Outside, Some(b'[')) => self.enter(List::Begun),
                (List::Begun | List::AfterValue, Some(b']')) => self.enter(List::Outside),
                (List::AfterValue, Some(b',')) => self.enter(List::AfterComma),
                (List::AfterValue, Some(_)) => return Err(self.place.fault("expected `,` or `]`").into()),
                (List::AfterComma, Some(b']')) => return Err(self.place.fault("trailing comma").into()),
                (_, None) => return Err(self.place.fault("EOF while parsing a list").into()),
                (List::Outside, Some(_)) => return Ok(Some((self.value()?, Position::Top))),
                (_, Some(_)) => return Ok(Some((self.value()?, Position::Element))),
            }
        }
    }

    fn value(&mut self) -> Result<&str, DataError> {
        let length = self.value_length()?;
        if self.list != List::Outside {
            self.list = List::AfterValue;
        }
        let place = self.place;
        let (start, end) = (self.at, self.at + length);
        self.at = end;
        let value = &self.buffer[start..end];
        self.place.pass(value);
        let text = std::str::from_utf8(value).map_err(|error| {
            let first = place.bytes + error.valid_up_to() as u64;
            DataFault::new(format!("the text is not UTF-8, from byte {first} on"))
        })?;
        serde_json::from_str::<IgnoredAny>(text).map_err(|error| place.fault_of_value(&error))?;
        Ok(text)
    }

    /// Consumes a byte.
    fn enter(&mut self, list: List) {
        self.place.pass(&self.buffer[self.at..=self.at]);
        self.at += 1;
        self.list = list;
    }

    /// Consumes white space, and returns the byte behind it.
    fn first_byte(&mut self) -> Result<Option<u8>, DataError> {
        loop {
            let rest = &self.buffer[self.at..];
            let spaces = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
            self.place.pass(&rest[..spaces]);
            let found = rest.get(spaces).copied();
            self.at += spaces;
            if found.is_some() || !self.read()? {
                return Ok(found);
            }
        }
    }

    /// Returns the length of the value that begins here, at least 1. In text that is not JSON, it
    /// is any length.
    fn value_length(&mut self) -> Result<usize, DataError> {
        let mut scan = Scan::new(self.buffer[self.at]);
        let mut scanned = 1;
        loop {
            let rest = &self.buffer[self.at + scanned..];
            match rest.iter().position(|byte| scan.ends(*byte)) {
                Some(last) => return Ok(scanned + last + usize::from(scan.includes_last())),
                None => scanned += rest.len(),
            }
            if scanned > MAX_VALUE_BYTES {
                let place = format!("line {} column {}", self.place.line, self.place.column + 1);
                let hint = "a quote or a bracket may be missing";
                let message = format!("the value that begins at {place} is longer than 64 MiB\nhint: {hint}");
                return Err(DataFault::new(message).into());
            }
            if !self.read()? {
                return Ok(scanned);
            }
        }
    }

    /// Reads more of the text, and returns whether there was some.
    fn read(&mut self) -> Result<bool, DataError> {
        if self.is_at_end {
            return Ok(false);
        }
        // An input that never ends may have no rows.
        if self.interrupt.is_set() {
            return Err(DataError::Interrupted);
        }
        self.buffer.drain(..self.at);
        self.at = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + READ_BYTES, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[before..]) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let read = read.map_err(|error| DataError::unreadable(Path::new(&self.name), error, ""))?;
        self.buffer.truncate(before + read);
        self.is_at_end = read == 0;
        Ok(read > 0)
    }
}

/// UTF-8's byte order mark.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Finds the end of a value.
struct Scan {
    kind: Kind,
    depth: usize,
    in_string: bool,
    is_escaped: bool,
}

#[derive(PartialEq, Eq)]
enum Kind {
    /// An object, an array or a string.
    Enclosed,
    /// A number or a word.
    Plain,
    /// No value begins with this byte.
    Other,
}

impl Scan {
    fn new(first: u8) -> Self {
        let kind = match first {
            b'{' | b'[' | b'"' => Kind::Enclosed,
            _ if is_plain(first) => Kind::Plain,
            _ => Kind::Other,
        };
        Self { kind, depth: usize::from(first != b'"'), in_string: first == b'"', is_escaped: false }
    }

    /// Returns whether the value ends with this byte, or before it.
    #[inline]
    fn ends(&mut self, byte: u8) -> bool {
        match self.kind {
            Kind::Other => true,
            Kind::Plain => !is_plain(byte),
            Kind::Enclosed if self.in_string => {
                let closes = byte == b'"' && !self.is_escaped;
                self.is_escaped = byte == b'\\' && !self.is_escaped;
                self.in_string = !closes;
                closes && self.depth == 0
            }
            Kind::Enclosed => {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth -= 1,
                    _ => {}
                }
                self.depth == 0
            }
        }
    }

    fn includes_last(&self) -> bool {
        self.kind == Kind::Enclosed
    }
}

/// Returns whether numbers and words have this byte. At the top level, `"a"1` and `1[2]` are two
/// values each.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Gives a few bytes at a time.
    struct Slowly<'a>(&'a [u8], usize);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let bytes = self.1.min(self.0.len()).min(buffer.len());
            buffer[..bytes].copy_from_slice(&self.0[..bytes]);
            self.0 = &self.0[bytes..];
            Ok(bytes)
        }
    }

    fn values(text: &[u8], at_once: usize) -> Result<Vec<String>, String> {
        let never = Interrupt::never();
        let mut values = JsonValues::new(Slowly(text, at_once), "rows", &never).map_err(|error| error.to_string())?;
        let mut all = Vec::new();
        while let Some((value, _)) = values.next().map_err(|error| error.to_string())? {
            all.push(value.to_owned());
        }
        Ok(all)
    }

    #[test]
    fn values_come_as_written() {
        let text =
            "\u{feff}[{\"a\": 2.9999999999999999999 , \"b\":[1,{\"c\":\"}\\\"\"}]}, 7 ]\n{\"a\":1e400}\"x\"[]null";
        let expected =
            ["{\"a\": 2.9999999999999999999 , \"b\":[1,{\"c\":\"}\\\"\"}]}", "7", "{\"a\":1e400}", "\"x\"", "null"];
        for at_once in [1, 2, 7, 1000] {
            assert_eq!(values(text.as_bytes(), at_once).unwrap(), expected);
        }
        assert_eq!(values(b"", 1), Ok(Vec::new()));
        assert_eq!(values(b" [ ] ", 1), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_in_the_text() {
        for (text, message) in [
            ("{", "the text is not JSON: EOF while parsing an object at line 1 column 1"),
            ("[{}\n, {\"a\": tru}]", "the text is not JSON: expected ident at line 2 column 12"),
            ("[{}\n {}]", "the text is not JSON: expected `,` or `]` at line 2 column 2"),
            ("[{},]", "the text is not JSON: trailing comma at line 1 column 5"),
            ("[{}", "the text is not JSON: EOF while parsing a list at line 1 column 4"),
            ("{}]", "the text is not JSON: expected value at line 1 column 3"),
            ("{\"a\":\n\n 1]", "the text is not JSON: expected `,` or `}` at line 3 column 3"),
            ("\u{1f}\u{8b}", "the text is not JSON: expected value at line 1 column 1"),
        ] {
            for at_once in [1, 1000] {
                assert_eq!(values(text.as_bytes(), at_once), Err(message.to_owned()), "{text}");
            }
        }
        assert_eq!(values(b"{}[\"\xff\"]", 3), Err("the text is not UTF-8, from byte 4 on".to_owned()));
        assert!(values(b"\x1f\x8b\x08\0", 1).is_err_and(|error| error.contains("gzip")));
    }

    #[test]
    fn a_value_is_at_the_top_or_in_an_array() {
        let never = Interrupt::never();
        let mut values = JsonValues::new(&b"{} [{}, [1]] 7"[..], "rows", &never).unwrap();
        let mut positions = Vec::new();
        while let Some((_, position)) = values.next().unwrap() {
            positions.push(position);
        }
        assert_eq!(positions, [Position::Top, Position::Element, Position::Element, Position::Top]);
    }

    #[test]
    fn a_text_that_never_ends_and_has_no_value_is_interrupted() {
        for endless in ["[]", " ", "\n\n[ ]"] {
            let looks = std::sync::atomic::AtomicU32::new(0);
            let interrupt = Interrupt::when(move || looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 3);
            let mut values = JsonValues::new(Endless(endless.as_bytes(), 0), "rows", &interrupt).unwrap();
            assert!(matches!(values.next(), Err(DataError::Interrupted)), "{endless}");
        }
    }

    /// Repeats bytes.
    struct Endless<'a>(&'a [u8], usize);

    impl Read for Endless<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            for byte in buffer.iter_mut() {
                *byte = self.0[self.1 % self.0.len()];
                self.1 += 1;
            }
            Ok(buffer.len())
        }
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
        fn text_is_split_as_a_parser_does(all in prop::collection::vec(json(), 0..4), pretty: bool, at_once in 1_usize..9) {
            let write = |value: &Value| if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
            let text = all.iter().map(|value| write(value).unwrap()).collect::<Vec<_>>().join(" ");
            let expected: Vec<Value> = all.into_iter().flat_map(|value| match value {
                Value::Array(values) => values,
                value => vec![value],
            }).collect();
            let found = values(text.as_bytes(), at_once).unwrap();
            let found: Vec<Value> = found.iter().map(|value| serde_json::from_str(value).unwrap()).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_text_ends_in_values_or_an_error(text in "[\\[\\]{}:,\"\\\\ae1.+ -]{0,40}", at_once in 1_usize..9) {
            let parsed = serde_json::Deserializer::from_str(&text).into_iter::<IgnoredAny>().all(|value| value.is_ok());
            match values(text.as_bytes(), at_once) {
                Ok(values) => prop_assert!(values.iter().all(|value| serde_json::from_str::<IgnoredAny>(value).is_ok())),
                Err(error) => prop_assert!(!parsed, "{error}"),
            }
        }
    }
}
