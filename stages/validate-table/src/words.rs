//! A list of texts in which texts are found.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use stagewright_kit::TextEnds;

use crate::keys::hash;

/// The most texts that are compared one by one.
const COMPARED: usize = 8;

/// Distinct texts, each with its place. Most columns have few, and comparing those is cheaper than
/// hashing.
#[derive(Debug, Default)]
pub(crate) struct Words {
    few: Vec<(TextEnds, Box<[u8]>)>,
    others: HashMap<Box<[u8]>, usize, ByBytes>,
}

impl Words {
    pub(crate) fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut words = Self::default();
        for text in texts {
            words.place_or_add(text.as_bytes());
        }
        words
    }

    pub(crate) fn len(&self) -> usize {
        self.few.len() + self.others.len()
    }

    /// Returns the place of a text.
    pub(crate) fn place(&self, text: &[u8]) -> Option<usize> {
        let ends = TextEnds::of(text);
        let is = |known: &(TextEnds, Box<[u8]>)| known.0 == ends && (ends.are_whole_text() || *known.1 == *text);
        let among_few = self.few.iter().position(is);
        among_few.or_else(|| if self.others.is_empty() { None } else { self.others.get(text).copied() })
    }

    /// Returns the place of a text, which is added if it is new.
    pub(crate) fn place_or_add(&mut self, text: &[u8]) -> usize {
        if let Some(place) = self.place(text) {
            return place;
        }
        let place = self.len();
        if place < COMPARED {
            self.few.push((TextEnds::of(text), text.into()));
        } else {
            self.others.insert(text.into(), place);
        }
        place
    }

    /// Returns all texts by their places.
    pub(crate) fn texts(&self) -> Vec<String> {
        let mut texts = vec![String::new(); self.len()];
        let few = self.few.iter().map(|(_, text)| text).enumerate();
        for (place, text) in few.chain(self.others.iter().map(|(text, place)| (*place, text))) {
            texts[place] = String::from_utf8_lossy(text).into_owned();
        }
        texts
    }
}

/// Hashes bytes by [`hash`], so that runs agree and no random numbers are needed.
#[derive(Debug, Clone, Copy, Default)]
struct ByBytes;

impl BuildHasher for ByBytes {
    type Hasher = BytesHash;
    fn build_hasher(&self) -> BytesHash {
        BytesHash(0)
    }
}

#[derive(Debug)]
struct BytesHash(u64);

impl Hasher for BytesHash {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = self.0.rotate_left(1) ^ hash(bytes)[0];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_has_one_place() {
        let names: Vec<String> = (0..30).map(|number| format!("a rather long name {number}")).collect();
        let words = Words::of(names.iter().map(String::as_str).chain(["a rather long name 3", ""]));
        assert_eq!(words.len(), 31);
        for (place, name) in names.iter().enumerate() {
            assert_eq!(words.place(name.as_bytes()), Some(place));
        }
        assert_eq!((words.place(b""), words.place(b"b")), (Some(30), None));
        assert_eq!(words.texts()[..30], names);
    }
}
