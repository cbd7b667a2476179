//! HMAC-SHA-256 (RFC 2104).

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Returns the HMAC-SHA-256 of these parts, one after another.
///
/// ```
/// let whole = stagewright_outgoing::mac(b"secret", &[b"a.b"]);
/// assert_eq!(stagewright_outgoing::mac(b"secret", &[b"a", b".", b"b"]), whole);
/// assert_ne!(stagewright_outgoing::mac(b"other", &[b"a.b"]), whole);
/// ```
pub fn mac(secret: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    // Fails for no length of key (RFC 2104, section 2).
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::mac;

    /// RFC 4231, test case 2.
    #[test]
    fn it_is_that_of_the_standard() {
        let digits: String =
            mac(b"Jefe", &[b"what do ya want ", b"for nothing?"]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digits, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}
