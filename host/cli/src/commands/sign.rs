//! `stage keygen`, `stage sign` and `stage verify`: signatures of components.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use stagewright_runtime::{PublicKey, SecretKey, Signatures, signature_file};
use stagewright_store::Digest;

use crate::arguments::{KeygenArguments, SignArguments, VerifyArguments};
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::trust;
use crate::usage_error::UsageError;

/// Generates a pair of keys: the secret key `KEY`, which only its owner can read, and `KEY.pub`.
pub(crate) fn keygen(arguments: &KeygenArguments) -> anyhow::Result<ExitCode> {
    let key = SecretKey::generate()?;
    let mut public = arguments.output.as_os_str().to_owned();
    public.push(".pub");
    write_new(&arguments.output, 0o600, &key.to_pem()?)?;
    write_new(Path::new(&public), 0o644, &key.public().to_pem()?)?;
    println!("{}", key.public());
    eprintln!("wrote {} (keep it to yourself) and {}", arguments.output.display(), Path::new(&public).display());
    Ok(ExitCode::Done)
}

fn write_new(path: &Path, mode: u32, text: &str) -> anyhow::Result<()> {
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        UsageError::error(
            ErrorCode::FileUnwritable,
            format!("cannot write {}: {error}", path.display()),
            "name a file that does not exist, in a folder that you may write",
        )
    })
}

fn digest(component: &Path) -> anyhow::Result<Digest> {
    stagewright_store::open_regular(component).and_then(Digest::of_reader).map_err(|error| {
        UsageError::error(
            ErrorCode::ComponentUnreadable,
            format!("cannot read the component {}: {error}", component.display()),
            "name a .wasm file",
        )
    })
}

/// Signs components. Signatures of the same bytes with other keys are kept.
pub(crate) fn sign(arguments: &SignArguments) -> anyhow::Result<ExitCode> {
    let key = trust::secret_key(&arguments.key)?;
    for component in &arguments.components {
        let digest = digest(component)?;
        let file = signature_file(component);
        // Signatures of earlier bytes are dropped.
        let kept = trust::read_signatures(&file).ok().flatten().filter(|signatures| signatures.verify(digest).is_ok());
        let mut signatures = kept.unwrap_or_else(|| Signatures::new(digest));
        signatures.sign(&key);
        stagewright_store::write_whole(&file, signatures.to_string().as_bytes()).map_err(|error| {
            UsageError::error(
                ErrorCode::FileUnwritable,
                format!("cannot write {}: {error}", file.display()),
                "sign it in a folder that you may write",
            )
        })?;
        println!("{}: {digest} signed by {}", component.display(), key.public());
    }
    Ok(ExitCode::Done)
}

/// Checks that one of the keys signed a component.
pub(crate) fn verify(arguments: &VerifyArguments) -> anyhow::Result<ExitCode> {
    let keys = arguments.keys.iter().map(|key| trust::public_key(key)).collect::<anyhow::Result<Vec<PublicKey>>>()?;
    let component = &arguments.component;
    let file = signature_file(component);
    let refused = |reason: String, hint: &str| {
        UsageError::error(ErrorCode::NotSigned, format!("{} is not verified: {reason}", component.display()), hint)
    };
    let signatures = trust::read_signatures(&file)
        .map_err(|reason| refused(format!("{}: {reason}", file.display()), "get its signature anew"))?
        .ok_or_else(|| {
            refused(format!("there is no {}", file.display()), "get its signature, or sign it: stagewright stage sign")
        })?;
    let by = signatures
        .trusted(digest(component)?, &keys)
        .map_err(|error| refused(error.to_string(), "do not run it before you know whose it is"))?;
    println!("{}: {} signed by {by}", component.display(), signatures.digest);
    Ok(ExitCode::Done)
}
