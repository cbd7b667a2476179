//! Signed statements: a DSSE envelope in a Sigstore bundle, which other tools can read.
//!
//! The signed bytes are DSSE's pre-authentication encoding, which begins with `DSSEv1 `: no
//! signature of a component is valid for a statement, or the other way round. A bundle has one
//! signature; a second signer of the same statement writes a second bundle.

use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Serialize};

use crate::signature::{PublicKey, SecretKey};

/// The payload type of an in-toto statement.
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// The media type of the bundle.
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// An error of a bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It cannot be read.
    #[error("not a signed statement: {0}")]
    Format(String),
    /// None of the keys made its signature.
    #[error("the statement is not signed by {}", .keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "))]
    Unsigned {
        /// The keys that were tried.
        keys: Vec<PublicKey>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: Material,
    dsse_envelope: Envelope,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Material {
    public_key: Hint,
}

/// The name of a key, which helps a reader to find it.
#[derive(Serialize, Deserialize)]
struct Hint {
    hint: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
struct Signature {
    sig: String,
    #[serde(default)]
    keyid: String,
}

/// Returns DSSE's pre-authentication encoding of a statement, which is what is signed.
fn encoded(statement: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {IN_TOTO} {} ", IN_TOTO.len(), statement.len());
    [head.as_bytes(), statement].concat()
}

/// Signs a statement and returns the bundle as JSON.
///
/// # Errors
/// None in practice: every bundle has a JSON form.
pub fn sign_statement(statement: &[u8], key: &SecretKey) -> Result<String, EnvelopeError> {
    let by = key.public().to_string();
    let bundle = Bundle {
        media_type: BUNDLE.to_owned(),
        verification_material: Material { public_key: Hint { hint: by.clone() } },
        dsse_envelope: Envelope {
            payload: Base64::encode_string(statement),
            payload_type: IN_TOTO.to_owned(),
            signatures: vec![Signature { sig: Base64::encode_string(&key.sign(&encoded(statement))), keyid: by }],
        },
    };
    let text = serde_json::to_string_pretty(&bundle).map_err(|error| EnvelopeError::Format(error.to_string()))?;
    Ok(format!("{text}\n"))
}

/// Returns the statement of a bundle that one of these keys signed.
///
/// # Errors
/// [`EnvelopeError`].
pub fn signed_statement(bundle: &str, keys: &[PublicKey]) -> Result<Vec<u8>, EnvelopeError> {
    let wrong = |reason: &str| EnvelopeError::Format(reason.to_owned());
    let bundle: Bundle = serde_json::from_str(bundle).map_err(|error| EnvelopeError::Format(error.to_string()))?;
    let Envelope { payload, payload_type, signatures } = bundle.dsse_envelope;
    if (bundle.media_type.as_str(), payload_type.as_str()) != (BUNDLE, IN_TOTO) {
        return Err(wrong("it has another media type"));
    }
    let [signature] = &signatures[..] else { return Err(wrong("a bundle has one signature")) };
    let statement = Base64::decode_vec(&payload).map_err(|_| wrong("its payload is no base64"))?;
    let signature = Base64::decode_vec(&signature.sig).map_err(|_| wrong("its signature is no base64"))?;
    let message = encoded(&statement);
    // Key names in the bundle are ignored: its author can write any name.
    if keys.iter().any(|key| key.signed(&message, &signature)) {
        return Ok(statement);
    }
    Err(EnvelopeError::Unsigned { keys: keys.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_in_its_only_form() {
        for wrong in ["Zg", "Zg=", "Zh==", "Z===", "====", "Zm9v\n", "Zm-v", "Zg==Zg=="] {
            assert!(Base64::decode_vec(wrong).is_err(), "{wrong}");
        }
    }

    // invariant: as
    // `a_statement_is_verified_by_a_stock_tool_and_countersigned_by_who_reproduced_the_version`
    #[test]
    fn a_statement_is_read_if_a_key_that_is_asked_for_signed_it() {
        let (own, other) = (SecretKey::generate().expect("randomness"), SecretKey::generate().expect("randomness"));
        let bundle = sign_statement(b"{}", &own).expect("text");
        assert_eq!(signed_statement(&bundle, &[other.public(), own.public()]), Ok(b"{}".to_vec()));
        let unsigned = EnvelopeError::Unsigned { keys: vec![other.public()] };
        assert_eq!(signed_statement(&bundle, &[other.public()]), Err(unsigned));
        // The key has another name, or the signature covers another statement.
        let renamed = bundle.replace(&own.public().to_string(), &other.public().to_string());
        assert!(signed_statement(&renamed, &[other.public()]).is_err());
        assert!(signed_statement(&renamed, &[own.public()]).is_ok());
        let changed = bundle.replace(&Base64::encode_string(b"{}"), &Base64::encode_string(b"[]"));
        assert_ne!(changed, bundle);
        assert!(signed_statement(&changed, &[own.public()]).is_err());
        // No signature of a component is one of a statement.
        let mut component = crate::signature::Signatures::new(stagewright_store::Digest::of(b"{}"));
        component.sign(&own);
        assert!(signed_statement(&component.to_string(), &[own.public()]).is_err());
        assert!(signed_statement(&bundle.replace("in-toto", "other"), &[own.public()]).is_err());
    }
}
