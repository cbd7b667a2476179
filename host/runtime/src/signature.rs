//! Signatures of components: Ed25519 over a component's digest, in a text file next to it
//! (docs/formats/signature.md).
//!
//! The format can be written and verified with OpenSSL alone: the signed message is the first two
//! lines of the file. Which keys are trusted is not decided here.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::spki::{DecodePublicKey as _, EncodePublicKey as _};
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use stagewright_store::Digest;

/// The first line, which prevents that a signature of something else passes for one of a component.
const TITLE: &str = "stagewright component signature 1";

/// The prefix of public keys.
const ED25519: &str = "ed25519:";

/// The most signatures in a file.
const MAX_SIGNATURES: usize = 100;

/// A key that verifies signatures. Prints and parses as `ed25519:` and 64 hexadecimal digits, which
/// is also its identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// A key that makes signatures.
pub struct SecretKey(SigningKey);

/// The signatures of one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signatures {
    /// The digest that was signed.
    pub digest: Digest,
    by: Vec<(PublicKey, Signature)>,
}

/// An error of a key or a signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A text or file is not a key.
    #[error("not an Ed25519 key: {0}")]
    Key(String),
    /// A file is not a signature file.
    #[error("not a signature: line {line}: {reason}")]
    Format {
        /// The line, counted from 1.
        line: usize,
        /// The problem.
        reason: &'static str,
    },
    /// The signature is for other bytes.
    #[error("the signature is for other bytes: it signs {signed}, the component is {found}")]
    OtherBytes {
        /// The digest that was signed.
        signed: Digest,
        /// The digest of the component.
        found: Digest,
    },
    /// The signature was not made with its key.
    #[error("the signature by {key} is forged or damaged")]
    Forged {
        /// The key.
        key: PublicKey,
    },
    /// No signer is trusted.
    #[error("it is signed by {}, and none of them is trusted", .by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Untrusted {
        /// The keys that signed.
        by: Vec<PublicKey>,
    },
}

/// Returns the path of a component's signature file: its own path with `.sig` appended.
pub fn signature_file(component: &Path) -> PathBuf {
    let mut name = component.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    let digits = hex.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{ED25519}{}", hex(&self.0))
    }
}

impl FromStr for PublicKey {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        let wrong = || SignatureError::Key("write `ed25519:` and 64 lower-case hex digits".into());
        let bytes = text.strip_prefix(ED25519).and_then(bytes).ok_or_else(wrong)?;
        VerifyingKey::from_bytes(&bytes).map(|key| Self(key.to_bytes())).map_err(|_| wrong())
    }
}

impl PublicKey {
    /// Reads a `PUBLIC KEY` in PEM.
    ///
    /// # Errors
    /// The text is not such a key, or the key is not Ed25519.
    pub fn from_pem(text: &str) -> Result<Self, SignatureError> {
        let key = VerifyingKey::from_public_key_pem(text.trim());
        key.map(|key| Self(key.to_bytes())).map_err(|error| SignatureError::Key(error.to_string()))
    }

    /// Returns whether this key signed a message.
    pub(crate) fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let signature = Signature::from_slice(signature);
        let key = VerifyingKey::from_bytes(&self.0);
        // Strict, as in `Signatures::verify`.
        matches!((key, signature), (Ok(key), Ok(signature)) if key.verify_strict(message, &signature).is_ok())
    }

    /// Returns the key in PEM, as OpenSSL reads it.
    ///
    /// # Errors
    /// None in practice: every Ed25519 key has an encoding.
    pub fn to_pem(&self) -> Result<String, SignatureError> {
        let pem = VerifyingKey::from_bytes(&self.0).ok().and_then(|key| key.to_public_key_pem(LineEnding::LF).ok());
        pem.ok_or_else(|| SignatureError::Key("it has no encoding".into()))
    }
}

