//! The program of every child process: takes its task from its parent, and does it.

use stagewright_jail::Started;

use super::protocol::{START_FAILED, StartError, Task, VERSION};
use super::{decoder_child, model_child, stage_child};

/// Runs a stage process: the main function of its program. The process takes its task from its
/// parent, locks itself in, and performs calls until the parent kills it.
///
/// # Safety
/// This must be the first call in `main`: it closes every file descriptor above 2.
pub unsafe fn stage_process() -> ! {
    // SAFETY: the caller guarantees that this is the first call in `main`.
    let started = unsafe { stagewright_jail::start(VERSION) }.map_err(Into::into).and_then(run_task);
    if let Err(reason) = started {
        eprintln!("{reason}");
    }
    stagewright_jail::end(START_FAILED)
}

fn run_task(started: Started) -> Result<(), StartError> {
    match postcard::from_bytes(started.task())? {
        Task::Stage(task) => stage_child::run_stage(started, task),
        Task::Model(task) => model_child::run_model(started, &task),
        Task::Decode(task) => decoder_child::decode(started, &task),
    }
}
