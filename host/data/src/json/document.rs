//! Texts that should be JSON: reading one from its first byte to its last, and the words for what
//! is wrong with it.

use std::collections::HashMap;

use serde::de::IgnoredAny;
use serde_json::Deserializer;

use crate::error::{DataError, DataFault};
use crate::json::scanner::{MAX_DEPTH, NotJson, Scanner};
use crate::source::{FileFormat, recognise};

/// The most members or elements of an envelope: some thousands more than a table has columns.
pub(crate) const MAX_PARTS: usize = (1 << 16) + 4096;

/// The reason for which nothing could be read.
#[derive(Debug)]
pub(crate) enum Unread {
    /// The bytes have another format.
    OtherFormat(FileFormat),
    /// The text or its form is wrong.
    Fault(DataFault),
}

impl Unread {
    /// Returns the error for a text of this name.
    pub(crate) fn named(self, name: &str) -> DataError {
        match self {
            Self::OtherFormat(found) => found.error(name.as_ref()),
            Self::Fault(fault) => fault.into(),
        }
    }

    /// Sets the column whose values could not be read.
    pub(crate) fn in_column(self, name: &str) -> Self {
        match self {
            Self::Fault(fault) => Self::Fault(fault.in_column(name)),
            other @ Self::OtherFormat(_) => other,
        }
    }
}

/// The reason for which reading ends before the text does.
#[derive(Debug)]
pub(crate) enum Halt {
    NotJson,
    /// Enough was read.
    Done,
    /// The text is JSON of another form.
    Fault(DataFault),
}

impl From<NotJson> for Halt {
    fn from(_: NotJson) -> Self {
        Self::NotJson
    }
}

/// Reads a text with `read`.
///
/// # Errors
/// [`Unread`], with the place where the text stops being JSON.
pub(crate) fn read<'a>(text: &'a [u8], read: impl FnOnce(&mut Scanner<'a>) -> Result<(), Halt>) -> Result<(), Unread> {
    let unread = |fault: DataFault| recognise(text).map_or(Unread::Fault(fault), Unread::OtherFormat);
    let utf8 = std::str::from_utf8(text).map_err(|error| {
        unread(DataFault::new(format!("the text is not UTF-8, from byte {} on", error.valid_up_to())))
    })?;
    let utf8 = utf8.strip_prefix('\u{feff}').unwrap_or(utf8);
    match read(&mut Scanner::new(utf8)) {
        Ok(()) | Err(Halt::Done) => Ok(()),
        Err(Halt::NotJson) => Err(unread(DataFault::new(format!("the text is not JSON: {}", explain(utf8))))),
        Err(Halt::Fault(fault)) => Err(Unread::Fault(fault)),
    }
}

/// Reads a text that is one array; `element` reads one of its `elements`.
///
/// # Errors
/// [`Unread`] if the text is not JSON, or not an array.
pub(crate) fn read_array<'a>(
    text: &'a [u8],
    elements: &str,
    element: impl FnMut(&mut Scanner<'a>) -> Result<(), Halt>,
) -> Result<(), Unread> {
    let kind = format!("an array of {elements}");
    read(text, |scanner| only(scanner, b'[', &kind, |scanner| scanner.elements(element)))
}

/// Reads the value that a text should consist of.
fn only<'a>(
    scanner: &mut Scanner<'a>,
    bracket: u8,
    kind: &str,
    read: impl FnOnce(&mut Scanner<'a>) -> Result<(), Halt>,
) -> Result<(), Halt> {
    match scanner.peek() {
        Some(first) if first == bracket => read(scanner)?,
        Some(_) => {
            let found = scanner.top_value()?;
            return Err(Halt::Fault(DataFault::of_value(found.text, &format!("is not {kind}"))));
        }
        None => return Err(Halt::Fault(DataFault::new(format!("the text is empty, where {kind} is needed")))),
    }
    match scanner.peek() {
        None => Ok(()),
        Some(_) => Err(Halt::Fault(DataFault::new(format!("more text follows {kind}")))),
    }
}

/// Returns the members of an object, as written; the last of several with one name wins.
///
/// # Errors
/// [`Unread`] if the text is not JSON, not an object, or has more than [`MAX_PARTS`].
pub(crate) fn members(text: &[u8]) -> Result<Vec<(String, &str)>, Unread> {
    let mut found: Vec<(String, &str)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let (mut unreadable, mut is_full) = (None, false);
    read(text, |scanner| {
        only(scanner, b'{', "an object", |scanner| {
            scanner.members(|name, value| match name.string() {
                Ok(name) => match places.get(&*name) {
                    Some(place) => found[*place].1 = value.text,
                    None if found.len() == MAX_PARTS => is_full = true,
                    None => {
                        places.insert(name.clone().into_owned(), found.len());
                        found.push((name.into_owned(), value.text));
                    }
                },
                Err(error) => unreadable = Some(error),
            })?;
            Ok(())
        })
    })?;
    match unreadable {
        None if is_full => Err(too_many("the object", "members")),
        None => Ok(found),
        Some(error) => Err(Unread::Fault(DataFault::new(format!("the text is not JSON: {error}")))),
    }
}

/// Returns the elements of an array, as written.
///
/// # Errors
/// [`Unread`] if the text is not JSON, not an array, or has more than [`MAX_PARTS`].
pub(crate) fn elements(text: &[u8]) -> Result<Vec<&str>, Unread> {
    let (found, count) = first_elements(text, MAX_PARTS)?;
    if count > found.len() { Err(too_many("the array", "elements")) } else { Ok(found) }
}

/// Returns the first elements of an array, as written, at most so many; and how many there are.
///
/// # Errors
/// [`Unread`] if the text is not JSON, or not an array.
pub(crate) fn first_elements(text: &[u8], most: usize) -> Result<(Vec<&str>, usize), Unread> {
    let (mut found, mut count) = (Vec::new(), 0);
    read_array(text, "values", |scanner| {
        let value = scanner.value()?;
        if count < most {
            found.push(value.text);
        }
        count += 1;
        Ok(())
    })?;
    Ok((found, count))
}

fn too_many(whole: &str, parts: &str) -> Unread {
    Unread::Fault(DataFault::new(format!("{whole} has more than {MAX_PARTS} {parts}: send fewer")))
}

/// Returns the reason for which a text is not JSON, with its place.
pub(crate) fn explain(text: &str) -> String {
    let refused = Deserializer::from_str(text).into_iter::<IgnoredAny>().find_map(Result::err);
    match refused {
        Some(error) => error.to_string(),
        None => format!("arrays and objects are nested more than {MAX_DEPTH} deep"),
    }
}
