//! Opens the rows to predict: a file, a source in the form that training reads, or a pipe.

use std::fs::File;
use std::io::{Cursor, Read, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::Context as _;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use stagewright_data::{
    Compression, CsvOptions, DataError, DecodeLimits, PredictionRows, RowsInput, RowsPiece, RowsText, STANDARD_INPUT,
    Signature, Source, SourceUri, TextFormat,
};
use tempfile::NamedTempFile;

use super::patience::Patience;
use crate::error_code::ErrorCode;
use crate::project::Project;
use crate::usage_error::UsageError;

const FORMS: &str = "rows come as .csv, .tsv, .parquet, .arrow, .json or .jsonl, as csv:FILE?delimiter=;, jsonl:FILE, parquet:FILE, arrow:FILE or sqlite:FILE#TABLE, or through a pipe: --input -";

/// The most bytes of a pipe in which its format is looked for.
const HEAD_BYTES: usize = 512;

/// The bytes that a Parquet file begins with.
const PARQUET: &[u8] = b"PAR1";

/// How often a pipe that is silent is given up if nobody wants its rows.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// The input, by how it is read.
enum Input {
    /// A file of JSON, which is no source of training.
    Json(String),
    /// A source that training can read too.
    Source(SourceUri),
    /// Something other than a file, whose format is recognised from its first bytes.
    Pipe(String),
}

/// Opens the rows, and keeps these columns beside the features.
pub(super) fn open(
    project: &Project,
    input: &str,
    signature: &Signature,
    keep: &[String],
    patience: &Patience,
) -> anyhow::Result<Box<dyn PredictionRows>> {
    let decoder = project.runtime.decoder();
    let limits = DecodeLimits::until(patience.interrupt());
    let decode = |rows: RowsInput| {
        let opened = patience.wait(|| decoder.open_rows(rows, signature, keep, &limits));
        opened.map_err(|error| patience.explain(error, input))
    };
    Ok(match Input::of(input)? {
        Input::Json(path) => decode(RowsInput::Json(path.into()))?,
        Input::Pipe(path) => {
            let (head, pipe) = Pipe::open(&path, patience)?.recognised()?;
            match first_visible(&head) {
                Some(b'{' | b'[') => decode(pipe.text(TextFormat::Json))?,
                _ if head.starts_with(PARQUET) => spooled(project, pipe, decode)?,
                _ => decode(pipe.text(TextFormat::Csv { options: CsvOptions::plain() }))?,
            }
        }
        Input::Source(SourceUri::Jsonl { path, compression }) if is_pipe(&path) => {
            let compression = compression.unwrap_or(Compression::None);
            decode(Pipe::open(&path.to_string_lossy(), patience)?.text(TextFormat::Jsonl { compression }))?
        }
        Input::Source(SourceUri::Csv { path, options }) if is_pipe(&path) => {
            let pipe = Pipe::open(&path.to_string_lossy(), patience)?;
            decode(pipe.text(TextFormat::Csv { options }))?
        }
        Input::Source(SourceUri::Parquet { path }) if is_pipe(&path) => {
            spooled(project, Pipe::open(&path.to_string_lossy(), patience)?, decode)?
        }
        Input::Source(uri) => decode(RowsInput::Source(Source::new(uri)))?,
    })
}

impl Input {
    /// Parses the argument.
    fn of(input: &str) -> anyhow::Result<Self> {
        if let Some(("csv" | "jsonl" | "sqlite" | "parquet" | "arrow", _)) = input.split_once(':') {
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
        let ending =
            |path: &Path| path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_lowercase();
        let stem = Path::new(path).file_stem().filter(|_| Compression::by_ending(Path::new(path)) != Compression::None);
        if stem.is_some_and(|stem| matches!(ending(Path::new(stem)).as_str(), "json" | "jsonl" | "ndjson")) {
            return Ok(Self::Source(SourceUri::Jsonl { path: input.into(), compression: None }));
        }
        match ending(Path::new(path)).as_str() {
            "json" | "jsonl" | "ndjson" => Ok(Self::Json(input.to_owned())),
            "csv" | "tsv" | "tab" | "txt" if path.len() < input.len() => {
                Ok(Self::Source(format!("csv:{input}").parse()?))
            }
            "csv" | "tsv" | "tab" | "txt" => {
                Ok(Self::Source(SourceUri::Csv { path: input.into(), options: CsvOptions::default() }))
            }
            "arrow" | "feather" => Ok(Self::Source(SourceUri::Arrow { path: input.into() })),
            "parquet" | "pq" => Ok(Self::Source(SourceUri::Parquet { path: input.into() })),
            // The decoder reports archives and workbooks as such.
            "gz" | "bz2" | "xz" | "zst" | "zip" | "xlsx" => {
                Ok(Self::Source(SourceUri::Csv { path: input.into(), options: CsvOptions::default() }))
            }
            _ => Err(UsageError::error(ErrorCode::UnknownFormat, format!("cannot tell the format of {input}"), FORMS)),
        }
    }
}

/// Returns whether a path names something that can be read only once, such as a pipe.
fn is_pipe(path: &Path) -> bool {
    path == Path::new("-") || std::fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir())
}

/// Returns the first byte of a text that is neither white space nor part of a byte order mark.
fn first_visible(text: &[u8]) -> Option<u8> {
    text.iter().copied().find(|byte| !byte.is_ascii_whitespace() && !b"\xef\xbb\xbf".contains(byte))
}

/// A pipe, which is read as long as somebody wants its rows.
struct Pipe {
    name: String,
    /// The first bytes, if they were read already.
    head: Cursor<Vec<u8>>,
    pipe: File,
    patience: Patience,
}

impl Pipe {
    fn open(path: &str, patience: &Patience) -> anyhow::Result<Self> {
        let name = if path == "-" { STANDARD_INPUT } else { path };
        let opened = match path {
            "-" => std::io::stdin().as_fd().try_clone_to_owned().map(File::from),
            _ => File::open(path),
        };
        let pipe = opened.with_context(|| format!("cannot read {name}"))?;
        Ok(Self { name: name.to_owned(), head: Cursor::default(), pipe, patience: patience.clone() })
    }

    /// Reads as much as tells the format, which is the beginning of what is read later.
    fn recognised(mut self) -> anyhow::Result<(Vec<u8>, Self)> {
        let mut head = vec![0; HEAD_BYTES];
        let mut length = 0;
        while length < PARQUET.len() || (first_visible(&head[..length]).is_none() && length < HEAD_BYTES) {
            match self.read_on(&mut head[length..])? {
                0 => break,
                read => length += read,
            }
        }
        head.truncate(length);
        self.head = Cursor::new(head.clone());
        Ok((head, self))
    }

    /// Reads more, with an error for people.
    fn read_on(&mut self, buffer: &mut [u8]) -> anyhow::Result<usize> {
        match self.read(buffer) {
            Err(_) if self.patience.is_over() => Err(DataError::Interrupted.into()),
            read => read.with_context(|| format!("cannot read {}", self.name)),
        }
    }

    fn text(self, format: TextFormat) -> RowsInput {
        RowsInput::Text(RowsText { name: self.name.clone(), format, text: Box::new(self) })
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.head.read(buffer)?;
        if read > 0 || buffer.is_empty() {
            return Ok(read);
        }
        let Self { pipe, patience, .. } = self;
        patience.pause(|| {
            loop {
                // A pipe that never pauses is given up here.
                if patience.is_over() {
                    return Err(std::io::Error::other("reading was interrupted"));
                }
                let mut waiting = [PollFd::new(&*pipe, PollFlags::IN)];
                match poll(&mut waiting, Some(&LOOK)) {
                    Ok(0) | Err(rustix::io::Errno::INTR) => {}
                    // A read says what is wrong.
                    Ok(_) | Err(_) => return pipe.read(buffer),
                }
            }
        })
    }
}

/// Copies Parquet from a pipe to a file, because it is read from its end. The file is in the home,
/// which has room, if that can be written to.
fn spooled(
    project: &Project,
    mut pipe: Pipe,
    decode: impl FnOnce(RowsInput) -> Result<Box<dyn PredictionRows>, DataError>,
) -> anyhow::Result<Box<dyn PredictionRows>> {
    let file = NamedTempFile::new_in(project.home.path()).or_else(|_| NamedTempFile::new());
    let mut file = file.context("cannot make a temporary file")?;
    let mut bytes = vec![0; 1 << 20];
    loop {
        let read = pipe.read_on(&mut bytes)?;
        if read == 0 {
            break;
        }
        file.write_all(&bytes[..read]).context("cannot write a temporary file")?;
    }
    let rows = decode(RowsInput::Source(Source::new(SourceUri::Parquet { path: file.path().to_owned() })))?;
    Ok(Box::new(Spooled { rows, _file: file }))
}

/// Rows of a temporary file.
struct Spooled {
    rows: Box<dyn PredictionRows>,
    _file: NamedTempFile,
}

impl PredictionRows for Spooled {
    fn next(&mut self) -> Result<Option<RowsPiece>, DataError> {
        self.rows.next()
    }
}
