//! Starting instances and calling their exports: time is charged, and what goes wrong is put into the lifecycle's words.

use stagewright_lifecycle::fault::{StageFault, guest_text};
use stagewright_lifecycle::sandbox::{Level, Meter};
use stagewright_manifest::World;
use wasmtime::component::{Instance, InstancePre, ResourceTableError};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};

use crate::bindings::exports::stagewright::stage::{
    decide, evaluate, ingest, predict, shards, train, transform, validate,
};
use crate::bindings::stagewright::stage::types::Failure;
use crate::guest::Guest;
use crate::predictor::contract;

/// Instantiates a component; its start functions run under the stage's limits.
pub(crate) fn start(store: &mut Store<Guest>, pre: &InstancePre<Guest>) -> Result<Instance, StageFault> {
    call(store, "instantiation", |store| Ok(Ok(pre.instantiate(store)?)))
}

/// Looks that everything that a world asks for is exported with the world's types: a name alone says nothing.
pub(crate) fn check_types(
    store: &mut Store<Guest>,
    pre: &InstancePre<Guest>,
    instance: &Instance,
    world: World,
    sharded: bool,
) -> Result<(), StageFault> {
    let mut check = || -> wasmtime::Result<()> {
        match world {
            World::Ingestion => drop(ingest::GuestIndices::new(pre)?.load(&mut *store, instance)?),
            World::Validation => drop(validate::GuestIndices::new(pre)?.load(&mut *store, instance)?),
            World::Transformation => drop(transform::GuestIndices::new(pre)?.load(&mut *store, instance)?),
            World::Training => {
                drop(train::GuestIndices::new(pre)?.load(&mut *store, instance)?);
                drop(predict::GuestIndices::new(pre)?.load(&mut *store, instance)?);
                if sharded {
                    drop(shards::GuestIndices::new(pre)?.load(&mut *store, instance)?);
                }
            }
            World::Evaluation => drop(evaluate::GuestIndices::new(pre)?.load(&mut *store, instance)?),
            World::Promotion => drop(decide::GuestIndices::new(pre)?.load(&mut *store, instance)?),
        }
        Ok(())
    };
    check().map_err(|error| {
        let context = &store.data().context;
        contract(context, &format!("the exports of a {world} component"), format!("{error:#}"))
    })
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
    for line in written.text.lines().filter(|line| !line.trim().is_empty()) {
        if guest.charge_log(line.len()) {
            guest.context.tracker.log(Level::Info, &guest_text(line));
        }
    }
    Meter::add(&guest.context.meter.log_dropped, written.dropped);
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
    let cause = error.root_cause().to_string();
    if let Some(fault) = bound(guest, error, &cause) {
        return fault;
    }
    if let Some(Trap::Interrupt) = error.downcast_ref::<Trap>() {
        return StageFault::Cancelled { stage: guest.stage() };
    }
    if error.is::<PoolConcurrencyLimitError>() {
        return StageFault::host(format!("this process runs as many instances as it can: {cause}"));
    }
    let last = guest.written.last();
    let message = if last.is_empty() { cause } else { format!("{cause}; it wrote: {last}") };
    StageFault::Trap {
        stage: guest.stage(),
        component: guest.context.component.name.clone(),
        export: export.into(),
        message: guest_text(&message),
    }
}

/// The operator's limit that an error of the engine stands for, if it stands for one.
fn bound(guest: &Guest, error: &wasmtime::Error, cause: &str) -> Option<StageFault> {
    let bounds = &guest.bounds;
    // These two have no type of their own in the engine's interface; the hostile suite notices if their words change.
    let full = cause.contains("store handle limit exceeded");
    let exhausted = cause.contains("fuel allocated for hostcalls has been exhausted");
    if full || matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        Some(guest.bound("handles", bounds.handles))
    } else if exhausted {
        Some(guest.bound("bytes of one call", bounds.call_bytes))
    } else if let Some(Trap::StackOverflow) = error.downcast_ref::<Trap>() {
        Some(guest.bound("bytes of stack", bounds.stack))
    } else {
        None
    }
}
