//! Reads any source with the reader of its format.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::error::DataError;
use crate::interrupt::Interrupt;
use crate::source::address::SourceUri;
use crate::source::arrow_ipc::{self, IpcBytes};
use crate::source::broken_text::unreadable_text;
use crate::source::compression::{Compression, decompressed};
use crate::source::csv::CsvText;
use crate::source::encoded::in_utf8;
use crate::source::file::{check_is_file, open_file};
use crate::source::folder_source;
use crate::source::joined::Joined;
use crate::source::jsonl::{self, JsonText};
use crate::source::memory::{InMemory, Place};
use crate::source::pack::{PackBytes, PackReader, Part};
use crate::source::query::Source;
use crate::source::visitor::CellVisitor;
use crate::source::{parquet, postgres, sqlite};

/// Passes the cells of a source to the visitor until the source ends or the visitor has enough.
/// Call it on a thread that nobody must wait for
/// ([`on_reader_thread`](crate::source::on_reader_thread)) or in a process that can be killed: a
/// database may be busy for hours without checking the interrupt.
///
/// # Errors
/// Any [`DataError`]; [`DataError::Interrupted`] when interrupted.
pub(crate) fn visit(
    source: &Source,
    place: Place,
    interrupt: &Interrupt,
    visitor: &mut impl CellVisitor,
) -> Result<(), DataError> {
    source.check_query()?;
    if source.is_pack {
        return visit_pack(&source.uri, place, interrupt, visitor);
    }
    match place {
        Place::Memory(InMemory::Folder(files)) => {
            let part = |(name, bytes): (String, _)| (name, Place::Memory(InMemory::File(bytes)));
            visit_folder(&source.uri, files.into_iter().map(part).collect(), interrupt, visitor)
        }
        Place::Files if source.uri.is_folder() => {
            let files = folder_source::names(&source.uri)?.into_iter().map(|name| (name, Place::Files)).collect();
            visit_folder(&source.uri, files, interrupt, visitor)
        }
        place => visit_file(source, place, interrupt, visitor),
    }
}

