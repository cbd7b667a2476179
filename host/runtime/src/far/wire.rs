//! Values between a stage's process and its parent.
//!
//! A message is the value's heavy bytes as they are (a batch's, a piece of a blob), then the rest
//! of it in postcard's format, then how long that is. The heavy bytes come first so that whoever
//! receives a message cuts its end off and keeps them where they lie.

use serde::Serialize;
use serde::de::DeserializeOwned;
use stagewright_store::MAX_BATCH_BYTES;

use crate::ask::Heard;
use crate::bindings::stagewright::stage::models::FeatureImportance;
use crate::bindings::stagewright::stage::types::{Batch, Field, Output, Role};

/// The longest light part of a message of a child. Names of the widest table fit; a list of empty
/// texts takes some twenty times as much once it is read.
pub(crate) const LIGHT: usize = 8 << 20;

/// The longest message.
pub(crate) const LONGEST: u64 = (MAX_BATCH_BYTES + LIGHT + LENGTH) as u64;

/// Bytes of the length at the end.
const LENGTH: usize = 4;

/// A value that may have many bytes, which cross as they are.
pub(crate) trait Heavy {
    /// Those bytes.
    fn heavy(&mut self) -> Option<&mut Vec<u8>> {
        None
    }
}

impl Heavy for () {}
impl Heavy for u32 {}
impl Heavy for u64 {}
impl Heavy for Vec<Field> {}
impl Heavy for Vec<Role> {}
impl Heavy for Vec<Output> {}
impl Heavy for Vec<FeatureImportance> {}

impl Heavy for Vec<u8> {
    fn heavy(&mut self) -> Option<&mut Vec<u8>> {
        Some(self)
    }
}

impl Heavy for Batch {
    fn heavy(&mut self) -> Option<&mut Vec<u8>> {
        Some(&mut self.bytes)
    }
}

impl<T: Heavy> Heavy for Option<T> {
    fn heavy(&mut self) -> Option<&mut Vec<u8>> {
        self.as_mut().and_then(T::heavy)
    }
}

impl<T: Heavy> Heavy for Heard<T> {
    fn heavy(&mut self) -> Option<&mut Vec<u8>> {
        self.as_mut().ok().and_then(T::heavy)
    }
}

/// A value that is ready to be sent.
pub(crate) struct Packed {
    heavy: Vec<u8>,
    light: Vec<u8>,
    length: [u8; LENGTH],
}

impl Packed {
    /// The parts of the message, in order.
    pub(crate) fn parts(&self) -> [&[u8]; 3] {
        [&self.heavy, &self.light, &self.length]
    }

    /// Bytes of the light part.
    pub(crate) fn light(&self) -> usize {
        self.light.len()
    }
}

/// Readies a value; its heavy bytes are taken out of it.
///
/// # Errors
/// It has no form in this format: a bug of ours.
pub(crate) fn pack(value: &mut (impl Serialize + Heavy)) -> Result<Packed, postcard::Error> {
    let heavy = value.heavy().map(std::mem::take).unwrap_or_default();
    let light = postcard::to_allocvec(value)?;
    let length = (light.len() as u32).to_le_bytes();
    Ok(Packed { heavy, light, length })
}

/// Reads a message, whose bytes nobody has looked at, and whose light part has at most `most`.
///
/// # Errors
/// It is no such value.
pub(crate) fn unpack<T: DeserializeOwned + Heavy>(mut message: Vec<u8>, most: usize) -> Result<T, &'static str> {
    let Some((rest, length)) = message.split_last_chunk::<LENGTH>() else { return Err("a message without an end") };
    let length = u32::from_le_bytes(*length) as usize;
    if length > most {
        return Err("a message with a long head");
    }
    let Some(at) = rest.len().checked_sub(length) else { return Err("a message that is cut") };
    let (mut value, more): (T, _) = postcard::take_from_bytes(&rest[at..]).map_err(|_| "a message that is no value")?;
    if !more.is_empty() {
        return Err("a message with more behind its value");
    }
    message.truncate(at);
    match value.heavy() {
        Some(heavy) if heavy.is_empty() => *heavy = message,
        Some(_) => return Err("a message with bytes in its head"),
        None if !message.is_empty() => return Err("a message with bytes that no value has"),
        None => {}
    }
    Ok(value)
}
