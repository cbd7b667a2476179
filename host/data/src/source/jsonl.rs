//! JSON lines: an object on each line, read with the digits of every number.
//!
//! A key that an object lacks is null there. Where the signature is known, the columns are those
//! that it names, and one pass suffices. Otherwise a first pass collects the keys of all objects,
//! in the order in which they first appear. The keys of one object differ from each other.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use crate::cell::Cell;
use crate::error::{DataError, DataFault, listed, shown};
use crate::interrupt::Interrupt;
use crate::json::{Kind, NotJson, Raw, Scanner, explain};
use crate::source::broken_text::unreadable_text;
use crate::source::compression::{Compression, decompressed};
use crate::source::file::open_file;
use crate::source::file_format::recognise;
use crate::source::lines::{Line, LineError, Lines};
use crate::source::memory::Place;
use crate::source::visitor::{CellVisitor, Wanted};

/// Lines between two checks of the interrupt.
const LINES_PER_LOOK: u64 = 4096;

/// The most keys of all objects together: some more than a table has columns.
const MAX_KEYS: usize = 1 << 17;

/// The most bytes of all keys together.
const MAX_KEY_BYTES: usize = 16 << 20;

/// A text of JSON lines.
pub(super) struct JsonText {
    /// Its name in errors.
    name: String,
    /// Its name among the parts that it is read with.
    part: Option<String>,
    compression: Compression,
    /// Opens the text at its beginning.
    open: Box<Open>,
}

/// Opens a text at its beginning.
pub(super) type Open = dyn FnMut() -> Result<Box<dyn Read>, DataError>;

impl JsonText {
    /// Returns the text of a file.
    pub(super) fn new(path: &Path, place: Place, compression: Option<Compression>) -> Self {
        let file = path.to_owned();
        let open: Box<Open> = match place {
            Place::Files => Box::new(move || Ok(Box::new(open_file(&file)?))),
            Place::Memory(memory) => {
                let bytes = memory.bytes();
                Box::new(move || Ok(Box::new(bytes)))
            }
            Place::Stream(text) => {
                let mut text = Some(text);
                let gone = || DataError::Host("a text that passes by is read once".to_owned());
                Box::new(move || text.take().ok_or_else(gone))
            }
        };
        Self { name: path.display().to_string(), part: None, compression: kind(path, compression), open }
    }

    /// Returns the text of this name that `open` opens.
    pub(super) fn opened_by(name: &str, compression: Option<Compression>, open: Box<Open>) -> Self {
        Self { name: name.to_owned(), part: None, compression: kind(Path::new(name), compression), open }
    }

    /// Says that it is a part of a source of several.
    pub(super) fn named_part(self, part: String) -> Self {
        Self { part: Some(part), ..self }
    }

    /// Opens the text at its beginning.
    fn lines(&mut self, interrupt: &Interrupt) -> Result<Lines<Box<dyn Read>>, DataError> {
        let input = decompressed((self.open)()?, self.compression, interrupt);
        let input = input.map_err(|error| unreadable_text(&self.name, error))?;
        let mut lines = Lines::new(input);
        let head = lines.head().map_err(|error| self.in_words(error))?;
        match recognise(head) {
            Some(found) => Err(found.error(Path::new(&self.name))),
            None => Ok(lines),
        }
    }

    fn in_words(&self, error: LineError) -> DataError {
        let fault = match error {
            LineError::Io(error) => return unreadable_text(&self.name, error),
            LineError::TooLong { line } => {
                DataFault::new("the line is longer than 64 MiB\nhint: write each object on a line of its own")
                    .on_line(line)
            }
            LineError::NotUtf8 { line } => {
                let hint = "convert the file, e.g. `iconv -f WINDOWS-1252 -t UTF-8 FILE > FILE.utf8.jsonl`";
                DataFault::new(format!("the text is not UTF-8\nhint: {hint}")).on_line(line)
            }
        };
        fault.into()
    }

    /// Adds the name of the part to an error, if there are several.
    fn named(&self, error: DataError) -> DataError {
        match &self.part {
            Some(part) => match error {
                DataError::Fault(fault) => DataFault { part: Some(shown(part).into()), ..*fault }.into(),
                error => match Path::new(&self.name).parent() {
                    Some(folder) => error.in_file_of(folder, part),
                    None => error,
                },
            },
            None => error,
        }
    }
}