impl SecretKey {
    /// Generates a key from the system's random numbers.
    ///
    /// # Errors
    /// The system provides no random numbers.
    pub fn generate() -> std::io::Result<Self> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(std::io::Error::other)?;
        Ok(Self(SigningKey::from_bytes(&secret)))
    }

    /// Reads a `PRIVATE KEY` (PKCS#8) in PEM.
    ///
    /// # Errors
    /// The text is not such a key, or the key is not Ed25519.
    pub fn from_pem(text: &str) -> Result<Self, SignatureError> {
        SigningKey::from_pkcs8_pem(text.trim()).map(Self).map_err(|error| SignatureError::Key(error.to_string()))
    }

    /// Returns the key in PEM, as OpenSSL reads it.
    ///
    /// # Errors
    /// None in practice: every Ed25519 key has an encoding.
    pub fn to_pem(&self) -> Result<String, SignatureError> {
        // Without the public key: OpenSSL does not read the newer form that contains it.
        let pair = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        let pem = pair.to_pkcs8_pem(LineEnding::LF).map_err(|error| SignatureError::Key(error.to_string()))?;
        Ok((*pem).clone())
    }

    /// Signs a message. Each kind of message must begin in a way that no other kind does.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }

    /// Returns the key that verifies its signatures.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }
}

/// Returns the signed message: the first two lines of the file.
fn message(digest: Digest) -> String {
    format!("{TITLE}\n{digest}\n")
}

impl Signatures {
    /// Creates an empty set of signatures for a digest.
    pub fn new(digest: Digest) -> Self {
        Self { digest, by: Vec::new() }
    }

    /// Adds a signature, or replaces the signature of the same key.
    pub fn sign(&mut self, key: &SecretKey) {
        let public = key.public();
        self.by.retain(|(by, _)| *by != public);
        self.by.push((public, key.0.sign(message(self.digest).as_bytes())));
    }

    /// Adds the signatures of `other` if it has the same digest, up to the limit of a file.
    /// Existing signatures are kept.
    pub fn add(&mut self, other: &Self) {
        for (key, signature) in other.by.iter().filter(|_| other.digest == self.digest) {
            if self.by.len() < MAX_SIGNATURES && !self.by.iter().any(|(by, _)| by == key) {
                self.by.push((*key, *signature));
            }
        }
    }

    /// Verifies all signatures against a digest and returns the keys that made them.
    ///
    /// # Errors
    /// [`SignatureError::OtherBytes`], [`SignatureError::Forged`].
    pub fn verify(&self, found: Digest) -> Result<Vec<PublicKey>, SignatureError> {
        if found != self.digest {
            return Err(SignatureError::OtherBytes { signed: self.digest, found });
        }
        let message = message(found);
        let checked = self.by.iter().map(|(key, signature)| {
            // Strict verification rejects keys and signatures on which implementations disagree.
            let sound = VerifyingKey::from_bytes(&key.0).and_then(|by| by.verify_strict(message.as_bytes(), signature));
            sound.map(|()| *key).map_err(|_| SignatureError::Forged { key: *key })
        });
        checked.collect()
    }

    /// Verifies all signatures and returns a trusted key that signed this digest.
    ///
    /// # Errors
    /// As for [`Signatures::verify`]; [`SignatureError::Untrusted`] if no trusted key signed.
    pub fn trusted(&self, found: Digest, trusted: &[PublicKey]) -> Result<PublicKey, SignatureError> {
        let by = self.verify(found)?;
        by.iter().find(|key| trusted.contains(key)).copied().ok_or(SignatureError::Untrusted { by })
    }
}

impl fmt::Display for Signatures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&message(self.digest))?;
        self.by.iter().try_for_each(|(key, signature)| writeln!(formatter, "{key} {}", hex(&signature.to_bytes())))
    }
}

impl FromStr for Signatures {
    type Err = SignatureError;

