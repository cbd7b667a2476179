//! Splits text into records and cells: CSV as in RFC 4180, and common deviations from it.
//!
//! Cells are separated by one ASCII character. Records end with LF, CRLF or CR. A cell that begins
//! with `"` ends with the next single `"` and may contain anything, with `""` for a quote. A `"`
//! elsewhere is an ordinary character. Empty lines are skipped. A UTF-8 byte order mark at the
//! start is dropped.
//!
//! Why not the `csv` crate: it takes the end of the file as the end of a quoted cell, so that a
//! truncated file passes, and it copies every cell. Here, cells are slices of the read buffer. A
//! property test compares the two.

use std::io::Read;
use std::ops::Range;

use super::file_format::HEAD_BYTES;

/// The most bytes that are read at once, unless a record is longer.
const READ_BYTES: usize = 256 << 10;
/// The longest record. A longer one is probably an unclosed quote; 10,000 columns of 1 KiB fit.
const MAX_RECORD_BYTES: usize = 64 << 20;

/// The most cells of a record: four times the columns of a table. An empty cell takes one byte of
/// the file and at least 24 in memory.
pub(super) const MAX_CELLS: usize = 1 << 18;

/// The number that stands for no quote.
const NO_QUOTE: u16 = 256;

/// The reason for which there is no next record.
#[derive(Debug)]
pub(crate) enum RecordError {
    Io(std::io::Error),
    /// The quote that opens on this line is never closed.
    Unclosed {
        line: u64,
    },
    /// A closing quote is followed by something other than a delimiter.
    AfterQuote {
        line: u64,
    },
    /// The record that begins on this line has more than [`MAX_CELLS`] cells.
    TooMany {
        /// The line, from 1.
        line: u64,
    },
    /// The record that begins on this line is longer than `MAX_RECORD_BYTES`.
    TooLong {
        line: u64,
    },
    /// Cell `cell` (from 0) of the record that begins on this line is not UTF-8.
    NotUtf8 {
        line: u64,
        cell: usize,
    },
}

/// The place of a cell's text.
#[derive(Debug)]
struct Span {
    range: Range<usize>,
    /// Whether the range lies in the scratch text, in which `""` has become `"`.
    is_unescaped: bool,
}

/// A record of cells.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    text: &'a str,
    unescaped: &'a str,
    cells: &'a [Span],
    /// The line, from 1, on which the record begins.
    pub(crate) line: u64,
}

impl Record<'_> {
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    #[inline]
    pub(crate) fn cell(&self, index: usize) -> &str {
        let Span { range, is_unescaped } = &self.cells[index];
        let text = if *is_unescaped { self.unescaped } else { self.text };
        &text[range.clone()]
    }

    pub(crate) fn to_strings(&self) -> Vec<String> {
        (0..self.len()).map(|index| self.cell(index).to_owned()).collect()
    }
}

/// Reads records.
#[derive(Debug)]
pub(crate) struct Records<R> {
    input: R,
    buffer: Vec<u8>,
    /// The unconsumed bytes are `buffer[start..end]`.
    start: usize,
    end: usize,
    is_at_end: bool,
    /// Bytes and lines of the last returned record. They are consumed when the next one is read.
    last: (usize, u64),
    line: u64,
    delimiter: u8,
    /// The byte around quoted cells; a number beyond bytes for none.
    quote: u16,
    /// The quote twice, which is one within a quoted cell.
    doubled: String,
    /// The byte that begins a line which is no record.
    comment: Option<u8>,
    /// Whether a byte may end an unquoted cell.
    stops: [bool; 256],
    cells: Vec<Span>,
    unescaped: String,
    /// Bytes that are read at once.
    read_bytes: usize,
}

/// The result of scanning the buffer.
enum Scan {
    /// A record of this many bytes and lines, its end included.
    Record {
        bytes: usize,
        lines: u64,
    },
    /// The buffer ends before the record does.
    NeedMore,
    Failed(RecordError),
}

impl<R: Read> Records<R> {
    pub(crate) fn new(input: R, delimiter: u8) -> Self {
        let mut stops = [false; 256];
        for byte in [delimiter, b'\n', b'\r'] {
            stops[usize::from(byte)] = true;
        }
        Self {
            input,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            is_at_end: false,
            last: (0, 0),
            line: 1,
            delimiter,
            quote: u16::from(b'"'),
            doubled: "\"\"".to_owned(),
            comment: None,
            stops,
            cells: Vec::new(),
            unescaped: String::new(),
            read_bytes: READ_BYTES,
        }
    }

