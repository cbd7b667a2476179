//! A stage process: loads the code, locks itself in, performs calls.

use std::os::fd::AsRawFd as _;

use stagewright_jail::Started;
use stagewright_lifecycle::fault::StageFault;
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre};

use super::message::{self, MAX_HEAD, Message};
use super::protocol::{PROTOCOL_BROKEN, StageTask, StartError, from_stage, to_stage};
use super::remote_host::{ParentConnection, RemoteHost, from_parent};
use crate::admission;
use crate::engine;
use crate::export_call::{CallOutcome, Crash, EngineLimit};
use crate::local_instance::LocalInstance;
use crate::store_data::StoreData;
use crate::wasi::stubs::Stubs;

/// Stack of this process in addition to the guest's, for the host's own frames above and below it.
const OWN_STACK: u64 = 2 << 20;

/// Raises the limit on the main thread's stack to what a guest may use. The kernel checks the limit
/// when the stack grows, so nothing else is needed.
pub(super) fn raise_stack_limit(task: &StageTask) -> Result<(), StartError> {
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

/// Enters a runtime for the life of this process. Unless its thread has entered one, wasmtime-wasi
/// starts one with threads.
pub(super) fn enter_runtime() -> Result<(), StartError> {
    let runtime = Box::leak(Box::new(tokio::runtime::Builder::new_current_thread().build()?));
    std::mem::forget(runtime.enter());
    Ok(())
}

/// Runs a stage process until its parent ends it.
pub(super) fn run_stage(started: Started, task: StageTask) -> Result<(), StartError> {
    raise_stack_limit(&task)?;
    enter_runtime()?;
    // Never dropped: dropping closes files, which the lock refuses, and the process ends without.
    let engine: &'static Engine = Box::leak(Box::new(engine::jailed(task.options(), 1)?));
    let [code, ..] = started.inputs() else { return Err("no code was given".into()) };
    let path = format!("/proc/self/fd/{}", code.as_raw_fd());
    // SAFETY: the parent verified these bytes and sealed them; wasmtime itself checks that they fit
    // this engine.
    let component = unsafe { Component::deserialize_file(engine, path) }.map_err(|error| format!("{error:#}"))?;
    let component: &'static Component = Box::leak(Box::new(component));
    let stubs = Stubs { filesystem: task.filesystem, sockets: task.sockets };
    let linker = admission::linker::<RemoteHost>(engine, task.world, stubs).map_err(|error| format!("{error:#}"))?;
    let pre = linker.instantiate_pre(component).map_err(|error| format!("{error:#}"))?;
    let connection = ParentConnection::default();
    // Before the lock: creating the state of WASI asks the system for random numbers.
    let data = StoreData::new(RemoteHost::new(&connection, task.memory, 0), task.bounds, task.seed, task.as_of);
    Engine::tls_eager_initialize();
    let locked = started.lock()?;
    connection.set(locked.channel);
    perform_calls(&connection, &pre, data, &task)
}

/// Performs calls until the parent ends this process.
fn perform_calls(
    connection: &ParentConnection,
    pre: &InstancePre<StoreData<RemoteHost>>,
    data: StoreData<RemoteHost>,
    task: &StageTask,
) -> ! {
    let mut instance = LocalInstance::new(data, pre.clone(), task.options());
    loop {
        match connection.receive() {
            (to_stage::EXPORT_CALL, bytes) => {
                let message = encode_outcome(instance.call(from_parent(bytes)));
                connection.send(from_stage::CALL_OUTCOME, &message, instance.store.data().host.memory());
            }
            (to_stage::RENEW, _) => instance = instance.renewed(RemoteHost::new(connection, task.memory, 0)),
            _ => stagewright_jail::end(PROTOCOL_BROKEN),
        }
    }
}

/// The outcome of a call that is too long to be sent.
fn too_long() -> CallOutcome {
    let result = Err(Crash::OperatorLimit(EngineLimit::CallBytes, None));
    CallOutcome { written: String::new(), dropped: 0, at_start: false, result }
}

/// Returns how a call ended. An import fails in this process only if its call is too long.
pub(super) fn outcome_of(result: Result<CallOutcome, StageFault>) -> CallOutcome {
    result.unwrap_or_else(|_| too_long())
}

/// Encodes how a call ended.
pub(super) fn encode_outcome(result: Result<CallOutcome, StageFault>) -> Message {
    let mut outcome = outcome_of(result);
    outcome.shorten();
    match message::encode(&mut outcome) {
        Ok(message) if message.head_len() <= MAX_HEAD => message,
        _ => message::encode(&mut too_long()).unwrap_or_else(|_| stagewright_jail::end(PROTOCOL_BROKEN)),
    }
}