    fn from_str(text: &str) -> Result<Self, SignatureError> {
        let wrong = |line, reason| SignatureError::Format { line, reason };
        let mut lines = text.lines();
        if lines.next() != Some(TITLE) {
            return Err(wrong(1, "write `stagewright component signature 1`"));
        }
        let digest = lines.next().and_then(|line| line.parse().ok()).ok_or(wrong(2, "write the component's digest"))?;
        let mut signatures = Self::new(digest);
        for (line, text) in (3..).zip(lines) {
            let (key, signature) = text.split_once(' ').ok_or(wrong(line, "write a key, a space and a signature"))?;
            let key = key.parse().map_err(|_| wrong(line, "the key is none"))?;
            let signature = bytes(signature).ok_or(wrong(line, "a signature has 128 lower-case hex digits"))?;
            signatures.by.push((key, Signature::from_bytes(&signature)));
            if signatures.by.len() > MAX_SIGNATURES {
                return Err(wrong(line, "there are too many"));
            }
        }
        if signatures.by.is_empty() { Err(wrong(3, "there is no signature")) } else { Ok(signatures) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with OpenSSL 3: `openssl genpkey -algorithm ed25519`, then the commands in
    /// docs/formats/signature.md.
    const SECRET: &str = include_str!("../tests/fixtures/signing.key");
    const PUBLIC: &str = include_str!("../tests/fixtures/signing.key.pub");
    const SIGNED: &str = include_str!("../tests/fixtures/abc.sig");

    fn abc() -> Digest {
        Digest::of(b"abc")
    }

    #[test]
    fn what_openssl_signed_is_verified_and_what_this_signs_is_the_same() {
        let (secret, public) =
            (SecretKey::from_pem(SECRET).expect("a key"), PublicKey::from_pem(PUBLIC).expect("a key"));
        assert_eq!(secret.public(), public);
        assert_eq!((secret.to_pem().as_deref(), public.to_pem().as_deref()), (Ok(SECRET), Ok(PUBLIC)));
        let signatures: Signatures = SIGNED.parse().expect("a signature");
        assert_eq!(signatures.trusted(abc(), &[public]), Ok(public));
        // Ed25519 is deterministic.
        let mut own = Signatures::new(abc());
        own.sign(&secret);
        own.sign(&secret);
        assert_eq!(own.to_string(), SIGNED);
    }

    #[test]
    fn other_bytes_other_keys_and_damage_are_told_apart() {
        let (secret, stranger) =
            (SecretKey::from_pem(SECRET).expect("a key"), SecretKey::generate().expect("randomness"));
        let mut signatures = Signatures::new(abc());
        signatures.sign(&secret);
        let other = signatures.trusted(Digest::of(b"abd"), &[secret.public()]);
        assert!(matches!(other, Err(SignatureError::OtherBytes { .. })), "{other:?}");
        let untrusted = signatures.trusted(abc(), &[stranger.public()]);
        assert_eq!(untrusted, Err(SignatureError::Untrusted { by: vec![secret.public()] }));
        let text = signatures.to_string().replace(&Digest::of(b"abc").to_hex(), &Digest::of(b"abd").to_hex());
        let moved: Signatures = text.parse().expect("a signature");
        assert_eq!(moved.verify(Digest::of(b"abd")), Err(SignatureError::Forged { key: secret.public() }));
        signatures.sign(&stranger);
        assert_eq!(signatures.trusted(abc(), &[stranger.public()]), Ok(stranger.public()));
    }

    #[test]
    fn keys_and_signatures_have_one_spelling() {
        let public = PublicKey::from_pem(PUBLIC).expect("a key");
        assert_eq!(public.to_string().parse(), Ok(public));
        for text in
            ["", "ed25519:", &public.to_string().to_uppercase(), &public.to_string()[..70], &public.to_string()[8..]]
        {
            assert!(text.parse::<PublicKey>().is_err(), "{text}");
        }
        assert!(PublicKey::from_pem(SECRET).is_err() && SecretKey::from_pem(PUBLIC).is_err());
        let line = |text: &str| match text.parse::<Signatures>() {
            Err(SignatureError::Format { line, .. }) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!(line("x"), 1);
        assert_eq!(line("stagewright component signature 1\nsha256:00\n"), 2);
        assert_eq!(line(&message(abc())), 3);
        assert_eq!(line(&format!("{}x\n", message(abc()))), 3);
        assert_eq!(line(&SIGNED.replace(' ', "  ").replacen("  ", " ", 3)), 3);
        assert_eq!(line(&format!("{SIGNED}{}", &SIGNED[SIGNED.len() - 40..])), 4);
    }
}
