//! Distributes pieces that come one after the other over several threads, and returns the results
//! in order.
//!
//! A thread of its own takes the pieces from their source, so that a slow source keeps no result
//! back. Consecutive pieces form a range, and each range goes to one worker, which knows where it
//! begins. The length of ranges depends on the number of the piece alone. Range `r` goes to worker
//! `r` modulo the number of workers, whose queue has room for one range; the caller receives from
//! the workers in turn. So the source waits for the workers and these for the caller, and memory is
//! bounded.

use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{self, Receiver, SyncSender};

use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::limits::Permit;
use tracing::Span;

use crate::parallel::{no_thread, panicked};

/// The number of ranges of one piece at the beginning: a small table occupies every worker.
const SHORT_RANGES: usize = 16;

/// The pieces of a later range.
const RANGE: usize = 4;

/// A piece on its way to a worker.
pub(crate) struct Fed<P> {
    pub(crate) piece: P,
    /// Whether it is the first of its range.
    pub(crate) is_first: bool,
}

/// Returns the number of the range of a piece, and whether it is the first of its range.
fn range_of(piece: usize) -> (usize, bool) {
    match piece.checked_sub(SHORT_RANGES) {
        None => (piece, true),
        Some(later) => (SHORT_RANGES + later / RANGE, later.is_multiple_of(RANGE)),
    }
}

