//! The signature of a request: HMAC-SHA-256 (RFC 2104) over time and body.

use stagewright_outgoing::mac;

/// Returns the signature of a body that is sent at a time, in seconds since the epoch, as the
/// header `X-Stagewright-Signature` has it: `sha256=` and 64 hex digits.
///
/// The time is signed with the body, so that a request that somebody recorded does not pass later.
///
/// ```
/// let signed = stagewright_hooks::signature(b"It's a secret to everybody", 1_790_000_000, b"{}");
/// assert!(signed.starts_with("sha256=") && signed.len() == 71);
/// assert_ne!(signed, stagewright_hooks::signature(b"It's a secret to everybody", 1_790_000_001, b"{}"));
/// ```
pub fn signature(secret: &[u8], seconds: u64, body: &[u8]) -> String {
    let digits: String =
        mac(secret, &[format!("{seconds}.").as_bytes(), body]).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By Python: `hmac.new(b"0123456789abcdef", b"1790000000." + b'{"id": "x"}', "sha256")`.
    #[test]
    fn it_is_that_of_other_programs() {
        let signed = signature(b"0123456789abcdef", 1_790_000_000, br#"{"id": "x"}"#);
        assert_eq!(signed, "sha256=86346b559c1940e01ea836f5f32524f6f1fc8ad0e811cb528a43cf4b64811ffb");
    }
}
