//! Splits text into lines, each of bounded length.
//!
//! Lines end with LF or CRLF. Lines without anything but spaces are skipped and counted. A UTF-8
//! byte order mark at the start is dropped.

use std::io::Read;

use super::file_format::HEAD_BYTES;

/// The most bytes that are read at once, unless a line is longer.
const READ_BYTES: usize = 256 << 10;

/// The longest line, as the longest record of CSV.
const MAX_LINE_BYTES: usize = 64 << 20;

/// UTF-8's byte order mark.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// The reason for which there is no next line.
#[derive(Debug)]
pub(super) enum LineError {
    Io(std::io::Error),
    /// The line is longer than `MAX_LINE_BYTES`.
    TooLong {
        line: u64,
    },
    NotUtf8 {
        line: u64,
    },
}

/// A line, without its end.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) text: &'a str,
    /// From 1.
    pub(super) number: u64,
}

/// Reads lines.
#[derive(Debug)]
pub(super) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    /// The unconsumed bytes are `buffer[start..end]`.
    start: usize,
    end: usize,
    /// So many of them hold no line break.
    searched: usize,
    is_at_end: bool,
    /// The number of the last line.
    line: u64,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), start: 0, end: 0, searched: 0, is_at_end: false, line: 0 }
    }

    /// Returns the first bytes of the input, at most a few hundred, without consuming them. Call it
    /// before reading the first line.
    pub(super) fn head(&mut self) -> Result<&[u8], LineError> {
        while self.end < MARK.len() && !self.is_at_end {
            self.fill()?;
        }
        if self.buffer[..self.end].starts_with(MARK) {
            self.start = MARK.len();
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + HEAD_BYTES)])
    }

    /// Returns the next line that is not blank; `None` at the end of the input.
    pub(super) fn next(&mut self) -> Result<Option<Line<'_>>, LineError> {
        loop {
            let Some(length) = self.line_length()? else { return Ok(None) };
            self.line += 1;
            let (from, to) = (self.start, self.start + length);
            // The line break is consumed too, if there is one.
            self.start = (to + 1).min(self.end);
            self.searched = 0;
            if !self.buffer[from..to].iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')) {
                let number = self.line;
                let text = std::str::from_utf8(&self.buffer[from..to]);
                return text.map(|text| Some(Line { text, number })).map_err(|_| LineError::NotUtf8 { line: number });
            }
        }
    }

    /// Returns the length of the line that begins here; `None` at the end.
    fn line_length(&mut self) -> Result<Option<usize>, LineError> {
        loop {
            let rest = &self.buffer[self.start + self.searched..self.end];
            if let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.searched + at));
            }
            self.searched += rest.len();
            if self.is_at_end {
                return Ok((self.searched > 0).then_some(self.searched));
            }
            if self.searched > MAX_LINE_BYTES {
                return Err(LineError::TooLong { line: self.line + 1 });
            }
            self.fill()?;
        }
    }

    /// Reads more bytes behind the unconsumed ones.
    fn fill(&mut self) -> Result<(), LineError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        // At least doubles the buffer, so that a long line is moved a logarithmic number of times.
        let room = self.end.max(READ_BYTES);
        self.buffer.resize(self.buffer.len().max(self.end + room), 0);
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.is_at_end = count == 0;
                    self.end += count;
                    return Ok(());
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(LineError::Io(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns a few bytes at a time, so that lines straddle reads.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn all(text: &[u8], at_once: usize) -> Result<Vec<(u64, String)>, LineError> {
        let mut lines = Lines::new(Drip(text, at_once));
        lines.head()?;
        let mut found = Vec::new();
        while let Some(line) = lines.next()? {
            found.push((line.number, line.text.trim_end_matches('\r').to_owned()));
        }
        Ok(found)
    }

    #[test]
    fn blank_lines_are_skipped_and_counted() {
        let found = all("\u{feff}a\r\n\n \t\nb\n\nc".as_bytes(), 2).unwrap();
        assert_eq!(found, [(1, "a".to_owned()), (4, "b".to_owned()), (6, "c".to_owned())]);
        assert_eq!(all(b"", 1).unwrap(), []);
    }

    #[test]
    fn a_line_without_an_end_is_refused_before_it_takes_all_memory() {
        let error = Lines::new(std::io::repeat(b'x')).next().unwrap_err();
        assert!(matches!(error, LineError::TooLong { line: 1 }));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_found_on_their_line() {
        assert!(matches!(all(b"{}\n\xff\n", 1), Err(LineError::NotUtf8 { line: 2 })));
    }

    proptest! {
        #[test]
        fn lines_are_those_of_the_standard_library(text in "[a \n\r\té]{0,60}", at_once in 1_usize..9) {
            let expected: Vec<(u64, String)> = (1..).zip(text.split('\n'))
                .filter(|(_, line)| !line.trim_matches([' ', '\t', '\r']).is_empty())
                .map(|(number, line)| (number, line.trim_end_matches('\r').to_owned()))
                .collect();
            prop_assert_eq!(all(text.as_bytes(), at_once).unwrap(), expected);
        }
    }
}
