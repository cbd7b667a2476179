//! How many connections the process may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are left for everything but connections: files and the registry.
const OTHERS: usize = 256;

/// Returns how many connections the process has descriptors for, at most as many as are asked for,
/// each of which takes `each` of them. Raises the process's limit as far as it may be.
pub(crate) fn descriptors_for(connections: usize, each: usize) -> usize {
    let each = each.max(1);
    let wanted = connections.saturating_mul(each).saturating_add(OTHERS) as u64;
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|current| current < wanted) {
        let current = Some(limit.maximum.map_or(wanted, |most| most.min(wanted)));
        if setrlimit(Resource::Nofile, Rlimit { current, ..limit }).is_ok() {
            limit.current = current;
        }
    }
    let left = |current: u64| (current.saturating_sub(OTHERS as u64) / each as u64).max(1);
    let allowed = usize::try_from(limit.current.map_or(u64::MAX, left)).unwrap_or(usize::MAX);
    if allowed < connections {
        tracing::warn!("the process may have {allowed} connections and not {connections}: raise `ulimit -n`");
    }
    allowed.min(connections)
}
