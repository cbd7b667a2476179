//! JSON as it is written: values found in a text, and texts that should be JSON.

mod document;
mod scanner;
#[cfg(test)]
pub(crate) mod split;
#[cfg(test)]
mod tests;
mod value;

pub(crate) use document::{Halt, Unread, elements, explain, first_elements, members, read, read_array};
pub(crate) use scanner::{Kind, NotJson, Raw, Scanner};
