use std::path::PathBuf;

use stagewright_manifest::{Overrides, TrustedKey};

use crate::{WHOLE, parse};

fn with(trust: &str) -> Result<stagewright_manifest::Manifest, stagewright_manifest::ManifestError> {
    parse(&format!("{WHOLE}\n[trust]\n{trust}"), &Overrides::default())
}

#[test]
fn keys_are_files_beside_the_manifest_or_written_out() {
    let inline = format!("ed25519:{}", "0a".repeat(32));
    let manifest =
        with(&format!("require-signature = true\ntrusted-keys = [\"keys/release.pub\", \"{inline}\"]")).unwrap();
    let keys = [TrustedKey::File(PathBuf::from("config/keys/release.pub")), TrustedKey::Inline(inline)];
    assert!(manifest.trust.require_signature);
    assert_eq!(manifest.trust.trusted_keys, keys);
    assert!(manifest.effective()["trust"]["require-signature"].as_bool().unwrap());
    assert!(!parse(WHOLE, &Overrides::default()).unwrap().trust.require_signature);
}

#[test]
fn a_policy_that_nobody_can_meet_or_misspells_a_key_is_refused() {
    let said = |trust: &str| with(trust).expect_err("a fault").render();
    for empty in ["require-signature = true", "require-signature = true\ntrusted-keys = []"] {
        assert!(said(empty).contains("without a trusted key refuses every component"), "{}", said(empty));
    }
    let short = said("trusted-keys = [\"ed25519:0a0b\"]");
    assert!(short.contains("`trust.trusted-keys[0]` is not a key: `ed25519:0a0b`"), "{short}");
    assert!(said("require_signature = true").contains("did you mean `require-signature`?"));
    assert!(said("require-signature = \"yes\"").contains("must be a boolean"));
}