    /// Takes another quote, or none.
    pub(crate) fn with_quote(self, quote: Option<u8>) -> Self {
        let doubled = quote.map(|quote| String::from(char::from(quote)).repeat(2)).unwrap_or_default();
        Self { quote: quote.map_or(NO_QUOTE, u16::from), doubled, ..self }
    }

    /// Skips lines that begin with a byte.
    pub(crate) fn with_comment(self, comment: Option<u8>) -> Self {
        Self { comment, ..self }
    }

    /// Reads no more at once than a text of this length needs, its end included.
    pub(crate) fn of_length(self, bytes: usize) -> Self {
        Self { read_bytes: READ_BYTES.min(bytes.saturating_add(1)), ..self }
    }

    /// Returns the next record; `None` at the end of the input.
    pub(crate) fn next(&mut self) -> Result<Option<Record<'_>>, RecordError> {
        loop {
            self.start += self.last.0;
            self.line += self.last.1;
            self.last = (0, 0);
            if self.comment.is_some() && !self.skip_comments()? {
                return Ok(None);
            }
            match self.scan() {
                Scan::Record { bytes, lines } => {
                    self.last = (bytes, lines);
                    if !self.is_blank() {
                        break;
                    }
                }
                Scan::NeedMore if self.is_at_end => return Ok(None),
                Scan::NeedMore => self.fill()?,
                Scan::Failed(error) => return Err(error),
            }
        }
        self.record().map(Some)
    }

    /// Consumes the comment lines that begin here. Returns whether the input goes on.
    fn skip_comments(&mut self) -> Result<bool, RecordError> {
        loop {
            let bytes = &self.buffer[self.start..self.end];
            match bytes.first() {
                None if self.is_at_end => return Ok(false),
                None => {}
                Some(first) if Some(*first) != self.comment => return Ok(true),
                Some(_) => match bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
                    // A LF may follow.
                    Some(at) if bytes[at] == b'\r' && at + 1 == bytes.len() && !self.is_at_end => {}
                    Some(at) => {
                        let is_crlf = bytes[at] == b'\r' && bytes.get(at + 1) == Some(&b'\n');
                        self.start += at + 1 + usize::from(is_crlf);
                        self.line += 1;
                        continue;
                    }
                    None if self.is_at_end => return Ok(false),
                    None => {}
                },
            }
            self.fill()?;
        }
    }

    /// Returns the first bytes of the input, at most a few hundred, without consuming them. Call it
    /// before reading the first record.
    pub(crate) fn head(&mut self) -> Result<&[u8], RecordError> {
        if self.end == 0 && !self.is_at_end {
            self.fill()?;
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + HEAD_BYTES)])
    }

    /// Makes the last returned record the next one again.
    pub(crate) fn put_back(&mut self) {
        self.last = (0, 0);
    }

    /// Returns whether the scanned record is an empty line.
    fn is_blank(&self) -> bool {
        matches!(&self.cells[..], [Span { range, .. }] if range.is_empty())
            && u16::from(self.buffer[self.start]) != self.quote
    }

    fn record(&mut self) -> Result<Record<'_>, RecordError> {
        let bytes = &self.buffer[self.start..self.start + self.last.0];
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let position = error.valid_up_to();
            let cell = self.cells.iter().position(|span| position < span.range.end).unwrap_or(self.cells.len() - 1);
            RecordError::NotUtf8 { line: self.line, cell }
        })?;
        self.unescaped.clear();
        for span in self.cells.iter_mut().filter(|span| span.is_unescaped) {
            let from = self.unescaped.len();
            let mut halves = text[span.range.clone()].split(&self.doubled);
            self.unescaped.push_str(halves.next().unwrap_or_default());
            for half in halves {
                self.unescaped.push_str(&self.doubled[1..]);
                self.unescaped.push_str(half);
            }
            span.range = from..self.unescaped.len();
        }
        Ok(Record { text, unescaped: &self.unescaped, cells: &self.cells, line: self.line })
    }

    /// Scans one record from `start` on.
    fn scan(&mut self) -> Scan {
        let bytes = &self.buffer[self.start..self.end];
        self.cells.clear();
        if bytes.is_empty() {
            return Scan::NeedMore;
        }
        let mut position = 0;
        let mut lines = 0;
        loop {
            if self.cells.len() >= MAX_CELLS {
                return Scan::Failed(RecordError::TooMany { line: self.line });
            }
            let quoted = bytes.get(position).is_some_and(|byte| u16::from(*byte) == self.quote);
            let from = position;
            if quoted {
                match quoted_cell(&bytes[position + 1..], bytes[position]) {
                    Some((length, is_unescaped)) => {
                        let range = position + 1..position + 1 + length;
                        let breaks = bytes[range.clone()].iter().filter(|&&byte| byte == b'\n').count() as u64;
                        position = range.end + 1;
                        self.cells.push(Span { range, is_unescaped });
                        if bytes.get(position).is_some_and(|&byte| !self.stops[usize::from(byte)]) {
                            return Scan::Failed(RecordError::AfterQuote { line: self.line + lines + breaks });
                        }
                        lines += breaks;
                    }
                    None if self.is_at_end => return Scan::Failed(RecordError::Unclosed { line: self.line + lines }),
                    None => return Scan::NeedMore,
                }
            } else {
                let length = bytes[position..].iter().position(|&byte| self.stops[usize::from(byte)]);
                position = length.map_or(bytes.len(), |length| position + length);
                self.cells.push(Span { range: from..position, is_unescaped: false });
            }
            // At the end of the buffer it is unknown whether a LF follows a CR, or a quote another
            // one.
            match (bytes.get(position), bytes.get(position + 1)) {
                (Some(&byte), _) if byte == self.delimiter => position += 1,
                (Some(b'\n'), _) => return Scan::Record { bytes: position + 1, lines: lines + 1 },
                (Some(_), Some(b'\n')) => return Scan::Record { bytes: position + 2, lines: lines + 1 },
                (Some(_), None) if !self.is_at_end => return Scan::NeedMore,
                (Some(_), _) => return Scan::Record { bytes: position + 1, lines: lines + 1 },
                (None, _) if !self.is_at_end => return Scan::NeedMore,
                (None, _) => return Scan::Record { bytes: position, lines: lines + 1 },
            }
        }
    }

    /// Reads more bytes behind the unconsumed ones. A text that comes slowly is not waited for once
    /// a line of it has come.
    fn fill(&mut self) -> Result<(), RecordError> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end > MAX_RECORD_BYTES {
            return Err(RecordError::TooLong { line: self.line });
        }
        // At least doubles the buffer, so that a long record is scanned a logarithmic number of
        // times.
        let room = self.end.max(self.read_bytes);
        self.buffer.resize(self.buffer.len().max(self.end + room), 0);
        let (is_first, before) = (self.line == 1 && self.end == 0, self.end);
        let mut has_line = false;
        // Of a long record, too, at least as much is read as was there.
        while self.end < self.buffer.len() && !(has_line && self.end >= 2 * before) {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    self.is_at_end = true;
                    break;
                }
                Ok(count) => {
                    let new = &self.buffer[self.end..self.end + count];
                    has_line = has_line || new.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
                    self.end += count;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(RecordError::Io(error)),
            }
        }
        if is_first && self.buffer[..self.end].starts_with(b"\xef\xbb\xbf") {
            self.start = 3;
        }
        Ok(())
    }
}

