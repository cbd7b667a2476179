//! Finds the dialect of a CSV file in its first rows.
//!
//! What is found is written down and said, so that a person may correct it; a reader never guesses.
//! Where two readings fit, none is taken, and the doubt is said.

use serde::{Deserialize, Serialize};
use stagewright_text::Untrusted;

use crate::cell::{parse_float64, parse_timestamp};
use crate::dialect::{Dialect, Encoding, Quote, Style};
use crate::error::shown;
use crate::source::csv_records::Records;
use crate::source::{CsvOptions, FileFormat, SourceUri, recognise};

/// The bytes in which the dialect is looked for.
pub(super) const HEAD_BYTES: usize = 256 << 10;
/// The most rows that are looked at.
const MAX_ROWS: usize = 1000;
/// Delimiters that are tried beside the default.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Formats of dates that are tried. Those of one row look alike.
const DATES: [&[&str]; 8] = [
    &["%d.%m.%Y"],
    &["%d.%m.%Y %H:%M:%S"],
    &["%d.%m.%Y %H:%M"],
    &["%d/%m/%Y", "%m/%d/%Y"],
    &["%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S"],
    &["%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"],
    &["%d-%m-%Y", "%m-%d-%Y"],
    &["%Y/%m/%d"],
];
/// The most doubts, and the bytes of one.
const MOST_DOUBTS: usize = 16;
const DOUBT: usize = 1 << 10;

/// The dialect that the first rows of a file show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundDialect {
    /// The options that deviate from plain CSV.
    pub options: CsvOptions,
    /// The doubts, as sentences. Untrusted text in them is escaped.
    pub doubts: Vec<String>,
}

impl FoundDialect {
    /// Checks what another process found.
    ///
    /// # Errors
    /// The part that does not fit.
    pub(super) fn checked(mut self) -> Result<Self, &'static str> {
        let CsvOptions { delimiter, header, compression, dialect } = &self.options;
        let is_known = delimiter.is_none_or(|delimiter| DELIMITERS.contains(&delimiter));
        let words = dialect.null_words.len() + dialect.true_words.len() + dialect.false_words.len();
        let are_known =
            dialect.date_formats.iter().all(|format| DATES.iter().any(|alike| alike.contains(&format.as_str())));
        let is_told =
            header.is_some() || compression.is_some() || words > 0 || dialect.date_formats.len() > DATES.len();
        if !is_known || !are_known || is_told || dialect.check(delimiter.unwrap_or(b',')).is_err() {
            return Err("a dialect that is never found");
        }
        // The marks are text that goes into an address.
        let mut told = Dialect { date_formats: Vec::new(), ..dialect.clone() };
        let marks =
            [("decimal", told.decimal.take()), ("thousands", told.thousands.take()), ("comment", told.comment.take())];
        if marks.into_iter().any(|(option, mark)| mark.is_some_and(|mark| told.set(option, &mark.to_string()).is_err()))
        {
            return Err("a dialect with marks that are none");
        }
        self.doubts.truncate(MOST_DOUBTS);
        self.doubts.iter_mut().for_each(|doubt| *doubt = Untrusted::new(doubt).cut(DOUBT).to_string());
        Ok(self)
    }
}

/// Returns the dialect of a file of this name that begins with these bytes. `is_whole` says that
/// they are all.
pub(super) fn find(path: &std::path::Path, head: &[u8], is_whole: bool) -> FoundDialect {
    let mut found = FoundDialect::default();
    let text = found.text(head);
    // The last line may be cut.
    let text = match text.rfind('\n') {
        Some(last) if !is_whole => &text[..=last],
        _ => &text,
    };
    let default = SourceUri::delimiter_by_ending(path);
    let Some(rows) = found.rows(text, default) else { return found };
    found.numbers(&rows);
    found.dates(&rows);
    found.header(&rows);
    found
}

impl FoundDialect {
    fn doubt(&mut self, doubt: impl Into<String>) {
        if self.doubts.len() < MOST_DOUBTS {
            self.doubts.push(doubt.into());
        }
    }

