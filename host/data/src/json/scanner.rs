//! Finds the values of a JSON text without parsing numbers, so that they keep their digits.
//!
//! `serde_json` parses `2.9999999999999999999` as a double, which is 3. [`Scanner`] finds values in
//! one pass, by the grammar, and returns each as written ([`Raw`]). It accepts what `serde_json`
//! accepts, except arrays and objects nested deeper than [`MAX_DEPTH`]. Single strings are parsed
//! by `serde_json`; [`value`](super::value) makes cells of values.

use std::borrow::Cow;

/// How deep arrays and objects may be nested in each other.
pub(super) const MAX_DEPTH: u32 = 128;

/// The text is not JSON. [`super::document`] finds the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotJson;

/// The kind of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Boolean(bool),
    /// A number without fraction and exponent.
    Integer,
    /// Any other number.
    Decimal,
    /// A string without escapes.
    Plain,
    /// A string with escapes.
    Escaped,
    Array,
    Object,
}

/// A value as written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<'a> {
    pub(crate) text: &'a str,
    pub(crate) kind: Kind,
}

impl<'a> Raw<'a> {
    /// Returns the text of a string.
    ///
    /// # Errors
    /// If it is not a string, or has half of a surrogate pair.
    #[inline]
    pub(crate) fn string(self) -> Result<Cow<'a, str>, serde_json::Error> {
        match self.kind {
            Kind::Plain => Ok(Cow::Borrowed(self.inner())),
            _ => serde_json::from_str(self.text).map(Cow::Owned),
        }
    }

    /// Returns the text between the quotes.
    #[inline]
    pub(super) fn inner(self) -> &'a str {
        &self.text[1..self.text.len() - 1]
    }
}

