//! Work over row ranges in several instances, results in order.
//!
//! Worker `w` of `n` takes pieces `w`, `w + n`, ... and hands what it makes of each over through a channel of its own, part by part; the caller takes them in turn. So results come in order whatever the
//! timing, memory is bounded by three parts a worker, and nothing depends on how many workers there are.

use std::sync::mpsc;

use stagewright_lifecycle::fault::StageFault;

/// Threads at once, at most: a transformer and a predictor on each fit the engine's pool of memories, and no machine that this is meant for has many more cores.
const MAX_WORKERS: usize = 16;

/// Takes a part of what is made of a piece. It waits while two others wait.
pub(crate) type Give<'a, T> = &'a mut dyn FnMut(T) -> Result<(), StageFault>;

/// Runs `step` for pieces `0..pieces` on up to `workers` threads with `stack` bytes each, each with a state that `start` made on it, and gives the parts that it
/// makes of them to `sink` in order. The first error ends everything; parts before it have been given.
pub(crate) fn in_order<S, T: Send>(
    pieces: usize,
    workers: usize,
    stack: usize,
    start: impl Fn() -> Result<S, StageFault> + Sync,
    step: impl Fn(&mut S, usize, Give<'_, T>) -> Result<(), StageFault> + Sync,
    mut sink: impl FnMut(usize, T) -> Result<(), StageFault>,
) -> Result<(), StageFault> {
    let workers = workers.clamp(1, MAX_WORKERS).min(pieces.max(1));
    std::thread::scope(|scope| {
        let mut receivers = Vec::with_capacity(workers);
        let mut threads = Vec::with_capacity(workers);
        for worker in 0..workers {
            // `None` ends a piece.
            let (sender, receiver) = mpsc::sync_channel::<Result<Option<T>, StageFault>>(2);
            receivers.push(receiver);
            let (start, step) = (&start, &step);
            let work = move || {
                let mut state = match start() {
                    Ok(state) => state,
                    Err(fault) => {
                        // The receiver is gone when another worker failed first; then nobody wants this fault.
                        let _ = sender.send(Err(fault));
                        return;
                    }
                };
                for piece in (worker..pieces).step_by(workers) {
                    let mut give = |part| {
                        let gone = |_| StageFault::host("nobody takes the results of a worker any more");
                        sender.send(Ok(Some(part))).map_err(gone)
                    };
                    let result = step(&mut state, piece, &mut give);
                    let failed = result.is_err();
                    if sender.send(result.map(|()| None)).is_err() || failed {
                        return;
                    }
                }
            };
            threads.push(std::thread::Builder::new().stack_size(stack).spawn_scoped(scope, work).map_err(no_thread)?);
        }
        let mut given = (0..pieces).try_for_each(|piece| {
            let ended = |_| StageFault::host("a worker thread ended early");
            while let Some(part) = receivers[piece % workers].recv().map_err(ended)?? {
                sink(piece, part)?;
            }
            Ok(())
        });
        // Workers that wait to hand something over see that nobody takes it.
        drop(receivers);
        for thread in threads {
            if let Err(panic) = thread.join() {
                given = Err(panicked(&*panic));
            }
        }
        given
    })
}

/// Runs `work` on a thread of its own with `stack` bytes, and waits for it.
pub(crate) fn on_stack<T: Send>(
    stack: usize,
    work: impl FnOnce() -> Result<T, StageFault> + Send,
) -> Result<T, StageFault> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(stack).spawn_scoped(scope, work).map_err(no_thread)?;
        thread.join().unwrap_or_else(|panic| Err(panicked(&*panic)))
    })
}

fn no_thread(reason: std::io::Error) -> StageFault {
    StageFault::host(format!("cannot start a thread: {reason}"))
}

/// A bug of the host costs the stage's run and not the process.
fn panicked(panic: &(dyn std::any::Any + Send)) -> StageFault {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    StageFault::host(format!("a thread of the host panicked, please report this: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: usize = 1 << 20;

    #[test]
    fn a_panic_of_a_worker_is_a_fault_and_no_panic() {
        let step = |(): &mut (), piece: usize, give: Give<'_, usize>| {
            if piece == 3 { panic!("piece {piece}") } else { give(piece) }
        };
        let fault = in_order(10, 2, STACK, || Ok(()), step, |_, _| Ok(())).expect_err("piece 3 panics");
        assert!(fault.to_string().contains("panicked") && fault.to_string().contains("piece 3"), "{fault}");
        let fault = on_stack::<()>(STACK, || panic!("alone")).expect_err("it panics");
        assert!(fault.to_string().contains("alone"), "{fault}");
    }

    #[test]
    fn results_come_in_order_with_any_number_of_workers() {
        for workers in [1, 2, 3, 8, 100] {
            let mut seen = Vec::new();
            in_order(
                17,
                workers,
                STACK,
                || Ok(()),
                |(), piece, give| (0..piece % 3).try_for_each(|part| give(piece * piece + part)),
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

    #[test]
    fn the_first_fault_ends_the_work() {
        let step = |(): &mut (), piece: usize, give: Give<'_, usize>| {
            if piece == 5 { Err(StageFault::host("five")) } else { give(piece) }
        };
        let mut seen = Vec::new();
        let result = in_order(
            1000,
            4,
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