/// Runs `step` for the pieces that `next` returns until it returns `None`, and passes the results
/// to `sink`, in order.
///
/// Each permit gets a thread with `stack` bytes of stack and a state that `start` creates on it.
/// The first error ends all work, after the results before it were passed to `sink`; then `stop` is
/// called, which must make `next` return soon.
///
/// # Errors
/// Returns the first error of `next`, `step` or `sink`, or a fault of the host if a thread panics.
pub(crate) fn in_order_fed<P: Send, S, T: Send>(
    permits: Vec<Permit<'_>>,
    stack: usize,
    next: impl FnMut() -> Result<Option<P>, StageFault> + Send,
    stop: &dyn Fn(),
    start: impl Fn() -> S + Sync,
    step: impl Fn(&mut S, Fed<P>) -> Result<T, StageFault> + Sync,
    mut sink: impl FnMut(T) -> Result<(), StageFault>,
) -> Result<(), StageFault> {
    let span = &Span::current();
    std::thread::scope(|scope| {
        let (mut queues, mut results, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        for permit in permits {
            let (queue, pieces) = mpsc::sync_channel(RANGE);
            let (sender, receiver) = mpsc::sync_channel(2);
            queues.push(queue);
            results.push(receiver);
            let (start, step) = (&start, &step);
            let work = move || {
                let _permit = permit;
                let _within = span.enter();
                let mut state = start();
                perform(&pieces, &sender, |fed| step(&mut state, fed));
            };
            threads.push(std::thread::Builder::new().stack_size(stack).spawn_scoped(scope, work).map_err(no_thread)?);
        }
        let workers = results.len();
        let feeding = move || span.in_scope(|| feed(next, queues));
        threads.push(std::thread::Builder::new().spawn_scoped(scope, feeding).map_err(no_thread)?);
        let mut result = (0..).try_for_each(|piece| match results[range_of(piece).0 % workers].recv() {
            Ok(result) => sink(result?).map_err(Some),
            // The worker has done all its pieces.
            Err(_) => Err(None),
        });
        if let Err(Some(_)) = result {
            stop();
        }
        // Unblocks workers that wait to send, and thereby the feeding thread.
        drop(results);
        for thread in threads {
            if let Err(panic) = thread.join() {
                result = Err(Some(panicked(&*panic)));
            }
        }
        result.or_else(|end| end.map_or(Ok(()), Err))
    })
}

/// Takes pieces from their source and gives them to the workers.
fn feed<P>(
    mut next: impl FnMut() -> Result<Option<P>, StageFault>,
    queues: Vec<SyncSender<Result<Fed<P>, StageFault>>>,
) {
    for number in 0.. {
        let (range, is_first) = range_of(number);
        let (fed, is_last) = match next() {
            Ok(Some(piece)) => (Ok(Fed { piece, is_first }), false),
            Ok(None) => return,
            Err(fault) => (Err(fault), true),
        };
        // Nobody takes pieces after a fault.
        if queues[range % queues.len()].send(fed).is_err() || is_last {
            return;
        }
    }
}

/// Performs the steps of one worker until its pieces end or one fails.
fn perform<P, T>(
    pieces: &Receiver<Result<Fed<P>, StageFault>>,
    results: &SyncSender<Result<T, Option<StageFault>>>,
    mut step: impl FnMut(Fed<P>) -> Result<T, StageFault>,
) {
    for fed in pieces {
        let result = fed.and_then(|fed| {
            // A worker that panicked does nothing more.
            let done = std::panic::catch_unwind(AssertUnwindSafe(|| step(fed)));
            done.unwrap_or_else(|panic| Err(panicked(&*panic)))
        });
        let result = result.map_err(Some);
        let failed = result.is_err();
        // If another worker failed first, nobody takes results any more.
        if results.send(result).is_err() || failed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use stagewright_lifecycle::limits::Budget;
    use stagewright_lifecycle::sandbox::Cancel;

    use super::*;

    const STACK: usize = 1 << 20;

    /// Returns all permits of a new budget.
    fn all(permits: usize) -> Vec<Permit<'static>> {
        let budget = Box::leak(Box::new(Budget::new(permits, u64::MAX)));
        budget.enter(permits, &Cancel::default()).expect("nobody stops it")
    }

    /// Returns a source of the numbers below this one.
    fn numbers(below: usize) -> impl FnMut() -> Result<Option<usize>, StageFault> + Send {
        let mut numbers = 0..below;
        move || Ok(numbers.next())
    }

    // invariant: as `artifacts_do_not_depend_on_workers_or_processes`
    #[test]
    fn results_come_in_order_and_ranges_begin_at_the_same_pieces_with_any_number_of_workers() {
        for pieces in [0, 1, 3, 16, 17, 100] {
            for workers in [1, 2, 3, 8] {
                let mut seen = Vec::new();
                let step = |before: &mut Option<usize>, fed: Fed<usize>| {
                    // A range is one worker's, from its first piece on.
                    let follows = fed.is_first || *before == Some(fed.piece - 1);
                    *before = Some(fed.piece);
                    Ok((fed.piece, fed.is_first, follows))
                };
                let sink = |result| {
                    seen.push(result);
                    Ok(())
                };
                in_order_fed(all(workers), STACK, numbers(pieces), &|| {}, || None, step, sink).expect("no fault");
                let is_first = |piece: usize| piece < 16 || piece.is_multiple_of(4);
                let expected: Vec<_> = (0..pieces).map(|piece| (piece, is_first(piece), true)).collect();
                assert_eq!(seen, expected, "{workers} workers");
            }
        }
    }

    #[test]
    fn a_slow_consumer_holds_the_source_up() {
        let taken = AtomicUsize::new(0);
        let mut source = numbers(1000);
        let next = || {
            taken.fetch_add(1, Ordering::SeqCst);
            source()
        };
        let mut given = 0;
        let sink = |_| {
            if given < 50 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            given += 1;
            let ahead = taken.load(Ordering::SeqCst) - given;
            // Each of the two workers has a full queue, a piece at work and two results; the source
            // has one more piece.
            assert!(ahead <= 2 * (RANGE + 3) + 1, "{ahead}");
            Ok(())
        };
        in_order_fed(all(2), STACK, next, &|| {}, || (), |(), fed| Ok(fed.piece), sink).expect("no fault");
        assert_eq!(given, 1000);
    }

    #[test]
    fn the_first_fault_ends_the_work_after_the_results_before_it() {
        let stopped = AtomicUsize::new(0);
        let stop = || {
            stopped.fetch_add(1, Ordering::SeqCst);
        };
        let run = |source_fails: usize, step_fails: usize, sink_fails: usize| {
            let (mut seen, mut source) = (0, numbers(100));
            let next = || match source()? {
                Some(number) if number == source_fails => Err(StageFault::host("source")),
                number => Ok(number),
            };
            let step = |(): &mut (), fed: Fed<usize>| {
                if fed.piece == step_fails { Err(StageFault::host("step")) } else { Ok(fed.piece) }
            };
            let sink = |piece| {
                if piece == sink_fails {
                    return Err(StageFault::host("sink"));
                }
                seen += 1;
                Ok(())
            };
            let fault = in_order_fed(all(3), STACK, next, &stop, || (), step, sink).expect_err("it fails");
            (fault.to_string(), seen)
        };
        assert_eq!(run(40, 60, 70), ("source".to_owned(), 40));
        assert_eq!(run(99, 33, 40), ("step".to_owned(), 33));
        assert_eq!(run(99, 98, 5), ("sink".to_owned(), 5));
        assert_eq!(stopped.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn a_source_that_waits_is_stopped_when_a_step_fails() {
        let (stop, stopped) = mpsc::channel::<()>();
        let mut source = numbers(1);
        let next = move || match source()? {
            Some(number) => Ok(Some(number)),
            None => {
                let _ = stopped.recv();
                Ok(None)
            }
        };
        let step = |(): &mut (), _: Fed<usize>| Err::<(), _>(StageFault::host("step"));
        let stop = || {
            let _ = stop.send(());
        };
        let fault = in_order_fed(all(2), STACK, next, &stop, || (), step, |()| Ok(())).expect_err("it fails");
        assert_eq!(fault.to_string(), "step");
    }

    #[test]
    fn a_panic_of_a_worker_is_a_fault() {
        let step = |(): &mut (), fed: Fed<usize>| if fed.piece == 3 { panic!("piece 3") } else { Ok(fed.piece) };
        let fault = in_order_fed(all(2), STACK, numbers(10), &|| {}, || (), step, |_| Ok(())).expect_err("piece 3");
        assert!(fault.to_string().contains("panicked") && fault.to_string().contains("piece 3"), "{fault}");
    }
}
