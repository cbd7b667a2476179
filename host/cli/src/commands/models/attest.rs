//! `models attest`: what a version was made of and by what, for others to read and to verify.

use std::path::Path;

use stagewright_runtime::{SecretKey, sign_statement};
use stagewright_store::{CHAMPION, Home};

use crate::commands::models::find;
use crate::ending::{Ending, UsageError};
use crate::{statement, trust};

/// Writes the statement about a version; signed, if there is a key.
pub(super) fn attest(home: &Home, model: &str, key: Option<&Path>, output: Option<&Path>) -> anyhow::Result<Ending> {
    let version = find(home, model, CHAMPION)?;
    let run = version.run_id.as_ref().map(|id| home.registry.run(id.as_str())).transpose()?;
    let run = run.ok_or_else(|| {
        let message = format!("no run on record made version {} of `{}`", version.version, version.model);
        UsageError::error(message, "attest it where it was trained: its run is on record there")
    })?;
    let stages = home.registry.stages(&run.run_id)?;
    let text = statement::text(&statement::of(&version, &run, &stages))?;
    let text = match key {
        Some(key) => sign_statement(text.as_bytes(), &secret(key)?)?,
        None => text,
    };
    written(output, &text)
}

/// A key that signs.
pub(crate) fn secret(key: &Path) -> anyhow::Result<SecretKey> {
    let cannot = |reason: String| {
        UsageError::error(
            format!("cannot read the key {}: {reason}", key.display()),
            "a signing key is a PKCS#8 PEM file with an Ed25519 key: stagewright stage keygen --output KEY",
        )
    };
    let text = trust::read_text(key).map_err(|error| cannot(error.to_string()))?;
    SecretKey::from_pem(&text).map_err(|error| cannot(error.to_string()))
}

/// Writes a text to a file, or to standard output.
pub(crate) fn written(output: Option<&Path>, text: &str) -> anyhow::Result<Ending> {
    match output {
        Some(file) => stagewright_store::export_bytes(text.as_bytes(), file)?,
        None => crate::output::bytes(text.as_bytes()),
    }
    Ok(Ending::Done)
}
