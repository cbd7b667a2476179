//! Distributes pieces of work over several threads and returns the results in order.
//!
//! Worker `w` of `n` processes pieces `w`, `w + n`, ... and sends the parts of each result through
//! its own channel; the caller receives from the channels in turn. So results come in order
//! whatever the timing, each worker holds at most three parts in memory, and results do not depend
//! on the number of workers.

use std::sync::mpsc;
use std::time::Instant;

use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::limits::{Budget, Permit};
use stagewright_lifecycle::sandbox::{Meter, StageContext};
use tracing::Span;

/// Gets permits for at most as many workers as the stage may have and as there are pieces. Waits
/// for the first permit; the stage's wall time is stopped meanwhile.
///
/// # Errors
/// [`StageFault::Cancelled`] if the run is cancelled.
pub(crate) fn permits<'a>(
    budget: &'a Budget,
    context: &StageContext,
    pieces: usize,
) -> Result<Vec<Permit<'a>>, StageFault> {
    let began = Instant::now();
    let permits = budget.enter(context.workers.min(pieces), &context.cancel);
    Meter::add(&context.meter.waited_ns, began.elapsed().as_nanos() as u64);
    permits.ok_or_else(|| StageFault::Cancelled { stage: context.world.into() })
}

/// Sends a part of a result to the caller. Blocks while two parts are waiting.
pub(crate) type SendPart<'a, T> = &'a mut dyn FnMut(T) -> Result<(), StageFault>;

/// Runs `step` for pieces `0..pieces` and passes the parts of their results to `sink`, in order.
///
/// Each permit gets a thread with `stack` bytes of stack and a state that `start` creates on it.
/// The first error ends all work, after the parts before it were passed to `sink`. A thread returns
/// its permit when its pieces are done; `sink` must not wait for a permit.
///
/// # Errors
/// Returns the first error of `start`, `step` or `sink`, or a fault of the host if a thread panics.
pub(crate) fn in_order<S, T: Send>(
    pieces: usize,
    permits: Vec<Permit<'_>>,
    stack: usize,
    start: impl Fn() -> Result<S, StageFault> + Sync,
    step: impl Fn(&mut S, usize, SendPart<'_, T>) -> Result<(), StageFault> + Sync,
    mut sink: impl FnMut(usize, T) -> Result<(), StageFault>,
) -> Result<(), StageFault> {
    let workers = permits.len();
    let span = &Span::current();
    std::thread::scope(|scope| {
        let mut receivers = Vec::with_capacity(workers);
        let mut threads = Vec::with_capacity(workers);
        for (worker, permit) in permits.into_iter().enumerate() {
            // `None` is the end of a piece.
            let (sender, receiver) = mpsc::sync_channel::<Result<Option<T>, StageFault>>(2);
            receivers.push(receiver);
            let (start, step) = (&start, &step);
            let work = move || {
                let _permit = permit;
                let _within = span.enter();
                let mut state = match start() {
                    Ok(state) => state,
                    Err(fault) => {
                        // If another worker failed first, the receiver is dropped and this fault is
                        // not needed.
                        let _ = sender.send(Err(fault));
                        return;
                    }
                };
                for piece in (worker..pieces).step_by(workers) {
                    let mut send = |part| {
                        let gone = |_| StageFault::host("nobody takes the results of a worker any more");
                        sender.send(Ok(Some(part))).map_err(gone)
                    };
                    let result = step(&mut state, piece, &mut send);
                    let failed = result.is_err();
                    if sender.send(result.map(|()| None)).is_err() || failed {
                        return;
                    }
                }
            };
            threads.push(std::thread::Builder::new().stack_size(stack).spawn_scoped(scope, work).map_err(no_thread)?);
        }
        let mut result = (0..pieces).try_for_each(|piece| {
            let ended = |_| StageFault::host("a worker thread ended early");
            while let Some(part) = receivers[piece % workers].recv().map_err(ended)?? {
                sink(piece, part)?;
            }
            Ok(())
        });
        // Unblocks workers that wait to send.
        drop(receivers);
        for thread in threads {
            if let Err(panic) = thread.join() {
                result = Err(panicked(&*panic));
            }
        }
        result
    })
}

/// Runs `work` on a new thread with `stack` bytes of stack, and waits for it.
pub(crate) fn on_stack<T: Send>(
    stack: usize,
    work: impl FnOnce() -> Result<T, StageFault> + Send,
) -> Result<T, StageFault> {
    let span = Span::current();
    let work = move || span.in_scope(work);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(stack).spawn_scoped(scope, work).map_err(no_thread)?;
        thread.join().unwrap_or_else(|panic| Err(panicked(&*panic)))
    })
}

