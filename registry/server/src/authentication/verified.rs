//! Credentials that were verified a moment ago.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use stagewright_store::{Digest, User};

use super::credentials::Credentials;

/// The most credentials that are remembered. If there are more, all are verified again.
const MOST: usize = 4096;

/// Credentials by a digest that is of no use outside this process, and whose they are.
pub(super) struct Verified {
    /// A random number that each digest begins with.
    key: String,
    users: Mutex<HashMap<Digest, (Arc<User>, Instant)>>,
}

impl Default for Verified {
    fn default() -> Self {
        // A hasher of the standard library has random keys. The digests leave the process nowhere;
        // the key is for a dump of its memory.
        let random = || {
            use std::hash::{BuildHasher as _, RandomState};
            RandomState::new().hash_one(0)
        };
        Self { key: format!("{:016x}{:016x}", random(), random()), users: Mutex::default() }
    }
}

impl Verified {
    pub(super) fn get(&self, credentials: &Credentials) -> Option<Arc<User>> {
        let users = self.users();
        let (user, until) = users.get(&self.digest(credentials))?;
        (Instant::now() < *until).then(|| user.clone())
    }

    pub(super) fn put(&self, credentials: &Credentials, user: Arc<User>, until: Instant) {
        let digest = self.digest(credentials);
        let mut users = self.users();
        if users.len() >= MOST {
            let now = Instant::now();
            users.retain(|_, (_, until)| now < *until);
            if users.len() >= MOST {
                users.clear();
            }
        }
        users.insert(digest, (user, until));
    }

    pub(super) fn clear(&self) {
        self.users().clear();
    }

    fn users(&self) -> MutexGuard<'_, HashMap<Digest, (Arc<User>, Instant)>> {
        // Each critical section leaves the map consistent.
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn digest(&self, credentials: &Credentials) -> Digest {
        let text = match credentials {
            Credentials::Password { name, password } => format!("{} p {name}:{}", self.key, password.reveal()),
            Credentials::Token(secret) => format!("{} t {}", self.key, secret.reveal()),
            Credentials::Session(secret) => format!("{} s {}", self.key, secret.reveal()),
        };
        Digest::of(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::credentials::Secret;
    use super::*;

    fn user(id: i64) -> Arc<User> {
        Arc::new(User { id, name: format!("u{id}"), is_admin: false, created_ms: 0 })
    }

    #[test]
    fn what_was_verified_is_found_by_the_same_credentials_until_its_end() {
        let verified = Verified::default();
        let secret = || Secret::new("x");
        let password = |name: &str| Credentials::Password { name: name.into(), password: secret() };
        verified.put(&password("ada"), user(1), Instant::now() + Duration::from_secs(60));
        verified.put(&password("eve"), user(2), Instant::now());
        assert_eq!(verified.get(&password("ada")), Some(user(1)));
        assert_eq!(verified.get(&password("eve")), None);
        for other in [Credentials::Token(secret()), Credentials::Session(secret()), password("bob")] {
            assert_eq!(verified.get(&other), None, "{other:?}");
        }
        verified.clear();
        assert_eq!(verified.get(&password("ada")), None);
    }

    #[test]
    fn a_bounded_number_is_remembered() {
        let verified = Verified::default();
        for number in 0..2 * MOST {
            let token = Credentials::Token(Secret::new(number.to_string()));
            verified.put(&token, user(1), Instant::now() + Duration::from_secs(60));
            assert!(verified.users().len() <= MOST);
            assert_eq!(verified.get(&token), Some(user(1)));
        }
    }
}
