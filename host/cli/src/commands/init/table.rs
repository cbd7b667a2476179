//! The table that `init` looks at: the one that is named, or the only one in a folder.
//!
//! A folder is listed without its subfolders. Which tables a SQLite database has is asked of the
//! decoder, which reads files of others in a process of its own.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use arrow_array::cast::AsArray as _;
use stagewright_data::{
    Compression, Decode, DecodeLimits, Signature, Source, SourceUri, Strictness, inner_ending, is_postgres, shown,
    without_password,
};
use stagewright_store::{DataType, Field};

use super::shell::word;
use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;

/// The kinds of files that hold tables, by the ending of their names.
const KINDS: [(&str, &[&str]); 5] = [
    ("csv", &["csv", "tsv", "tab"]),
    ("jsonl", &["jsonl", "ndjson"]),
    ("parquet", &["parquet", "pq"]),
    ("arrow", &["arrow", "feather"]),
    ("sqlite", &["sqlite", "sqlite3", "db"]),
];

/// How many tables an error names.
const MAX_NAMED: usize = 10;

/// The tables and views of a database, without SQLite's own.
const TABLES: &str = "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') \
    AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";

/// A table, as two texts.
#[derive(Debug)]
pub(super) struct Table {
    /// Its address, which a manifest takes.
    pub(super) address: String,
    /// The argument of `init` that names it.
    pub(super) argument: String,
}

impl Table {
    fn at(address: impl Into<String>) -> Self {
        let address = address.into();
        // An argument is printed.
        let argument = if is_postgres(&address) { without_password(&address) } else { address.clone() };
        Self { address, argument }
    }
}

/// Returns the table that was named; where none was, the only one in the current folder.
///
/// # Errors
/// There is no table, or more than one, or the file's ending does not tell its kind.
pub(super) fn find(
    table: Option<&str>,
    source: Option<&str>,
    decoder: &dyn Decode,
    leave: &DecodeLimits,
) -> anyhow::Result<Table> {
    let named = match (source, table) {
        (Some(address), _) => return Ok(Table::at(address)),
        (None, Some(table)) => table,
        (None, None) => ".",
    };
    if is_address(named) {
        return Ok(Table::at(named));
    }
    let path = Path::new(named);
    if !path.is_dir() {
        return of_file(path, decoder, leave);
    }
    let files = files(path)?;
    match &files[..] {
        [] => Err(UsageError::error(
            ErrorCode::Argument,
            format!("there is no table in {}", place(path)),
            "name one: stagewright init FILE, of which the name ends in .csv, .tsv, .jsonl, .parquet, .arrow, .sqlite or .db",
        )),
        [file] => of_file(file, decoder, leave),
        files => {
            let names: Vec<String> = files.iter().filter_map(|file| file.to_str().map(str::to_owned)).collect();
            Err(choose(format!("there are {} tables in {}", names.len(), place(path)), &names))
        }
    }
}

/// Whether a text is an address such as `csv:FILE`, and not the path of a file that has a colon in
/// its name.
fn is_address(text: &str) -> bool {
    is_postgres(text) || text.split_once(':').is_some_and(|(kind, _)| KINDS.iter().any(|(known, _)| kind == *known))
}

/// The folder as errors call it.
fn place(folder: &Path) -> String {
    if folder == Path::new(".") { "this folder".to_owned() } else { format!("`{}`", shown(&folder.to_string_lossy())) }
}

/// An error with the commands of which one is meant.
fn choose(problem: String, names: &[String]) -> anyhow::Error {
    let mut commands: Vec<String> =
        names.iter().take(MAX_NAMED).map(|name| format!("stagewright init {}", word(name))).collect();
    if names.len() > MAX_NAMED {
        commands.push(format!("({} more)", names.len() - MAX_NAMED));
    }
    UsageError::error(ErrorCode::Argument, problem, format!("choose one:\n{}", commands.join("\n")))
}

