//! What the process's environment says, and what a file `.env` may add to it.
//!
//! A `.env` comes with a folder, and the folder may come from anybody: a repository, an archive. It may name the home, tokens and log filters. It may not name what decides which
//! native code this process runs and under whose limits: keys, the cache, stages, the operator's file. Those are asked of [`own`], which no file has a part in. New variables are on that
//! side unless they are named here, and clippy.toml forbids every other way to ask. (Leaving such lines out while loading would need `unsafe`, since setting a variable is.)

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::OnceLock;

/// The environment that this process was started with.
static OWN: OnceLock<HashMap<OsString, OsString>> = OnceLock::new();

/// How names of our own variables begin.
const OURS: &str = "STAGEWRIGHT_";

/// Those of ours that a file may set: whatever is in a home or a registry is verified or runs in the sandbox.
const HARMLESS: [&str; 1] = ["STAGEWRIGHT_HOME"];

/// Variables of everybody that say where a user's keys are.
const PLACES: [&str; 2] = ["XDG_STATE_HOME", "HOME"];

/// What a variable was when this process was started.
pub(crate) fn own(name: &str) -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "first called before `.env` is read")]
    let own = OWN.get_or_init(|| std::env::vars_os().collect());
    own.get(OsStr::new(name)).cloned()
}

/// Reads `.env` of this folder or one above it, where the environment itself says nothing; returns what there is to warn about.
///
/// The first thing that a process does, while it has one thread.
pub(crate) fn read_file() -> Vec<String> {
    let mut warnings = Vec::new();
    // What cannot be read ends both readings at the same line.
    for (name, _) in dotenvy::dotenv_iter().into_iter().flatten().map_while(Result::ok) {
        if own(&name).is_none() && decides_what_runs(&name) {
            warnings.push(format!(
                "`{name}` in .env is ignored: a file that comes with a folder does not decide what is run as you, nor in whose name; if it is meant, export {name}"
            ));
        }
    }
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        warnings.push(format!("cannot read .env: {error}"));
    }
    warnings
}

fn decides_what_runs(name: &str) -> bool {
    (name.starts_with(OURS) && !HARMLESS.contains(&name)) || PLACES.contains(&name)
}

/// Where this user's programs keep what only this machine needs: `XDG_STATE_HOME`, or its default in the home directory, as the XDG base directory specification 0.8 has it. It counts
/// paths that are not absolute as not set.
pub(crate) fn state_folder() -> Option<PathBuf> {
    let absolute = |name| own(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))
}
