//! The child's connection to its parent, and the host that forwards imports over it.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use stagewright_jail::Channel;
use stagewright_lifecycle::fault::StageFault;

use super::message::{self, MAX_HEAD, Message, Payload};
use super::protocol::{PROTOCOL_BROKEN, from_stage, seated, to_stage};
use crate::export_call::Crash;

/// The connection of a stage process to its parent, shared by its instances, which run one after
/// the other. It is unset until the process is locked; no guest runs before that.
#[derive(Clone, Default)]
pub(super) struct ParentConnection(Arc<Mutex<Option<Channel>>>);

impl ParentConnection {
    /// Sets the channel of the locked process.
    pub(super) fn set(&self, channel: Channel) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(channel);
    }

    /// Uses the channel. Ends the process if the channel is unset or fails.
    fn with<T>(&self, use_channel: impl FnOnce(&mut Channel) -> Option<T>) -> T {
        let mut channel = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match channel.as_mut().and_then(use_channel) {
            Some(value) => value,
            None => stagewright_jail::end(PROTOCOL_BROKEN),
        }
    }

    /// Sends a message, followed by the memory of the instance in bytes.
    pub(super) fn send(&self, kind: u32, message: &Message, memory: u64) {
        let [payload, head, length] = message.parts();
        self.with(|channel| channel.send(kind, &[payload, head, length, &memory.to_le_bytes()]).ok());
    }

    /// Receives a message and returns its kind and bytes.
    pub(super) fn receive(&self) -> (u32, Vec<u8>) {
        let mut bytes = Vec::new();
        let kind = self.with(|channel| channel.receive(&mut bytes).ok());
        (kind, bytes)
    }
}

/// Decodes a value from the parent, which runs the same program.
pub(super) fn from_parent<T: DeserializeOwned + Payload>(bytes: Vec<u8>) -> T {
    message::decode(bytes, usize::MAX).unwrap_or_else(|_| stagewright_jail::end(PROTOCOL_BROKEN))
}

/// The host of an instance in a stage process: forwards imports to the parent.
pub(crate) struct RemoteHost {
    connection: ParentConnection,
    /// Bytes of the instance's linear memories.
    memory: u64,
    /// The limit on these bytes.
    max_memory: u64,
    /// The instance's place in its process.
    seat: usize,
    /// Whether the parent must not remember calls that could change its later answers.
    is_forgetful: bool,
    /// The calls of a batch behind which others may be in the channel, before the result of a call.
    ahead: Option<Ahead>,
}

/// The calls of an instance during a batch that was sent ahead, and that is asked once more if a
/// call needs an answer.
#[derive(Default)]
struct Ahead {
    /// The one-way calls, which are made when the batch is done.
    held: Vec<Message>,
    /// Bytes of these.
    bytes: usize,
    /// Whether a call could not be made.
    is_refused: bool,
}

/// The most bytes of calls that are held.
const MAX_HELD: usize = 64 << 10;

impl Ahead {
    fn hold(&mut self, message: Message) {
        self.bytes += size_of::<Message>() + message.parts().iter().map(|part| part.len()).sum::<usize>();
        if self.bytes > MAX_HELD {
            self.is_refused = true;
        } else {
            self.held.push(message);
        }
    }
}

impl RemoteHost {
    pub(super) fn new(connection: &ParentConnection, max_memory: u64, seat: usize) -> Self {
        Self { connection: connection.clone(), memory: 0, max_memory, seat, is_forgetful: false, ahead: None }
    }

    /// Answers calls in this process from now on that could change what the parent answers later.
    pub(super) fn forget_calls(&mut self) {
        self.is_forgetful = true;
    }

    /// Refuses calls that have a result from now on, and holds the others back.
    pub(super) fn set_ahead(&mut self) {
        self.ahead = Some(Ahead::default());
    }

    /// Returns whether a call was refused because of [`RemoteHost::set_ahead`].
    pub(super) fn was_refused(&self) -> bool {
        self.ahead.as_ref().is_some_and(|ahead| ahead.is_refused)
    }

    /// Makes the calls that were held back.
    pub(super) fn send_held(&self) {
        for message in self.ahead.iter().flat_map(|ahead| &ahead.held) {
            self.connection.send(seated(from_stage::ONE_WAY_CALL, self.seat), message, self.memory);
        }
    }

    /// Returns whether [`RemoteHost::forget_calls`] was called.
    pub(crate) fn is_forgetful(&self) -> bool {
        self.is_forgetful
    }

    /// Returns the bytes of the instance's linear memories.
    pub(super) fn memory(&self) -> u64 {
        self.memory
    }

    /// Sends a call of an import to the parent and waits for its result, unless the call is
    /// one-way.
    ///
    /// # Errors
    /// The call is too long.
    pub(crate) fn call<T: DeserializeOwned + Payload>(
        &mut self,
        call: &mut (impl Serialize + Payload),
        is_one_way: bool,
    ) -> Result<T, StageFault> {
        if let Some(ahead) = &mut self.ahead
            && !is_one_way
        {
            ahead.is_refused = true;
            return Err(StageFault::host("the parent's answer would come too late"));
        }
        let message = message::encode(call).map_err(StageFault::host)?;
        if message.head_len() > MAX_HEAD {
            return Err(StageFault::host("a question of too many bytes"));
        }
        if is_one_way {
            match &mut self.ahead {
                Some(ahead) => ahead.hold(message),
                None => self.connection.send(seated(from_stage::ONE_WAY_CALL, self.seat), &message, self.memory),
            }
            return Self::answered(&message::encode(&mut ()).map_err(StageFault::host)?);
        }
        self.connection.send(seated(from_stage::IMPORT_CALL, self.seat), &message, self.memory);
        match self.connection.receive() {
            (to_stage::IMPORT_RESULT, bytes) => Ok(from_parent(bytes)),
            _ => stagewright_jail::end(PROTOCOL_BROKEN),
        }
    }

    /// Decodes an answer that was made in this process.
    ///
    /// # Errors
    /// None; the type is that of other answers.
    pub(crate) fn answered<T: DeserializeOwned + Payload>(answer: &Message) -> Result<T, StageFault> {
        Ok(from_parent(answer.parts().concat()))
    }

    /// Counts growth of the instance's memories. Returns `false` if the memory cannot grow.
    ///
    /// # Errors
    /// The growth exceeds the memory limit.
    pub(crate) fn grow_memory(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool, Crash> {
        let memory = self.memory.saturating_add(desired.saturating_sub(current) as u64);
        if memory > self.max_memory {
            return Err(Crash::Memory(memory));
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.memory = memory;
        Ok(true)
    }
}
