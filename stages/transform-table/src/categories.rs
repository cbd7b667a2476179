//! The categories of a column: strings and their codes.

use std::cell::Cell;
use std::collections::HashMap;

use stagewright_kit::TextEnds;

/// The most strings for which comparing one by one is faster than hashing.
const COMPARED: usize = 8;

/// Distinct strings, numbered from 0 in the order of their arrival. A lookup costs one comparison
/// if the string equals the previous one, a few comparisons if there are few strings, and a hash
/// otherwise.
#[derive(Debug, Clone, Default)]
pub(crate) struct Categories {
    strings: Vec<Box<str>>,
    /// The ends of each string.
    ends: Vec<TextEnds>,
    /// The code of each string, if there are more than [`COMPARED`].
    numbers: HashMap<Box<[u8]>, u32>,
    last: Cell<u32>,
}

impl Categories {
    /// Returns the code of `string`, which is UTF-8.
    pub(crate) fn find(&self, string: &[u8]) -> Option<u32> {
        let ends = TextEnds::of(string);
        let is = |number: usize| {
            self.ends.get(number) == Some(&ends)
                && (ends.are_whole_text() || self.strings.get(number).is_some_and(|known| known.as_bytes() == string))
        };
        let last = self.last.get();
        if is(last as usize) {
            return Some(last);
        }
        let found = if self.strings.len() <= COMPARED {
            (0..self.strings.len()).find(|&number| is(number)).map(|number| number as u32)
        } else {
            self.numbers.get(string).copied()
        };
        self.last.set(found.unwrap_or(last));
        found
    }

    /// Returns the code of `string`, which is UTF-8, adding it if it is new.
    pub(crate) fn find_or_add(&mut self, string: &[u8]) -> u32 {
        if let Some(number) = self.find(string) {
            return number;
        }
        let number = self.strings.len() as u32;
        self.strings.push(String::from_utf8_lossy(string).into());
        self.ends.push(TextEnds::of(string));
        if self.strings.len() > COMPARED {
            if self.numbers.is_empty() {
                let all = self.strings.iter().zip(0..);
                self.numbers.extend(all.map(|(string, number)| (string.as_bytes().into(), number)));
            } else {
                self.numbers.insert(string.into(), number);
            }
        }
        number
    }

    /// Returns the strings, in the order of their codes.
    pub(crate) fn strings(&self) -> &[Box<str>] {
        &self.strings
    }
}

impl<S: AsRef<str>> FromIterator<S> for Categories {
    fn from_iter<I: IntoIterator<Item = S>>(strings: I) -> Self {
        let mut categories = Self::default();
        for string in strings {
            categories.find_or_add(string.as_ref().as_bytes());
        }
        categories
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_found_whether_few_or_many() {
        for count in [1, 8, 9, 10, 1000] {
            let names: Vec<String> = (0..count).map(|index| format!("c{index}")).collect();
            let categories: Categories = names.iter().chain(&names).collect();
            assert_eq!(categories.strings().len(), count);
            for (number, name) in names.iter().enumerate() {
                assert_eq!(categories.find(name.as_bytes()), Some(number as u32));
                assert_eq!(categories.find(name.as_bytes()), Some(number as u32), "after itself");
            }
            assert_eq!(categories.find(b"other"), None);
        }
    }

    #[test]
    fn long_strings_that_differ_in_the_middle_alone_are_told_apart() {
        let names = ["a long beginning, this, a long end", "a long beginning, that, a long end"];
        let categories: Categories = names.iter().collect();
        for (number, name) in names.iter().enumerate() {
            assert_eq!(categories.find(name.as_bytes()), Some(number as u32));
        }
        assert_eq!(categories.find(b"a long beginning, then, a long end"), None);
    }

    #[test]
    fn nothing_is_found_among_no_strings() {
        assert_eq!(Categories::default().find(b""), None);
    }
}
