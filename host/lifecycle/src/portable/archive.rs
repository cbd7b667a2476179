//! A tar archive in canonical form: plain files without times, owners, links and folders.
//!
//! The reader compares each header with the only one that is valid at its place. A file can
//! therefore not use any field of tar against its reader, and every tar program can read it.

use std::io::{self, Read, Write};

/// The size of a header. Contents are padded to a multiple of it.
const BLOCK: usize = 512;

/// The range of a header's checksum.
const CHECKSUM: std::ops::Range<usize> = 148..156;

/// Returns the header of a file.
fn header(name: &str, bytes: u64) -> [u8; BLOCK] {
    let mut header = [0; BLOCK];
    header[..name.len()].copy_from_slice(name.as_bytes());
    let mut field = |place: usize, text: &[u8]| header[place..place + text.len()].copy_from_slice(text);
    field(100, b"0000644\0");
    field(108, b"0000000\0");
    field(116, b"0000000\0");
    if bytes < 1 << 33 {
        field(124, format!("{bytes:011o}\0").as_bytes());
    } else {
        // GNU tar and others write a size like this if it does not fit eleven octal digits.
        field(124, &[0x80]);
        field(128, &bytes.to_be_bytes());
    }
    field(136, b"00000000000\0");
    field(CHECKSUM.start, b"        ");
    field(156, b"0");
    field(257, b"ustar\x0000");
    let sum: u64 = header.iter().map(|&byte| u64::from(byte)).sum();
    header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

/// Returns the number of zeros after a content.
fn padding(bytes: u64) -> usize {
    (BLOCK - (bytes % BLOCK as u64) as usize) % BLOCK
}

/// Writes entries in sequence.
pub(super) struct Writer<W>(W);

impl<W: Write> Writer<W> {
    pub(super) fn new(file: W) -> Self {
        Self(file)
    }

    /// Writes an entry. Fails if the content has another length.
    pub(super) fn entry(&mut self, name: &str, bytes: u64, content: &mut dyn Read) -> io::Result<()> {
        assert!(name.len() < 100, "entries have short names");
        self.0.write_all(&header(name, bytes))?;
        let copied = io::copy(&mut content.take(bytes), &mut self.0)?;
        if copied != bytes || content.read(&mut [0])? != 0 {
            return Err(io::Error::other("it changed while it was read"));
        }
        self.0.write_all(&[0; BLOCK][..padding(bytes)])
    }

    /// Writes the end of the archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.0.write_all(&[0; 2 * BLOCK])?;
        Ok(self.0)
    }
}

/// Reads entries in sequence.
pub(super) struct Reader<R>(R);

impl<R: Read> Reader<R> {
    pub(super) fn new(file: R) -> Self {
        Self(file)
    }

    /// Returns the size of the first entry, which must have this name.
    pub(super) fn first(&mut self, name: &str) -> io::Result<Result<u64, String>> {
        let mut found = [0; BLOCK];
        if let Err(error) = self.0.read_exact(&mut found) {
            return cut(error);
        }
        // The size is the only part of the header that may vary.
        let octal = std::str::from_utf8(&found[124..135]).ok().and_then(|text| u64::from_str_radix(text, 8).ok());
        let bytes = octal.filter(|bytes| found == header(name, *bytes));
        Ok(bytes.ok_or_else(|| format!("it does not begin with `{name}`")))
    }

    /// Moves to the next entry, which must have this name and size.
    pub(super) fn next(&mut self, name: &str, bytes: u64) -> io::Result<Result<(), String>> {
        let mut found = [0; BLOCK];
        match self.0.read_exact(&mut found) {
            Err(error) => cut(error),
            Ok(()) if found == header(name, bytes) => Ok(Ok(())),
            Ok(()) => Ok(Err("something else stands there: another name, another size, or no plain file".to_owned())),
        }
    }

