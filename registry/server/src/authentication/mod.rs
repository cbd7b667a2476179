//! Who a request is from: a user's password or token in its `Authorization`, or the cookie of a
//! session.
//!
//! The server asks as soon as the registry has a user, and goes on asking until it ends. What
//! nobody has to remember cannot be forgotten: there is no switch that a restart might miss.
//!
//! - [`credentials`]: what a request says of itself
//! - [`verified`]: what was verified a moment ago, so that a request costs no hash of a password
//! - [`attempts`]: how often somebody may be wrong

mod attempts;
mod credentials;
mod verified;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use stagewright_store::{Digest, Registry, User};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

use crate::caller::{Caller, Proof};
use crate::mlflow_error::{ErrorCode, MlflowError};
use crate::pool::Pool;
use crate::quota::{Quotas, Taker};
use attempts::Attempts;
pub(crate) use credentials::{COOKIE, Credentials, Secret};
use verified::Verified;

/// How long a change of users and tokens by another process goes unnoticed.
const NOTICED: Duration = Duration::from_secs(2);

/// How long what was verified counts while nothing has changed.
const VERIFIED: Duration = Duration::from_secs(300);

/// Hashes of passwords that are computed at once. Each takes 19 MiB and a core.
const HASHES: usize = 2;
/// How long a request waits for its turn to have a password hashed.
const HASH_TIME: Duration = Duration::from_secs(10);

/// The knowledge of the server about its callers.
pub(crate) struct Authentication {
    registry: Registry,
    pool: Pool,
    /// Set by the first sight of a user, and never unset.
    is_required: AtomicBool,
    state: Mutex<State>,
    verified: Verified,
    attempts: Arc<Attempts>,
    quotas: Arc<Quotas>,
    hashes: Arc<Semaphore>,
}

/// The answer of the registry about its accounts.
#[derive(Default)]
struct State {
    revision: i64,
    read: Option<Instant>,
}

impl Authentication {
    pub(crate) fn new(registry: Registry, pool: Pool, quotas: Arc<Quotas>) -> Self {
        Self {
            registry,
            pool,
            is_required: AtomicBool::new(false),
            state: Mutex::default(),
            verified: Verified::default(),
            attempts: Arc::default(),
            quotas,
            hashes: Arc::new(Semaphore::new(HASHES)),
        }
    }

    /// Returns whether callers must say who they are, as far as the server knows.
    pub(crate) fn is_required(&self) -> bool {
        self.is_required.load(Ordering::Acquire)
    }

    /// Callers must say who they are, even if the registry has no user.
    pub(crate) fn require(&self) {
        self.is_required.store(true, Ordering::Release);
    }

    /// Returns who sent a request with these headers from this address.
    ///
    /// # Errors
    /// The request says so falsely, too many came from the address of which none was known, or the
    /// registry failed. Then nobody is admitted.
    pub(crate) async fn caller(&self, headers: &HeaderMap, address: IpAddr) -> Result<Caller, MlflowError> {
        self.look().await?;
        if !self.is_required() {
            return Ok(Caller::Everyone);
        }
        let credentials = Credentials::of(headers);
        if let Ok(Some(credentials)) = &credentials
            && let Some(user) = self.verified.get(credentials)
        {
            return Ok(caller(user, credentials));
        }
        // However it ends: an answer to nobody takes from a share too, and so does the question.
        self.quotas.request(Taker::of(&Caller::Nobody, address).as_ref())?;
        let Some(credentials) = credentials? else { return Ok(Caller::Nobody) };
        let revision = self.state.lock().await.revision;
        let (found, expires) = self.verify(&credentials, address).await?;
        let Some(user) = found.map(Arc::new) else {
            return match credentials {
                // A session ended: the browser is asked to sign in, and is not told off.
                Credentials::Session(_) => Ok(Caller::Nobody),
                _ => Err(MlflowError::wrong_credentials()),
            };
        };
        let until = Instant::now() + expires.map_or(VERIFIED, |left| left.min(VERIFIED));
        // Not if something changed since the registry was asked.
        if self.state.lock().await.revision == revision {
            self.verified.put(&credentials, user.clone(), until);
        }
        Ok(caller(user, &credentials))
    }

    /// Asks the registry for what changed, if it was not asked a moment ago.
    async fn look(&self) -> Result<(), MlflowError> {
        let mut state = self.state.lock().await;
        if state.read.is_some_and(|read| read.elapsed() < NOTICED) {
            return Ok(());
        }
        let registry = self.registry.clone();
        // Before the question: a change after it is noticed in time too.
        let now = Instant::now();
        let found = self.pool.run(move || Ok(registry.accounts()?)).await?;
        if found.revision != state.revision {
            self.verified.clear();
        }
        *state = State { revision: found.revision, read: Some(now) };
        if found.is_required {
            self.require();
        }
        Ok(())
    }

    /// Forgets what was verified, after a change that this server made itself.
    pub(crate) fn forget(&self) {
        self.verified.clear();
    }