fn kind(path: &Path, told: Option<Compression>) -> Compression {
    told.unwrap_or_else(|| Compression::by_ending(path))
}

/// Passes the cells of all texts to the visitor, by row.
pub(super) fn visit(
    mut texts: Vec<JsonText>,
    interrupt: &Interrupt,
    visitor: &mut impl CellVisitor,
) -> Result<(), DataError> {
    let mut keys = Keys::default();
    let refuses_others = match visitor.wanted() {
        Wanted::All => {
            for text in &mut texts {
                collect(text, &mut keys, interrupt).map_err(|error| text.named(error))?;
            }
            keys.columns = keys.names.len();
            false
        }
        Wanted::These { names, refuses_others } => {
            names.iter().try_for_each(|name| keys.add(name).map(|_| ()))?;
            keys.columns = keys.names.len();
            refuses_others
        }
    };
    if keys.names.is_empty() {
        return Err(DataFault::new("the text is empty: it has no object with a key").into());
    }
    let places = visitor.columns(&keys.names)?;
    let mut rows = Rows { values: vec![None; keys.columns], places, refuses_others, row: 0 };
    for text in &mut texts {
        match rows.pass_on(text, &mut keys, interrupt, visitor) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => return Err(text.named(error)),
        }
    }
    // Otherwise a misspelt name would be a column of nulls.
    let missing: Vec<&String> =
        rows.places.iter().filter(|place| keys.last[**place] == 0).map(|place| &keys.names[*place]).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let others: Vec<&String> =
        (0..keys.names.len()).filter(|key| keys.last[*key] > 0).map(|key| &keys.names[key]).collect();
    Err(DataFault::new(format!("no object has the key {}; the keys are {}", listed(&missing), listed(&others))).into())
}

/// The keys of the objects so far.
#[derive(Default)]
struct Keys {
    names: Vec<String>,
    by_name: HashMap<String, usize>,
    bytes: usize,
    /// The number of the last object that has the key, from 1; 0 for none.
    last: Vec<u64>,
    /// The keys by their place in the last objects: the next object mostly has the same order.
    order: Vec<usize>,
    /// So many of the first keys are columns.
    columns: usize,
}

impl Keys {
    /// Returns a number that is at least that of the last object.
    fn objects(&self) -> u64 {
        self.last.iter().copied().max().unwrap_or(0)
    }

    /// Adds a key and returns its number.
    fn add(&mut self, name: &str) -> Result<usize, DataFault> {
        self.bytes += name.len();
        if self.names.len() == MAX_KEYS || self.bytes > MAX_KEY_BYTES {
            let hint = "a table has a few hundred columns; values must not be keys";
            return Err(DataFault::new(format!("the objects have more than {MAX_KEYS} keys together\nhint: {hint}")));
        }
        let key = self.names.len();
        self.names.push(name.to_owned());
        self.by_name.insert(name.to_owned(), key);
        self.last.push(0);
        Ok(key)
    }

    /// Returns the number of the key that object `object` has as its member `member`.
    ///
    /// # Errors
    /// The object has the key twice.
    fn see(&mut self, name: &str, member: usize, object: u64) -> Result<usize, DataFault> {
        let likely = self.order.get(member).copied().filter(|key| self.names[*key] == name);
        let key = match likely.or_else(|| self.by_name.get(name).copied()) {
            Some(key) => key,
            None => self.add(name)?,
        };
        if likely.is_none() && member < MAX_KEYS {
            self.order.resize(self.order.len().max(member + 1), key);
            self.order[member] = key;
        }
        if std::mem::replace(&mut self.last[key], object) == object {
            return Err(DataFault::new("the object has this key more than once").in_column(name));
        }
        Ok(key)
    }
}

/// Collects the keys of a text.
fn collect(text: &mut JsonText, keys: &mut Keys, interrupt: &Interrupt) -> Result<(), DataError> {
    let mut lines = text.lines(interrupt)?;
    let mut objects = keys.objects();
    while let Some(Line { text: line, number }) = lines.next().map_err(|error| text.in_words(error))? {
        look(number, interrupt)?;
        objects += 1;
        object(line, |name, _, member| keys.see(name, member, objects).map(|_| ()))
            .map_err(|fault| fault.on_line(number))?;
    }
    Ok(())
}

fn look(line: u64, interrupt: &Interrupt) -> Result<(), DataError> {
    if line.is_multiple_of(LINES_PER_LOOK) && interrupt.is_set() { Err(DataError::Interrupted) } else { Ok(()) }
}