    /// Finds the encoding, and returns the text.
    fn text(&mut self, head: &[u8]) -> String {
        let bytes = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
        let of_utf16 = |encoding: &'static encoding_rs::Encoding| encoding.decode(head).0.into_owned();
        match recognise(head) {
            // The byte order mark tells it to the reader, too.
            Some(FileFormat::Encoding("UTF-16")) if head.starts_with(b"\xff\xfe") => {
                return of_utf16(encoding_rs::UTF_16LE);
            }
            Some(FileFormat::Encoding("UTF-16")) => return of_utf16(encoding_rs::UTF_16BE),
            Some(FileFormat::Encoding("UTF-16LE")) => {
                self.options.dialect.encoding = Some(Encoding::Utf16Le);
                return of_utf16(encoding_rs::UTF_16LE);
            }
            Some(FileFormat::Encoding("UTF-16BE")) => {
                self.options.dialect.encoding = Some(Encoding::Utf16Be);
                return of_utf16(encoding_rs::UTF_16BE);
            }
            // Its reader says what it is.
            Some(_) => return String::new(),
            None => {}
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            // A letter at the end may be cut.
            Err(error) if error.error_len().is_none() => {
                String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned()
            }
            Err(error) => {
                self.options.dialect.encoding = Some(Encoding::Windows1252);
                let text = encoding_rs::WINDOWS_1252.decode(bytes).0.into_owned();
                let near = text.lines().find(|line| !line.is_ascii()).unwrap_or_default();
                let word = near.split([',', ';', '\t', '|']).find(|word| !word.is_ascii()).unwrap_or(near);
                self.doubt(format!(
                    "the text is not UTF-8, from byte {} on, and is read as windows-1252: is `{}` right?",
                    error.valid_up_to(),
                    shown(&word.chars().take(40).collect::<String>())
                ));
                text
            }
        }
    }

    /// Finds delimiter, quote and comments, and returns the rows; `None` if none fits.
    fn rows(&mut self, text: &str, default: u8) -> Option<Vec<Vec<String>>> {
        let has_comment = text.lines().find(|line| !line.trim().is_empty()).is_some_and(|line| line.starts_with('#'));
        let comments = if has_comment { vec![Some(b'#'), None] } else { vec![None] };
        for quote in [b'"', b'\''] {
            for comment in &comments {
                let read = |delimiter: u8| rows(text, delimiter, quote, *comment).map(|rows| (delimiter, rows));
                let fit: Vec<(u8, Vec<Vec<String>>)> = DELIMITERS.into_iter().filter_map(read).collect();
                let widest = fit.iter().map(|(_, rows)| rows[0].len()).max().unwrap_or(0);
                let own = fit.iter().position(|(delimiter, _)| *delimiter == default);
                let Some(best) = own.or_else(|| fit.iter().position(|(_, rows)| rows[0].len() == widest)) else {
                    continue;
                };
                let others: Vec<String> =
                    fit.iter().filter(|(other, _)| *other != fit[best].0).map(|(other, _)| name(*other)).collect();
                let (delimiter, rows) = fit.into_iter().nth(best)?;
                if !others.is_empty() {
                    let others = others.join(", ");
                    self.doubt(format!(
                        "cells are parted by {}; {others} would give as many in each line, too",
                        name(delimiter)
                    ));
                }
                self.options.delimiter = Some(delimiter).filter(|delimiter| *delimiter != default);
                self.options.dialect.quote = Some(Quote::Character(quote)).filter(|_| quote != b'"');
                if comment.is_some() {
                    self.options.dialect.comment = Some('#');
                    self.doubt("lines that begin with # are taken for comments");
                }
                return Some(rows);
            }
        }
        // A single column, or lines of different lengths: the reader says what is wrong.
        rows_of(text, default, b'"', None)
    }

    /// Finds the marks in numbers.
    fn numbers(&mut self, rows: &[Vec<String>]) {
        let (mut commas, mut points, mut unclear) = (Vec::new(), Vec::new(), Vec::new());
        let (mut grouped_by_point, mut grouped_by_comma) = (false, false);
        for (column, name) in rows[0].iter().enumerate() {
            let cells: Vec<&str> = values(rows, column).collect();
            let style = |decimal: char, thousands: char| {
                let marks = Dialect { decimal: Some(decimal), thousands: Some(thousands), ..Dialect::default() };
                Style::of(&marks).is_some_and(|style| are_numbers(&style, &cells))
            };
            let has = |mark: char| cells.iter().any(|cell| cell.contains(mark));
            if cells.is_empty() || !(has(',') || has('.')) {
                continue;
            }
            match (style(',', '.'), style('.', ',')) {
                (true, true) => unclear.push(name.as_str()),
                (true, false) => {
                    grouped_by_point |= has('.');
                    if has(',') { commas.push(name.as_str()) } else { unclear.push(name.as_str()) }
                }
                (false, true) => {
                    grouped_by_comma |= has(',');
                    points.push(name.as_str());
                }
                (false, false) => {}
            }
        }
        // Cells such as `1.234` alone are decimal numbers of three digits, as everywhere.
        unclear.retain(|name| values_of(rows, name).any(|cell| cell.contains(',')));
        let dialect = &mut self.options.dialect;
        match (commas.first(), points.first()) {
            (Some(_), None) => {
                dialect.decimal = Some(',');
                dialect.thousands = grouped_by_point.then_some('.');
            }
            (None, Some(_)) => dialect.thousands = grouped_by_comma.then_some(','),
            (Some(comma), Some(point)) => {
                let (comma, point) = (shown(comma), shown(point));
                self.doubt(format!(
                    "numbers have a decimal comma in `{comma}` and a point in `{point}`: the commas are kept as text"
                ));
            }
            (None, None) => {
                if let Some(name) = unclear.first() {
                    let name = shown(name);
                    self.doubt(format!(
                        "numbers of `{name}` may have a decimal comma (`decimal=,`) or parted thousands (`thousands=,`): they are kept as text"
                    ));
                }
            }
        }
    }

