//! A model in a process of its own, as its parent sees it.
//!
//! Both components of the model are in one process: unlike those of a run, they see no target, and
//! what one of them makes is the input of the other anyway. So a batch needs one message each way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use stagewright_jail::{Command, Rules};
use stagewright_lifecycle::fault::{StageFault, guest_text};
use stagewright_lifecycle::sandbox::{CallLimits, Isolation};
use stagewright_manifest::StepId;
use stagewright_store::MAX_BATCH_BYTES;

use super::message::{self, MAX_HEAD};
use super::process_account::ProcessAccount;
use super::protocol::{
    FeaturesCheck, ModelTask, OWN_MEMORY, RowsOutcome, SEATS, Task, VERSION, from_stage, seated, to_stage, unseated,
};
use super::stage_parent::{self, Message, StageLaunch, Talk};
use super::stage_process::Process;
use crate::bindings::stagewright::stage::types::Batch;
use crate::export_call::{CallOutcome, ExportCall, Reply};
use crate::stage_host::{StageHost, contract_fault};
use crate::stage_instance::{into_reply, reply_of};

/// The names of the two exports in messages.
const EXPORTS: [&str; SEATS] = ["transformer.transform", "predictor.predict"];

/// The name of both in messages.
const BATCH: &str = "transform and predict";

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

/// An answer to a batch. The inner error is a fault of a component, which a process that returns to
/// a checkpoint undoes; the outer one ends the process.
type Answer<T> = Result<Result<T, StageFault>, StageFault>;

/// A model in a process.
pub(crate) struct RemoteModel {
    process: Option<Process>,
    /// The hosts that answer the transformation's instance and the training's.
    pub(crate) hosts: [StageHost; SEATS],
    account: Arc<ProcessAccount>,
    /// Whether the process returns to a checkpoint after each batch, so that no fault of a
    /// component outlives its batch.
    isolation: Isolation,
    /// The batches whose outcome has not arrived: whether each was sent ahead.
    asked: VecDeque<bool>,
}

