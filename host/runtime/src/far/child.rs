//! The process of one stage, from the inside.

use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::DeserializeOwned;
use stagewright_jail::{Channel, Started};
use stagewright_lifecycle::fault::StageFault;
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre};

use super::wire::{self, Heavy, Packed};
use super::{Task, Work, decoding, down, up};
use crate::admission;
use crate::ask::{Ask, Host};
use crate::call::{Bound, Crash, Returned, Running};
use crate::engine;
use crate::guest::Guest;
use crate::wasi::Stubs;

/// The exit code of a child whose parent broke the rules.
pub(super) const BROKEN: u8 = 3;

/// The exit code of a child that could not begin.
const FAILED: u8 = 4;

/// The desk of an instance here: it is the parent's.
pub(crate) struct Parent {
    line: Line,
    /// Bytes of the instance's linear memories.
    memory: u64,
    /// Bytes that they may have.
    most: u64,
}

/// The way to the parent, which all instances of this process share, one after the other. There is
/// none before the lock, and no guest runs before it.
#[derive(Clone, Default)]
struct Line(Arc<Mutex<Option<Channel>>>);

impl Line {
    fn with<T>(&self, speak: impl FnOnce(&mut Channel) -> Option<T>) -> T {
        let mut channel = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match channel.as_mut().and_then(speak) {
            Some(value) => value,
            None => stagewright_jail::end(BROKEN),
        }
    }

    /// Sends a message, and how much memory the instance has.
    fn send(&self, kind: u32, message: &Packed, memory: u64) {
        let [heavy, light, length] = message.parts();
        self.with(|channel| channel.send(kind, &[heavy, light, length, &memory.to_le_bytes()]).ok());
    }

    fn receive(&self) -> (u32, Vec<u8>) {
        let mut bytes = Vec::new();
        let kind = self.with(|channel| channel.receive(&mut bytes).ok());
        (kind, bytes)
    }
}

/// Reads a value that the parent sent, which it wrote with the same program.
fn value<T: DeserializeOwned + Heavy>(bytes: Vec<u8>) -> T {
    wire::unpack(bytes, usize::MAX).unwrap_or_else(|_| stagewright_jail::end(BROKEN))
}

impl Parent {
    fn new(line: &Line, most: u64) -> Self {
        Self { line: line.clone(), memory: 0, most }
    }

    /// Asks the parent, and waits for its answer, if it gives one.
    ///
    /// # Errors
    /// The question is too long.
    pub(crate) fn ask<T: DeserializeOwned + Heavy>(&mut self, mut ask: Ask) -> Result<T, StageFault> {
        let told = ask.is_told();
        let message = wire::pack(&mut ask).map_err(StageFault::host)?;
        if message.light() > wire::LIGHT {
            return Err(StageFault::host("a question of too many bytes"));
        }
        self.line.send(if told { up::TELL } else { up::ASK }, &message, self.memory);
        if told {
            let nothing = wire::pack(&mut ()).map_err(StageFault::host)?;
            return Ok(value(nothing.parts().concat()));
        }
        match self.line.receive() {
            (down::ANSWER, bytes) => Ok(value(bytes)),
            _ => stagewright_jail::end(BROKEN),
        }
    }
}

