//! The server's options, keys and region.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The access key whose requests are numbered and meet faults.
pub const ACCESS_KEY: &str = "AKIASUBJECT";
/// The access key of an observer: its requests are neither numbered nor meet faults.
pub const OBSERVER_KEY: &str = "AKIAOBSERVER";
/// The secret of both.
pub const SECRET_KEY: &str = "wJalrXUtnFEMI-a-secret-that-nobody-may-print";
/// The region that the server says it is in.
pub const REGION: &str = "eu-central-1";

/// How the server treats `If-Match` and `If-None-Match` of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConditionalWrites {
    /// Compares and writes in one step.
    #[default]
    Honoured,
    /// Ignores them, as some older stores do.
    Ignored,
    /// Refuses them with `NotImplemented`.
    NotImplemented,
}

/// The kind of store.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Conditional writes.
    pub conditional_writes: ConditionalWrites,
    /// Whether every write is answered with `AccessDenied`.
    pub read_only: bool,
    /// The most keys or uploads in a page of a listing.
    pub page: usize,
    /// Whether the bucket keeps the versions of its objects.
    pub versions: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { conditional_writes: ConditionalWrites::Honoured, read_only: false, page: 1000, versions: false }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
