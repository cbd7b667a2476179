//! How many connections the process may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are left for everything but connections: files and the registry.
const OTHERS: usize = 256;

/// Returns whether so many connections are much fewer than were asked for. Few machines have some
/// thousand open, and the longest idle ones make room.
fn is_far_below(allowed: usize, asked: usize) -> bool {
    allowed < asked / 2
}

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
    if is_far_below(allowed, connections) {
        tracing::warn!("the process may have {allowed} connections and not {connections}: raise `ulimit -n`");
    }
    allowed.min(connections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usual_limit_of_descriptors_is_no_reason_to_warn() {
        // Limits of 20,000 and of 65,536 descriptors, two for each connection.
        assert!(!is_far_below(9_872, 10_000) && !is_far_below(10_000, 10_000));
        // Limits of 1,024 and of 4,096.
        assert!(is_far_below(384, 10_000) && is_far_below(1_920, 10_000));
        assert!(!is_far_below(1, 1));
    }
}