impl Host for Parent {
    fn grow(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let memory = self.memory.saturating_add(desired.saturating_sub(current) as u64);
        if memory > self.most {
            return Err(Crash::Memory(memory).into());
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.memory = memory;
        Ok(true)
    }

    /// The parent and the jail's watchdog look; code here is compiled without checks.
    fn check_time(&mut self) -> wasmtime::Result<()> {
        Ok(())
    }
}

/// The main function of a stage's process. It takes its task from its parent, locks itself in,
/// performs calls, and works until the parent kills it.
///
/// # Safety
/// It closes every descriptor above 2 and must be the first thing that `main` does.
pub unsafe fn stage_process() -> ! {
    // SAFETY: the caller says that this is the begin of `main`.
    let begun = unsafe { stagewright_jail::start(super::VERSION) }.map_err(Into::into).and_then(serve);
    if let Err(reason) = begun {
        eprintln!("{reason}");
    }
    stagewright_jail::end(FAILED)
}

pub(super) type Failed = Box<dyn std::error::Error>;

/// Stack of this process beyond the guest's: the host's own frames above and below it.
const OWN_STACK: u64 = 2 << 20;

/// Lets the main thread's stack grow as far as a guest may use it. The kernel looks at the limit
/// when the stack grows, so this is all that it takes.
fn make_room_for_stack(task: &Task) -> Result<(), Failed> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = task.bounds.stack as u64 + OWN_STACK;
    let limit = getrlimit(Resource::Stack);
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        setrlimit(Resource::Stack, raised).map_err(|reason| {
            format!("this system allows a process less than {wanted} bytes of stack (`ulimit -H -s`): {reason}")
        })?;
    }
    Ok(())
}

fn serve(started: Started) -> Result<(), Failed> {
    match postcard::from_bytes(started.task())? {
        Work::Stage(task) => run(started, task),
        Work::Decode(decode) => decoding::decode(started, &decode),
    }
}

fn run(started: Started, task: Task) -> Result<(), Failed> {
    make_room_for_stack(&task)?;
    // Without a runtime that this thread has entered, wasmtime-wasi starts one with threads.
    let runtime = Box::leak(Box::new(tokio::runtime::Builder::new_current_thread().build()?));
    std::mem::forget(runtime.enter());
    // Never dropped: the process ends without, since closing files is refused behind the lock.
    let engine: &'static Engine = Box::leak(Box::new(engine::jailed(task.options())?));
    let [code, ..] = started.inputs() else { return Err("no code was given".into()) };
    let path = format!("/proc/self/fd/{}", code.as_raw_fd());
    // SAFETY: the parent verified these bytes and sealed them; that they fit this engine, wasmtime
    // checks itself.
    let component = unsafe { Component::deserialize_file(engine, path) }.map_err(|error| format!("{error:#}"))?;
    let component: &'static Component = Box::leak(Box::new(component));
    let stubs = Stubs { filesystem: task.filesystem, sockets: task.sockets };
    let linker = admission::linker::<Parent>(engine, task.world, stubs).map_err(|error| format!("{error:#}"))?;
    let pre = linker.instantiate_pre(component).map_err(|error| format!("{error:#}"))?;
    let line = Line::default();
    // Before the lock: WASI's state asks the system for random numbers when it is made.
    let guest = Guest::new(Parent::new(&line, task.memory), task.bounds, task.seed, task.as_of);
    Engine::tls_eager_initialize();
    let locked = started.lock()?;
    *line.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(locked.channel);
    work(&line, &pre, guest, &task)
}

/// Performs calls until the parent ends this process.
fn work(line: &Line, pre: &InstancePre<Guest<Parent>>, guest: Guest<Parent>, task: &Task) -> ! {
    let mut instance = Running::new(guest, pre.clone(), task.options());
    loop {
        match line.receive() {
            (down::CALL, bytes) => {
                let message = returned(instance.call(value(bytes)));
                line.send(up::RETURNED, &message, instance.store.data().desk.memory);
            }
            (down::RENEW, _) => instance = instance.renewed(Parent::new(line, task.memory)),
            _ => stagewright_jail::end(BROKEN),
        }
    }
}

/// How a call ended, ready to be sent. An import fails here if its question is too long.
fn returned(result: Result<Returned, StageFault>) -> Packed {
    let too_long = || {
        let result = Err(Crash::Bound(Bound::CallBytes, None));
        Returned { written: String::new(), dropped: 0, at_start: false, result }
    };
    let mut result = result.unwrap_or_else(|_| too_long());
    result.shorten();
    let message = wire::pack(&mut result);
    match message {
        Ok(message) if message.light() <= wire::LIGHT => message,
        _ => wire::pack(&mut too_long()).unwrap_or_else(|_| stagewright_jail::end(BROKEN)),
    }
}
