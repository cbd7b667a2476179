//! The components that a pipeline may run: those that its lock file pins, and that are signed if
//! the manifest or the operator requires it.
//!
//! The runtime asks for each component's digest before it compiles anything of the component. Pins
//! and signatures concern components that the manifest names by a path. Built-in stages are part of
//! the installation (docs/decisions/lock-file.md), unless the environment names their folder. The
//! components of a registered model are named by digest, and were checked when the model was
//! registered.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use stagewright_manifest::{Lock, Manifest, Operator, StageSection, TrustSection, TrustedKey};
use stagewright_runtime::{
    Origin, PublicKey, Refusal, RuntimeError, SecretKey, SignatureError, Signatures, signature_file,
};
use stagewright_store::Digest;

use crate::error_code::ErrorCode;
use crate::installation;
use crate::usage_error::UsageError;

mod model_signatures;

pub(crate) use model_signatures::ModelSignatures;

/// The largest signature or key file that is read, in bytes.
const MAX_TEXT: u64 = 64 << 10;

/// The demands on a manifest's components.
pub(crate) struct Policy<'a> {
    manifest: &'a Manifest,
    lock: Lock,
    lock_file: PathBuf,
    locked: bool,
    /// The signers that the manifest requires and those that the operator requires. Each list is
    /// checked by itself, so that neither loosens the other.
    manifests: Signers,
    operators: Signers,
    /// Components that the lock does not pin yet, with their digests.
    found: Mutex<Vec<(String, Digest)>>,
}

/// Reads a small text file, such as a key.
pub(crate) fn read_text(path: &Path) -> std::io::Result<String> {
    stagewright_store::read_regular_text(path, MAX_TEXT)
}

/// Returns a public key: `ed25519:` and hex digits, or the path of a PEM file.
pub(crate) fn public_key(key: &str) -> anyhow::Result<PublicKey> {
    if key.starts_with("ed25519:") {
        return key.parse().map_err(|error: SignatureError| {
            UsageError::error(ErrorCode::Key, format!("`{key}` is {error}"), KEY_HINT)
        });
    }
    let cannot =
        |reason: String| UsageError::error(ErrorCode::Key, format!("cannot read the key {key}: {reason}"), KEY_HINT);
    let text = read_text(Path::new(key)).map_err(|error| cannot(error.to_string()))?;
    PublicKey::from_pem(&text).map_err(|error| cannot(error.to_string()))
}

const KEY_HINT: &str =
    "a public key is a PEM file (`stagewright stage keygen` writes `KEY.pub`), or `ed25519:` and 64 hex digits";

/// Reads a secret key.
pub(crate) fn secret_key(key: &Path) -> anyhow::Result<SecretKey> {
    let cannot = |reason: String| {
        UsageError::error(
            ErrorCode::Key,
            format!("cannot read the key {}: {reason}", key.display()),
            "a signing key is a PKCS#8 PEM file with an Ed25519 key: stagewright stage keygen --output KEY",
        )
    };
    let text = read_text(key).map_err(|error| cannot(error.to_string()))?;
    SecretKey::from_pem(&text).map_err(|error| cannot(error.to_string()))
}

impl<'a> Policy<'a> {
    /// Reads the lock file and the keys. With `locked`, a component that is not pinned is refused;
    /// otherwise it is pinned.
    pub(crate) fn load(manifest: &'a Manifest, operator: &Operator, locked: bool) -> anyhow::Result<Self> {
        let lock_file = Lock::beside(Path::new(manifest.file()));
        Ok(Self {
            manifest,
            lock: Lock::load(&lock_file)?,
            lock_file,
            locked,
            manifests: Signers::load(&manifest.trust, manifest.file())?,
            operators: Signers::of(operator)?,
            found: Mutex::default(),
        })
    }

    /// Checks that a stage's component may be used.
    ///
    /// # Errors
    /// [`RuntimeError::Refused`], which says what changed or is missing, and how to accept it.
    pub(crate) fn admit(&self, stage: &StageSection, digest: Digest) -> Result<(), RuntimeError> {
        let name = stage.component.as_str();
        let section = self.manifest.component_of(stage);
        match &section.path {
            None => {
                self.operators.admit(name, &Origin::BuiltIn, digest)?;
                self.unchanged(name, "the built-in stage", self.lock.built_in.get(name), digest)
            }
            Some(path) => {
                self.manifests.admit_file(name, path, digest)?;
                self.operators.admit_file(name, path, digest)?;
                self.pinned(name, path, section.path_typed, digest)
            }
        }
    }