    /// Finds formats of dates.
    fn dates(&mut self, rows: &[Vec<String>]) {
        for (column, name) in rows[0].iter().enumerate() {
            let cells: Vec<&str> = values(rows, column).collect();
            if cells.is_empty() || cells.iter().all(|cell| parse_timestamp(cell).is_ok()) {
                continue;
            }
            for alike in DATES {
                let fits = |format: &&&str| {
                    let dialect = Dialect { date_formats: vec![(***format).to_owned()], ..Dialect::default() };
                    Style::of(&dialect)
                        .is_some_and(|style| cells.iter().all(|cell| matches!(style.time(cell), Ok(Some(_)))))
                };
                let fitting: Vec<&&str> = alike.iter().filter(fits).collect();
                match fitting[..] {
                    [format] if !self.options.dialect.date_formats.iter().any(|known| known == *format) => {
                        self.options.dialect.date_formats.push((*format).to_owned());
                    }
                    [one, other] => self.doubt(format!(
                        "dates of `{}` may be {one} or {other}: they are kept as text unless `date-formats` says which",
                        shown(name)
                    )),
                    _ => {}
                }
            }
        }
        // Two readings of one notation in one file would contradict each other.
        let formats = &mut self.options.dialect.date_formats;
        let clash =
            DATES.iter().find(|alike| formats.iter().filter(|format| alike.contains(&format.as_str())).count() > 1);
        if let Some(alike) = clash {
            formats.retain(|format| !alike.contains(&format.as_str()));
            self.doubt(format!(
                "dates are {} in one column and {} in another: they are kept as text",
                alike[0], alike[1]
            ));
        }
    }

    /// Says whether the first line may be a row.
    fn header(&mut self, rows: &[Vec<String>]) {
        let is_number = |cell: &str| parse_float64(cell).is_ok();
        let looks = rows[0]
            .iter()
            .enumerate()
            .any(|(column, cell)| is_number(cell) && rows.len() > 1 && values(rows, column).all(is_number));
        if looks {
            self.doubt("the first line may be a row and no header (`header=false`): it has numbers above numbers");
        }
    }
}

fn name(delimiter: u8) -> String {
    if delimiter == b'\t' { "tabs".to_owned() } else { format!("`{}`", char::from(delimiter)) }
}

/// Returns the rows of a text, if all have the same number of cells, and more than one.
fn rows(text: &str, delimiter: u8, quote: u8, comment: Option<u8>) -> Option<Vec<Vec<String>>> {
    let rows = rows_of(text, delimiter, quote, comment)?;
    let columns = rows[0].len();
    // Quotes of another kind would be part of the cells.
    let other = if quote == b'"' { '\'' } else { '"' };
    let is_quoted = |cell: &String| cell.len() > 1 && cell.starts_with(other) && cell.ends_with(other);
    let are_quoted = rows.iter().all(|row| row.iter().any(is_quoted)) && quote == b'"';
    (columns > 1 && !are_quoted && rows.iter().all(|row| row.len() == columns)).then_some(rows)
}

fn rows_of(text: &str, delimiter: u8, quote: u8, comment: Option<u8>) -> Option<Vec<Vec<String>>> {
    let mut records = Records::new(text.as_bytes(), delimiter).with_quote(Some(quote)).with_comment(comment);
    let mut rows = Vec::new();
    while rows.len() < MAX_ROWS {
        match records.next() {
            Ok(Some(record)) => rows.push(record.to_strings()),
            Ok(None) => break,
            Err(_) => return None,
        }
    }
    (!rows.is_empty()).then_some(rows)
}

/// Returns the cells of a column that are not blank, without the header's.
fn values(rows: &[Vec<String>], column: usize) -> impl Iterator<Item = &str> {
    let cells = rows.iter().skip(1).filter_map(move |row| row.get(column)).map(|cell| cell.trim());
    cells.filter(|cell| !super::missing_markers::is_marker(cell))
}

fn values_of<'r>(rows: &'r [Vec<String>], name: &str) -> impl Iterator<Item = &'r str> {
    let column = rows[0].iter().position(|known| known == name).unwrap_or(0);
    values(rows, column)
}