/// The kind of table in a file, by the ending of its name. Text may be compressed.
fn kind_of(path: &Path) -> Option<&'static str> {
    let ending = inner_ending(path)?.to_ascii_lowercase();
    let is_packed = Compression::by_ending(path) != Compression::None;
    let kind = KINDS.iter().find(|(_, endings)| endings.contains(&ending.as_str())).map(|(kind, _)| *kind)?;
    (!is_packed || matches!(kind, "csv" | "jsonl")).then_some(kind)
}

/// The tables of a folder, by name. Hidden files are no candidates, nor are those whose names
/// nobody could type.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", place(folder)))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", place(folder)))?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let can_be_typed = name.is_some_and(|name| !name.starts_with('.') && !name.contains(char::is_control));
        if can_be_typed && kind_of(&path).is_some() && path.is_file() {
            files.push(path.strip_prefix(".").map(Path::to_owned).unwrap_or(path));
        }
    }
    files.sort();
    Ok(files)
}

/// The table in a file.
fn of_file(path: &Path, decoder: &dyn Decode, leave: &DecodeLimits) -> anyhow::Result<Table> {
    let name = path.to_str().ok_or_else(|| {
        UsageError::error(
            ErrorCode::FileUnreadable,
            format!("the name of {} is not UTF-8", path.display()),
            "rename the file",
        )
    })?;
    if !path.exists() {
        return Err(UsageError::error(
            ErrorCode::FileUnreadable,
            format!("there is no file `{}`", shown(name)),
            "name a file that exists",
        ));
    }
    match kind_of(path) {
        Some("sqlite") => of_database(name, decoder, leave),
        Some(kind) => Ok(Table { address: format!("{kind}:{name}"), argument: name.to_owned() }),
        None => Err(UsageError::error(
            ErrorCode::UnknownFormat,
            format!("the ending of `{}` does not tell what kind of table it is", shown(name)),
            format!("say it: stagewright init {}", word(&format!("csv:{name}"))),
        )),
    }
}

/// The only table in a database.
fn of_database(name: &str, decoder: &dyn Decode, leave: &DecodeLimits) -> anyhow::Result<Table> {
    let address = |table: &str| format!("sqlite:{name}#{table}");
    let source = Source::new(SourceUri::Sqlite { path: name.into(), table: None }).with_query(TABLES, Vec::new());
    let signature = Signature::new(vec![Field::new("name", DataType::Utf8)])?;
    let mut rows = decoder.open(&source, &signature, Strictness::Predict, leave)?;
    let mut tables = Vec::new();
    while let Some(batch) = rows.next(usize::MAX)? {
        let names = batch.column(0).as_string::<i32>().iter().flatten().map(address);
        tables.extend(names.filter(|address| !address.contains(char::is_control)));
    }
    match &tables[..] {
        [] => Err(UsageError::error(
            ErrorCode::Argument,
            format!("the database `{}` has no table", shown(name)),
            "name another file: stagewright init FILE",
        )),
        [table] => Ok(Table::at(table)),
        tables => Err(choose(format!("the database `{}` has {} tables", shown(name), tables.len()), tables)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_table_is_told_by_the_ending_of_its_file() {
        for (file, kind) in [
            ("a.csv", Some("csv")),
            ("a.TSV", Some("csv")),
            ("a.b.parquet", Some("parquet")),
            ("a.db", Some("sqlite")),
            ("a.csv.gz", Some("csv")),
            ("a.jsonl.zst", Some("jsonl")),
            ("a.feather", Some("arrow")),
            ("a.parquet.gz", None),
            ("a.txt", None),
            ("csv", None),
            (".csv", None),
        ] {
            assert_eq!(kind_of(Path::new(file)), kind, "{file}");
        }
        assert!(is_address("csv:a") && is_address("sqlite:a#b") && !is_address("a:b.csv") && !is_address("a.csv"));
    }

    #[test]
    fn a_folder_has_the_tables_whose_names_can_be_typed() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.parquet", ".hidden.csv", "notes.txt", "line\nbreak.csv"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("folder.csv")).unwrap();
        let found = files(folder.path()).unwrap();
        let names: Vec<&str> = found.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(names, ["a.parquet", "b.csv"]);
    }
}