pub(crate) fn no_thread(reason: std::io::Error) -> StageFault {
    StageFault::host(format!("cannot start a thread: {reason}"))
}

/// Converts a panic into a fault: a bug of the host ends the stage's run, not the process.
pub(crate) fn panicked(panic: &(dyn std::any::Any + Send)) -> StageFault {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    StageFault::host(format!("a thread of the host panicked, please report this: {message}"))
}

#[cfg(test)]
mod tests {
    use stagewright_lifecycle::sandbox::Cancel;

    use super::*;

    const STACK: usize = 1 << 20;

    /// Returns all permits of a new budget.
    fn all(permits: usize) -> Vec<Permit<'static>> {
        let budget = Box::leak(Box::new(Budget::new(permits, u64::MAX)));
        budget.enter(permits, &Cancel::default()).expect("nobody stops it")
    }

    #[test]
    fn a_panic_of_a_worker_is_a_fault() {
        let step = |(): &mut (), piece: usize, send: SendPart<'_, usize>| {
            if piece == 3 { panic!("piece {piece}") } else { send(piece) }
        };
        let fault = in_order(10, all(2), STACK, || Ok(()), step, |_, _| Ok(())).expect_err("piece 3 panics");
        assert!(fault.to_string().contains("panicked") && fault.to_string().contains("piece 3"), "{fault}");
        let fault = on_stack::<()>(STACK, || panic!("alone")).expect_err("it panics");
        assert!(fault.to_string().contains("alone"), "{fault}");
    }

    // invariant: as `artifacts_do_not_depend_on_workers_or_processes`
    #[test]
    fn results_come_in_order_with_any_number_of_workers() {
        for workers in [1, 2, 3, 8, 100] {
            let mut seen = Vec::new();
            in_order(
                17,
                all(workers),
                STACK,
                || Ok(()),
                |(), piece, send| (0..piece % 3).try_for_each(|part| send(piece * piece + part)),
                |piece, square| {
                    seen.push((piece, square));
                    Ok(())
                },
            )
            .expect("nothing fails");
            let parts = (0..17).flat_map(|piece| (0..piece % 3).map(move |part| (piece, piece * piece + part)));
            assert_eq!(seen, parts.collect::<Vec<_>>());
        }
    }

    // invariant: as `never_more_work_at_once_than_there_are_permits_and_all_of_it_ends`
    #[test]
    fn work_of_many_at_once_ends_with_one_permit_and_gives_it_back() {
        let budget = Budget::new(1, u64::MAX);
        let work = || {
            let permits = budget.enter(4, &Cancel::default()).expect("nobody stops it");
            assert_eq!(permits.len(), 1);
            let mut seen = Vec::new();
            let step = |(): &mut (), piece: usize, send: SendPart<'_, usize>| send(piece);
            let sink = |piece, part| {
                seen.push((piece, part));
                Ok(())
            };
            in_order(9, permits, STACK, || Ok(()), step, sink).expect("nothing fails");
            assert_eq!(seen, (0..9).map(|piece| (piece, piece)).collect::<Vec<_>>());
        };
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(work))));
        assert_eq!(budget.enter(4, &Cancel::default()).expect("nobody stops it").len(), 1);
    }

    #[test]
    fn the_first_fault_ends_the_work() {
        let step = |(): &mut (), piece: usize, send: SendPart<'_, usize>| {
            if piece == 5 { Err(StageFault::host("five")) } else { send(piece) }
        };
        let mut seen = Vec::new();
        let result = in_order(
            1000,
            all(4),
            STACK,
            || Ok(()),
            step,
            |piece, _| {
                seen.push(piece);
                Ok(())
            },
        );
        assert_eq!(result.expect_err("piece 5 fails").to_string(), "five");
        assert_eq!(seen, [0, 1, 2, 3, 4]);
    }
}