fn are_numbers(style: &Style, cells: &[&str]) -> bool {
    let mut room = String::new();
    cells.iter().all(|cell| style.number(cell, &mut room).is_some())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use proptest::prelude::*;

    fn found(text: &str) -> (String, Vec<String>) {
        let found = find(Path::new("t.csv"), text.as_bytes(), true);
        let uri = SourceUri::Csv { path: "t.csv".into(), options: found.options.clone() };
        assert_eq!(found.clone().checked().unwrap(), found);
        (uri.to_string(), found.doubts)
    }

    #[test]
    fn a_dialect_is_found_where_only_one_fits() {
        for (text, address) in [
            ("a,b\n1,2\n", "csv:t.csv"),
            ("a,b\n1.5,2\n", "csv:t.csv"),
            ("a;b\n1;2\n3;4\n", "csv:t.csv?delimiter=;"),
            ("a\tb\n1\t2\n", "csv:t.csv?delimiter=tab"),
            ("a|b\n1|2\n", "csv:t.csv?delimiter=|"),
            ("a;b\n1,5;2\n3,25;4\n", "csv:t.csv?delimiter=;&decimal=,"),
            ("a;b\n1.234,5;2\n3,25;4\n", "csv:t.csv?delimiter=;&decimal=,&thousands=."),
            ("a,b\n\"1,234.5\",2\n\"3,000\",4\n", "csv:t.csv?thousands=,"),
            ("a,b\n\"1,5\",2\n", "csv:t.csv?decimal=,"),
            ("a,b\n'x,y',2\n'z',4\n", "csv:t.csv?quote='"),
            ("a;b\n31.12.2024;2\n1.1.2025;3\n", "csv:t.csv?delimiter=;&date-formats=%d.%m.%Y"),
            ("a,b\n12/31/2024,2\n1/1/2025,3\n", "csv:t.csv?date-formats=%m/%d/%Y"),
            ("a,b\n31/12/2024,2\n1/1/2025,3\n", "csv:t.csv?date-formats=%d/%m/%Y"),
            ("a\n1\n", "csv:t.csv"),
            ("", "csv:t.csv"),
        ] {
            assert_eq!(found(text).0, address, "{text}");
        }
    }

    #[test]
    fn what_two_readings_fit_is_a_doubt() {
        for (text, address, doubt) in [
            ("a;b\n1,234;2\n3,456;4\n", "csv:t.csv?delimiter=;", "numbers of `a` may have a decimal comma"),
            ("a;b\n1,5;2.5\n3,25;4.5\n", "csv:t.csv?delimiter=;", "a decimal comma in `a` and a point in `b`"),
            ("a,b\n1/2/2024,2\n3/4/2025,3\n", "csv:t.csv", "dates of `a` may be %d/%m/%Y or %m/%d/%Y"),
            ("a,b\n1,2\n3,4\n# end,x\n", "csv:t.csv", ""),
            ("#made by hand\na,b\n1,2\n", "csv:t.csv?comment=#", "lines that begin with # are taken for comments"),
            ("1,2\n3,4\n", "csv:t.csv", "the first line may be a row and no header"),
            ("a;b,c\n1;2,3\n", "csv:t.csv", "`;` would give as many in each line, too"),
        ] {
            let (found, doubts) = found(text);
            assert_eq!(found, address, "{text}");
            assert!(doubt.is_empty() || doubts.iter().any(|said| said.contains(doubt)), "{text}: {doubts:?}");
        }
    }

    #[test]
    fn an_encoding_is_found_and_doubted() {
        let found = find(Path::new("t.csv"), b"name;n\nM\xfcller;1\nMeier;2\n", true);
        assert_eq!(found.options.dialect.encoding, Some(Encoding::Windows1252));
        assert_eq!(found.options.delimiter, Some(b';'));
        assert!(found.doubts[0].contains("is `Müller` right?"), "{:?}", found.doubts);
        let utf16: Vec<u8> = "a;b\n1;2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let unmarked = find(Path::new("t.csv"), &utf16, true).options;
        assert_eq!((unmarked.dialect.encoding, unmarked.delimiter), (Some(Encoding::Utf16Le), Some(b';')));
        let cut = find(Path::new("t.csv"), &"a;b\né;é".as_bytes()[..7], false);
        assert_eq!(cut.options.dialect.encoding, None);
    }

    proptest! {
        // invariant: What is found of any bytes is a dialect that an address can tell.
        #[test]
        fn any_bytes_have_a_dialect_or_none(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[a1,;.'\"#\t|\n/é ]{0,200}") {
            for head in [&bytes[..], text.as_bytes()] {
                let found = find(Path::new("t.csv"), head, false);
                let uri = SourceUri::Csv { path: "t.csv".into(), options: found.options.clone() };
                prop_assert_eq!(uri.to_string().parse::<SourceUri>().unwrap(), uri);
                prop_assert!(found.checked().is_ok());
            }
        }
    }
}
