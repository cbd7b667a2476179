//! Where things are at a destination, and what a manifest says of its objects. The format is described in
//! docs/formats/production.md.

use serde::Deserialize;
use stagewright_store::Digest;

use crate::error::PromotionError;
use crate::store::check_key;

/// Bytes of every part of every version, by content.
pub(crate) const OBJECTS: &str = "objects/sha256/";
/// Manifests and pointers.
pub(crate) const MODELS: &str = "models/";
/// Keys that [`Destination::check`](crate::Destination::check) tries out.
pub(crate) const PROBES: &str = "probes/";

/// A part of a version, as its manifest lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ManifestObject {
    /// What names its bytes.
    pub digest: Digest,
    /// How many there are.
    pub size: u64,
    /// What it is for: `transformation`, `model`.
    pub role: String,
}

pub(crate) fn object_key(digest: &Digest) -> String {
    format!("{OBJECTS}{}", digest.to_hex())
}

/// Returns the digest in the key of an object; none for other keys.
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

/// Returns the model and version in the key of a manifest; none for other keys.
pub(crate) fn manifest_version(key: &str) -> Option<(&str, u32)> {
    let mut segments = key.strip_prefix(MODELS)?.split('/');
    let (model, versions, version) = (segments.next()?, segments.next()?, segments.next()?);
    let last = segments.next()?;
    let whole = versions == "versions" && last == "manifest.json" && segments.next().is_none();
    let number: u32 = version.parse().ok()?;
    // Another spelling of a number is another key, which nobody of ours wrote.
    (whole && number.to_string() == version).then_some((model, number))
}

/// Reads the objects that a manifest lists.
///
/// # Errors
/// A text for people: why the manifest is none.
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
