//! The program of a model process: both components of a model, loaded, which answer batch after
//! batch.
//!
//! The process checks the features between the two components itself. Its parent, which trusts
//! nothing here, checks the predictions.

use std::os::fd::AsRawFd as _;

use stagewright_jail::{Checkpoint, Started};
use wasmtime::Engine;
use wasmtime::component::{Component, InstancePre};

use super::message::{self, Message};
use super::protocol::{
    FeaturesCheck, ModelTask, PROTOCOL_BROKEN, RowsOutcome, SEATS, StageTask, StartError, from_stage, seated, to_stage,
    unseated,
};
use super::remote_host::{ParentConnection, RemoteHost, from_parent};
use super::stage_child::{encode_outcome, enter_runtime, outcome_of, raise_stack_limit};
use crate::admission;
use crate::batch;
use crate::bindings::stagewright::stage::types::Batch;
use crate::engine;
use crate::export_call::{CallOutcome, ExportCall, Reply};
use crate::local_instance::LocalInstance;
use crate::store_data::StoreData;
use crate::transformer_features::{FeaturesFault, TransformerFeatures};
use crate::wasi::stubs::Stubs;

/// Runs a model process until its parent ends it.
pub(super) fn run_model(started: Started, task: &ModelTask) -> Result<(), StartError> {
    let [transformation, training] = &task.seats;
    raise_stack_limit(transformation)?;
    enter_runtime()?;
    // Never dropped: dropping closes files, which the lock refuses, and the process ends without.
    let engine: &'static Engine = Box::leak(Box::new(engine::jailed(transformation.options(), SEATS as u32)?));
    let pres = [load(engine, &started, 0, transformation)?, load(engine, &started, 1, training)?];
    let connection = ParentConnection::default();
    // Before the lock: creating the state of WASI asks the system for random numbers.
    let [transformer, predictor] = pres;
    let mut model = LoadedModel {
        seats: [instance(&connection, transformer, transformation, 0), instance(&connection, predictor, training, 1)],
        features: None,
        columns: task.columns,
    };
    Engine::tls_eager_initialize();
    let locked = started.lock()?;
    connection.set(locked.channel);
    let mut checkpoint = locked.checkpoint;
    loop {
        let (kind, bytes) = connection.receive();
        match unseated(kind) {
            (to_stage::EXPORT_CALL, seat) if seat < SEATS => {
                let outcome = model.call(seat, from_parent(bytes));
                let memory = model.memory(seat);
                connection.send(seated(from_stage::CALL_OUTCOME, seat), &encode_outcome(Ok(outcome)), memory);
            }
            (to_stage::PREDICT_ROWS, 0) => answer(&connection, &mut model, bytes),
            (to_stage::CHECKPOINT, 0) => match checkpoint.take() {
                Some(checkpoint) => return answer_afresh(checkpoint, connection, model),
                None => stagewright_jail::end(PROTOCOL_BROKEN),
            },
            _ => stagewright_jail::end(PROTOCOL_BROKEN),
        }
    }
}

/// Predicts a batch and sends the outcome.
fn answer(connection: &ParentConnection, model: &mut LoadedModel, rows: Vec<u8>) {
    let outcome = model.predict(&from_parent(rows));
    connection.send(from_stage::ROWS_OUTCOME, &encoded(outcome), model.memory(0));
}

/// Predicts a batch, behind which others may be in the channel. If a component needs an answer from
/// the parent, nothing is predicted. Nothing is lost by that, since the memory is restored and the
/// parent has not heard of the calls that have no answer.
fn answer_ahead(connection: &ParentConnection, model: &mut LoadedModel, rows: Vec<u8>) {
    model.seats.iter_mut().for_each(|instance| instance.store.data_mut().host.set_ahead());
    let outcome = model.predict(&from_parent(rows));
    let hosts = || model.seats.iter().map(|instance| &instance.store.data().host);
    let (kind, message) = if hosts().any(RemoteHost::was_refused) {
        let alone = message::encode(&mut ());
        (from_stage::ASK_ALONE, alone.unwrap_or_else(|_| stagewright_jail::end(PROTOCOL_BROKEN)))
    } else {
        hosts().for_each(RemoteHost::send_held);
        (from_stage::ROWS_OUTCOME, encoded(outcome))
    };
    connection.send(kind, &message, model.memory(0));
}

/// Predicts batch after batch. Each finds the memory of this process as it is now, so nothing that
/// one batch leaves in an instance, in the engine or in this program reaches the next: linear
/// memories, globals, tables and handles alike.
fn answer_afresh(
    checkpoint: Checkpoint,
    connection: ParentConnection,
    mut model: LoadedModel,
) -> Result<(), StartError> {
    model.seats.iter_mut().for_each(|instance| instance.store.data_mut().host.forget_calls());
    let state = Box::new((connection, model));
    // SAFETY: this process has one thread besides the jail's. What a batch changes is in the
    // instances, which are in `state` or on the heap, or in statics; the connection's positions are
    // the jail's. No system call here writes to memory but those that return a time, on the stack.
    // Linear memories grow within what the engine reserved before the lock.
    let result = unsafe {
        checkpoint.repeat(state, |(connection, model)| match connection.receive() {
            (to_stage::PREDICT_ROWS, bytes) => answer(connection, model, bytes),
            (to_stage::PREDICT_AHEAD, bytes) => answer_ahead(connection, model, bytes),
            _ => stagewright_jail::end(PROTOCOL_BROKEN),
        })
    };
    let Err(reason) = result;
    Err(format!("the memory of the model cannot be restored: {reason}").into())
}

