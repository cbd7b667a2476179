//! A model in a process of its own, as its parent sees it.
//!
//! Both components of the model are in one process: unlike those of a run, they see no target, and
//! what one of them makes is the input of the other anyway. So a batch needs one message each way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use stagewright_jail::{Command, Rules, Spent};
use stagewright_lifecycle::fault::{StageFault, guest_text};
use stagewright_lifecycle::sandbox::{CallLimits, Cancel, Isolation, Meter};
use stagewright_store::MAX_BATCH_BYTES;

use super::message;
use super::protocol::{
    FeaturesCheck, ModelTask, OWN_MEMORY, RowsOutcome, SEATS, Task, VERSION, from_stage, seated, to_stage, unseated,
};
use super::stage_parent::{self, Message, StageLaunch, Talk};
use super::stage_process::Process;
use crate::bindings::stagewright::stage::types::Batch;
use crate::export_call::{ExportCall, Reply};
use crate::stage_host::{StageHost, contract_fault};
use crate::stage_instance::into_reply;

/// The names of the two exports in messages.
const EXPORTS: [&str; SEATS] = ["transformer.transform", "predictor.predict"];

/// The result of predicting a batch.
pub(crate) enum Predicted {
    /// The predictions, which are not checked yet.
    Rows(Batch),
    /// The features of these rows exceed the size of a batch; fewer rows may fit.
    TooLarge {
        /// The bytes of the features.
        bytes: usize,
    },
    /// The rows were sent ahead and must be sent again by themselves.
    Alone,
}

/// A model in a process.
pub(crate) struct RemoteModel {
    process: Option<Process>,
    /// The hosts that answer the transformation's instance and the training's.
    pub(crate) hosts: [StageHost; SEATS],
    account: Arc<SessionAccount>,
    /// Whether the process returns to a checkpoint after each batch, so that no fault of a
    /// component outlives its batch.
    isolation: Isolation,
    /// The number of batches whose outcome has not arrived.
    asked: usize,
}

impl RemoteModel {
    /// Starts a process with the code of both components.
    ///
    /// # Errors
    /// The process cannot be started.
    pub(crate) fn start(
        launches: &[StageLaunch<'_>; SEATS],
        hosts: [StageHost; SEATS],
        isolation: Isolation,
    ) -> Result<Self, StageFault> {
        if isolation == Isolation::Fresh && !stagewright_jail::CAN_RESTORE {
            return Err(StageFault::host(NO_RESTORING));
        }
        let [first, _] = &hosts;
        let context = first.context().clone();
        let seats = [0, 1].map(|seat| stage_parent::task(&launches[seat], hosts[seat].context()));
        let columns = first.account.bounds.columns;
        let memory: u64 = hosts.iter().map(|host| host.context().limits.memory).fold(OWN_MEMORY, u64::saturating_add);
        let task = postcard::to_allocvec(&Task::Model(ModelTask { seats, columns })).map_err(StageFault::host)?;
        let limits = CallLimits { cpu: context.limits.cpu, wall: context.limits.wall };
        let account = Arc::new(SessionAccount::new(context.meter.clone(), limits, context.cancel.clone()));
        let rules = Rules { longest: stage_parent::max_length, messages: u64::MAX, bytes: u64::MAX };
        let [transformation, training] = launches;
        let mut command = Command::new(transformation.program, VERSION, account.clone(), rules);
        let inputs = [transformation.code.as_fd(), training.code.as_fd()];
        command.inputs = &inputs;
        command.task = &task;
        command.restores = isolation == Isolation::Fresh;
        // A page that a batch writes is there twice then.
        command.memory = if command.restores { memory.saturating_mul(2) } else { memory };
        command.lifetime_cpu = Some(LIFETIME);
        command.required = transformation.required;
        let child = stagewright_jail::spawn(&command).map_err(|reason| {
            let program = transformation.program.display();
            StageFault::host(format!("cannot start `{program}`, the process of a model: {reason}"))
        })?;
        Ok(Self { process: Some(Process::new(child, context.meter.clone())), hosts, account, isolation, asked: 0 })
    }

    /// Sets the limits of the calls that follow, which count per call.
    pub(crate) fn limit_calls(&mut self, limits: CallLimits) {
        self.account.set(limits);
        for host in &mut self.hosts {
            let context = host.context();
            let changed = context.with(limits.of_call(context.limits), context.meter.clone());
            host.account.context = Arc::new(changed);
        }
    }

    /// Returns whether the process is alive and has sent nothing unexpected.
    pub(crate) fn is_alive(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.child.is_quiet())
    }

