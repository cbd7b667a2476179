//! Compares texts, most of which are short. For short texts, a call of `memcmp` costs more in Wasm
//! than the comparison.

/// The length, the beginning and the end of a text, which are compared before the whole text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextEnds {
    length: usize,
    first: u64,
    last: u64,
}

impl TextEnds {
    /// Returns the ends of `text`.
    #[inline]
    pub fn of(text: &[u8]) -> Self {
        let (first, last) = if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
            (u64::from_le_bytes(*first), u64::from_le_bytes(*last))
        } else if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
            // Up to 7 bytes: the two halves overlap and cover the text.
            (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into())
        } else {
            match *text {
                [a, b, c] => (u32::from_le_bytes([a, b, c, 0]).into(), 0),
                [a, b] => (u16::from_le_bytes([a, b]).into(), 0),
                [a] => (a.into(), 0),
                _ => (0, 0),
            }
        };
        Self { length: text.len(), first, last }
    }

    /// Returns whether texts with these ends are equal. Longer texts may differ in between.
    #[inline]
    pub fn are_whole_text(self) -> bool {
        self.length <= 16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_up_to_16_bytes_are_equal_where_their_ends_are() {
        for length in 0..=16 {
            let text: Vec<u8> = (1..=length).collect();
            let ends = TextEnds::of(&text);
            assert!(ends.are_whole_text());
            assert_eq!(ends, TextEnds::of(&text.clone()));
            for place in 0..text.len() {
                let mut other = text.clone();
                other[place] ^= 0x80;
                assert_ne!(ends, TextEnds::of(&other), "{length} bytes that differ at {place}");
            }
            let longer = [text.as_slice(), &[0]].concat();
            assert_ne!(ends, TextEnds::of(&longer), "{length} bytes and a zero");
        }
    }

    #[test]
    fn longer_texts_may_differ_between_their_ends() {
        let [one, other] = ["12345678 12345678", "12345678-12345678"].map(|text| TextEnds::of(text.as_bytes()));
        assert!(one == other && !one.are_whole_text());
    }
}