    fn pinned(&self, name: &str, path: &Path, typed: bool, digest: Digest) -> Result<(), RuntimeError> {
        let key = Lock::name_of(Path::new(self.manifest.file()), path);
        let pinned = self.lock.files.get(&key).filter(|_| !typed);
        if pinned.is_some() || (typed && !self.locked) {
            return self.unchanged(name, &path.display().to_string(), pinned, digest);
        }
        if self.locked {
            let hint = if typed {
                "write its path into the manifest and pin it, or leave out --locked".to_owned()
            } else {
                format!("look at it, then pin it: stagewright lock {}", self.manifest.file())
            };
            let message =
                format!("component `{name}` ({}) is not pinned in {}", path.display(), self.lock_file.display());
            return Err(RuntimeError::Refused { refusal: Refusal::Pin, message, hint: Some(hint) });
        }
        self.found.lock().expect("no panic holds this lock").push((key, digest));
        Ok(())
    }

    fn unchanged(&self, name: &str, what: &str, pinned: Option<&Digest>, found: Digest) -> Result<(), RuntimeError> {
        match pinned {
            Some(pinned) if *pinned != found => Err(RuntimeError::Refused {
                refusal: Refusal::Pin,
                message: format!(
                    "component `{name}` changed: {} pins {pinned}, {what} is now {found}",
                    self.lock_file.display()
                ),
                hint: Some(format!("if that is meant: stagewright lock {} --update {name}", self.manifest.file())),
            }),
            _ => Ok(()),
        }
    }

    /// Adds the new components to the lock file. If the folder cannot be written to, the run goes
    /// on with a warning; `--locked` is for those who want an error.
    pub(crate) fn pin_new(self) {
        let found = self.found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        if found.is_empty() {
            return;
        }
        let mut lock = self.lock;
        lock.files.extend(found);
        match lock.write(&self.lock_file) {
            Ok(()) => tracing::info!("pinned components in {}", self.lock_file.display()),
            Err(error) => {
                tracing::warn!("components are not pinned: cannot write {}: {error}", self.lock_file.display())
            }
        }
    }
}

/// The signers whose signatures are accepted.
pub(crate) struct Signers {
    required: bool,
    keys: Vec<PublicKey>,
    /// The file that names them.
    file: String,
}

impl Signers {
    fn load(trust: &TrustSection, file: &str) -> anyhow::Result<Self> {
        let keys = trust.trusted_keys.iter().map(|key| match key {
            TrustedKey::File(path) => public_key(&path.display().to_string()),
            TrustedKey::Inline(key) => public_key(key),
        });
        Ok(Self { required: trust.require_signature, keys: keys.collect::<anyhow::Result<_>>()?, file: file.into() })
    }

    /// Returns the signers that the operator of this machine requires.
    pub(crate) fn of(operator: &Operator) -> anyhow::Result<Self> {
        let file = operator.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
        Self::load(&operator.trust, &file)
    }

    /// Checks that a component may be used. Components of the installation and of registered models
    /// may. A built-in stage in a folder that the environment names is checked like any file.
    ///
    /// # Errors
    /// [`RuntimeError::Refused`]: none of the signers signed it. The error says what to do.
    pub(crate) fn admit(&self, name: &str, origin: &Origin, digest: Digest) -> Result<(), RuntimeError> {
        match (origin, installation::stages_override()) {
            (Origin::File(path), _) => self.admit_file(name, path, digest),
            (Origin::BuiltIn, Some(folder)) => self.admit_file(name, &folder.join(format!("{name}.wasm")), digest),
            (Origin::BuiltIn, None) | (Origin::Stored(..), _) => Ok(()),
        }
    }

    fn admit_file(&self, name: &str, path: &Path, digest: Digest) -> Result<(), RuntimeError> {
        if !self.required {
            return Ok(());
        }
        let file = signature_file(path);
        let refused = |reason: String, hint: String| RuntimeError::Refused {
            refusal: Refusal::Signature,
            message: format!("component `{name}` ({}) is refused: {reason}", path.display()),
            hint: Some(hint),
        };
        let sign = || format!("sign it: stagewright stage sign {} --key KEY", path.display());
        let signatures = match read_signatures(&file) {
            Ok(Some(signatures)) => signatures,
            Ok(None) => return Err(refused(format!("it is not signed: there is no {}", file.display()), sign())),
            Err(reason) => return Err(refused(format!("{}: {reason}", file.display()), sign())),
        };
        match signatures.trusted(digest, &self.keys) {
            Ok(_) => Ok(()),
            Err(error @ SignatureError::Untrusted { .. }) => {
                let hint = format!("if you trust a key, add it to `trusted-keys` under [trust] in {}", self.file);
                Err(refused(error.to_string(), hint))
            }
            Err(error @ SignatureError::OtherBytes { .. }) => Err(refused(
                error.to_string(),
                format!("get the component that was signed; or, if it is yours, {}", sign()),
            )),
            Err(error) => Err(refused(error.to_string(), sign())),
        }
    }
}

/// Reads the signatures beside a component, if there are any.
pub(crate) fn read_signatures(file: &Path) -> Result<Option<Signatures>, String> {
    match read_text(file) {
        Ok(text) => text.parse().map(Some).map_err(|error: SignatureError| error.to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}