    /// Returns the user that credentials belong to, and how long they stay valid if they end.
    async fn verify(
        &self,
        credentials: &Credentials,
        address: IpAddr,
    ) -> Result<(Option<User>, Option<Duration>), MlflowError> {
        let (secret, is_session) = match credentials {
            Credentials::Password { name, password } => {
                return Ok((self.user_with_password(name, password.clone(), address).await?, None));
            }
            Credentials::Token(secret) => (secret.clone(), false),
            Credentials::Session(secret) => (secret.clone(), true),
        };
        self.attempts.check(None, address)?;
        let (registry, attempts) = (self.registry.clone(), self.attempts.clone());
        let find = move || {
            let found = registry.user_with_token(secret.reveal(), is_session)?;
            // An old cookie is no attempt: browsers send it by themselves.
            if found.is_none() && !is_session {
                attempts.failed(None, address);
            }
            Ok(found)
        };
        let found = self.pool.run(find).await?;
        let left = found.as_ref().and_then(|(_, expires)| *expires).map(time_left);
        Ok((found.map(|(user, _)| user), left))
    }

    /// Returns the user with this name and password, if there is one.
    ///
    /// # Errors
    /// Too many were wrong, too many wait, or the registry failed.
    pub(crate) async fn user_with_password(
        &self,
        name: &str,
        password: credentials::Secret,
        address: IpAddr,
    ) -> Result<Option<User>, MlflowError> {
        self.attempts.check(Some(name), address)?;
        let Ok(Ok(turn)) = timeout(HASH_TIME, self.hashes.clone().acquire_owned()).await else {
            let message = "too many passwords are checked at once; a token needs no such check";
            return Err(MlflowError::new(ErrorCode::TemporarilyUnavailable, message));
        };
        // Others with this name may have been wrong while this one waited.
        self.attempts.check(Some(name), address)?;
        let (registry, attempts) = (self.registry.clone(), self.attempts.clone());
        let name = name.to_owned();
        // The hash goes on if the client goes away. It keeps its turn, and a wrong one counts.
        let find = move || {
            let _turn = turn;
            let found = registry.user_with_password(&name, password.reveal())?;
            if found.is_none() {
                attempts.failed(Some(&name), address);
                tracing::warn!(%address, "a name and a password that do not belong together were refused");
            }
            Ok(found)
        };
        self.pool.run(find).await
    }
}

fn caller(user: Arc<User>, credentials: &Credentials) -> Caller {
    let proof = match credentials {
        Credentials::Session(secret) => Proof::Cookie(form_token(secret.reveal())),
        Credentials::Password { .. } | Credentials::Token(_) => Proof::Header,
    };
    Caller::User(user, proof)
}

/// Returns the text that the forms of a session carry. It tells nothing of the session's secret.
fn form_token(secret: &str) -> Arc<str> {
    Digest::of(format!("form of the session {secret}").as_bytes()).to_hex().into()
}

fn time_left(expires_ms: i64) -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Duration::from_millis(u64::try_from(expires_ms).unwrap_or_default()).saturating_sub(now)
}

#[cfg(test)]
mod tests {
    use axum::http::header::{AUTHORIZATION, COOKIE as COOKIES};

    use super::*;
    use crate::app::{App, HttpLimits};

    // invariant: as `a_caller_has_a_share_and_others_have_theirs`
    #[tokio::test]
    async fn a_request_of_nobody_known_takes_from_the_share_of_its_address() {
        let limits = HttpLimits { requests_per_second: 1, ..HttpLimits::default() };
        let cookie = format!("{COOKIE}=swt_none");
        let all = [None, Some((COOKIES, cookie.as_str())), Some((AUTHORIZATION, "Digest a"))];
        for (number, sent) in (0..).zip(all) {
            let (_folder, app) = App::in_new_home(limits, None);
            app.authentication.require();
            let headers: HeaderMap =
                sent.clone().map(|(name, value)| (name, value.parse().expect("a header"))).into_iter().collect();
            let address = IpAddr::from([10, 0, 0, number]);
            let mut refused = 0;
            // Some of a hundred, however many seconds pass on the way.
            for _ in 0..100 {
                let asked = app.authentication.caller(&headers, address).await;
                refused += u32::from(asked.is_err_and(|error| error.code == ErrorCode::RequestLimitExceeded));
            }
            assert!(refused > 0, "{sent:?}");
        }
    }

    // invariant: as `wrong_attempts_are_bounded_by_name_and_by_address`
    #[tokio::test]
    async fn a_wrong_password_counts_though_its_client_has_gone() {
        let (_folder, app) = App::in_new_home(HttpLimits::default(), None);
        let authentication = &app.authentication;
        let address = IpAddr::from([10, 0, 0, 1]);
        for number in 0..10 {
            assert!(authentication.attempts.check(Some("ada"), address).is_ok(), "{number}");
            // Asked once, so that the hash begins, and dropped, as when a client closes.
            let asked = authentication.user_with_password("ada", Secret::new("wrong"), address);
            let _ = timeout(Duration::ZERO, asked).await;
            let all_turns = authentication.hashes.acquire_many(HASHES as u32);
            drop(timeout(Duration::from_secs(60), all_turns).await.expect("the turn ends").expect("turns"));
        }
        assert!(authentication.attempts.check(Some("ada"), address).is_err());
    }
}
