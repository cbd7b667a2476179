//! Starting instances and calling their exports: time is charged, and what goes wrong is put into the lifecycle's words.

use stagewright_lifecycle::fault::{LimitKind, StageFault, guest_text};
use stagewright_lifecycle::sandbox::Level;
use wasmtime::component::{Instance, InstancePre, ResourceTableError};
use wasmtime::{Store, Trap};

use crate::bindings::stagewright::stage::types::Failure;
use crate::guest::Guest;

/// Instantiates a component; its start functions run under the stage's limits.
pub(crate) fn start(store: &mut Store<Guest>, pre: &InstancePre<Guest>) -> Result<Instance, StageFault> {
    call(store, "instantiation", |store| Ok(Ok(pre.instantiate(store)?)))
}

/// Runs one call into a guest.
pub(crate) fn call<R>(
    store: &mut Store<Guest>,
    export: &str,
    run: impl FnOnce(&mut Store<Guest>) -> wasmtime::Result<Result<R, Failure>>,
) -> Result<R, StageFault> {
    store.data_mut().enter();
    let result = run(store);
    store.data_mut().leave();
    pass_on_output(store.data());
    match result {
        // A guest that comes back just past its budget is past it all the same.
        Ok(Ok(value)) => store.data_mut().check_time().map(|()| value),
        Ok(Err(failure)) => Err(said(store.data(), failure)),
        Err(error) => Err(crashed(store.data(), export, &error)),
    }
}

/// What a guest wrote to standard output and error becomes log lines.
fn pass_on_output(guest: &Guest) {
    let written = guest.written.take();
    for line in written.lines().filter(|line| !line.trim().is_empty()) {
        if guest.charge_log(line.len()) {
            guest.context.tracker.log(Level::Info, &guest_text(line));
        }
    }
}

/// A failure that the guest returned.
fn said(guest: &Guest, failure: Failure) -> StageFault {
    let stage = guest.stage();
    match failure {
        Failure::Data(fault) => StageFault::Data {
            stage,
            message: guest_text(&fault.message),
            column: fault.column.as_deref().map(guest_text),
            row: fault.row,
            value: fault.value.as_deref().map(guest_text),
        },
        Failure::Parameter(fault) => StageFault::Parameter {
            stage,
            parameter: guest_text(&fault.parameter),
            message: guest_text(&fault.message),
        },
        Failure::Internal(message) => StageFault::Internal {
            stage,
            component: guest.context.component.name.clone(),
            message: guest_text(&message),
        },
    }
}

/// A trap: a limit, a fault of the host inside an import, or a crash of the guest's own.
fn crashed(guest: &Guest, export: &str, error: &wasmtime::Error) -> StageFault {
    if let Some(fault) = error.downcast_ref::<StageFault>() {
        return fault.clone();
    }
    let operator = |name, allowed: u64| guest.limit(LimitKind::Operator(name), allowed, allowed);
    if let Some(ResourceTableError::Full) = error.downcast_ref::<ResourceTableError>() {
        return operator("handles", crate::guest::MAX_HANDLES as u64);
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => return operator("stack", crate::engine::MAX_WASM_STACK as u64),
        Some(Trap::Interrupt) => return StageFault::Cancelled { stage: guest.stage() },
        _ => {}
    }
    let cause = error.root_cause().to_string();
    let last = guest.written.last();
    let message = if last.is_empty() { cause } else { format!("{cause}; it wrote: {last}") };
    StageFault::Trap {
        stage: guest.stage(),
        component: guest.context.component.name.clone(),
        export: export.into(),
        message: guest_text(&message),
    }
}
