//! The keys of a destination, and the objects in a manifest. docs/formats/production.md describes
//! the format.

use serde::Deserialize;
use stagewright_store::Digest;

use crate::error::PromotionError;
use crate::store::check_key;

/// The prefix of objects: the bytes of every part of every version, by digest.
pub(crate) const OBJECTS: &str = "objects/sha256/";
/// The prefix of manifests and pointers.
pub(crate) const MODELS: &str = "models/";
/// The prefix of the keys that [`Destination::check`](crate::Destination::check) writes.
pub(crate) const PROBES: &str = "probes/";

/// A part of a version, as its manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ManifestObject {
    /// The digest of its bytes.
    pub digest: Digest,
    /// The number of bytes.
    pub size: u64,
    /// Its role: `transformation`, `model`.
    pub role: String,
}

pub(crate) fn object_key(digest: &Digest) -> String {
    format!("{OBJECTS}{}", digest.to_hex())
}

/// Returns the digest in the key of an object; `None` for other keys.
pub(crate) fn object_digest(key: &str) -> Option<Digest> {
    Digest::from_hex(key.strip_prefix(OBJECTS)?).ok()
}

pub(crate) fn manifest_key(model: &str, version: u32) -> Result<String, PromotionError> {
    key_of(model, &format!("versions/{version}/manifest.json"))
}

pub(crate) fn pointer_key(model: &str) -> Result<String, PromotionError> {
    key_of(model, "champion.json")
}

fn key_of(model: &str, rest: &str) -> Result<String, PromotionError> {
    if model.contains('/') {
        return Err(PromotionError::BadKey { key: model.chars().take(200).collect() });
    }
    let key = format!("{MODELS}{model}/{rest}");
    check_key(&key)?;
    Ok(key)
}

/// Returns the model and version in the key of a manifest; `None` for other keys.
pub(crate) fn manifest_version(key: &str) -> Option<(&str, u32)> {
    let mut segments = key.strip_prefix(MODELS)?.split('/');
    let (model, versions, version) = (segments.next()?, segments.next()?, segments.next()?);
    let last = segments.next()?;
    let whole = versions == "versions" && last == "manifest.json" && segments.next().is_none();
    let number: u32 = version.parse().ok()?;
    // Another spelling of the number is another key, which this program never writes.
    (whole && number.to_string() == version).then_some((model, number))
}

/// Parses the objects that a manifest lists.
///
/// # Errors
/// A text that says why it is not a manifest.
pub fn manifest_objects(manifest: &[u8]) -> Result<Vec<ManifestObject>, String> {
    #[derive(Deserialize)]
    struct Manifest {
        objects: Vec<ManifestObject>,
    }
    let manifest: Manifest = serde_json::from_slice(manifest).map_err(|error| error.to_string())?;
    Ok(manifest.objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_read_back_as_what_they_were_made_of() {
        let digest = Digest::of(b"abc");
        assert_eq!(object_digest(&object_key(&digest)), Some(digest));
        let key = manifest_key("churn.v2", 12).expect("a key");
        assert_eq!(manifest_version(&key), Some(("churn.v2", 12)));
        for other in ["models/a/versions/01/manifest.json", "models/a/champion.json", "models/a/versions/1/x"] {
            assert_eq!(manifest_version(other), None, "{other}");
        }
    }

    #[test]
    fn a_model_whose_name_leads_elsewhere_has_no_key() {
        for model in ["..", "a/b", "", ".", "a b"] {
            assert!(pointer_key(model).is_err(), "{model}");
        }
    }
}