/// Returns the first bytes of CSV, decompressed, and whether they are all; of a folder, those of
/// its first file. `None` for other sources, and for what can be read only once.
pub(crate) fn head(
    source: &Source,
    place: &Place,
    most: usize,
    interrupt: &Interrupt,
) -> Result<Option<(Vec<u8>, bool)>, DataError> {
    let SourceUri::Csv { path, options } = &source.uri else { return Ok(None) };
    let (path, text): (PathBuf, Box<dyn Read>) = match place {
        Place::Files if source.uri.is_folder() => {
            let names = folder_source::names(&source.uri)?;
            let path = path.join(names.first().map(String::as_str).unwrap_or_default());
            (path.clone(), Box::new(open_file(&path)?))
        }
        Place::Files if !source.is_pack => (path.clone(), Box::new(open_file(path)?)),
        Place::Memory(InMemory::File(bytes)) if !source.is_pack => (path.clone(), Box::new(*bytes)),
        Place::Memory(InMemory::Folder(files)) => match files.first() {
            Some((name, bytes)) => (path.join(name), Box::new(*bytes)),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    let name = path.display().to_string();
    let compression = options.compression.unwrap_or_else(|| Compression::by_ending(&path));
    let broken = |error| unreadable_text(&name, error);
    let (mut text, mut head) = (decompressed(text, compression, interrupt).map_err(broken)?, Vec::new());
    (&mut text).take(most as u64 + 1).read_to_end(&mut head).map_err(broken)?;
    let is_whole = head.len() <= most;
    head.truncate(most);
    Ok(Some((head, is_whole)))
}

/// Passes the cells of the files of a folder to the visitor, one file after the other.
fn visit_folder(
    uri: &SourceUri,
    files: Vec<(String, Place)>,
    interrupt: &Interrupt,
    visitor: &mut impl CellVisitor,
) -> Result<(), DataError> {
    let folder = uri.path();
    if let SourceUri::Jsonl { compression, .. } = uri {
        let text =
            |(name, place): (String, Place)| JsonText::new(&folder.join(&name), place, *compression).named_part(name);
        return jsonl::visit(files.into_iter().map(text).collect(), interrupt, visitor);
    }
    let mut table = Joined::new(visitor);
    for (name, place) in files {
        let source = Source::new(uri.clone().at(folder.join(&name)));
        let read = table.part(&name, |table| visit_file(&source, place, interrupt, table));
        if !read.map_err(|error| error.in_file_of(folder, &name))? {
            break;
        }
    }
    Ok(())
}

/// Passes the cells of all parts of a pack to the visitor.
fn visit_pack(
    uri: &SourceUri,
    place: Place,
    interrupt: &Interrupt,
    visitor: &mut impl CellVisitor,
) -> Result<(), DataError> {
    let path = uri.path();
    let broken = |error: std::io::Error| DataError::unreadable(path, error, "");
    let bytes = match place {
        Place::Files => PackBytes::File(open_file(path)?),
        Place::Memory(memory) => PackBytes::Memory(memory.bytes()),
        Place::Stream(_) => return Err(Place::only_text()),
    };
    let mut pack = PackReader::new(bytes).map_err(broken)?;
    if let SourceUri::Jsonl { compression, .. } = uri {
        return visit_json_pack(path, pack, *compression, interrupt, visitor);
    }
    let mut table = Joined::new(visitor);
    while let Some(part) = pack.next().map_err(broken)? {
        let source = Source::new(uri.clone().at(PathBuf::from(&part.name)));
        let place = match pack.memory(&part) {
            Some(bytes) => Place::Memory(InMemory::File(bytes)),
            None => Place::Stream(pack.stream(&part).map_err(broken)?),
        };
        if !table.part(&part.name, |table| visit_file(&source, place, interrupt, table))? {
            break;
        }
    }
    Ok(())
}

/// As [`visit_pack`], for JSON lines, which are read from several parts as from one text.
fn visit_json_pack(
    path: &Path,
    mut pack: PackReader,
    compression: Option<Compression>,
    interrupt: &Interrupt,
    visitor: &mut impl CellVisitor,
) -> Result<(), DataError> {
    let broken = |error: std::io::Error| DataError::unreadable(path, error, "");
    let mut parts = Vec::new();
    while let Some(part) = pack.next().map_err(broken)? {
        parts.push(part);
    }
    let pack = Rc::new(pack);
    let text = |part: Part| {
        let (pack, path, name) = (Rc::clone(&pack), path.to_owned(), part.name.clone());
        let open = move || pack.stream(&part).map_err(|error| DataError::unreadable(&path, error, ""));
        JsonText::opened_by(&name, compression, Box::new(open)).named_part(name)
    };
    jsonl::visit(parts.into_iter().map(text).collect(), interrupt, visitor)
}

/// Passes the cells of a file to the visitor.
fn visit_file(
    source: &Source,
    place: Place,
    interrupt: &Interrupt,
    visitor: &mut impl CellVisitor,
) -> Result<(), DataError> {
    match &source.uri {
        SourceUri::Csv { path, options } => {
            let name = path.display().to_string();
            let text: Box<dyn Read> = match place {
                Place::Files => Box::new(open_file(path)?),
                place => place.text()?,
            };
            let compression = options.compression.unwrap_or_else(|| Compression::by_ending(path));
            let text = decompressed(text, compression, interrupt).map_err(|error| unreadable_text(&name, error))?;
            let delimiter = options.delimiter.unwrap_or_else(|| SourceUri::delimiter_by_ending(path));
            let text = in_utf8(text, options.dialect.encoding).map_err(|error| unreadable_text(&name, error))?;
            let (header, dialect) = (options.header.unwrap_or(true), &options.dialect);
            CsvText::in_dialect(text, name, delimiter, header, dialect)?.visit(interrupt, visitor)
        }
        SourceUri::Jsonl { path, compression } => {
            jsonl::visit(vec![JsonText::new(path, place, *compression)], interrupt, visitor)
        }
        SourceUri::Sqlite { path, table } => {
            if matches!(place, Place::Files) {
                check_is_file(path)?;
            }
            sqlite::visit(path, place, table.as_deref(), source, interrupt, visitor)
        }
        SourceUri::PostgresRows { path } => {
            let rows: Box<dyn Read> = match place {
                Place::Files => Box::new(BufReader::new(open_file(path)?)),
                place => place.text()?,
            };
            postgres::visit(path, rows, interrupt, visitor)
        }
        SourceUri::Parquet { path } => {
            let pages = match place {
                Place::Files => parquet::ParquetBytes::File(open_file(path)?),
                Place::Memory(memory) => parquet::ParquetBytes::Memory(memory.bytes().into()),
                // A part of a file, which only this process reads as it comes.
                Place::Stream(mut stream) => {
                    let mut bytes = Vec::new();
                    stream.read_to_end(&mut bytes).map_err(|error| DataError::unreadable(path, error, ""))?;
                    parquet::ParquetBytes::Memory(bytes.into())
                }
            };
            parquet::visit(path, pages, interrupt, visitor)
        }
        SourceUri::Arrow { path } => {
            let bytes = match place {
                Place::Files => IpcBytes::read(&mut open_file(path)?, path)?,
                Place::Memory(memory) => IpcBytes::of_memory(memory.bytes()),
                Place::Stream(mut stream) => IpcBytes::read(&mut stream, path)?,
            };
            arrow_ipc::visit(path, bytes, interrupt, visitor)
        }
    }
}
