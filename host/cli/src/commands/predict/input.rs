//! Rows to predict, from wherever they come: a file, a source as training reads it, or a pipe.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use stagewright_data::{
    Decode, DecodeLimits, Interrupt, MAX_READ_TIME, Rows, RowsInput, STANDARD_INPUT, Signature, Source, SourceUri,
};

use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;

const FORMS: &str = "rows come as .csv, .tsv, .parquet, .json or .jsonl, as csv:FILE?delimiter=;, parquet:FILE or sqlite:FILE#TABLE, or through a pipe: --input -";

/// Bytes of memory that decoding may take: all rows are kept until the last is read.
const MEMORY: u64 = 4 << 30;

/// Rows in a file that training could not read, or a source that it can.
enum Input {
    /// JSON, in this file.
    Json(String),
    /// The source that an address names.
    Source(SourceUri),
    /// Something that is no file, read as what it turns out to be.
    Pipe(String),
}

/// Reads all rows.
pub(super) fn read(decoder: &dyn Decode, input: &str, signature: &Signature, keep: &[String]) -> anyhow::Result<Rows> {
    let leave = DecodeLimits { memory: MEMORY, ..DecodeLimits::until(Interrupt::at(Instant::now() + MAX_READ_TIME)) };
    let decode = |rows: RowsInput<'_>, name: &str| Ok(decoder.decode_rows(rows, name, signature, keep, &leave)?);
    match Input::of(input)? {
        Input::Json(path) => {
            let text = std::fs::read(&path).with_context(|| format!("cannot read {path}"))?;
            decode(RowsInput::Json(&text), &path)
        }
        Input::Pipe(path) => {
            let (text, name) = drain(&path)?;
            match text.iter().find(|byte| !byte.is_ascii_whitespace() && !b"\xef\xbb\xbf".contains(byte)) {
                Some(b'{' | b'[') => decode(RowsInput::Json(&text), &name),
                _ if text.starts_with(b"PAR1") => parquet(&text, |source| decode(RowsInput::Source(source), &name)),
                _ => decode(RowsInput::Csv { text: &text, delimiter: b',', header: true }, &name),
            }
        }
        Input::Source(SourceUri::Csv { path, delimiter, header }) if is_pipe(&path) => {
            let (text, name) = drain(&path.to_string_lossy())?;
            let (delimiter, header) = (delimiter.unwrap_or(b','), header.unwrap_or(true));
            decode(RowsInput::Csv { text: &text, delimiter, header }, &name)
        }
        Input::Source(SourceUri::Parquet { path }) if is_pipe(&path) => {
            let (text, name) = drain(&path.to_string_lossy())?;
            parquet(&text, |source| decode(RowsInput::Source(source), &name))
        }
        Input::Source(uri) => {
            let name = uri.path().display().to_string();
            decode(RowsInput::Source(&Source::new(uri)), &name)
        }
    }
}

impl Input {
    /// Reads the argument as it was typed.
    fn of(input: &str) -> anyhow::Result<Self> {
        if let Some(("csv" | "sqlite" | "parquet", _)) = input.split_once(':') {
            return Ok(Self::Source(input.parse()?));
        }
        if let Some(("json", path)) = input.split_once(':') {
            return Ok(if is_pipe(Path::new(path)) {
                Self::Pipe(path.to_owned())
            } else {
                Self::Json(path.to_owned())
            });
        }
        if is_pipe(Path::new(input)) {
            return Ok(Self::Pipe(input.to_owned()));
        }
        // `rows.csv?delimiter=;`, unless a file is called that.
        let path = if Path::new(input).exists() { input } else { input.split('?').next().unwrap_or(input) };
        let ending = Path::new(path).extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
        match ending.as_str() {
            "json" | "jsonl" | "ndjson" => Ok(Self::Json(input.to_owned())),
            "csv" | "tsv" | "tab" | "txt" if path.len() < input.len() => {
                Ok(Self::Source(format!("csv:{input}").parse()?))
            }
            "csv" | "tsv" | "tab" | "txt" => {
                Ok(Self::Source(SourceUri::Csv { path: input.into(), delimiter: None, header: None }))
            }
            "parquet" | "pq" => Ok(Self::Source(SourceUri::Parquet { path: input.into() })),
            // A compressed file is reported as one.
            "gz" | "bz2" | "xz" | "zst" | "zip" | "xlsx" => {
                Ok(Self::Source(SourceUri::Csv { path: input.into(), delimiter: None, header: None }))
            }
            _ => Err(UsageError::error(ErrorCode::UnknownFormat, format!("cannot tell the format of {input}"), FORMS)),
        }
    }
}

/// Whether a path names something that is read once, from its beginning to its end.
fn is_pipe(path: &Path) -> bool {
    path == Path::new("-") || std::fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir())
}

/// All that comes out of a pipe, and what errors call it.
fn drain(path: &str) -> anyhow::Result<(Vec<u8>, String)> {
    let name = if path == "-" { STANDARD_INPUT } else { path };
    let mut text = Vec::new();
    let read = match path {
        "-" => std::io::stdin().read_to_end(&mut text),
        _ => std::fs::File::open(path).and_then(|mut pipe| pipe.read_to_end(&mut text)),
    };
    read.with_context(|| format!("cannot read {name}"))?;
    Ok((text, name.to_owned()))
}

/// A Parquet file is read from its end: it has to be a file.
fn parquet<T>(bytes: &[u8], read: impl FnOnce(&Source) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let mut file = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    file.write_all(bytes).context("cannot write a temporary file")?;
    read(&Source::new(SourceUri::Parquet { path: file.path().to_owned() }))
}
