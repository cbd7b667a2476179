//! Encodes values that cross between a child process and its parent.
//!
//! A message is the value's payload (the raw bytes of a batch or of a piece of a blob), then the
//! rest of the value in postcard's format (the head), then the length of the head. The payload
//! comes first, so that the receiver can truncate the message and keep the payload where it is.

use serde::Serialize;
use serde::de::DeserializeOwned;
use stagewright_store::MAX_BATCH_BYTES;

use crate::bindings::GuestResult;
use crate::bindings::stagewright::stage::models::FeatureImportance;
use crate::bindings::stagewright::stage::types::{Batch, Field, Output, Role};

/// The longest head of a child's message, in bytes. The names of the widest table fit. A list of
/// empty texts takes some twenty times as much memory once it is decoded.
pub(crate) const MAX_HEAD: usize = 8 << 20;

/// The longest message, in bytes.
pub(crate) const MAX_MESSAGE: u64 = (MAX_BATCH_BYTES + MAX_HEAD + LENGTH) as u64;

/// Bytes of the length at the end.
const LENGTH: usize = 4;

/// A value that can be sent; large values have a payload of raw bytes.
pub(crate) trait Payload {
    /// Returns the payload, if the value has one.
    fn payload(&mut self) -> Option<&mut Vec<u8>> {
        None
    }
}

impl Payload for () {}
impl Payload for u32 {}
impl Payload for u64 {}
impl Payload for Vec<Field> {}
impl Payload for Vec<Role> {}
impl Payload for Vec<Output> {}
impl Payload for Vec<FeatureImportance> {}

impl Payload for Vec<u8> {
    fn payload(&mut self) -> Option<&mut Vec<u8>> {
        Some(self)
    }
}

impl Payload for Batch {
    fn payload(&mut self) -> Option<&mut Vec<u8>> {
        Some(&mut self.bytes)
    }
}

impl<T: Payload> Payload for Option<T> {
    fn payload(&mut self) -> Option<&mut Vec<u8>> {
        self.as_mut().and_then(T::payload)
    }
}

impl<T: Payload> Payload for GuestResult<T> {
    fn payload(&mut self) -> Option<&mut Vec<u8>> {
        self.as_mut().ok().and_then(T::payload)
    }
}

/// An encoded value.
pub(crate) struct Message {
    payload: Vec<u8>,
    head: Vec<u8>,
    length: [u8; LENGTH],
}

impl Message {
    /// Returns the parts of the message, in order.
    pub(crate) fn parts(&self) -> [&[u8]; 3] {
        [&self.payload, &self.head, &self.length]
    }

    /// Returns the length of the head in bytes.
    pub(crate) fn head_len(&self) -> usize {
        self.head.len()
    }
}

/// Encodes a value, taking its payload out of it.
///
/// # Errors
/// The value has no form in postcard's format, which is a bug.
pub(crate) fn encode(value: &mut (impl Serialize + Payload)) -> Result<Message, postcard::Error> {
    let payload = value.payload().map(std::mem::take).unwrap_or_default();
    let head = postcard::to_allocvec(value)?;
    let length = (head.len() as u32).to_le_bytes();
    Ok(Message { payload, head, length })
}

/// Decodes an untrusted message whose head has at most `max_head` bytes.
///
/// # Errors
/// The bytes are not such a value.
pub(crate) fn decode<T: DeserializeOwned + Payload>(mut message: Vec<u8>, max_head: usize) -> Result<T, &'static str> {
    let Some((rest, length)) = message.split_last_chunk::<LENGTH>() else { return Err("a message without an end") };
    let length = u32::from_le_bytes(*length) as usize;
    if length > max_head {
        return Err("a message with a long head");
    }
    let Some(at) = rest.len().checked_sub(length) else { return Err("a message that is cut") };
    let (mut value, more): (T, _) = postcard::take_from_bytes(&rest[at..]).map_err(|_| "a message that is no value")?;
    if !more.is_empty() {
        return Err("a message with more behind its value");
    }
    message.truncate(at);
    match value.payload() {
        Some(payload) if payload.is_empty() => *payload = message,
        Some(_) => return Err("a message with bytes in its head"),
        None if !message.is_empty() => return Err("a message with bytes that no value has"),
        None => {}
    }
    Ok(value)
}
