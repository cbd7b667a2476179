//! Work that takes too much to be done for several readers at once.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use crate::fault::{Fault, FaultKind};

/// Takes the turn at such work, and keeps it until the guard is dropped.
///
/// # Errors
/// Somebody else has it, which `message` says.
pub(crate) fn take<'a>(turn: &'a Mutex<()>, message: &str) -> Result<MutexGuard<'a, ()>, Fault> {
    match turn.try_lock() {
        Ok(guard) => Ok(guard),
        Err(TryLockError::Poisoned(poisoned)) => Ok(PoisonError::into_inner(poisoned)),
        Err(TryLockError::WouldBlock) => {
            Err(Fault::new(FaultKind::Refused, message).hinting("Try again when that is done."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_the_turn_at_a_time() {
        let turn = Mutex::new(());
        let first = take(&turn, "It is being done.");
        assert!(first.is_ok() && take(&turn, "It is being done.").is_err());
        drop(first);
        assert!(take(&turn, "It is being done.").is_ok());
    }
}
