//! Several parts in one file: the objects below a prefix, or the pages of an API.
//!
//! A pack is a tar archive (POSIX `ustar`, with `pax` records for long names), so that people
//! unpack it with `tar`. It holds nothing but names and bytes: equal parts make equal packs. Only
//! packs that [`PackWriter`] writes are read; of other archives, no member but plain files is
//! known.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt as _;

/// Bytes of a header. Parts are padded to a multiple.
const BLOCK: u64 = 512;
/// The longest name in a plain header.
const SHORT_NAME: usize = 100;
/// The largest size in a plain header: eleven octal digits.
const SHORT_SIZE: u64 = (1 << 33) - 1;
/// The longest `pax` records that are read. A key of S3 has at most a KiB.
const MAX_RECORDS: u64 = 64 << 10;

/// Writes a pack.
#[derive(Debug)]
pub struct PackWriter<W> {
    into: W,
    /// Bytes of the current part that are still to come.
    missing: u64,
    padding: u64,
}

impl<W: Write> PackWriter<W> {
    /// Begins a pack.
    pub fn new(into: W) -> Self {
        Self { into, missing: 0, padding: 0 }
    }

    /// Begins a part of `size` bytes.
    ///
    /// # Errors
    /// That of the writer, or the last part is not complete.
    pub fn begin(&mut self, name: &str, size: u64) -> io::Result<()> {
        self.end_part()?;
        let is_short = name.len() <= SHORT_NAME && name.is_ascii() && size <= SHORT_SIZE;
        if !is_short {
            let records = [record("path", name), record("size", &size.to_string())].concat();
            self.into.write_all(&header("pax", records.len() as u64, b'x'))?;
            self.into.write_all(records.as_bytes())?;
            self.pad(padding(records.len() as u64))?;
        }
        let plain: String = name.chars().filter(char::is_ascii).take(SHORT_NAME).collect();
        self.into.write_all(&header(&plain, size.min(SHORT_SIZE), b'0'))?;
        (self.missing, self.padding) = (size, padding(size));
        Ok(())
    }

    /// Ends the pack.
    ///
    /// # Errors
    /// As [`PackWriter::begin`].
    pub fn finish(mut self) -> io::Result<W> {
        self.end_part()?;
        self.pad(2 * BLOCK)?;
        Ok(self.into)
    }

    fn end_part(&mut self) -> io::Result<()> {
        if self.missing > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a part is shorter than it was said to be"));
        }
        let padding = std::mem::take(&mut self.padding);
        self.pad(padding)
    }

    fn pad(&mut self, bytes: u64) -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(bytes), &mut self.into).map(drop)
    }
}

impl<W: Write> Write for PackWriter<W> {
    /// Writes bytes of the current part.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.missing {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a part is longer than it was said to be"));
        }
        let written = self.into.write(bytes)?;
        self.missing -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.into.flush()
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK
}

/// Returns a record of `pax`, which begins with its own length.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    format!("{length}{rest}")
}

/// Returns a header without owner and time.
fn header(name: &str, size: u64, kind: u8) -> [u8; BLOCK as usize] {
    let mut header = [0; BLOCK as usize];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    // The sum counts its own field as spaces.
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// The bytes of a pack.
pub(crate) enum PackBytes {
    /// In memory that lives as long as the process.
    Memory(&'static [u8]),
    /// In a file.
    File(File),
}

impl PackBytes {
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        match self {
            Self::Memory(bytes) => {
                let from = usize::try_from(at).ok().and_then(|at| bytes.get(at..at.checked_add(buffer.len())?));
                buffer.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
            Self::File(file) => file.read_exact_at(buffer, at),
        }
    }

    fn length(&self) -> io::Result<u64> {
        match self {
            Self::Memory(bytes) => Ok(bytes.len() as u64),
            Self::File(file) => Ok(file.metadata()?.len()),
        }
    }
}

/// A pack that is read part by part.
pub(crate) struct PackReader {
    bytes: PackBytes,
    length: u64,
    /// Where the next header begins.
    at: u64,
}

/// A part of a pack.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    start: u64,
    length: u64,
}

impl PackReader {
    pub(crate) fn new(bytes: PackBytes) -> io::Result<Self> {
        let length = bytes.length()?;
        Ok(Self { bytes, length, at: 0 })
    }

    /// Returns the next part; `None` at the end.
    ///
    /// # Errors
    /// It is not a pack, or it was cut.
    pub(crate) fn next(&mut self) -> io::Result<Option<Part>> {
        let mut long: Option<(String, u64)> = None;
        loop {
            let mut header = [0; BLOCK as usize];
            self.bytes.read_exact_at(&mut header, self.at)?;
            if header.iter().all(|byte| *byte == 0) {
                return Ok(None);
            }
            if header[257..262] != *b"ustar" {
                return Err(damaged());
            }
            let size = octal(&header[124..135]).ok_or_else(damaged)?;
            let start = self.at + BLOCK;
            match (header[156], long.take()) {
                (b'x', None) if size <= MAX_RECORDS => {
                    let mut records = vec![0; size as usize];
                    self.bytes.read_exact_at(&mut records, start)?;
                    long = Some(path_and_size(&records).ok_or_else(damaged)?);
                    self.at = start + size + padding(size);
                }
                (b'0', long) => {
                    let short = header[..SHORT_NAME].split(|byte| *byte == 0).next().unwrap_or_default();
                    let (name, length) = long.unwrap_or_else(|| (String::from_utf8_lossy(short).into_owned(), size));
                    let end = start.checked_add(length).filter(|end| *end <= self.length).ok_or_else(damaged)?;
                    self.at = end + padding(length);
                    return Ok(Some(Part { name, start, length }));
                }
                _ => return Err(damaged()),
            }
        }
    }

    /// Returns the bytes of a part, if the pack is in memory.
    pub(crate) fn memory(&self, part: &Part) -> Option<&'static [u8]> {
        let PackBytes::Memory(bytes) = &self.bytes else { return None };
        bytes.get(usize::try_from(part.start).ok()?..)?.get(..usize::try_from(part.length).ok()?)
    }

    /// Returns a reader of a part of a file.
    pub(crate) fn stream(&self, part: &Part) -> io::Result<Box<dyn Read>> {
        let file = match &self.bytes {
            PackBytes::File(file) => file.try_clone()?,
            PackBytes::Memory(_) => return Ok(Box::new(self.memory(part).unwrap_or_default())),
        };
        Ok(Box::new(Span { file, at: part.start, end: part.start + part.length }))
    }
}

