//! The query of a URL, and forms, which are written in the same way.

use std::fmt::Write as _;

/// Names and values, in their order. A name may be repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

/// The most pairs that are read; further ones are ignored.
const MOST: usize = 5_000;

impl Query {
    /// Reads `application/x-www-form-urlencoded`. Bytes that are no text come out as `U+FFFD`.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).take(MOST);
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(pairs.map(|(name, value)| (decoded(name), decoded(value))).collect())
    }

    /// Returns the first value of a name, if it is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(of, _)| of == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Returns all values of a name that are not empty.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(of, value)| of == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// Returns whether the name is there, with whatever value.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(of, _)| of == name)
    }

    /// Returns the same query with one value of a name, in place of those that it had; an empty one
    /// is left out.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut query = self.without(name);
        if !value.is_empty() {
            query.add(name, value);
        }
        query
    }

    /// Returns the same query without a name.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        Self(self.0.iter().filter(|(of, _)| of != name).cloned().collect())
    }

    /// Adds a value of a name.
    pub fn add(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// Returns the names and values.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns a link to a path with this query.
    pub fn link(&self, path: &str) -> String {
        let mut link = path.to_owned();
        for (place, (name, value)) in self.0.iter().enumerate() {
            link.push(if place == 0 { '?' } else { '&' });
            encode(&mut link, name);
            link.push('=');
            encode(&mut link, value);
        }
        link
    }
}

/// Returns a text as a part of a path or a query.
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    encode(&mut encoded, text);
    encoded
}

/// Returns a path of several parts for a URL: each part is encoded, slashes stay.
pub(crate) fn encoded_path(path: &str) -> String {
    path.split('/').map(encoded).collect::<Vec<_>>().join("/")
}

fn encode(into: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => into.push(char::from(byte)),
            // Writing to a `String` cannot fail.
            other => drop(write!(into, "%{other:02X}")),
        }
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(hex_digit(*high) << 4 | hex_digit(*low));
                rest = after;
            }
            (other, _) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the value of a hex digit.
fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        other => (other | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linked_is_read_again() {
        let mut query = Query::default();
        for (name, value) in [("filter", "metrics.`a b` > 0.5 & x=1"), ("run", "%41+\"<é日"), ("run", "a/../b?#")] {
            query.add(name, value);
        }
        let link = query.link("/runs");
        let (path, text) = link.split_once('?').expect("a query");
        assert_eq!(path, "/runs");
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~%&=".contains(&byte)), "{text}");
        assert_eq!(Query::parse(text), query);
    }

    #[test]
    fn odd_texts_are_read_as_far_as_they_can_be() {
        let query = Query::parse("a=1&b&&c=%zz%4&d=%ff&a=2&e=x+y");
        assert_eq!(query.get("a"), Some("1"));
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert!(query.has("b") && query.get("b").is_none());
        assert_eq!(query.get("c"), Some("%zz%4"));
        assert_eq!(query.get("d"), Some("\u{fffd}"));
        assert_eq!(query.get("e"), Some("x y"));
        assert_eq!(query.with("a", "3").all("a").collect::<Vec<_>>(), ["3"]);
    }
}
