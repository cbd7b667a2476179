//! Turns a panic of a library that reads files into an error.
//!
//! Without it, a damaged file would print a panic of the host and look like a bug of ours. The
//! reader is not used after a panic, so its broken state is never seen. Panics that the library
//! catches itself print nothing either.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::error::shown;

thread_local! {
    /// Whether this thread is inside of [`catch_panic`].
    static IS_CATCHING: RefCell<bool> = const { RefCell::new(false) };
}

/// Runs `work` and returns the message of its panic as an error. The panic prints nothing.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            // Panics of other threads, and outside of `catch_panic`, are printed as before.
            if !IS_CATCHING.with_borrow(|it| *it) {
                before(panic);
            }
        }));
    });
    let outer = IS_CATCHING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    IS_CATCHING.set(outer);
    result.map_err(|panic| shown(&message(panic.as_ref())))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "the reader gave up".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_message() {
        let failed: Result<(), String> = catch_panic(|| panic!("page {} is negative", -1));
        assert_eq!(failed, Err("page -1 is negative".to_owned()));
        assert_eq!(catch_panic(|| 3), Ok(3));
        assert!(!IS_CATCHING.with_borrow(|it| *it));
    }
}