    /// Returns the content of the entry. [`Reader::after`] must be called after reading it.
    pub(super) fn content(&mut self, bytes: u64) -> io::Take<&mut R> {
        self.0.by_ref().take(bytes)
    }

    /// Moves past the end of a content. `left` is the number of its bytes that were not read.
    pub(super) fn after(&mut self, bytes: u64, left: u64) -> io::Result<Result<(), String>> {
        if left > 0 {
            return Ok(Err("it is cut off".to_owned()));
        }
        let mut filled = [0; BLOCK];
        let filled = &mut filled[..padding(bytes)];
        match self.0.read_exact(filled) {
            Err(error) => cut(error),
            Ok(()) if filled.iter().all(|&byte| byte == 0) => Ok(Ok(())),
            Ok(()) => Ok(Err("it is followed by something else than zeros".to_owned())),
        }
    }

    /// Reads the end of the archive. Nothing may follow it.
    pub(super) fn end(mut self) -> io::Result<Result<(), String>> {
        let mut end = [1; 2 * BLOCK];
        if let Err(error) = self.0.read_exact(&mut end) {
            return cut(error);
        }
        let is_end = end.iter().all(|&byte| byte == 0) && self.0.read(&mut [0])? == 0;
        Ok(if is_end { Ok(()) } else { Err("something follows its last entry".to_owned()) })
    }
}

/// A premature end is an error of the file; other errors are the system's.
fn cut<T>(error: io::Error) -> io::Result<Result<T, String>> {
    if error.kind() == io::ErrorKind::UnexpectedEof { Ok(Err("it is cut off".to_owned())) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        writer.entry("run.json", 3, &mut &b"{ }"[..]).expect("memory");
        writer.entry("artifacts/x.blob", 512, &mut &[7; 512][..]).expect("memory");
        writer.finish().expect("memory")
    }

    /// Reads the whole archive and checks its entries.
    fn read(file: &[u8]) -> Result<(), String> {
        let mut reader = Reader::new(file);
        let bytes = reader.first("run.json").expect("memory")?;
        let mut text = Vec::new();
        let mut content = reader.content(bytes);
        content.read_to_end(&mut text).expect("memory");
        let left = content.limit();
        reader.after(bytes, left).expect("memory")?;
        reader.next("artifacts/x.blob", 512).expect("memory")?;
        let mut content = reader.content(512);
        let mut blob = Vec::new();
        content.read_to_end(&mut blob).expect("memory");
        let left = content.limit();
        reader.after(512, left).expect("memory")?;
        if (text.as_slice(), blob.as_slice()) != (b"{ }", &[7; 512]) {
            return Err("other content".to_owned());
        }
        reader.end().expect("memory")
    }

    // invariant: as `the_same_run_is_the_same_file_and_is_reproduced_in_another_home`
    #[test]
    fn every_changed_byte_and_every_cut_is_seen() {
        let whole = archive();
        assert_eq!(read(&whole), Ok(()));
        for place in 0..whole.len() {
            assert!(read(&whole[..place]).is_err(), "cut at {place}");
            let mut changed = whole.clone();
            changed[place] ^= 1;
            assert!(read(&changed).is_err(), "changed at {place}");
        }
        assert!(read(&[&whole[..], &[0]].concat()).is_err());
    }

    #[test]
    fn other_tar_programs_read_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("run.tar");
        std::fs::write(&path, archive()).expect("room");
        let listed = std::process::Command::new("tar").arg("-tvf").arg(&path).output().expect("tar is there");
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.status.success() && listed.stderr.is_empty(), "{listed:?}");
        let names: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().last()).collect();
        assert_eq!(names, ["run.json", "artifacts/x.blob"]);
        // Larger sizes are written as GNU tar reads them.
        let large = header("x", 1 << 40);
        assert_eq!((large[124], &large[128..136]), (0x80, &(1_u64 << 40).to_be_bytes()[..]));
    }
}
