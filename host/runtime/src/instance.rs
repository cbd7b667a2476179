//! Starting instances and calling their exports: time is charged, and what goes wrong is put into the lifecycle's words.

use stagewright_lifecycle::fault::{INSTANCES, LimitKind, StageFault, guest_name, guest_text, settable};
use stagewright_lifecycle::sandbox::{Level, Meter};
use stagewright_manifest::{Contract, World};
use wasmtime::component::{Instance, InstancePre, ResourceTableError};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};

use crate::bindings::exports::stagewright::stage::{
    decide, evaluate, ingest, predict, rebalance, shards, train, transform, validate,
};
use crate::bindings::stagewright::stage::types::Failure;
use crate::engine;
use crate::guest::Guest;
use crate::parallel::on_stack;
use crate::predictor::contract;

/// Instantiates a component; its start functions run under the stage's limits.
pub(crate) fn start(store: &mut Store<Guest>, pre: &InstancePre<Guest>) -> Result<Instance, StageFault> {
    call(store, "instantiation", |store| Ok(Ok(pre.instantiate(store)?)))
}

/// Interfaces that a component exports although its world leaves them to its author.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Optional {
    /// WIT `shards`.
    pub(crate) sharded: bool,
    /// WIT `rebalance`.
    pub(crate) rebalances: bool,
}

/// Looks that everything that a world asks for is exported with the world's types: a name alone says nothing.
pub(crate) fn check_types(
    store: &mut Store<Guest>,
    pre: &InstancePre<Guest>,
    instance: &Instance,
    world: World,
    optional: Optional,
) -> Result<(), StageFault> {
    let mut check = || -> wasmtime::Result<()> {
        let Contract { exports, optional: own, .. } = world.contract();
        for interface in exports.iter().chain(*own) {
            match *interface {
                "shards" if !optional.sharded => {}
                "rebalance" if !optional.rebalances => {}
                "ingest" => drop(ingest::GuestIndices::new(pre)?.load(&mut *store, instance)?),
                "validate" => drop(validate::GuestIndices::new(pre)?.load(&mut *store, instance)?),
                "transform" => drop(transform::GuestIndices::new(pre)?.load(&mut *store, instance)?),
                "rebalance" => drop(rebalance::GuestIndices::new(pre)?.load(&mut *store, instance)?),
                "train" => drop(train::GuestIndices::new(pre)?.load(&mut *store, instance)?),
                "predict" => drop(predict::GuestIndices::new(pre)?.load(&mut *store, instance)?),
                "shards" => drop(shards::GuestIndices::new(pre)?.load(&mut *store, instance)?),
                "evaluate" => drop(evaluate::GuestIndices::new(pre)?.load(&mut *store, instance)?),
                "decide" => drop(decide::GuestIndices::new(pre)?.load(&mut *store, instance)?),
                other => wasmtime::bail!("nothing calls the interface `{other}`"),
            }
        }
        Ok(())
    };
    check().map_err(|error| {
        let context = store.data().desk.context();
        contract(context, &format!("the exports of a {world} component"), format!("{error:#}"))
    })
}

/// Stack that any thread has that calls into the runtime: Rust's threads have 2 MiB, half of it for the host.
const CALLERS_STACK: usize = 1 << 20;

/// Runs one call into a guest.
///
/// Where the operator allows guests more stack than a thread usually has, it runs on one that has it: running out of the thread's
/// own stack would end the process.
pub(crate) fn call<R: Send>(
    store: &mut Store<Guest>,
    export: &str,
    run: impl FnOnce(&mut Store<Guest>) -> wasmtime::Result<Result<R, Failure>> + Send,
) -> Result<R, StageFault> {
    let stack = store.data().desk.account.bounds.stack;
    // What it wrote is passed on within its account.
    let run = |store: &mut Store<Guest>| {
        let result = run(store);
        pass_on_output(store.data());
        result
    };
    let result =
        if stack > CALLERS_STACK { on_stack(2 * stack, || Ok(charged(store, run)))? } else { charged(store, run) };
    match result {
        // A guest that comes back just past its budget is past it all the same.
        Ok(Ok(value)) => store.data_mut().desk.account.check_time().map(|()| value),
        Ok(Err(failure)) => Err(said(store.data(), failure)),
        Err(error) => Err(crashed(store.data(), export, &error)),
    }
}

/// Runs a call and charges its time. On one thread from begin to end: the clock is the thread's.
fn charged<R>(
    store: &mut Store<Guest>,
    run: impl FnOnce(&mut Store<Guest>) -> wasmtime::Result<R>,
) -> wasmtime::Result<R> {
    store.data_mut().desk.account.enter();
    let result = run(store);
    store.data_mut().desk.account.leave();
    result
}

/// What a guest wrote to standard output and error becomes log lines.
fn pass_on_output(guest: &Guest) {
    let written = guest.written.take();
    for line in written.text.lines().filter(|line| !line.trim().is_empty()) {
        let shown = guest_text(line);
        if guest.desk.account.charge_line(line, &shown) {
            guest.desk.account.context.tracker.log(Level::Info, &shown);
        }
    }
    Meter::add(&guest.desk.account.context.meter.log_dropped, written.dropped);
}

/// A failure that the guest returned.
fn said(guest: &Guest, failure: Failure) -> StageFault {
    let stage = guest.desk.account.stage();
    match failure {
        Failure::Data(fault) => StageFault::Data {
            stage,
            message: guest_text(&fault.message),
            column: fault.column.as_deref().map(guest_name),
            // Of other tables nobody knows which rows of the source their rows are.
            row: fault.row.filter(|_| guest.desk.account.context.world.contract().rows_are_the_sources),
            value: fault.value.as_deref().map(guest_name),
        },
        Failure::Parameter(fault) => StageFault::Parameter {
            stage,
            key: settable(
                guest.desk.account.context.world,
                &fault.parameter,
                &guest.desk.account.context.component.description.parameters,
            ),
            parameter: guest_name(&fault.parameter),
            message: guest_text(&fault.message),
        },
        Failure::Internal(message) => StageFault::Internal {
            stage,
            component: guest.desk.account.context.component.name.clone(),
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
        return StageFault::Cancelled { stage: guest.desk.account.stage() };
    }
    if error.is::<PoolConcurrencyLimitError>() {
        let most = engine::pool_memories(guest.memory.budget());
        return guest.desk.account.limit(LimitKind::Operator(INSTANCES.into()), u64::from(most) + 1, most.into());
    }
    let last = guest.written.last();
    let message = if last.is_empty() { cause } else { format!("{cause}; it wrote: {last}") };
    StageFault::Trap {
        stage: guest.desk.account.stage(),
        component: guest.desk.account.context.component.name.clone(),
        export: export.into(),
        message: guest_text(&message),
    }
}

/// The operator's limit that an error of the engine stands for, if it stands for one.
fn bound(guest: &Guest, error: &wasmtime::Error, cause: &str) -> Option<StageFault> {
    let bounds = &guest.desk.account.bounds;
    // These two have no type of their own in the engine's interface; the hostile suite notices if their words change.
    let full = cause.contains("store handle limit exceeded");
    let exhausted = cause.contains("fuel allocated for hostcalls has been exhausted");
    if full || matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        Some(guest.desk.account.bound("handles", bounds.handles))
    } else if exhausted {
        Some(guest.desk.account.bound("bytes of one call", bounds.call_bytes))
    } else if let Some(Trap::StackOverflow) = error.downcast_ref::<Trap>() {
        Some(guest.desk.account.bound("bytes of stack", bounds.stack))
    } else {
        None
    }
}