/// Loads the code of one of the two components and links what a prediction needs.
fn load(
    engine: &'static Engine,
    started: &Started,
    seat: usize,
    task: &StageTask,
) -> Result<InstancePre<StoreData<RemoteHost>>, StartError> {
    let code = started.inputs().get(seat).ok_or("no code was given")?;
    let path = format!("/proc/self/fd/{}", code.as_raw_fd());
    // SAFETY: the parent verified these bytes and sealed them; wasmtime itself checks that they fit
    // this engine.
    let component = unsafe { Component::deserialize_file(engine, path) }.map_err(|error| format!("{error:#}"))?;
    let component: &'static Component = Box::leak(Box::new(component));
    let stubs = Stubs { filesystem: task.filesystem, sockets: task.sockets };
    let linker = admission::serving_linker::<RemoteHost>(engine, component, stubs);
    let pre = linker.and_then(|linker| linker.instantiate_pre(component));
    Ok(pre.map_err(|error| format!("{error:#}"))?)
}

fn instance(
    connection: &ParentConnection,
    pre: InstancePre<StoreData<RemoteHost>>,
    task: &StageTask,
    seat: usize,
) -> LocalInstance<RemoteHost> {
    let host = RemoteHost::new(connection, task.memory, seat);
    LocalInstance::new(StoreData::new(host, task.bounds, task.seed, task.as_of), pre, task.options())
}

/// The two instances of a model.
struct LoadedModel {
    /// The transformation's instance, then the training's.
    seats: [LocalInstance<RemoteHost>; SEATS],
    /// The features, once the transformer has declared them.
    features: Option<TransformerFeatures>,
    /// The most columns that a table may have.
    columns: usize,
}

impl LoadedModel {
    fn memory(&self, seat: usize) -> u64 {
        self.seats[seat].store.data().host.memory()
    }

    /// Performs a call of one instance, and keeps the columns that a transformer declares.
    fn call(&mut self, seat: usize, export: ExportCall) -> CallOutcome {
        let outcome = outcome_of(self.seats[seat].call(export));
        if let Ok(Ok(Reply::Fields(fields))) = &outcome.result {
            self.features = batch::schema_in(fields.clone(), self.columns).ok().map(TransformerFeatures::new);
        }
        outcome
    }

    /// Transforms and predicts rows of raw features.
    fn predict(&mut self, rows: &Batch) -> RowsOutcome {
        let mut transform = outcome_of(self.seats[0].call_rows(rows));
        let (check, features) = match &mut transform.result {
            Ok(Ok(Reply::Rows(features))) => {
                let features = std::mem::replace(features, Batch { rows: 0, bytes: Vec::new() });
                self.check(rows.rows, features)
            }
            _ => (FeaturesCheck::Passed, None),
        };
        let predict = features.map(|features| outcome_of(self.seats[1].call_rows(&features)));
        RowsOutcome { transform, check, predict, memory: [self.memory(0), self.memory(1)] }
    }

    /// Checks transformed rows, of which there must be `count`.
    fn check(&self, count: u32, features: Batch) -> (FeaturesCheck, Option<Batch>) {
        let Some(known) = &self.features else { stagewright_jail::end(PROTOCOL_BROKEN) };
        match known.checked(count, features) {
            Ok(features) => (FeaturesCheck::Passed, Some(features)),
            Err(FeaturesFault::TooLarge { bytes, .. }) => (FeaturesCheck::TooLarge(bytes as u64), None),
            Err(FeaturesFault::Wrong(message)) => (FeaturesCheck::Refused(message), None),
        }
    }
}

fn encoded(mut outcome: RowsOutcome) -> Message {
    outcome.transform.shorten();
    outcome.predict.iter_mut().for_each(CallOutcome::shorten);
    message::encode(&mut outcome).unwrap_or_else(|_| stagewright_jail::end(PROTOCOL_BROKEN))
}

#[cfg(all(test, feature = "compiler"))]
mod tests {
    use stagewright_manifest::World;

    use super::*;
    use crate::bindings::stagewright::stage::types::{Settings, Task};
    use crate::bounds::Bounds;
    use crate::export_call::{Crash, TrainInputs};

    // invariant: as `serving_links_reading_a_state_and_tracking_and_nothing_else`
    #[test]
    fn a_loaded_model_that_is_asked_to_learn_traps() {
        enter_runtime().expect("a runtime");
        let settings = || Settings { parameters: "{}".into(), seed: 1, as_of: 0 };
        let inputs = TrainInputs { train: 1, validation: None, task: Task::Regression };
        let calls = [
            (
                World::Transformation,
                ExportCall::Fit { train: 1, task: Task::Regression, settings: settings() },
                "blob-writer",
            ),
            (World::Training, ExportCall::Train { inputs, settings: settings() }, "table.fields"),
        ];
        for (world, call, needs) in calls {
            let task = StageTask {
                world,
                filesystem: false,
                sockets: false,
                canonicalize_nans: false,
                bounds: Bounds::default(),
                seed: 1,
                as_of: 0,
                memory: 256 << 20,
            };
            let engine = engine::jailed(task.options(), 1).expect("an engine");
            let component = crate::guests::component(&engine, &format!("empty-{world}"));
            let linker = admission::serving_linker::<RemoteHost>(&engine, &component, Stubs::default());
            let pre = linker.and_then(|linker| linker.instantiate_pre(&component)).expect("it is linked");
            // A call of the parent would end this process, which has none.
            let mut instance = instance(&ParentConnection::default(), pre, &task, 0);
            let outcome = outcome_of(instance.call(call));
            let Err(Crash::Trap(message)) = outcome.result else { panic!("{world}: {outcome:?}") };
            assert!(message.contains("serving does not link") && message.contains(needs), "{message}");
        }
    }
}