impl RemoteModel {
    /// Starts a process with the code of both components, whose meters must share their time.
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
        let account = Arc::new(ProcessAccount::new(&context));
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
        Ok(Self {
            process: Some(Process::new(child, context.meter.clone())),
            hosts,
            account,
            isolation,
            asked: VecDeque::new(),
        })
    }

    /// Sets the limits of the requests that follow, which count per request.
    pub(crate) fn limit_calls(&mut self, limits: CallLimits) {
        for host in &mut self.hosts {
            let context = host.context();
            let changed = context.with(limits.of_call(context.limits), context.meter.clone());
            host.account.context = Arc::new(changed);
        }
        self.begin_request();
    }

    /// Begins to count a request against its limits. A request may need several batches.
    pub(crate) fn begin_request(&self) {
        self.begin(0);
    }

    /// Begins to count against the limits of an instance. The count restarts first: what is in it
    /// was allowed by other limits.
    fn begin(&self, seat: usize) {
        self.hosts.iter().for_each(|host| host.context().meter.restart());
        self.account.set(&self.hosts[seat].context().limits);
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
        self.begin(seat);
        self.hosts[seat].account.enter();
        let result = self.send(kind, &message).and_then(|()| self.reply(seat, name));
        self.hosts[seat].account.leave();
        result.inspect_err(|_| self.process = None)
    }

    /// Receives the reply to a call.
    fn reply(&mut self, seat: usize, export: &'static str) -> Result<Reply, StageFault> {
        let (from_stage::CALL_OUTCOME, from, bytes) = self.until_outcome(Some(seat), export)? else {
            return Err(stage_parent::forged(&self.hosts[seat], export, "an outcome of another call"));
        };
        let host = &mut self.hosts[seat];
        if from != seat {
            return Err(stage_parent::forged(host, export, "an outcome of another instance"));
        }
        let outcome = stage_parent::decode(host, export, bytes)?;
        let outcome = stage_parent::believable(host, export, outcome)?;
        into_reply(host, export, outcome)
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
        self.hosts[0].account.enter();
        let sent = self.send(if ahead { to_stage::PREDICT_AHEAD } else { to_stage::PREDICT_ROWS }, &message);
        self.hosts[0].account.leave();
        sent.map(|()| self.asked.push_back(ahead))
    }

    /// Receives the predictions of the oldest batch that has none. They are not checked.
    ///
    /// # Errors
    /// As for an instance of a stage. The process cannot be used again, unless it returns to a
    /// checkpoint and the fault is one of its components.
    pub(crate) fn answer(&mut self) -> Result<Predicted, StageFault> {
        let is_ahead = self.asked.pop_front().unwrap_or_default();
        self.hosts[0].account.enter();
        let answer = self.outcome(is_ahead);
        self.hosts[0].account.leave();
        let answer = answer.map(|known| known.and_then(|predicted| self.check_time().map(|()| predicted)));
        if answer.is_err() || self.isolation == Isolation::Pooled && matches!(answer, Ok(Err(_))) {
            self.process = None;
        }
        answer?
    }

    /// Receives the predictions of all batches that were sent, and forgets them.
    pub(crate) fn discard_answers(&mut self) {
        while !self.asked.is_empty() && self.process.is_some() {
            self.begin_request();
            let _ = self.answer();
        }
        self.asked.clear();
    }

    /// Fails if the request is past a time limit or cancelled. Both components answer for that.
    fn check_time(&self) -> Result<(), StageFault> {
        let context = self.hosts[0].context();
        context.meter.check_time(StepId::of_model(), &context.limits, &context.cancel)
    }

    /// Receives the outcome of a batch.
    fn outcome(&mut self, is_ahead: bool) -> Answer<Predicted> {
        match self.until_outcome(None, BATCH)? {
            (from_stage::ROWS_OUTCOME, 0, bytes) => {
                let outcome = message::decode(bytes, MAX_HEAD).map_err(|reason| self.forged(reason))?;
                self.predictions(outcome)
            }
            (from_stage::ASK_ALONE, 0, _) if is_ahead => Ok(Ok(Predicted::Alone)),
            _ => Err(self.forged("an outcome of another call")),
        }
    }

    /// Returns the predictions in an outcome.
    fn predictions(&mut self, outcome: RowsOutcome) -> Answer<Predicted> {
        for (host, memory) in self.hosts.iter_mut().zip(outcome.memory) {
            host.account.report_memory(memory)?;
        }
        if let Err(fault) = self.rows(0, outcome.transform)? {
            return Ok(Err(fault));
        }
        match (outcome.check, outcome.predict) {
            (FeaturesCheck::Passed, Some(predict)) => Ok(self.rows(1, predict)?.map(Predicted::Rows)),
            (FeaturesCheck::TooLarge(bytes), None) => {
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).max(MAX_BATCH_BYTES + 1);
                Ok(Ok(Predicted::TooLarge { bytes }))
            }
            (FeaturesCheck::Refused(message), None) => {
                Ok(Err(contract_fault(self.hosts[0].context(), EXPORTS[0], guest_text(&message))))
            }
            _ => Err(self.forged("an outcome without predictions")),
        }
    }

    /// Returns the rows that an instance made of a batch.
    fn rows(&mut self, seat: usize, outcome: CallOutcome) -> Answer<Batch> {
        let host = &mut self.hosts[seat];
        let outcome = stage_parent::believable(host, EXPORTS[seat], outcome)?;
        match reply_of(host, EXPORTS[seat], outcome) {
            Ok(Reply::Rows(rows)) => Ok(Ok(rows)),
            Ok(_) => Err(self.forged("another export's value")),
            Err(fault) => Ok(Err(fault)),
        }
    }

    fn send(&mut self, kind: u32, message: &Message) -> Result<(), StageFault> {
        let Some(process) = &mut self.process else { return Err(StageFault::host(ENDED)) };
        // If the process has ended, the next event says why.
        let _ = process.child.send(kind, &message.parts());
        Ok(())
    }

    /// Answers imports until an outcome arrives. Returns its kind, the seat of the instance, and
    /// its bytes. `seat` is that of the call; `None` for a batch.
    fn until_outcome(&mut self, seat: Option<usize>, export: &str) -> Result<(u32, usize, Vec<u8>), StageFault> {
        let Some(process) = &mut self.process else { return Err(StageFault::host(ENDED)) };
        let (kind, bytes) = Talk { hosts: &mut self.hosts, seat, export }.until_outcome(process)?;
        let (kind, seat) = unseated(kind);
        Ok((kind, seat, bytes))
    }

    /// Returns the fault of a message about a batch that our program does not send.
    fn forged(&mut self, reason: &str) -> StageFault {
        Talk { hosts: &mut self.hosts, seat: None, export: BATCH }.forged(reason)
    }
}

const ENDED: &str = "a model's process was called again after its end";

const NO_RESTORING: &str = "this build cannot return a model to its loaded state: fresh instances need the GNU C library, or `walls = \"sandbox-only\"`, where a model is loaded for each request";

/// A model process may live for weeks. Its parent limits each call instead.
const LIFETIME: Duration = Duration::from_secs(u64::MAX >> 31);
