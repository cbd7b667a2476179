//! Work over row ranges in several instances, results in order.
//!
//! Worker `w` of `n` takes pieces `w`, `w + n`, ... and hands each result over through a channel of its own; the caller takes them in turn. So results come in order whatever the
//! timing, memory is bounded by two results a worker, and nothing depends on how many workers there are.

use std::sync::mpsc;

use stagewright_lifecycle::fault::StageFault;

/// Runs `step` for pieces `0..pieces` on up to `workers` threads, each with a state that `start` made on it, and gives the results to `sink` in order.
/// The first error ends everything; results before it have been given.
pub(crate) fn in_order<S, T: Send>(
    pieces: usize,
    workers: usize,
    start: impl Fn() -> Result<S, StageFault> + Sync,
    step: impl Fn(&mut S, usize) -> Result<T, StageFault> + Sync,
    mut sink: impl FnMut(usize, T) -> Result<(), StageFault>,
) -> Result<(), StageFault> {
    let workers = workers.clamp(1, pieces.max(1));
    std::thread::scope(|scope| {
        let mut results = Vec::with_capacity(workers);
        for worker in 0..workers {
            let (sender, receiver) = mpsc::sync_channel::<Result<T, StageFault>>(2);
            results.push(receiver);
            let (start, step) = (&start, &step);
            scope.spawn(move || {
                let mut state = match start() {
                    Ok(state) => state,
                    Err(fault) => {
                        // The receiver is gone when another worker failed first; then nobody wants this fault.
                        let _ = sender.send(Err(fault));
                        return;
                    }
                };
                for piece in (worker..pieces).step_by(workers) {
                    let result = step(&mut state, piece);
                    let failed = result.is_err();
                    if sender.send(result).is_err() || failed {
                        return;
                    }
                }
            });
        }
        for piece in 0..pieces {
            let result =
                results[piece % workers].recv().map_err(|_| StageFault::host("a worker thread ended early"))?;
            sink(piece, result?)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_with_any_number_of_workers() {
        for workers in [1, 2, 3, 8, 100] {
            let mut seen = Vec::new();
            in_order(
                17,
                workers,
                || Ok(()),
                |(), piece| Ok(piece * piece),
                |piece, square| {
                    seen.push((piece, square));
                    Ok(())
                },
            )
            .expect("nothing fails");
            assert_eq!(seen, (0..17).map(|piece| (piece, piece * piece)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_fault_ends_the_work() {
        let step = |(): &mut (), piece: usize| if piece == 5 { Err(StageFault::host("five")) } else { Ok(piece) };
        let mut seen = Vec::new();
        let result = in_order(
            1000,
            4,
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
