//! Text in other encodings, converted to UTF-8 while it is read.
//!
//! UTF-8 is not touched here. UTF-16 is recognised by its byte order mark; other encodings must be
//! told, because every byte of a text may be one of theirs.

use std::io::{self, Read};

use encoding_rs::mem::convert_latin1_to_utf8;
use encoding_rs::{Decoder, DecoderResult, UTF_16BE, UTF_16LE, WINDOWS_1252};

use crate::dialect::Encoding;
use crate::source::broken_text::not_encoded;

/// Bytes that are converted at once.
const READ_BYTES: usize = 64 << 10;
/// The most bytes that a unit of any encoding takes in UTF-8.
const MOST_PER_BYTE: usize = 3;

const MARK_LE: &[u8] = b"\xff\xfe";
const MARK_BE: &[u8] = b"\xfe\xff";

/// Returns a text as UTF-8. Without a told encoding, a byte order mark tells UTF-16.
///
/// # Errors
/// The text cannot be read, or should have a byte order mark.
pub(super) fn in_utf8<'a>(mut input: Box<dyn Read + 'a>, told: Option<Encoding>) -> io::Result<Box<dyn Read + 'a>> {
    if told == Some(Encoding::Utf8) {
        return Ok(input);
    }
    let mut head = Vec::new();
    (&mut input).take(4).read_to_end(&mut head)?;
    // The mark of UTF-32 begins as that of UTF-16 does.
    let marked = match &head[..] {
        [0xff, 0xfe, 0, 0] => None,
        head if head.starts_with(MARK_LE) => Some(Encoding::Utf16Le),
        head if head.starts_with(MARK_BE) => Some(Encoding::Utf16Be),
        _ => None,
    };
    let encoding = match told {
        Some(Encoding::Utf16) => Some(marked.ok_or_else(|| not_encoded("UTF-16 with a byte order mark", 0))?),
        Some(told) => Some(told),
        None => marked,
    };
    let text: Box<dyn Read + 'a> = Box::new(io::Cursor::new(head).chain(input));
    let decoder = match encoding {
        None | Some(Encoding::Utf8 | Encoding::Utf16) => return Ok(text),
        Some(Encoding::Latin1) => None,
        // These drop their byte order mark.
        Some(Encoding::Utf16Le) => Some(UTF_16LE.new_decoder_with_bom_removal()),
        Some(Encoding::Utf16Be) => Some(UTF_16BE.new_decoder_with_bom_removal()),
        Some(Encoding::Windows1252) => Some(WINDOWS_1252.new_decoder_without_bom_handling()),
    };
    let name = encoding.map_or("UTF-8", Encoding::name);
    let raw = vec![0; READ_BYTES];
    Ok(Box::new(Converted {
        text,
        decoder,
        name,
        raw,
        start: 0,
        end: 0,
        passed: 0,
        room: Vec::new(),
        at: 0,
        is_at_end: false,
    }))
}

/// A text that is converted as it is read.
struct Converted<'a> {
    text: Box<dyn Read + 'a>,
    /// `None` for Latin-1, which needs none.
    decoder: Option<Decoder>,
    name: &'static str,
    raw: Vec<u8>,
    /// The bytes that were read and not converted are `raw[start..end]`.
    start: usize,
    end: usize,
    /// The bytes of the text before those.
    passed: u64,
    /// Converted bytes; those up to `at` were passed on.
    room: Vec<u8>,
    at: usize,
    is_at_end: bool,
}

