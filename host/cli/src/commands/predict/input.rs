//! Reads the rows to predict: from a file, a source in the form that training reads, or a pipe.

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

/// The memory limit of decoding, in bytes: all rows are in memory until the last is read.
const MEMORY: u64 = 4 << 30;

/// The input, by how it is read.
enum Input {
    /// A file of JSON, which is no source of training.
    Json(String),
    /// A source that training can read too.
    Source(SourceUri),
    /// Something other than a file, whose format is recognised from its first bytes.
    Pipe(String),
}

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
    /// Parses the argument.
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
        // `?` begins options, as in `rows.csv?delimiter=;`, unless a file of that name exists.
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
            // The decoder reports a compressed file as such.
            "gz" | "bz2" | "xz" | "zst" | "zip" | "xlsx" => {
                Ok(Self::Source(SourceUri::Csv { path: input.into(), delimiter: None, header: None }))
            }
            _ => Err(UsageError::error(ErrorCode::UnknownFormat, format!("cannot tell the format of {input}"), FORMS)),
        }
    }
}

/// Returns whether a path names something that can be read only once, such as a pipe.
fn is_pipe(path: &Path) -> bool {
    path == Path::new("-") || std::fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir())
}

/// Reads a pipe to its end. Returns the bytes and the name that errors use.
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

/// Copies Parquet from a pipe to a file, because it is read from its end.
fn parquet<T>(bytes: &[u8], read: impl FnOnce(&Source) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let mut file = tempfile::NamedTempFile::new().context("cannot make a temporary file")?;
    file.write_all(bytes).context("cannot write a temporary file")?;
    read(&Source::new(SourceUri::Parquet { path: file.path().to_owned() }))
}