/// The place of a value in its line.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    length: usize,
    kind: Kind,
}

impl Span {
    fn of(value: Raw<'_>, line: &str) -> Self {
        let start = (value.text.as_ptr() as usize).saturating_sub(line.as_ptr() as usize);
        Self { start, length: value.text.len(), kind: value.kind }
    }

    fn value(self, line: &str) -> Raw<'_> {
        Raw { text: &line[self.start..self.start + self.length], kind: self.kind }
    }
}

/// The rows that are passed on.
struct Rows {
    /// The values of the object that is read, by column.
    values: Vec<Option<Span>>,
    places: Vec<usize>,
    refuses_others: bool,
    /// The number of the current row in all texts, from 0.
    row: u64,
}

impl Rows {
    /// Passes the rows of a text to the visitor. Returns whether to go on.
    fn pass_on(
        &mut self,
        text: &mut JsonText,
        keys: &mut Keys,
        interrupt: &Interrupt,
        visitor: &mut impl CellVisitor,
    ) -> Result<bool, DataError> {
        let mut lines = text.lines(interrupt)?;
        // Objects are numbered on behind those of the first pass.
        let (before, first) = (keys.objects() + 1, self.row);
        while let Some(Line { text: line, number }) = lines.next().map_err(|error| text.in_words(error))? {
            look(number, interrupt)?;
            let row = self.row;
            let in_place = |fault: DataFault| fault.in_row(row).on_line(number);
            self.read(line, keys, before + (row - first)).map_err(in_place)?;
            for (column, place) in self.places.iter().enumerate() {
                let passed = match self.values[*place] {
                    None => visitor.cell(column, Cell::Null),
                    Some(span) => match span.value(line).with_cell(|cell| visitor.cell(column, cell)) {
                        Ok(passed) => passed,
                        Err(fault) => Err(Box::new(fault.in_column(&keys.names[*place]))),
                    },
                };
                passed.map_err(|fault| in_place(*fault))?;
            }
            self.row += 1;
            if !visitor.end_rows(1)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Finds the values of an object.
    fn read(&mut self, line: &str, keys: &mut Keys, number: u64) -> Result<(), DataFault> {
        self.values.fill(None);
        object(line, |name, value, member| {
            let key = keys.see(name, member, number)?;
            match self.values.get_mut(key) {
                Some(slot) => *slot = Some(Span::of(value, line)),
                None if self.refuses_others => {
                    let message = "the signature does not name this key, and says that extra columns are an error";
                    return Err(DataFault::new(message).in_column(name));
                }
                None => {}
            }
            Ok(())
        })
    }
}

/// Reads the object that a line consists of. `take` gets key, value and number of each member.
fn object<'a>(
    line: &'a str,
    mut take: impl FnMut(&str, Raw<'a>, usize) -> Result<(), DataFault>,
) -> Result<(), DataFault> {
    let mut scanner = Scanner::new(line);
    if scanner.peek() != Some(b'{') {
        let value = scanner.top_value().map_err(|NotJson| not_json(line))?;
        let hint = match value.kind {
            Kind::Array => "write the objects of the array one a line, e.g. `jq -c '.[]' FILE`",
            _ => "a line is an object such as {\"age\": 41, \"plan\": \"basic\"}",
        };
        return Err(DataFault::of_value(value.text, &format!("is not an object\nhint: {hint}")));
    }
    let (mut member, mut failed) = (0, None);
    let members = scanner.members(|name, value| {
        if failed.is_none() {
            let name = name.string().map_err(|error| DataFault::new(format!("a key is not JSON: {error}")));
            failed = name.and_then(|name| take(&name, value, member)).err();
        }
        member += 1;
    });
    members.map_err(|NotJson| not_json(line))?;
    match failed {
        Some(fault) => Err(fault),
        None if scanner.peek().is_some() => {
            Err(DataFault::new("more text follows the object\nhint: write each object on a line of its own"))
        }
        None => Ok(()),
    }
}

#[cold]
fn not_json(line: &str) -> DataFault {
    let problem = explain(line).replacen(" at line 1 column ", " at column ", 1);
    let hint = match problem.starts_with("EOF") {
        true => "\nhint: each line is a whole object; `jq -c . FILE` writes them so",
        false => "",
    };
    DataFault::new(format!("the line is not JSON: {problem}{hint}"))
}