impl Converted<'_> {
    /// Converts more bytes.
    fn convert(&mut self) -> io::Result<()> {
        if self.start == self.end && !self.is_at_end {
            (self.start, self.end) = (0, self.text.read(&mut self.raw)?);
            self.is_at_end = self.end == 0;
        }
        self.at = 0;
        let bytes = &self.raw[self.start..self.end];
        self.room.resize(bytes.len() * MOST_PER_BYTE + 16, 0);
        let Some(decoder) = &mut self.decoder else {
            let written = convert_latin1_to_utf8(bytes, &mut self.room);
            self.room.truncate(written);
            self.passed += bytes.len() as u64;
            self.start = self.end;
            return Ok(());
        };
        let (result, read, written) = decoder.decode_to_utf8_without_replacement(bytes, &mut self.room, self.is_at_end);
        self.room.truncate(written);
        self.start += read;
        self.passed += read as u64;
        match result {
            DecoderResult::InputEmpty | DecoderResult::OutputFull => Ok(()),
            DecoderResult::Malformed(..) => Err(not_encoded(self.name, self.passed)),
        }
    }
}

impl Read for Converted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.room.len() {
            if self.is_at_end {
                return Ok(0);
            }
            self.convert()?;
        }
        let read = (&self.room[self.at..]).read(buffer)?;
        self.at += read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::broken_text::unreadable_text;
    use proptest::prelude::*;

    /// Returns a few bytes at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn read(bytes: &[u8], told: Option<Encoding>, at_once: usize) -> Result<String, String> {
        let mut text = String::new();
        let read = in_utf8(Box::new(Drip(bytes, at_once)), told).and_then(|mut input| input.read_to_string(&mut text));
        read.map(|_| text).map_err(|error| unreadable_text("t", error).to_string())
    }

    fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn what_is_told_or_marked_is_converted() {
        let marked = utf16("\u{feff}é€😀", u16::to_le_bytes);
        assert_eq!(read(&marked, None, 3).unwrap(), "é€😀");
        assert_eq!(read(&marked, Some(Encoding::Utf16), 1).unwrap(), "é€😀");
        assert_eq!(read(&utf16("\u{feff}é", u16::to_be_bytes), None, 2).unwrap(), "é");
        assert_eq!(read(&utf16("é", u16::to_be_bytes), Some(Encoding::Utf16Be), 1).unwrap(), "é");
        assert_eq!(read(b"caf\xe9 \x80\x93", Some(Encoding::Latin1), 2).unwrap(), "café \u{80}\u{93}");
        assert_eq!(read(b"caf\xe9 \x80\x93", Some(Encoding::Windows1252), 2).unwrap(), "café €“");
        assert_eq!(read("é".as_bytes(), None, 1).unwrap(), "é");
        assert_eq!(read(b"", None, 1).unwrap(), "");
    }

    #[test]
    fn what_is_not_in_its_encoding_is_an_error() {
        for (bytes, told) in
            [(&b"a\0b"[..], Encoding::Utf16Le), (b"\0\xd8a\0", Encoding::Utf16Le), (b"a,b\n", Encoding::Utf16)]
        {
            let error = read(bytes, Some(told), 2).unwrap_err();
            assert!(error.contains("it is not text in") && error.contains("\nhint: "), "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in ".{0,200}", at_once in 1_usize..9) {
            // The mark of UTF-32 begins with that of UTF-16 and zeros.
            prop_assume!(!text.starts_with(['\u{feff}', '\0']));
            let little = utf16(&format!("\u{feff}{text}"), u16::to_le_bytes);
            prop_assert_eq!(&read(&little, None, at_once).unwrap(), &text);
            prop_assert_eq!(&read(&utf16(&text, u16::to_be_bytes), Some(Encoding::Utf16Be), at_once).unwrap(), &text);
            let latin: Vec<u8> = text.chars().map(|letter| u8::try_from(letter).unwrap_or(b'?')).collect();
            let expected: String = latin.iter().map(|byte| char::from(*byte)).collect();
            prop_assert_eq!(&read(&latin, Some(Encoding::Latin1), at_once).unwrap(), &expected);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), at_once in 1_usize..9) {
            for (_, encoding) in Encoding::NAMES {
                let _ = read(&bytes, Some(encoding), at_once);
            }
        }
    }
}
