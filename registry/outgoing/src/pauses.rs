//! The time between attempts to tell somebody something.

use std::time::Duration;

/// The pause after the first failure. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// How much longer than the longest pause the next attempt may be away: clocks of machines differ.
/// One that is farther away was set by a clock that was wrong.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// Returns the pause after a failure, with the number of failures before it.
pub fn pause(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_PAUSE)
}

/// Returns the time until the next attempt, of which `next_ms` is the moment in milliseconds since
/// the epoch; `None` if it is due.
pub fn left(next_ms: i64, now_ms: i64) -> Option<Duration> {
    let left = Duration::from_millis(u64::try_from(next_ms.saturating_sub(now_ms)).unwrap_or_default());
    (!left.is_zero() && left <= LONGEST_PAUSE + CLOCKS_DIFFER).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_end_at_ten_minutes() {
        let pauses: Vec<u64> = [0, 1, 2, 10, 11, 200, u32::MAX].map(|it| pause(it).as_millis() as u64).into();
        assert_eq!(pauses, [500, 1000, 2000, 512_000, 600_000, 600_000, 600_000]);
    }

    // invariant: A clock that was wrong does not keep a hook from being told once it is right.
    #[test]
    fn times_that_are_far_ahead_hold_nothing_up() {
        let (now, day) = (1_795_000_000_000, 86_400_000);
        assert_eq!(left(now + 1500, now), Some(Duration::from_millis(1500)));
        assert_eq!(left(now + 600_000, now), Some(LONGEST_PAUSE));
        for next in [0, now - day, now, now + day, i64::MAX] {
            assert_eq!(left(next, now), None, "{next}");
        }
    }
}