    /// Calls an export of one of the two instances.
    ///
    /// # Errors
    /// As for an instance of a stage. The process cannot be used again.
    pub(crate) fn call(&mut self, seat: usize, mut export: ExportCall) -> Result<Reply, StageFault> {
        let name = export.name();
        let message = message::encode(&mut export).map_err(StageFault::host)?;
        let kind = seated(to_stage::EXPORT_CALL, seat);
        self.hosts[seat].account.enter();
        let outcome = self.conversation(kind, &message, name);
        let result = match outcome {
            Ok((from_stage::CALL_OUTCOME, from, bytes)) if from == seat => {
                stage_parent::decode(&self.hosts[seat], name, bytes).and_then(|outcome| {
                    into_reply(&mut self.hosts[seat], name, stage_parent::without_host_ends(outcome))
                })
            }
            Ok(_) => Err(stage_parent::forged(&self.hosts[seat], name, "an outcome of another call")),
            Err(fault) => Err(fault),
        };
        self.hosts[seat].account.leave();
        result.inspect_err(|_| self.process = None)
    }

    /// Makes the loaded process answer every batch from here on with its memory as it is now. Does
    /// nothing where batches are not isolated from each other.
    pub(crate) fn take_checkpoint(&mut self) {
        if let (Isolation::Fresh, Some(process)) = (self.isolation, &mut self.process) {
            // If the process has ended, the next event says why.
            let _ = process.child.send(to_stage::CHECKPOINT, &[]);
        }
    }

    /// Predicts packed rows of raw features. The predictions are not checked.
    ///
    /// # Errors
    /// See [`RemoteModel::answer`].
    pub(crate) fn predict(&mut self, rows: Batch) -> Result<Predicted, StageFault> {
        self.ask(rows, false)?;
        self.answer()
    }

    /// Sends packed rows of raw features, whose predictions [`RemoteModel::answer`] returns. With
    /// `ahead`, several batches may be sent before that, if all of them together fit the ring; the
    /// process must return to a checkpoint.
    ///
    /// # Errors
    /// The rows cannot be encoded, or the process was ended.
    pub(crate) fn ask(&mut self, mut rows: Batch, ahead: bool) -> Result<(), StageFault> {
        let message = message::encode(&mut rows).map_err(StageFault::host)?;
        if self.asked == 0 {
            self.restart_meters();
        }
        let Some(process) = &mut self.process else { return Err(StageFault::host(ENDED)) };
        self.hosts[0].account.enter();
        // If the process has ended, the next event says why.
        let kind = if ahead { to_stage::PREDICT_AHEAD } else { to_stage::PREDICT_ROWS };
        let _ = process.child.send(kind, &message.parts());
        self.hosts[0].account.leave();
        self.asked += 1;
        Ok(())
    }

    /// Receives the predictions of the oldest batch that has none. They are not checked.
    ///
    /// # Errors
    /// As for an instance of a stage. The process cannot be used again, unless it returns to a
    /// checkpoint and the fault is one of its components.
    pub(crate) fn answer(&mut self) -> Result<Predicted, StageFault> {
        self.hosts[0].account.enter();
        let outcome = self.outcome();
        let is_known = outcome.is_ok() && self.isolation == Isolation::Fresh;
        let result = outcome.and_then(|outcome| match outcome {
            Some(outcome) => self.predictions(outcome),
            None => Ok(Predicted::Alone),
        });
        self.hosts[0].account.leave();
        self.asked = self.asked.saturating_sub(1);
        if self.asked > 0 {
            self.restart_meters();
        }
        if result.is_err() && !is_known {
            self.process = None;
        }
        result
    }

    /// Receives the predictions of all batches that were sent, and forgets them.
    pub(crate) fn discard_answers(&mut self) {
        while self.asked > 0 && self.process.is_some() {
            let _ = self.answer();
        }
        self.asked = 0;
    }

    /// Starts the counts of a call at zero. Both components share the call's time.
    fn restart_meters(&self) {
        self.hosts.iter().for_each(|host| host.context().meter.restart());
    }

    /// Receives an outcome; `None` if the batch must be sent again.
    fn outcome(&mut self) -> Result<Option<RowsOutcome>, StageFault> {
        match self.until_outcome(EXPORTS[0])? {
            (from_stage::ROWS_OUTCOME, 0, bytes) => stage_parent::decode(&self.hosts[0], EXPORTS[0], bytes).map(Some),
            (from_stage::ASK_ALONE, 0, _) if self.isolation == Isolation::Fresh => Ok(None),
            _ => Err(stage_parent::forged(&self.hosts[0], EXPORTS[0], "an outcome of another call")),
        }
    }

