//! The share of one caller, so that others get theirs: requests within a second, and streams that
//! are on their way at once.
//!
//! A caller is a user. Where the server has no accounts, and before somebody has signed in, it is
//! an address ([`network`]); this machine's own addresses are nobody's in particular and have no
//! bounds there.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::caller::Caller;
use crate::mlflow_error::{ErrorCode, MlflowError};
use crate::network::network;

/// Callers that are told apart. Those beyond them that have been quiet are forgotten.
const MOST_CALLERS: usize = 10_000;

/// For how many seconds a caller may save up requests that it did not make.
const SAVED: f64 = 5.0;

/// Whose share a request is taken from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Taker {
    User(i64),
    Address(IpAddr),
}

impl Taker {
    /// Returns whose share the requests of a caller are taken from; `None`: nobody's.
    pub(crate) fn of(caller: &Caller, address: IpAddr) -> Option<Self> {
        let address = network(address);
        match caller {
            Caller::User(user, _) => Some(Self::User(user.id)),
            Caller::Everyone | Caller::Nobody if address.is_loopback() => None,
            Caller::Everyone | Caller::Nobody => Some(Self::Address(address)),
        }
    }
}

/// The shares of all callers.
pub(crate) struct Quotas {
    requests_per_second: f64,
    shares: Mutex<HashMap<Taker, Share>>,
}

#[derive(Debug)]
struct Share {
    /// Requests that may be made at once.
    left: f64,
    at: Instant,
    /// Streams that are on their way.
    transfers: usize,
}

/// A stream of a caller that is on its way, until this is dropped.
pub(crate) struct Taken {
    quotas: Arc<Quotas>,
    taker: Option<Taker>,
}

impl Quotas {
    pub(crate) fn new(requests_per_second: u32) -> Arc<Self> {
        let requests_per_second = f64::from(requests_per_second.max(1));
        Arc::new(Self { requests_per_second, shares: Mutex::default() })
    }

    /// Counts a request.
    ///
    /// # Errors
    /// The caller made too many a moment ago.
    pub(crate) fn request(&self, taker: Option<&Taker>) -> Result<(), MlflowError> {
        let Some(taker) = taker else { return Ok(()) };
        let mut shares = self.shares();
        let share = self.share(&mut shares, taker);
        if share.left < 1.0 {
            let message = format!(
                "A caller may send {} requests a second. What it did not use in {SAVED} seconds, it may send at once.",
                self.requests_per_second
            );
            return Err(MlflowError::new(ErrorCode::RequestLimitExceeded, message));
        }
        share.left -= 1.0;
        Ok(())
    }

    /// Counts a stream, of which a caller may have so many at once.
    ///
    /// # Errors
    /// The caller has as many.
    pub(crate) fn transfer(self: &Arc<Self>, taker: Option<&Taker>, most: usize) -> Result<Taken, MlflowError> {
        if let Some(taker) = taker {
            let mut shares = self.shares();
            let share = self.share(&mut shares, taker);
            if share.transfers >= most {
                let message = format!("A caller may have {most} files on their way at once.");
                return Err(MlflowError::new(ErrorCode::RequestLimitExceeded, message));
            }
            share.transfers += 1;
        }
        Ok(Taken { quotas: self.clone(), taker: taker.cloned() })
    }

    /// Returns a caller's share as it is now.
    fn share<'a>(&self, shares: &'a mut HashMap<Taker, Share>, taker: &Taker) -> &'a mut Share {
        let (now, most) = (Instant::now(), self.requests_per_second * SAVED);
        if shares.len() >= MOST_CALLERS && !shares.contains_key(taker) {
            // Whoever would have its whole share is as if it were new.
            let refilled = |share: &Share| {
                share.left + now.duration_since(share.at).as_secs_f64() * self.requests_per_second >= most
            };
            shares.retain(|_, share| share.transfers > 0 || !refilled(share));
        }
        let share = shares.entry(taker.clone()).or_insert(Share { left: most, at: now, transfers: 0 });
        let earned = now.duration_since(share.at).as_secs_f64() * self.requests_per_second;
        (share.left, share.at) = ((share.left + earned).min(most), now);
        share
    }

    fn shares(&self) -> MutexGuard<'_, HashMap<Taker, Share>> {
        // Each critical section leaves the map consistent.
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let Some(taker) = &self.taker else { return };
        if let Some(share) = self.quotas.shares().get_mut(taker) {
            share.transfers = share.transfers.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // invariant: One caller cannot take the requests and transfers of others.
    #[test]
    fn a_caller_has_a_share_and_others_have_theirs() {
        let quotas = Quotas::new(1);
        let (one, other) = (Taker::User(1), Taker::User(2));
        let taken = (0..100).take_while(|_| quotas.request(Some(&one)).is_ok()).count();
        // More only if a second passes on the way.
        assert!((5..100).contains(&taken), "{taken}");
        assert!(quotas.request(Some(&other)).is_ok() && quotas.request(None).is_ok());
        let held = quotas.transfer(Some(&one), 1).expect("a transfer");
        assert!(quotas.transfer(Some(&one), 1).is_err());
        assert!(quotas.transfer(Some(&other), 1).is_ok() && quotas.transfer(None, 0).is_ok());
        drop(held);
        assert!(quotas.transfer(Some(&one), 1).is_ok());
    }

    #[test]
    fn this_machine_without_accounts_has_no_bounds_and_other_addresses_have() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(Taker::of(&Caller::Everyone, address("127.0.0.1")), None);
        assert_eq!(Taker::of(&Caller::Nobody, address("::ffff:127.0.0.1")), None);
        let of = |text| Taker::of(&Caller::Nobody, address(text)).expect("a share");
        assert_eq!(of("10.0.0.1"), of("::ffff:10.0.0.1"));
        // Whoever has one address of a network has a share of it, and not one of each address.
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
    }
}
