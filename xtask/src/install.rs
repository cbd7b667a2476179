//! Installs the binary, the program in which stages run, the built-in stages, completions and
//! manual pages where people expect them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build;
use crate::provenance::{PROGRAMS, program};
use crate::steps::{Result, run};
use crate::workspace;

/// Installs to `PREFIX/bin` and `PREFIX/lib/stagewright`; completions of shells and manual pages to
/// `PREFIX/share`.
pub(crate) fn install(arguments: &[String]) -> Result<()> {
    let prefix = match arguments {
        [] => PathBuf::from(std::env::var_os("HOME").ok_or("HOME is not set: give --prefix FOLDER")?).join(".local"),
        [option, folder] if option == "--prefix" => PathBuf::from(folder),
        _ => return Err("usage: cargo xtask install [--prefix FOLDER]".into()),
    };
    let built = build::everything(build::Guests::Without)?;
    let (bin, library) = (prefix.join("bin"), prefix.join("lib/stagewright"));
    let stages = library.join("stages");
    // The program of stages comes first: a binary that somebody starts meanwhile uses only one of
    // its own version.
    for (name, features) in PROGRAMS.into_iter().rev() {
        let from = built.binary.with_file_name(name);
        let folder = if name == workspace::STAGE { &library } else { &bin };
        copy(&from, &folder.join(name), Some(&program(&from, features)?))?;
    }
    let entries =
        fs::read_dir(&built.stages).map_err(|error| format!("cannot read {}: {error}", built.stages.display()))?;
    for entry in entries.flatten().filter(|entry| entry.path().extension().is_some_and(|ending| ending == "wasm")) {
        copy(&entry.path(), &stages.join(entry.file_name()), None)?;
    }
    let (binary, share) = (bin.join("stagewright"), prefix.join("share"));
    // The installed program knows which commands it has.
    run(Command::new(&binary).arg("share-files").arg(&share))?;
    println!(
        "installed {}, the stages and their program in {}, completions and manual pages in {}",
        binary.display(),
        library.display(),
        share.display()
    );
    println!("next: stagewright doctor   (put {} on your PATH if it is not)", bin.display());
    Ok(())
}

/// Copies to a temporary name and renames, so that a running binary and a partial copy never
/// interfere. `other` replaces the file's bytes.
fn copy(from: &Path, to: &Path, other: Option<&[u8]>) -> Result<()> {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", to.display());
    let folder = to.parent().ok_or("no folder to install to")?;
    fs::create_dir_all(folder).map_err(failed)?;
    let aside = folder.join(format!(".{}.new", to.file_name().unwrap_or_default().to_string_lossy()));
    fs::copy(from, &aside).map_err(failed)?;
    if let Some(bytes) = other {
        fs::write(&aside, bytes).map_err(failed)?;
    }
    fs::rename(&aside, to).map_err(failed)
}
