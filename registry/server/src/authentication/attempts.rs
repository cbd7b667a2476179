//! How often somebody may be wrong about a password or a token.
//!
//! Wrong ones are counted by name, by address, and by both. So somebody who guesses one name's
//! password from one address is stopped early, and somebody with many addresses or many names late
//! enough that others with that name or address are seldom kept away. A token is never kept away by
//! wrong passwords for the name of its user, and neither is what was verified a moment ago.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stagewright_store::Digest;

use crate::mlflow_error::{ErrorCode, MlflowError};
use crate::network::network;

/// The time within which wrong attempts are counted.
const WINDOW: Duration = Duration::from_secs(300);

/// How often one may be wrong within the time: about one name from one address, about one name, and
/// from one address.
const MOST_OF_BOTH: u32 = 10;
const MOST_OF_NAME: u32 = 100;
const MOST_OF_ADDRESS: u32 = 100;

/// The most names and addresses that are counted. Beyond them, all are told to wait.
const MOST_COUNTED: usize = 100_000;

/// How often those that are over are looked for, where as many are counted as may be.
const LOOK: Duration = Duration::from_secs(5);

/// Wrong attempts of the last time.
#[derive(Default)]
pub(super) struct Attempts(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    counts: HashMap<Digest, Count>,
    /// When those that are over were looked for last.
    looked: Option<Instant>,
}

struct Count {
    wrong: u32,
    since: Instant,
}

impl Attempts {
    /// # Errors
    /// There were too many wrong attempts with this name or from this address.
    pub(super) fn check(&self, name: Option<&str>, address: IpAddr) -> Result<(), MlflowError> {
        let Counts { counts, .. } = &*self.counts();
        let now = Instant::now();
        let is_over = |(key, most): (Digest, u32)| {
            counts.get(&key).is_some_and(|count| count.wrong >= most && now < count.since + WINDOW)
        };
        let keys = keys(name, address);
        // While too many names and addresses are counted to count more, no new one is let in.
        let is_unknown = name.is_some() && counts.len() >= MOST_COUNTED && !counts.contains_key(&keys[0].0);
        if is_unknown || keys.into_iter().any(is_over) {
            let message = "Too many passwords or tokens were wrong. Try again in some minutes.";
            return Err(MlflowError::new(ErrorCode::RequestLimitExceeded, message));
        }
        Ok(())
    }

    /// Counts a wrong attempt.
    pub(super) fn failed(&self, name: Option<&str>, address: IpAddr) {
        let Counts { counts, looked } = &mut *self.counts();
        let now = Instant::now();
        if counts.len() >= MOST_COUNTED && looked.is_none_or(|looked| now > looked + LOOK) {
            counts.retain(|_, count| now < count.since + WINDOW);
            *looked = Some(now);
        }
        for (key, _) in keys(name, address) {
            // Names are the attacker's, and forget nothing of what was counted before.
            if counts.len() >= MOST_COUNTED && !counts.contains_key(&key) {
                continue;
            }
            let count = counts.entry(key).or_insert(Count { wrong: 0, since: now });
            if now >= count.since + WINDOW {
                *count = Count { wrong: 0, since: now };
            }
            count.wrong = count.wrong.saturating_add(1);
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Each critical section leaves the map consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what is counted, and how often it may be wrong.
fn keys(name: Option<&str>, address: IpAddr) -> Vec<(Digest, u32)> {
    let address = network(address);
    let digest = |text: String| Digest::of(text.as_bytes());
    let mut keys = vec![(digest(format!("address {address}")), MOST_OF_ADDRESS)];
    if let Some(name) = name {
        keys.push((digest(format!("name {name}")), MOST_OF_NAME));
        keys.push((digest(format!("both {address} {name}")), MOST_OF_BOTH));
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    // invariant: Wrong passwords and tokens are bounded, by name and by address.
    #[test]
    fn wrong_attempts_are_bounded_by_name_and_by_address() {
        let attempts = Attempts::default();
        let may = |name, last| attempts.check(name, address(last)).is_ok();
        for _ in 0..MOST_OF_BOTH {
            assert!(may(Some("ada"), 1));
            attempts.failed(Some("ada"), address(1));
        }
        assert!(!may(Some("ada"), 1));
        // Neither the name from elsewhere nor the address with another name waits for it.
        assert!(may(Some("ada"), 2) && may(Some("bob"), 1) && may(None, 1));
        for last in 2..=10 {
            (0..MOST_OF_BOTH).for_each(|_| attempts.failed(Some("ada"), address(last)));
        }
        assert!(!may(Some("ada"), 200) && may(Some("bob"), 200));
        (0..MOST_OF_ADDRESS).for_each(|_| attempts.failed(None, address(7)));
        assert!(!may(Some("bob"), 7) && !may(None, 7) && may(None, 8));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_mapped_address_is_its_own() {
        let attempts = Attempts::default();
        let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
        (0..MOST_OF_ADDRESS).for_each(|_| attempts.failed(None, parse("2001:db8::1")));
        assert!(attempts.check(None, parse("2001:db8::ffff:2")).is_err());
        assert!(attempts.check(None, parse("2001:db8:0:1::1")).is_ok());
        (0..MOST_OF_ADDRESS).for_each(|_| attempts.failed(None, parse("::ffff:10.0.0.1")));
        assert!(attempts.check(None, address(1)).is_err());
    }

    #[test]
    fn a_bounded_number_of_names_is_counted() {
        let attempts = Attempts::default();
        for number in 0..MOST_COUNTED {
            attempts.failed(Some(&number.to_string()), address(1));
        }
        assert!(attempts.counts().counts.len() <= MOST_COUNTED);
        assert!(attempts.check(None, address(1)).is_err());
    }
}
