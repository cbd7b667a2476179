//! Sends runs while they proceed, on a thread of its own that nobody waits for, except for a while
//! at the end.

use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use stagewright_store::RunId;

use super::exporter::{Exporter, Sent};

/// A message to the thread.
enum Message {
    /// More is recorded of this run.
    Changed(RunId),
    /// All runs have ended.
    End,
}

/// The export of the runs of this process.
#[derive(Debug)]
pub struct Live {
    address: String,
    messages: Sender<Message>,
    report: Receiver<Report>,
}

/// The fate of the runs.
#[derive(Debug, Default)]
pub struct Report {
    /// The server.
    pub address: String,
    /// The runs that the server has, whole.
    pub sent: Vec<Sent>,
    /// The runs that it has not, or not whole.
    pub unsent: Vec<RunId>,
    /// Why not; the first reason.
    pub reason: Option<String>,
}

impl Live {
    /// Begins. Sends nothing yet.
    pub fn begin(exporter: Exporter) -> Self {
        let (messages, receiver) = channel();
        let (reporter, report) = channel();
        let address = exporter.address();
        thread::spawn(move || {
            // Nobody may be there to read it: the program may have ended.
            let _ = reporter.send(follow(exporter, &receiver));
        });
        Self { address, messages, report }
    }

    /// Says that more is recorded of a run. Returns at once.
    pub fn changed(&self, run: &RunId) {
        // The thread ends only when this is dropped, or when it panicked; the report tells.
        let _ = self.messages.send(Message::Changed(run.clone()));
    }

    /// Waits until everything is sent, at most for `patience`. `runs` are those that are named if
    /// it is not.
    pub fn end(self, patience: Duration, runs: Vec<RunId>) -> Report {
        for run in &runs {
            self.changed(run);
        }
        let _ = self.messages.send(Message::End);
        self.report.recv_timeout(patience).unwrap_or_else(|_| Report {
            address: self.address,
            sent: Vec::new(),
            unsent: runs,
            reason: Some(format!("it did not take everything within {} s", patience.as_secs())),
        })
    }
}

/// Sends runs as they change, until all have ended.
fn follow(mut exporter: Exporter, messages: &Receiver<Message>) -> Report {
    let (mut all, mut waiting) = (BTreeSet::new(), BTreeSet::new());
    // A server that failed is not asked again before the end: each question takes its time.
    let mut is_down = false;
    loop {
        let first = messages.recv();
        let mut is_over = first.is_err();
        for message in first.into_iter().chain(messages.try_iter()) {
            match message {
                Message::Changed(run) => {
                    all.insert(run.clone());
                    waiting.insert(run);
                }
                Message::End => is_over = true,
            }
        }
        if is_over {
            return finish(&mut exporter, all);
        }
        if is_down {
            continue;
        }
        for run in std::mem::take(&mut waiting) {
            if let Err(error) = exporter.send(&run) {
                tracing::debug!("run {run} is not sent yet: {error}");
                is_down = true;
                break;
            }
        }
    }
}

/// Sends the rest of all runs.
fn finish(exporter: &mut Exporter, runs: BTreeSet<RunId>) -> Report {
    let mut report = Report { address: exporter.address(), ..Report::default() };
    let mut is_down = false;
    for run in runs {
        // After such a failure, the others would each wait for the same server.
        if is_down {
            report.unsent.push(run);
            continue;
        }
        match exporter.send(&run) {
            Ok(sent) => report.sent.push(sent),
            Err(error) => {
                is_down = error.is_passing();
                report.reason.get_or_insert_with(|| error.to_string());
                report.unsent.push(run);
            }
        }
    }
    report
}