/// A range of a file.
struct Span {
    file: File,
    at: u64,
    end: u64,
}

impl Read for Span {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..wanted], self.at)?;
        if read == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += read as u64;
        Ok(read)
    }
}

fn octal(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

/// Reads the two records that [`PackWriter`] writes.
fn path_and_size(records: &[u8]) -> Option<(String, u64)> {
    let (mut path, mut size, mut rest) = (None, None, std::str::from_utf8(records).ok()?);
    while !rest.is_empty() {
        let (length, _) = rest.split_once(' ')?;
        let whole = rest.get(..length.parse::<usize>().ok()?).filter(|whole| whole.len() > length.len())?;
        let (key, value) = whole.get(length.len() + 1..)?.strip_suffix('\n')?.split_once('=')?;
        match key {
            "path" => path = Some(value.to_owned()),
            "size" => size = value.parse().ok(),
            _ => return None,
        }
        rest = rest.get(whole.len()..)?;
    }
    Some((path?, size?))
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it is no archive of fetched files, or it was cut")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(parts: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut pack = PackWriter::new(Vec::new());
        for (name, bytes) in parts {
            pack.begin(name, bytes.len() as u64).unwrap();
            pack.write_all(bytes).unwrap();
        }
        pack.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(bytes, 0).unwrap();
        let mut pack = PackReader::new(PackBytes::File(file))?;
        let mut found = Vec::new();
        while let Some(part) = pack.next()? {
            let mut content = Vec::new();
            pack.stream(&part)?.read_to_end(&mut content)?;
            found.push((part.name, content));
        }
        Ok(found)
    }

    fn long_names() -> Vec<(String, Vec<u8>)> {
        let name = |length: usize| "k".repeat(length);
        let names =
            [name(1), name(100), name(101), name(1000), "größe/день=1/a b.csv".to_owned(), "a\nsize=1".to_owned()];
        names.into_iter().enumerate().map(|(at, name)| (name, vec![b'x'; at * 511])).collect()
    }

    #[test]
    fn tar_unpacks_a_pack() {
        let (folder, parts) = (tempfile::tempdir().unwrap(), long_names());
        let archive = folder.path().join("pack.tar");
        let short: Vec<_> = parts.into_iter().filter(|(name, _)| name.len() < 255 && !name.contains('\n')).collect();
        std::fs::write(&archive, packed(&short)).unwrap();
        let status = std::process::Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(folder.path()).status();
        assert!(status.unwrap().success());
        for (name, bytes) in short {
            assert_eq!(std::fs::read(folder.path().join(&name)).unwrap(), bytes, "{name}");
        }
    }

    #[test]
    fn a_part_has_the_size_that_it_was_said_to_have() {
        let mut pack = PackWriter::new(Vec::new());
        pack.begin("a", 2).unwrap();
        assert!(pack.write_all(b"abc").is_err());
        assert!(pack.begin("b", 0).is_err());
    }

    #[test]
    fn what_is_cut_is_an_error() {
        let whole = packed(&long_names());
        assert_eq!(read(&whole).unwrap(), long_names());
        for cut in (0..whole.len() - 1024).step_by(101) {
            assert!(read(&whole[..cut]).is_err(), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn parts_are_read_as_they_were_written(
            parts in prop::collection::vec((".{1,300}", prop::collection::vec(any::<u8>(), 0..2000)), 0..5)
        ) {
            let parts: Vec<_> = parts.into_iter().filter(|(name, _)| !name.contains('\0')).collect();
            let bytes = packed(&parts);
            prop_assert_eq!(read(&bytes).unwrap(), parts.clone());
            let mut pack = PackReader::new(PackBytes::Memory(bytes.leak())).unwrap();
            for (name, content) in parts {
                let part = pack.next().unwrap().unwrap();
                prop_assert_eq!(&part.name, &name);
                prop_assert_eq!(pack.memory(&part).unwrap(), &content[..]);
            }
            prop_assert_eq!(pack.next().unwrap(), None);
        }

        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 512..3000), kind in prop::sample::select(vec![b'0', b'x'])) {
            bytes[257..262].copy_from_slice(b"ustar");
            bytes[156] = kind;
            bytes[124..135].copy_from_slice(b"00000000777");
            let _ = read(&bytes);
        }
    }
}
