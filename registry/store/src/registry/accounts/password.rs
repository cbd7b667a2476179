//! Hashes of passwords: Argon2id, in the PHC string format.

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};

use super::AccountError;
use crate::error::StoreError;
use crate::random::random;

/// The memory and the passes of a hash: OWASP's recommendation for Argon2id. A hash takes 19 MiB
/// and some 20 ms of one core.
const MEMORY_KIB: u32 = 19 << 10;
const PASSES: u32 = 2;

/// The most that a stored hash may ask for. Whoever writes to the database cannot make a server
/// spend more on a request.
const MOST_MEMORY_KIB: u32 = 64 << 10;
const MOST_PASSES: u32 = 8;

/// The bounds of a password, in bytes.
const LEAST: usize = 8;
const MOST: usize = 1024;

/// Returns the hash of a new password.
pub(super) fn hash(password: &str) -> Result<String, StoreError> {
    if !(LEAST..=MOST).contains(&password.len()) {
        return Err(AccountError::BadPassword { least: LEAST, most: MOST }.into());
    }
    let salt: [u8; 16] = random()?;
    let failed = |error: argon2::password_hash::Error| AccountError::Hash { reason: error.to_string() };
    let hash = hasher()?.hash_password_with_salt(password.as_bytes(), &salt).map_err(failed)?;
    Ok(hash.to_string())
}

/// Returns whether a password has this hash. `None` stands for a user that does not exist, which
/// takes as long.
pub(super) fn matches(password: &str, hash: Option<&str>) -> Result<bool, StoreError> {
    // Longer ones never were passwords.
    let password = if password.len() <= MOST { password.as_bytes() } else { &[] };
    let parsed = hash.and_then(|hash| PasswordHash::new(hash).ok()).filter(is_bounded);
    let Some(parsed) = parsed else {
        let failed = |error: argon2::password_hash::Error| AccountError::Hash { reason: error.to_string() };
        hasher()?.hash_password_with_salt(password, &[0; 16]).map_err(failed)?;
        return Ok(false);
    };
    Ok(hasher()?.verify_password(password, &parsed).is_ok())
}

fn hasher() -> Result<Argon2<'static>, StoreError> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None);
    let params = params.map_err(|error| AccountError::Hash { reason: error.to_string() })?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn is_bounded(hash: &PasswordHash) -> bool {
    Params::try_from(hash).is_ok_and(|params| {
        params.m_cost() <= MOST_MEMORY_KIB && params.t_cost() <= MOST_PASSES && params.p_cost() == 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // invariant: A password is stored as a salted Argon2id hash and nowhere else.
    #[test]
    fn a_password_matches_its_own_hash_alone_and_no_two_hashes_are_equal() {
        let (one, other) = (hash("correct horse").expect("a hash"), hash("correct horse").expect("a hash"));
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && one != other, "{one} {other}");
        assert!(!one.contains("correct"));
        assert!(matches("correct horse", Some(&one)).expect("a check"));
        for wrong in ["", "correct hors", "correct horse "] {
            assert!(!matches(wrong, Some(&one)).expect("a check"), "{wrong:?}");
        }
        assert!(!matches("correct horse", None).expect("a check"));
    }

    #[test]
    fn a_hash_that_asks_for_too_much_matches_nothing() {
        let right = hash("correct horse").expect("a hash");
        for dear in ["m=4194304,t=2,p=1", "m=19456,t=4000000,p=1", "m=19456,t=2,p=255"] {
            let dear = right.replace("m=19456,t=2,p=1", dear);
            assert!(!matches("correct horse", Some(&dear)).expect("a check"), "{dear}");
        }
        assert!(!matches("correct horse", Some("")).expect("a check"));
    }

    #[test]
    fn a_password_has_bounds() {
        for wrong in ["", "1234567", &"x".repeat(1025)] {
            assert!(hash(wrong).is_err(), "{}", wrong.len());
        }
    }
}