/// Reads the values of a text from its begin to its end.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Skips spaces and returns the first byte behind them; `None` at the end.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    /// Reads a value at the top level, where values need no separator if their ends are clear.
    pub(crate) fn top_value(&mut self) -> Result<Raw<'a>, NotJson> {
        let value = self.value()?;
        let next = self.text.as_bytes().get(self.at);
        let is_open = matches!(value.kind, Kind::Null | Kind::Boolean(_) | Kind::Integer | Kind::Decimal);
        let ends = |byte: &u8| b" \n\r\t\"[]{},:".contains(byte);
        if is_open && next.is_some_and(|byte| !ends(byte)) { Err(NotJson) } else { Ok(value) }
    }

    /// Reads a value.
    #[inline]
    pub(crate) fn value(&mut self) -> Result<Raw<'a>, NotJson> {
        let first = self.peek().ok_or(NotJson)?;
        let start = self.at;
        let kind = match first {
            b'{' => self.nested().map(|()| Kind::Object),
            b'[' => self.nested().map(|()| Kind::Array),
            _ => self.scalar(first),
        }?;
        Ok(Raw { text: &self.text[start..self.at], kind })
    }

    /// Reads the members of the object that begins here; `take` gets name and value.
    #[inline]
    pub(crate) fn members(&mut self, mut take: impl FnMut(Raw<'a>, Raw<'a>)) -> Result<(), NotJson> {
        self.at += 1;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let name = self.name()?;
            take(name, self.value()?);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(NotJson),
            }
        }
    }

    /// Reads the elements of the array that begins here; `read` reads one of them.
    #[inline]
    pub(crate) fn elements<E: From<NotJson>>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        self.at += 1;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            read(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(NotJson.into()),
            }
        }
    }

    /// Reads the name of a member, and the colon.
    #[inline]
    fn name(&mut self) -> Result<Raw<'a>, NotJson> {
        if self.peek() != Some(b'"') {
            return Err(NotJson);
        }
        let start = self.at;
        let kind = self.string()?;
        let name = Raw { text: &self.text[start..self.at], kind };
        if self.peek() != Some(b':') {
            return Err(NotJson);
        }
        self.at += 1;
        Ok(name)
    }

    #[inline]
    fn scalar(&mut self, first: u8) -> Result<Kind, NotJson> {
        match first {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b'n' => self.word("null").map(|()| Kind::Null),
            b't' => self.word("true").map(|()| Kind::Boolean(true)),
            b'f' => self.word("false").map(|()| Kind::Boolean(false)),
            _ => Err(NotJson),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), NotJson> {
        let is_there = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += word.len();
        if is_there { Ok(()) } else { Err(NotJson) }
    }

    #[inline]
    fn string(&mut self) -> Result<Kind, NotJson> {
        let bytes = self.text.as_bytes();
        let mut kind = Kind::Plain;
        let mut at = self.at + 1;
        loop {
            at = plain_end(bytes, at);
            match bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(kind);
                }
                Some(b'\\') => {
                    kind = Kind::Escaped;
                    at = escape_end(bytes, at).ok_or(NotJson)?;
                }
                _ => return Err(NotJson),
            }
        }
    }

    #[inline]
    fn number(&mut self) -> Result<Kind, NotJson> {
        let bytes = self.text.as_bytes();
        let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
        let digits = |mut at: usize| {
            while byte(at).is_ascii_digit() {
                at += 1;
            }
            at
        };
        let mut kind = Kind::Integer;
        let start = self.at + usize::from(byte(self.at) == b'-');
        let mut at = digits(start);
        if at == start || (byte(start) == b'0' && at > start + 1) {
            return Err(NotJson);
        }
        if byte(at) == b'.' {
            kind = Kind::Decimal;
            let start = at + 1;
            at = digits(start);
            if at == start {
                return Err(NotJson);
            }
        }
        if matches!(byte(at), b'e' | b'E') {
            kind = Kind::Decimal;
            let start = at + 1 + usize::from(matches!(byte(at + 1), b'+' | b'-'));
            at = digits(start);
            if at == start {
                return Err(NotJson);
            }
        }
        self.at = at;
        Ok(kind)
    }

    /// Reads the array or object that begins here.
    fn nested(&mut self) -> Result<(), NotJson> {
        // A bit for each container that is open, the innermost lowest: 1 for an object.
        let (mut open, mut depth) = (0_u128, 0);
        loop {
            match self.peek().ok_or(NotJson)? {
                bracket @ (b'[' | b'{') => {
                    if depth == MAX_DEPTH {
                        return Err(NotJson);
                    }
                    depth += 1;
                    open = (open << 1) | u128::from(bracket == b'{');
                    self.at += 1;
                    match (bracket, self.peek()) {
                        (b'[', Some(b']')) | (b'{', Some(b'}')) => {}
                        (b'[', _) => continue,
                        _ => {
                            self.name()?;
                            continue;
                        }
                    }
                }
                first => {
                    self.scalar(first)?;
                    if self.next_in(open & 1 == 1)? {
                        continue;
                    }
                }
            }
            // Here a bracket closes, and then perhaps the next.
            loop {
                self.at += 1;
                open >>= 1;
                depth -= 1;
                if depth == 0 {
                    return Ok(());
                }
                if self.next_in(open & 1 == 1)? {
                    break;
                }
            }
        }
    }

    /// Goes on to the next value of an object or array. Returns `false` at its closing bracket.
    #[inline]
    fn next_in(&mut self, is_object: bool) -> Result<bool, NotJson> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                if is_object {
                    self.name()?;
                }
                Ok(true)
            }
            Some(b'}') if is_object => Ok(false),
            Some(b']') if !is_object => Ok(false),
            _ => Err(NotJson),
        }
    }
}

/// Returns the position of the first byte that does not simply belong to a string: a quote, a
/// backslash or a control character; the text's length if there is none.
#[inline]
pub(super) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let stops = stops(u64::from_le_bytes(*word));
        if stops != 0 {
            return at + (stops.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|&byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        at += 1;
    }
    at
}

/// Returns a word whose lowest set bit lies in the first byte that ends plain text; 0 if none does.
///
/// The test for a zero byte is that of Mycroft (1987); it may find more than there are, but only
/// above the first.
#[inline]
fn stops(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero(word ^ u64::from_le_bytes([b'"'; 8]));
    let backslash = zero(word ^ u64::from_le_bytes([b'\\'; 8]));
    let control = word.wrapping_sub(u64::from_le_bytes([b' '; 8])) & !word;
    (quote | backslash | control) & HIGH
}

/// Returns the position behind the escape that begins at `at`; `None` if it is none.
pub(super) fn escape_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at + 1)? {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
        b'u' => bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit).then_some(at + 6),
        _ => None,
    }
}
