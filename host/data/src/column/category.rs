//! A categorical column under construction.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use arrow_array::DictionaryArray;
use arrow_array::types::Int32Type;
use arrow_schema::ArrowError;
use hashbrown::HashTable;

use super::values::{Numbers, Texts};

/// So many categories are compared one by one.
const FEW: usize = 4;
/// Slots of the cache of recent categories; a power of two. Few features have more categories.
const CACHE_SLOTS: usize = 64;
const EMPTY: i32 = -1;

/// A code for each row, and the categories in order of their codes.
#[derive(Debug)]
pub(crate) struct CategoryBuilder {
    codes: Numbers<Int32Type>,
    categories: Texts,
    /// Finds categories by their text, once there are more than a few.
    index: Option<Box<Index>>,
}

/// Categories by their text.
#[derive(Debug)]
struct Index {
    codes: HashTable<i32>,
    /// Keyed at random: whoever sends texts can't choose those that collide.
    hasher: RandomState,
    /// Codes of recent categories by a hash of length and first bytes. A hit is compared with the
    /// text, so a collision only costs time.
    recent: [i32; CACHE_SLOTS],
}

impl CategoryBuilder {
    pub(crate) fn with_room(rows: usize) -> Self {
        Self { codes: Numbers::with_room(rows), categories: Texts::with_room(0), index: None }
    }

    #[inline]
    pub(crate) fn push(&mut self, text: &str) {
        let code = match &self.index {
            None => self.code_of_few(text),
            Some(index) => {
                let slot = cache_slot(text);
                let cached = index.recent[slot];
                let is_cached = usize::try_from(cached).is_ok_and(|cached| self.categories.get(cached) == text);
                if is_cached { cached } else { self.code_of_many(text, slot) }
            }
        };
        self.codes.push(code);
    }

    pub(crate) fn push_null(&mut self) {
        self.codes.push_null();
    }

    /// Returns the bytes of all categories.
    #[inline]
    pub(crate) fn text_bytes(&self) -> usize {
        self.categories.text_bytes()
    }

    #[inline]
    fn code_of_few(&mut self, text: &str) -> i32 {
        let known = (0..self.categories.len()).find(|place| self.categories.get(*place) == text);
        known.map_or_else(|| self.add(text), code)
    }

    fn code_of_many(&mut self, text: &str, slot: usize) -> i32 {
        let index = self.index.as_ref().expect("there are many categories");
        let found = index.codes.find(index.hasher.hash_one(text), |code| self.categories.get(place(*code)) == text);
        let code = found.copied().unwrap_or_else(|| self.add(text));
        self.index.as_mut().expect("adding keeps it").recent[slot] = code;
        code
    }

    /// Adds a category and returns its code.
    fn add(&mut self, text: &str) -> i32 {
        let code = code(self.categories.len());
        self.categories.push(text);
        match &mut self.index {
            Some(index) => index.add(code, &self.categories),
            None if self.categories.len() <= FEW => {}
            None => {
                let (codes, hasher) = (HashTable::new(), RandomState::new());
                let index = self.index.insert(Box::new(Index { codes, hasher, recent: [EMPTY; CACHE_SLOTS] }));
                (0..=code).for_each(|code| index.add(code, &self.categories));
            }
        }
        code
    }

    /// Ends the array and leaves the builder empty.
    pub(crate) fn finish(&mut self) -> Result<DictionaryArray<Int32Type>, ArrowError> {
        if let Some(index) = &mut self.index {
            index.codes.clear();
            index.recent = [EMPTY; CACHE_SLOTS];
        }
        DictionaryArray::try_new(self.codes.finish()?, Arc::new(self.categories.finish()?))
    }
}

impl Index {
    fn add(&mut self, code: i32, categories: &Texts) {
        let hash = |code: &i32| self.hasher.hash_one(categories.get(place(*code)));
        self.codes.insert_unique(hash(&code), code, hash);
    }
}

/// A batch has at most 2^31 - 1 rows, Arrow's limit for these arrays, so there are no more
/// categories.
#[inline]
fn code(place: usize) -> i32 {
    i32::try_from(place).expect("a batch has fewer than 2^31 categories")
}

#[inline]
fn place(code: i32) -> usize {
    usize::try_from(code).expect("a code is not negative")
}

#[inline]
fn cache_slot(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut head = [0; 8];
    let length = bytes.len().min(8);
    head[..length].copy_from_slice(&bytes[..length]);
    // Fibonacci hashing (Knuth, TAOCP 3, section 6.4): the top bits of a product with 2^64 / phi.
    let mixed = (u64::from_le_bytes(head) ^ ((bytes.len() as u64) << 56)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> (64 - CACHE_SLOTS.ilog2())).expect("six bits fit")
}