/// Returns the length of a quoted cell, from behind its opening quote to its closing one, and
/// whether it contains `""`. A closing quote at the very end of `bytes` counts: the caller sees
/// that nothing follows and reads more.
fn quoted_cell(bytes: &[u8], quote: u8) -> Option<(usize, bool)> {
    let mut position = 0;
    let mut is_escaped = false;
    loop {
        position += bytes[position..].iter().position(|&byte| byte == quote)?;
        if bytes.get(position + 1) != Some(&quote) {
            return Some((position, is_escaped));
        }
        is_escaped = true;
        position += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns a few bytes at a time, so that records straddle reads.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn all(text: &[u8]) -> Result<Vec<(u64, Vec<String>)>, RecordError> {
        let mut records = Records::new(Drip(text, 3), b',');
        let mut found = Vec::new();
        while let Some(record) = records.next()? {
            found.push((record.line, record.to_strings()));
        }
        Ok(found)
    }

    fn row(line: u64, cells: &[&str]) -> (u64, Vec<String>) {
        (line, cells.iter().map(|cell| (*cell).to_owned()).collect())
    }

    #[test]
    fn a_record_that_has_come_is_not_kept_back() {
        /// Fails the test when it is asked for more than what has come.
        struct Open<'a>(&'a [u8]);
        impl Read for Open<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                assert!(!self.0.is_empty(), "nobody waits for a text that has not come");
                self.0.read(buffer)
            }
        }
        let mut records = Records::new(Open(b"a,b\n1,2\n3,4\n5"), b',');
        for expected in [["a", "b"], ["1", "2"], ["3", "4"]] {
            assert_eq!(records.next().unwrap().unwrap().to_strings(), expected);
        }
    }

    #[test]
    fn records_end_with_any_line_break_and_with_the_file() {
        let found = all(b"\xef\xbb\xbfa,b\r\n1,2\n\n3,\r4,5").unwrap();
        assert_eq!(found, [row(1, &["a", "b"]), row(2, &["1", "2"]), row(4, &["3", ""]), row(5, &["4", "5"])]);
    }

    #[test]
    fn a_quoted_cell_holds_anything() {
        let found = all(b"\"a,\r\nb\",\"say \"\"hi\"\"\",\"\"\nx,5\" pipe,\"\"\"\"\n").unwrap();
        assert_eq!(found, [row(1, &["a,\r\nb", "say \"hi\"", ""]), row(3, &["x", "5\" pipe", "\""])]);
    }

    #[test]
    fn another_quote_or_none_is_taken_and_comments_are_skipped() {
        let read = |text: &[u8], quote: Option<u8>| {
            let mut records = Records::new(Drip(text, 3), b',').with_quote(quote).with_comment(Some(b'#'));
            let mut found = Vec::new();
            while let Some(record) = records.next().unwrap() {
                found.push((record.line, record.to_strings()));
            }
            found
        };
        let text = b"# a,b\r\n#\n'a,''b',\"c\n#\n\n 1,#2\n'#\n',3\r#4";
        let quoted = [row(3, &["a,'b", "\"c"]), row(6, &[" 1", "#2"]), row(7, &["#\n", "3"])];
        assert_eq!(read(text, Some(b'\'')), quoted);
        assert_eq!(read(b"#x\n'a,\"b\n", None), [row(2, &["'a", "\"b"])]);
        assert_eq!(read(b"#", None), []);
    }

    #[test]
    fn a_quote_that_is_never_closed_is_an_error_with_its_line() {
        assert!(matches!(all(b"a,b\n1,2\n3,\"4\n5,6\n"), Err(RecordError::Unclosed { line: 3 })));
        assert!(matches!(all(b"a,b\n1,\"2"), Err(RecordError::Unclosed { line: 2 })));
    }

    #[test]
    fn text_behind_a_closing_quote_is_an_error_with_its_line() {
        assert!(matches!(all(b"a,b\n\"1\"x,2\n"), Err(RecordError::AfterQuote { line: 2 })));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_found_in_their_cell() {
        assert!(matches!(all(b"a,b\n1,caf\xe9\n"), Err(RecordError::NotUtf8 { line: 2, cell: 1 })));
        assert!(matches!(all(b"\xff\xfea,b\n"), Err(RecordError::NotUtf8 { line: 1, cell: 0 })));
    }

    #[test]
    fn a_record_longer_than_the_buffer_is_read_whole() {
        let cell = "x".repeat(3 * READ_BYTES);
        let text = format!("{cell},\"{cell}\"\n1,2\n");
        let mut records = Records::new(text.as_bytes(), b',');
        assert_eq!(records.next().unwrap().unwrap().cell(1).len(), cell.len());
        assert_eq!(records.next().unwrap().unwrap().to_strings(), ["1", "2"]);
        assert!(records.next().unwrap().is_none());
    }

    #[test]
    fn a_record_that_is_put_back_comes_again() {
        let mut records = Records::new(&b"1,2\n3,4\n"[..], b',');
        records.next().unwrap();
        records.put_back();
        assert_eq!(records.next().unwrap().unwrap().to_strings(), ["1", "2"]);
        assert_eq!(records.next().unwrap().unwrap().line, 2);
    }

    proptest! {
        #[test]
        fn what_the_csv_crate_writes_is_read_back(
            rows in prop::collection::vec(prop::collection::vec("[a,;\"\r\n é]{0,6}", 3), 0..20),
            crlf: bool,
        ) {
            let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
            let mut writer = csv::WriterBuilder::new().terminator(terminator).from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let text = writer.into_inner().unwrap();
            let found: Vec<Vec<String>> = all(&text).unwrap().into_iter().map(|(_, cells)| cells).collect();
            prop_assert_eq!(found, rows);
        }

        #[test]
        fn any_bytes_end_in_records_or_an_error(text in prop::collection::vec(prop::num::u8::ANY, 0..200)) {
            // It must return: a panic or an endless loop fails the test.
            let _ = all(&text);
        }
    }
}