    /// Returns the predictions in an outcome.
    fn predictions(&mut self, outcome: RowsOutcome) -> Result<Predicted, StageFault> {
        let [transformation, training] = &mut self.hosts;
        for (host, memory) in [&mut *transformation, &mut *training].into_iter().zip(outcome.memory) {
            host.account.report_memory(memory)?;
        }
        let transform = stage_parent::without_host_ends(outcome.transform);
        let Reply::Rows(_) = into_reply(transformation, EXPORTS[0], transform)? else {
            return Err(contract_fault(transformation.context(), EXPORTS[0], "another export's value came back"));
        };
        let predict = match (outcome.check, outcome.predict) {
            (FeaturesCheck::Passed, Some(predict)) => stage_parent::without_host_ends(predict),
            (FeaturesCheck::TooLarge(bytes), None) => {
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).max(MAX_BATCH_BYTES + 1);
                return Ok(Predicted::TooLarge { bytes });
            }
            (FeaturesCheck::Refused(message), None) => {
                return Err(contract_fault(transformation.context(), EXPORTS[0], guest_text(&message)));
            }
            _ => return Err(stage_parent::forged(transformation, EXPORTS[0], "an outcome without predictions")),
        };
        match into_reply(training, EXPORTS[1], predict)? {
            Reply::Rows(rows) => Ok(Predicted::Rows(rows)),
            _ => Err(contract_fault(training.context(), EXPORTS[1], "another export's value came back")),
        }
    }

    /// Sends a message and answers imports until an outcome arrives. Returns its kind, the seat of
    /// the instance, and its bytes.
    fn conversation(
        &mut self,
        kind: u32,
        message: &Message,
        export: &str,
    ) -> Result<(u32, usize, Vec<u8>), StageFault> {
        let Some(process) = &mut self.process else { return Err(StageFault::host(ENDED)) };
        // If the process has ended, the next event says why.
        let _ = process.child.send(kind, &message.parts());
        self.until_outcome(export)
    }

    /// Answers imports until an outcome arrives. Returns its kind, the seat of the instance, and
    /// its bytes.
    fn until_outcome(&mut self, export: &str) -> Result<(u32, usize, Vec<u8>), StageFault> {
        let Some(process) = &mut self.process else { return Err(StageFault::host(ENDED)) };
        let mut talk = Talk { hosts: &mut self.hosts, export };
        let (kind, bytes) = talk.until_outcome(process)?;
        let (kind, seat) = unseated(kind);
        Ok((kind, seat, bytes))
    }
}

const ENDED: &str = "a model's process was called again after its end";

const NO_RESTORING: &str = "this build cannot return a model to its loaded state: fresh instances need the GNU C library, or `walls = \"sandbox-only\"`, where a model is loaded for each request";

/// A model process may live for weeks. Its parent limits each call instead.
const LIFETIME: Duration = Duration::from_secs(u64::MAX >> 31);

/// The account of a session for the jail: its limits count per call.
struct SessionAccount {
    meter: Arc<Meter>,
    cpu_ns: AtomicU64,
    wall_ns: AtomicU64,
    cancel: Cancel,
}

impl SessionAccount {
    fn new(meter: Arc<Meter>, limits: CallLimits, cancel: Cancel) -> Self {
        let account = Self { meter, cpu_ns: AtomicU64::new(0), wall_ns: AtomicU64::new(0), cancel };
        account.set(limits);
        account
    }

    fn set(&self, limits: CallLimits) {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.cpu_ns.store(nanoseconds(limits.cpu), Ordering::Relaxed);
        self.wall_ns.store(nanoseconds(limits.wall), Ordering::Relaxed);
    }
}

impl stagewright_jail::Account for SessionAccount {
    fn charge(&self, cpu: Duration) {
        Meter::add(&self.meter.cpu_ns, cpu.as_nanos() as u64);
    }

    fn cpu(&self) -> Spent {
        let allowed = Duration::from_nanos(self.cpu_ns.load(Ordering::Relaxed));
        Spent { used: Duration::from_nanos(Meter::get(&self.meter.cpu_ns)), allowed }
    }

    fn wall(&self) -> Spent {
        let allowed = Duration::from_nanos(self.wall_ns.load(Ordering::Relaxed));
        Spent { used: Duration::from_nanos(self.meter.wall_ns()), allowed }
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }
}
