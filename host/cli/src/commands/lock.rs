//! `lock`: pins a pipeline's components by digest.

use std::collections::BTreeMap;
use std::path::Path;

use stagewright_manifest::{Lock, Manifest, Overrides};
use stagewright_store::Digest;

use crate::arguments::LockArguments;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::installation;
use crate::usage_error::UsageError;

/// The changes of a lock file.
struct Pins<'a> {
    /// The components whose digests may be replaced: all if the list is empty, none without
    /// `--update`.
    update: Option<&'a [String]>,
    changed: Vec<String>,
}

impl Pins<'_> {
    /// Pins a component, or checks it against its pin.
    fn pin(
        &mut self,
        digests: &mut BTreeMap<String, Digest>,
        key: &str,
        name: &str,
        path: &Path,
    ) -> anyhow::Result<()> {
        let found = stagewright_store::open_regular(path).and_then(Digest::of_reader).map_err(|error| {
            UsageError::error(
                ErrorCode::ComponentUnreadable,
                format!("cannot read component `{name}` at {}: {error}", path.display()),
                "mend its path in the manifest",
            )
        })?;
        match digests.insert(key.to_owned(), found) {
            Some(pinned) if pinned == found => {}
            None => self.changed.push(format!("pinned `{name}` ({key}): {found}")),
            Some(pinned)
                if self.update.is_some_and(|names| names.is_empty() || names.iter().any(|asked| asked == name)) =>
            {
                self.changed.push(format!("updated `{name}` ({key}): {pinned} -> {found}"));
            }
            Some(pinned) => {
                return Err(UsageError::error(
                    ErrorCode::NotPinned,
                    format!("component `{name}` changed: the lock pins {pinned}, {} is now {found}", path.display()),
                    format!("if that is meant: --update {name}"),
                ));
            }
        }
        Ok(())
    }
}

/// Pins components that are not pinned yet, and updates those that were named. Pins of other
/// pipelines in the folder stay.
pub(crate) fn lock(arguments: &LockArguments) -> anyhow::Result<ExitCode> {
    let manifest = Manifest::load(&arguments.file, &Overrides::default())?;
    let path = Lock::beside(&arguments.file);
    let mut lock = Lock::load(&path)?;
    let before = lock.clone();
    let used: Vec<&str> = manifest.stages.iter().map(|stage| stage.component.as_str()).collect();
    if let Some(stranger) = arguments
        .update
        .iter()
        .flatten()
        .find(|name| !manifest.components.keys().any(|known| known.as_str() == name.as_str()))
    {
        let names: Vec<&str> = manifest.components.keys().map(|name| name.as_str()).collect();
        return Err(UsageError::error(
            ErrorCode::Undeclared,
            format!("the manifest has no component `{stranger}`"),
            format!("it has {}", names.join(", ")),
        ));
    }
    let mut pins = Pins { update: arguments.update.as_deref(), changed: Vec::new() };
    for (name, section) in &manifest.components {
        match &section.path {
            Some(file) => pins.pin(&mut lock.files, &Lock::name_of(&arguments.file, file), name.as_str(), file)?,
            None if used.contains(&name.as_str())
                && (arguments.built_in || lock.built_in.contains_key(name.as_str())) =>
            {
                pins.pin(&mut lock.built_in, name.as_str(), name.as_str(), &installation::built_in(name.as_str())?)?;
            }
            None => {}
        }
    }
    if lock == before && path.exists() {
        println!("{} is up to date", path.display());
        return Ok(ExitCode::Done);
    }
    lock.write(&path).map_err(|error| {
        UsageError::error(
            ErrorCode::FileUnwritable,
            format!("cannot write {}: {error}", path.display()),
            "write it where you may, and ship it with the manifest",
        )
    })?;
    pins.changed.iter().for_each(|line| println!("{line}"));
    println!("wrote {}", path.display());
    Ok(ExitCode::Done)
}
