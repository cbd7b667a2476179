//! Adds a section to an ELF file.
//!
//! A section outside of all segments is not loaded, so it does not affect the program. Its bytes,
//! the names of all sections and their headers are appended. Everything else stays in place, except
//! three fields of the file header.

/// The start of a 64-bit little-endian file header: `man 5 elf`.
const MAGIC: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];

// Offsets in the file header.
const HEADERS: usize = 0x28;
const COUNT: usize = 0x3c;
const NAMES: usize = 0x3e;

/// The size of a section header in bytes.
const HEADER: usize = 64;

// Offsets in a section header.
const NAME: usize = 0;
const KIND: usize = 4;
const OFFSET: usize = 24;
const SIZE: usize = 32;
const ALIGNMENT: usize = 48;

/// The type of a section whose content only its reader interprets.
const PROGRAM_BITS: u32 = 1;

/// Returns whether these bytes are such a file.
pub(crate) fn is_one(file: &[u8]) -> bool {
    file.starts_with(&MAGIC)
}

/// Returns the file with another section. Returns `None` if it has no sections, or so many that
/// their number is stored elsewhere.
pub(crate) fn with_section(file: &[u8], name: &str, data: &[u8]) -> Option<Vec<u8>> {
    let (mut headers, names) = headers(file)?;
    let count = u16::try_from(headers.len() + 1).ok().filter(|count| *count < 0xff00)?;
    let mut texts = content(file, headers.get(names)?)?.to_vec();
    let mut header = [0; HEADER];
    put(&mut header, NAME, &u32::try_from(texts.len()).ok()?.to_le_bytes());
    put(&mut header, KIND, &PROGRAM_BITS.to_le_bytes());
    put(&mut header, ALIGNMENT, &1_u64.to_le_bytes());
    texts.extend(name.as_bytes());
    texts.push(0);

    let mut bytes = file.to_vec();
    place(&mut header, &mut bytes, data);
    place(&mut headers[names], &mut bytes, &texts);
    headers.push(header);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let at = bytes.len() as u64;
    bytes.extend(headers.concat());
    put(&mut bytes, HEADERS, &at.to_le_bytes());
    put(&mut bytes, COUNT, &count.to_le_bytes());
    Some(bytes)
}

/// Appends the bytes of a section to a file.
fn place(header: &mut [u8; HEADER], file: &mut Vec<u8>, data: &[u8]) {
    put(header, OFFSET, &(file.len() as u64).to_le_bytes());
    put(header, SIZE, &(data.len() as u64).to_le_bytes());
    file.extend(data);
}

/// Returns the headers of all sections, and the index of the one with the names.
fn headers(file: &[u8]) -> Option<(Vec<[u8; HEADER]>, usize)> {
    let figure = |at: usize| Some(u16::from_le_bytes(file.get(at..at + 2)?.try_into().ok()?));
    if !is_one(file) {
        return None;
    }
    let begin = long(file, HEADERS)?;
    let end = begin.checked_add(usize::from(figure(COUNT)?) * HEADER)?;
    let headers: Vec<[u8; HEADER]> = file.get(begin..end)?.as_chunks().0.to_vec();
    (!headers.is_empty()).then_some((headers, figure(NAMES)?.into()))
}

fn content<'a>(file: &'a [u8], header: &[u8; HEADER]) -> Option<&'a [u8]> {
    let begin = long(header, OFFSET)?;
    file.get(begin..begin.checked_add(long(header, SIZE)?)?)
}

fn long(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?)).ok()
}

fn put(bytes: &mut [u8], at: usize, figure: &[u8]) {
    bytes[at..at + figure.len()].copy_from_slice(figure);
}

/// Returns the bytes of a section.
#[cfg(test)]
pub(crate) fn section<'a>(file: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let (headers, names) = headers(file)?;
    let names = content(file, headers.get(names)?)?;
    let is_meant = |header: &&[u8; HEADER]| {
        let at = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let text = names.get(at..).and_then(|rest| rest.split(|byte| *byte == 0).next());
        text == Some(name.as_bytes())
    };
    content(file, headers.iter().find(is_meant)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_with_sections_gets_none() {
        for file in [&b""[..], b"\x7fELF", &[0; 64], &[MAGIC.as_slice(), &[0; 58]].concat()] {
            assert_eq!(with_section(file, ".x", b"x"), None);
        }
    }
}
