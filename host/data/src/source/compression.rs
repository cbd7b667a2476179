//! Compressed text: gzip and zstd, decompressed while it is read.
//!
//! A file is compressed if its name ends in `.gz` or `.zst`, or if its address says so. A
//! compressed text may be a thousand times as long as the file. It is never held as a whole:
//! readers take it piece by piece, and their limits on time, memory, records and rows bound it as
//! any other text.

use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use serde::{Deserialize, Serialize};

use crate::interrupt::Interrupt;
use crate::source::broken_text::BrokenText;

/// The longest distance that zstd may look back, as a power of two: 128 MiB, which is also the
/// limit of the program `zstd`. A frame that asks for more is refused.
const ZSTD_WINDOW: u32 = 27;

/// Bytes that are read at once.
const READ_BYTES: usize = 128 << 10;

/// How a text is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// It is not.
    None,
    /// gzip, with one member or several.
    Gzip,
    /// Zstandard, with one frame or several.
    Zstd,
}

impl Compression {
    /// All kinds, each with its name.
    pub const NAMES: [(&'static str, Self); 3] = [("none", Self::None), ("gzip", Self::Gzip), ("zstd", Self::Zstd)];

    /// Returns the kind that the ending of a file's name tells.
    pub fn by_ending(path: &Path) -> Self {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some(ending) if ending.eq_ignore_ascii_case("gz") => Self::Gzip,
            Some(ending) if ending.eq_ignore_ascii_case("zst") => Self::Zstd,
            _ => Self::None,
        }
    }

    /// Returns the kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    /// Returns the name of the kind.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Returns the ending of a file's name in front of `.gz` or `.zst`: `csv` for `a.csv.gz`.
pub fn inner_ending(path: &Path) -> Option<&str> {
    let inner = match Compression::by_ending(path) {
        Compression::None => path,
        Compression::Gzip | Compression::Zstd => Path::new(path.file_stem()?),
    };
    inner.extension()?.to_str()
}

/// Returns the text that is compressed in `input`.
///
/// # Errors
/// The decompressor cannot be made.
pub(super) fn decompressed<'a>(
    input: Box<dyn Read + 'a>,
    compression: Compression,
    interrupt: &Interrupt,
) -> io::Result<Box<dyn Read + 'a>> {
    let buffered = |input| BufReader::with_capacity(READ_BYTES, input);
    let text: Box<dyn Read + 'a> = match compression {
        Compression::None => return Ok(input),
        Compression::Gzip => Box::new(MultiGzDecoder::new(buffered(input))),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(buffered(input))?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Box::new(decoder)
        }
    };
    Ok(Box::new(Decompressed { text, compression, interrupt: interrupt.clone() }))
}

/// A text that is decompressed as it is read, until it is interrupted.
struct Decompressed<'a> {
    text: Box<dyn Read + 'a>,
    compression: Compression,
    interrupt: Interrupt,
}

impl Read for Decompressed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A small file may hold an endless text without a row.
        if self.interrupt.is_set() {
            return Err(io::Error::other(BrokenText::Interrupted));
        }
        self.text.read(buffer).map_err(|error| match error.kind() {
            ErrorKind::Interrupted => error,
            ErrorKind::UnexpectedEof => io::Error::other(BrokenText::Truncated(self.compression.name())),
            _ => io::Error::other(BrokenText::Damaged(self.compression.name(), error.to_string())),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;
    use crate::error::DataError;
    use crate::source::broken_text::unreadable_text;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 1).unwrap()
    }

    fn read(bytes: &[u8], compression: Compression) -> Result<Vec<u8>, String> {
        let mut text = Vec::new();
        let read = decompressed(Box::new(bytes), compression, &Interrupt::never())
            .and_then(|mut input| input.read_to_end(&mut text));
        read.map(|_| text).map_err(|error| unreadable_text("t", error).to_string())
    }

    #[test]
    fn the_ending_of_a_name_tells_the_compression() {
        for (name, kind, inner) in [
            ("a.csv", Compression::None, Some("csv")),
            ("a.csv.GZ", Compression::Gzip, Some("csv")),
            ("a.b.jsonl.zst", Compression::Zstd, Some("jsonl")),
            ("gz", Compression::None, None),
            ("a.gz", Compression::Gzip, None),
        ] {
            assert_eq!(
                (Compression::by_ending(Path::new(name)), inner_ending(Path::new(name))),
                (kind, inner),
                "{name}"
            );
        }
    }

    #[test]
    fn a_text_may_be_in_several_members_or_frames() {
        let twice = |encode: fn(&[u8]) -> Vec<u8>| [encode(b"a,b\n"), encode(b"1,2\n")].concat();
        assert_eq!(read(&twice(gzip), Compression::Gzip).unwrap(), b"a,b\n1,2\n");
        assert_eq!(read(&twice(zstd), Compression::Zstd).unwrap(), b"a,b\n1,2\n");
    }

    #[test]
    fn a_text_that_is_cut_or_followed_by_something_else_is_an_error() {
        let text: Vec<u8> =
            (0..50_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for (whole, kind) in [(gzip(&text), Compression::Gzip), (zstd(&text), Compression::Zstd)] {
            for cut in [1, 5, whole.len() / 2, whole.len() - 1] {
                let error = read(&whole[..cut], kind).unwrap_err();
                assert!(error.contains("it ends in the middle of its") && error.contains("\nhint: "), "{cut}: {error}");
            }
            // A few bytes may be the beginning of a member.
            assert!(read(&[&whole[..], b"m"].concat(), kind).is_err());
            let more = [&whole[..], b"more than a header has"].concat();
            let error = read(&more, kind).unwrap_err();
            assert!(error.contains("or something else follows it") && error.contains("\nhint: "), "{error}");
        }
        // The checksum at the end of a member.
        let mut damaged = gzip(&text);
        let at = damaged.len() - 6;
        damaged[at] ^= 0x55;
        assert!(read(&damaged, Compression::Gzip).unwrap_err().contains("its gzip data is damaged"));
        assert!(read(b"no archive", Compression::Gzip).unwrap_err().contains("gzip"));
    }

    // invariant: A compressed text of any length is read until its reader is interrupted.
    #[test]
    fn a_text_that_takes_for_ever_is_interrupted() {
        let bomb = gzip(&vec![b'\n'; 64 << 20]);
        let looks = std::sync::atomic::AtomicU32::new(0);
        let interrupt = Interrupt::when(move || looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 3);
        let mut input = decompressed(Box::new(&bomb[..]), Compression::Gzip, &interrupt).unwrap();
        let error = std::io::copy(&mut input, &mut std::io::sink()).unwrap_err();
        assert!(matches!(unreadable_text("t", error), DataError::Interrupted));
    }

    proptest! {
        #[test]
        fn a_text_is_read_as_it_was_written(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4)) {
            let text = parts.concat();
            for (encode, kind) in [(gzip as fn(&[u8]) -> Vec<u8>, Compression::Gzip), (zstd, Compression::Zstd)] {
                let bytes: Vec<u8> = parts.iter().flat_map(|part| encode(part)).collect();
                prop_assert_eq!(&read(&bytes, kind).unwrap(), &text);
            }
        }
    }
}
