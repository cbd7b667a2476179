//! Comparing the store's objects with local files, byte by byte, a few ranges at once.

use std::fs::File;
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{PromotionError, io_error};
use crate::local_object::LocalObject;
use crate::settings::TransferLimits;
use crate::store::ObjectStore;

/// The bytes compared at once: small enough for the processor's cache, where the network has just
/// put them.
const PIECE: usize = 64 << 10;

/// Returns the indices of the objects whose stored bytes differ from their files, in order.
///
/// Each range is as large as a part and one request, so that damage to one part is found in one
/// range.
pub(crate) fn differing(
    store: &dyn ObjectStore,
    limits: &TransferLimits,
    objects: &[(&str, &LocalObject)],
) -> Result<Vec<usize>, PromotionError> {
    let step = limits.part_size.max(1);
    let ranges_of = |(index, (_, object)): (usize, &(&str, &LocalObject))| {
        let size = object.size;
        (0..size).step_by(step as usize).map(move |start| (index, start..(start + step).min(size)))
    };
    let ranges: Vec<(usize, Range<u64>)> = objects.iter().enumerate().flat_map(ranges_of).collect();
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let wrong = Mutex::new(Vec::new());
    let work = || -> Result<(), PromotionError> {
        let mut piece = vec![0; PIECE];
        while let Some((index, range)) = ranges.get(next.fetch_add(1, Ordering::Relaxed)) {
            if failed.load(Ordering::Relaxed) {
                break;
            }
            let (key, object) = objects[*index];
            let same = is_same(store, key, object, range, &mut piece)
                .inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            if !same {
                wrong.lock().unwrap_or_else(PoisonError::into_inner).push(*index);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..limits.parallel.clamp(1, ranges.len().max(1))).map(|_| scope.spawn(work)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().try_for_each(join)
    })?;
    let mut wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
    wrong.sort_unstable();
    wrong.dedup();
    Ok(wrong)
}

/// Compares a range, twice if it differs, in case the first read was damaged in transit.
fn is_same(
    store: &dyn ObjectStore,
    key: &str,
    object: &LocalObject,
    range: &Range<u64>,
    piece: &mut [u8],
) -> Result<bool, PromotionError> {
    Ok(compare(store, key, object, range, piece)? || compare(store, key, object, range, piece)?)
}

fn compare(
    store: &dyn ObjectStore,
    key: &str,
    object: &LocalObject,
    range: &Range<u64>,
    piece: &mut [u8],
) -> Result<bool, PromotionError> {
    let file = File::open(&object.path).map_err(io_error("open", &object.path))?;
    let (mut at, mut outcome) = (range.start, Ok(true));
    store.read(key, range.clone(), &mut |bytes| {
        for bytes in bytes.chunks(piece.len()) {
            let local = &mut piece[..bytes.len()];
            outcome = file.read_exact_at(local, at).map(|()| local == bytes);
            at += bytes.len() as u64;
            if !matches!(outcome, Ok(true)) {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    outcome.map_err(io_error("read", &object.path))
}
