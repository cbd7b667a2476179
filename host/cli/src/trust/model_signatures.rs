//! The signatures of registered models' components, by digest, in the folder `signatures` of the
//! home. They are checked whenever such a component is about to run or to be promoted.
//!
//! A registered model is used without the folder that its components came from, where their
//! signatures are. Therefore the signatures are copied when a component is admitted. The copies
//! need no protection: each is verified with the operator's keys when it is used.

use std::fs;
use std::path::{Path, PathBuf};

use stagewright_lifecycle::model::{ModelComponent, RegisteredModel};
use stagewright_manifest::Operator;
use stagewright_runtime::{Refusal, RuntimeError, SignatureError, Signatures, signature_file};
use stagewright_store::Digest;

use super::{Signers, read_signatures};
use crate::error_code::ErrorCode;
use crate::installation;
use crate::usage_error::UsageError;

/// The stored signatures, and the signers that the operator requires.
pub(crate) struct ModelSignatures {
    signers: Signers,
    folder: PathBuf,
}

impl ModelSignatures {
    /// Returns the signatures in the folder of a home.
    pub(crate) fn of(operator: &Operator, home: &Path) -> anyhow::Result<Self> {
        Ok(Self { signers: Signers::of(operator)?, folder: home.join("signatures") })
    }

    fn file(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{}.sig", digest.to_hex()))
    }

    /// Copies the signatures beside a component's file, if they are valid for this digest.
    ///
    /// # Errors
    /// The home cannot be written to.
    pub(crate) fn keep_beside(&self, component: &Path, digest: Digest) -> std::io::Result<()> {
        match read_signatures(&signature_file(component)) {
            Ok(Some(signatures)) if signatures.verify(digest).is_ok() => self.keep(signatures),
            _ => Ok(()),
        }
    }

    /// Adds valid signatures to the stored ones. Stored signatures are never dropped: the number of
    /// signatures is limited, and new ones must not displace them.
    fn keep(&self, brought: Signatures) -> std::io::Result<()> {
        let file = self.file(brought.digest);
        let before = read_signatures(&file).ok().flatten().filter(|kept| kept.verify(brought.digest).is_ok());
        let signatures = match before.clone() {
            Some(mut kept) => {
                kept.add(&brought);
                kept
            }
            None => brought,
        };
        if before.as_ref() == Some(&signatures) {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        stagewright_store::write_whole(&file, signatures.to_string().as_bytes())
    }

    /// Returns whether a component is part of this installation, or signed with a key that the
    /// operator trusts, whether or not the operator requires that.
    pub(crate) fn vouches_for(&self, name: &str, digest: Digest) -> bool {
        let is_signed = |signatures: Signatures| signatures.trusted(digest, &self.signers.keys).is_ok();
        is_installed(name, digest) || read_signatures(&self.file(digest)).ok().flatten().is_some_and(is_signed)
    }

    /// Stores the signatures in files for the components of a model.
    ///
    /// # Errors
    /// A file cannot be read, a signature is invalid, or it is for another component.
    pub(crate) fn keep_files(&self, files: &[PathBuf], model: &RegisteredModel) -> anyhow::Result<()> {
        for file in files {
            let wrong = |reason: String| {
                UsageError::error(
                    ErrorCode::NotSigned,
                    format!("cannot use the signatures in {}: {reason}", file.display()),
                    "name the files that `stagewright stage sign` wrote for this model's components",
                )
            };
            let signatures =
                read_signatures(file).map_err(wrong)?.ok_or_else(|| wrong("it is not there".to_owned()))?;
            let digest = signatures.digest;
            if ![model.transformation.digest, model.training.digest].contains(&digest) {
                return Err(wrong(format!("they are for {digest}, which the model does not have")));
            }
            signatures.verify(digest).map_err(|error| wrong(error.to_string()))?;
            self.keep(signatures)?;
        }
        Ok(())
    }

    /// Checks that a component may be used: it is part of this installation, or signed with a key
    /// that the operator trusts.
    ///
    /// # Errors
    /// [`RuntimeError::Refused`], which says what to do.
    pub(crate) fn admit(&self, name: &str, digest: Digest) -> Result<(), RuntimeError> {
        self.judge(name, digest, &|| read_signatures(&self.file(digest)))
    }

    /// Does what [`ModelSignatures::admit`] does for a component that arrives together with
    /// signatures.
    ///
    /// # Errors
    /// As for [`ModelSignatures::admit`].
    pub(crate) fn admit_with(&self, name: &str, digest: Digest, brought: &[Signatures]) -> Result<(), RuntimeError> {
        let brought = || Ok(brought.iter().find(|it| it.digest == digest && it.verify(digest).is_ok()).cloned());
        self.admit(name, digest).or_else(|_| self.judge(name, digest, &brought))
    }

    /// Stores the valid ones of these signatures.
    ///
    /// # Errors
    /// The home cannot be written to.
    pub(crate) fn keep_all(&self, signatures: Vec<Signatures>) -> std::io::Result<()> {
        signatures.into_iter().filter(|it| it.verify(it.digest).is_ok()).try_for_each(|it| self.keep(it))
    }

    /// Returns the stored signatures of a component as text.
    pub(crate) fn text_of(&self, digest: Digest) -> Option<String> {
        Some(read_signatures(&self.file(digest)).ok()??.to_string())
    }

    fn judge(
        &self,
        name: &str,
        digest: Digest,
        signatures: &dyn Fn() -> Result<Option<Signatures>, String>,
    ) -> Result<(), RuntimeError> {
        if !self.signers.required || is_installed(name, digest) {
            return Ok(());
        }
        let refused = |reason: String, hint: String| RuntimeError::Refused {
            refusal: Refusal::Signature,
            message: format!("component `{name}` of the model ({digest}) is refused: {reason}"),
            hint: Some(hint),
        };
        let sign = "have it signed by a key that the operator trusts, run the pipeline again, or import the model with --signatures FILE";
        match signatures() {
            Ok(None) => Err(refused("no signature of it is kept".to_owned(), sign.to_owned())),
            Err(reason) => Err(refused(format!("{}: {reason}", self.file(digest).display()), sign.to_owned())),
            Ok(Some(signatures)) => match signatures.trusted(digest, &self.signers.keys) {
                Ok(_) => Ok(()),
                Err(error @ SignatureError::Untrusted { .. }) => {
                    let hint =
                        format!("if you trust a key, add it to `trusted-keys` under [trust] in {}", self.signers.file);
                    Err(refused(error.to_string(), hint))
                }
                Err(error) => Err(refused(error.to_string(), sign.to_owned())),
            },
        }
    }

    /// Does what [`ModelSignatures::admit`] does for both components of a model.
    ///
    /// # Errors
    /// As for [`ModelSignatures::admit`].
    pub(crate) fn admit_model(&self, model: &RegisteredModel) -> Result<(), RuntimeError> {
        [&model.transformation, &model.training]
            .into_iter()
            .try_for_each(|ModelComponent { name, digest, .. }| self.admit(name, *digest))
    }
}

/// Returns whether a digest is that of the built-in stage of this name. If the environment names
/// the folder of stages, none is built in.
fn is_installed(name: &str, digest: Digest) -> bool {
    if installation::stages_override().is_some() || name.contains(['/', '.']) {
        return false;
    }
    let found = installation::built_in(name).ok().and_then(|path| stagewright_store::open_regular(&path).ok());
    found.and_then(|file| Digest::of_reader(file).ok()) == Some(digest)
}
