//! Recognises the format of a file by its first bytes, where it is not the expected one.
//!
//! A reader of text would report an archive as "not UTF-8", and a reader of Parquet would report a
//! CSV file as damaged. This module recognises common encodings and formats instead, and says how
//! to convert them.

use std::path::Path;

use crate::error::DataError;

/// The name of a pipe's input.
pub const STANDARD_INPUT: &str = "standard input";
/// The bytes that suffice to recognise a file.
pub(crate) const HEAD_BYTES: usize = 512;

/// An unexpected format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileFormat {
    /// Text in the encoding with this `iconv` name.
    Encoding(&'static str),
    /// Compressed: the format's name, its file ending, and the command that unpacks it.
    Compressed(&'static str, &'static str, &'static str),
    /// A ZIP archive, such as a workbook.
    Zip,
    Parquet,
    Arrow,
    Sqlite,
}

/// Recognises a file by its first bytes; `None` if it is UTF-8 text or unknown.
pub(crate) fn recognise(head: &[u8]) -> Option<FileFormat> {
    const MAGIC: [(&[u8], FileFormat); 13] = [
        (b"PAR1", FileFormat::Parquet),
        (b"PARE", FileFormat::Parquet),
        (b"ARROW1", FileFormat::Arrow),
        (b"SQLite format 3\0", FileFormat::Sqlite),
        (b"\x1f\x8b", FileFormat::Compressed("gzip", ".gz", "gzip -dc")),
        (b"BZh", FileFormat::Compressed("bzip2", ".bz2", "bzip2 -dc")),
        (b"\xfd7zXZ\0", FileFormat::Compressed("xz", ".xz", "xz -dc")),
        (b"\x28\xb5\x2f\xfd", FileFormat::Compressed("Zstandard", ".zst", "zstd -dc")),
        (b"PK\x03\x04", FileFormat::Zip),
        (b"\xff\xfe\0\0", FileFormat::Encoding("UTF-32")),
        (b"\0\0\xfe\xff", FileFormat::Encoding("UTF-32")),
        (b"\xff\xfe", FileFormat::Encoding("UTF-16")),
        (b"\xfe\xff", FileFormat::Encoding("UTF-16")),
    ];
    let known = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, found)| *found);
    known.or_else(|| utf16_without_mark(head).map(FileFormat::Encoding))
}

/// In UTF-16 every other byte of most texts is zero. In UTF-8 none is.
fn utf16_without_mark(head: &[u8]) -> Option<&'static str> {
    let head = &head[..head.len().min(HEAD_BYTES)];
    let zeros = |first: usize| head.iter().skip(first).step_by(2).filter(|byte| **byte == 0).count();
    let (even, odd, enough) = (zeros(0), zeros(1), head.len() / 4);
    match () {
        () if head.len() < 4 => None,
        () if odd >= enough && even < odd / 4 => Some("UTF-16LE"),
        () if even >= enough && odd < even / 4 => Some("UTF-16BE"),
        () => None,
    }
}

impl FileFormat {
    /// Returns the error for a file of this format, with what to do about it.
    pub(crate) fn error(self, path: &Path) -> DataError {
        let name = path.display().to_string();
        let is_piped = name == STANDARD_INPUT;
        let quoted = quoted(&name);
        let beside = |ending: &str| {
            let stem = name.strip_suffix(ending).filter(|stem| !stem.is_empty() && !stem.ends_with('/'));
            self::quoted(&stem.map_or_else(|| format!("{name}.csv"), str::to_owned))
        };
        let (message, hint) = match self {
            Self::Encoding(encoding) => {
                let hint = match is_piped {
                    true => format!("send it through `iconv -f {encoding} -t UTF-8` first"),
                    false => convert(encoding, path),
                };
                (format!("it is text in {encoding}, and only UTF-8 is read"), hint)
            }
            Self::Compressed(by, _, command) if is_piped => (
                format!("it is compressed with {by}, and only plain text is read"),
                format!("send it through `{command}` first"),
            ),
            Self::Compressed(by, ending, command) => (
                format!("it is compressed with {by}, and only plain files are read"),
                format!("unpack it, and name the unpacked file: `{command} {quoted} > {}`", beside(ending)),
            ),
            Self::Zip => (
                "it is a ZIP archive (workbooks of spreadsheets are)".to_owned(),
                "unpack it, or save the sheet as CSV, and name that file".to_owned(),
            ),
            Self::Parquet => ("it is a Parquet file".to_owned(), format!("write `parquet:{name}`")),
            Self::Arrow => ("it is an Arrow file".to_owned(), format!("write `arrow:{name}`")),
            Self::Sqlite => ("it is a SQLite database".to_owned(), format!("write `sqlite:{name}#TABLE`")),
        };
        DataError::unreadable(path, message, &hint)
    }
}

/// Returns the command that converts a text to UTF-8.
pub(crate) fn convert(encoding: &str, path: &Path) -> String {
    let name = path.display().to_string();
    format!(
        "convert it, and name the new file: `iconv -f {encoding} -t UTF-8 {} > {}`",
        quoted(&name),
        quoted(&format!("{}.utf8.csv", name.strip_suffix(".csv").unwrap_or(&name)))
    )
}

/// Quotes a path for a shell.
fn quoted(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+=:,@%".contains(&byte);
    if name.bytes().all(is_plain) { name.to_owned() } else { format!("'{}'", name.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_and_formats_are_recognised_by_their_first_bytes() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
        let marked = [&b"\xff\xfe"[..], &utf16("a,b\n1,2\n")].concat();
        assert_eq!(recognise(&marked), Some(FileFormat::Encoding("UTF-16")));
        assert_eq!(recognise(&utf16("a,b\n1,2\n")), Some(FileFormat::Encoding("UTF-16LE")));
        assert_eq!(recognise(&big("name,größe\nMüller,2\n")), Some(FileFormat::Encoding("UTF-16BE")));
        assert_eq!(recognise(b"PK\x03\x04..."), Some(FileFormat::Zip));
        for text in ["", "a", "a,b\n1,2\n", "größe,b\n", "\u{feff}a,b\n"] {
            assert_eq!(recognise(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_hint_is_a_command_for_this_file() {
        let error = FileFormat::Compressed("gzip", ".gz", "gzip -dc").error(Path::new("my data/t.csv.gz")).to_string();
        assert!(error.ends_with("`gzip -dc 'my data/t.csv.gz' > 'my data/t.csv'`"), "{error}");
        let error = FileFormat::Encoding("UTF-16").error(Path::new(STANDARD_INPUT)).to_string();
        assert!(error.ends_with("hint: send it through `iconv -f UTF-16 -t UTF-8` first"), "{error}");
        let error = FileFormat::Encoding("UTF-16").error(Path::new("t.csv")).to_string();
        assert!(error.ends_with("`iconv -f UTF-16 -t UTF-8 t.csv > t.utf8.csv`"), "{error}");
    }
}
