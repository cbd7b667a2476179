//! Random numbers that nobody guesses: identifiers, tokens, salts and keys.

use crate::error::StoreError;

/// Returns bytes of the system's source of random numbers.
///
/// # Errors
/// [`StoreError::Random`].
pub(crate) fn random<const BYTES: usize>() -> Result<[u8; BYTES], StoreError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(|error| StoreError::Random { problem: error.to_string() })?;
    Ok(bytes)
}

/// Returns random bytes as lower-case hex digits, of which there are twice as many.
///
/// # Errors
/// [`StoreError::Random`].
pub(crate) fn random_hex<const BYTES: usize>() -> Result<String, StoreError> {
    Ok(random::<BYTES>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_digits_are_two_a_byte_and_never_the_same() {
        let one = random_hex::<16>().expect("random numbers");
        assert!(one.len() == 32 && one.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{one}");
        assert_ne!(one, random_hex::<16>().expect("random numbers"));
    }
}
