//! `stagewright.lock`: the digests of the components that the pipelines of a folder use.
//!
//! A path says where a component is, not which one. The lock file says which one. It lies beside
//! the pipeline file, under version control. It pins the files that manifests name by `path`.
//! Built-in stages come with the installation and are pinned on request only
//! (docs/decisions/lock-file.md). This module does not decide when the file is written or what is
//! compared with it.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use stagewright_store::Digest;

use crate::document::{self, Origin};
use crate::presence::is_there;
use crate::problem::{Collector, Condition, ManifestError, Source};
use crate::reader::{Context, Section};

/// The name of the lock file.
pub const LOCK_FILE: &str = "stagewright.lock";

/// The version of the format, the only one that is read.
const VERSION: u64 = 1;

/// The largest lock file, enough for a hundred thousand components.
const MAX_LOCK: u64 = 16 << 20;

const TITLE: &str = "# The components that the pipelines of this folder use, by digest. Written by stagewright; keep it under version control.
# `stagewright lock FILE --update [NAME]` accepts components that changed.
";

/// Digests of components.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// Digests of files, by their path relative to the lock file's folder, or absolute.
    pub files: BTreeMap<String, Digest>,
    /// Digests of built-in stages, by name.
    pub built_in: BTreeMap<String, Digest>,
}

impl Lock {
    /// Returns the path of the lock file of a pipeline file.
    pub fn beside(manifest: &Path) -> PathBuf {
        manifest.with_file_name(LOCK_FILE)
    }

    /// Returns the key of a component's file in the lock of this pipeline file. All spellings of a
    /// path have the same key.
    pub fn name_of(manifest: &Path, component: &Path) -> String {
        let folder = manifest.parent().unwrap_or(Path::new(""));
        let whole = |path: &Path| plain(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
        // A pipeline file without a folder lies in the current one.
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let (whole_folder, whole_component) = (whole(here), whole(component));
        if let Ok(inside) = whole_component.strip_prefix(&whole_folder) {
            return inside.display().to_string();
        }
        // A path below the folder stays relative, so that folder and file can be moved together.
        match component.strip_prefix(folder) {
            Ok(relative) if relative.is_relative() => plain(relative).display().to_string(),
            _ => whole_component.display().to_string(),
        }
    }

    /// Reads a lock file. A file that does not exist is an empty lock.
    ///
    /// # Errors
    /// [`ManifestError`] with everything that is wrong in the file.
    pub fn load(path: &Path) -> Result<Self, ManifestError> {
        let file = path.display().to_string();
        let read = || stagewright_store::read_regular_text(path, MAX_LOCK);
        let text = is_there(path).and_then(|there| there.then(read).transpose());
        match text {
            Ok(Some(text)) => Self::parse(&file, text),
            Ok(None) => Ok(Self::default()),
            Err(error) => Err(ManifestError::unreadable(
                file,
                format!("cannot read the file: {error}"),
                "restore it, or remove it and pin anew",
            )),
        }
    }

    /// Parses a text. `file` is its name in errors.
    ///
    /// # Errors
    /// As for [`Lock::load`].
    pub fn parse(file: &str, text: String) -> Result<Self, ManifestError> {
        let source = Arc::new(Source::new(file.to_owned(), text));
        let collector = Collector::new(Arc::clone(&source));
        let mut lock = Self::default();
        match document::parse(&source.text) {
            Ok(root) => {
                lock = read(Section::root(&Context { collector: &collector, directory: PathBuf::new() }, &root))
            }
            Err(faults) => {
                for fault in faults {
                    collector.report_as(Condition::Syntax, &Origin::File(fault.span), "", fault.message, None);
                }
            }
        }
        if collector.is_empty() { Ok(lock) } else { Err(ManifestError::new(&source, collector.into_problems())) }
    }

    /// Returns the text of the file. Equal locks have equal texts.
    pub fn render(&self) -> String {
        let line = |(name, digest): (&String, &Digest)| format!("{} = \"{digest}\"\n", document::string_text(name));
        let mut text = format!("{TITLE}version = {VERSION}\n");
        for (section, entries) in [("files", &self.files), ("built-in", &self.built_in)] {
            if !entries.is_empty() {
                text.push_str(&format!("\n[{section}]\n"));
                text.extend(entries.iter().map(line));
            }
        }
        text
    }

    /// Writes the file atomically. A symbolic link in its place is replaced, not followed.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        stagewright_store::write_whole(path, self.render().as_bytes())
    }
}

/// Removes `.`, `//` and, where a name precedes it, `..` from a path, without looking at the file
/// system.
///
/// If that name is a symbolic link, the result may be the path of another file. Two files then
/// share an entry, and the second is refused, never accepted.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(plain.components().next_back(), Some(Component::Normal(_))) => {
                plain.pop();
            }
            Component::ParentDir if plain.has_root() => {}
            part => plain.push(part),
        }
    }
    plain
}

fn read(file: Section<'_>) -> Lock {
    if let Some(item) = file.require("version", "version = 1") {
        item.integer(VERSION, VERSION);
    }
    let digests = |name| {
        let mut digests: BTreeMap<String, Digest> = BTreeMap::new();
        for (name, item) in file.section(name).iter().flat_map(|section| section.items().collect::<Vec<_>>()) {
            let Some(text) = item.string() else { continue };
            match text.parse() {
                Ok(digest) => {
                    let name = plain(Path::new(name)).display().to_string();
                    if digests.insert(name, digest).is_some_and(|other| other != digest) {
                        item.report(
                            "the same file is pinned twice, by different digests".to_owned(),
                            Some("remove the entry that is not meant".to_owned()),
                        );
                    }
                }
                Err(_) => item.report_value(
                    format!("`{text}` is not a digest"),
                    Some("a digest is `sha256:` and 64 lower-case hex digits".to_owned()),
                ),
            }
        }
        digests
    };
    let lock = Lock { files: digests("files"), built_in: digests("built-in") };
    file.finish();
    lock
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_whatever_the_names_are() {
        let mut lock = Lock::default();
        for name in
            ["stages/mine.wasm", "a \"quoted\" name\\with\nlines.wasm", "/absolute/ü.wasm", "a.b.wasm", "\u{7f}.wasm"]
        {
            lock.files.insert(name.to_owned(), Digest::of(name.as_bytes()));
        }
        lock.built_in.insert("train-boosted".to_owned(), Digest::of(b"x"));
        assert_eq!(Lock::parse("stagewright.lock", lock.render()).expect("its own text"), lock);
        assert_eq!(Lock::parse("stagewright.lock", Lock::default().render()).expect("its own text"), Lock::default());
    }

    #[test]
    fn all_problems_of_a_lock_are_reported_with_their_lines() {
        let text = "version = 2\n[files]\na = 'sha256:1'\nb = 3\n[stages]\n";
        let told = Lock::parse("stagewright.lock", text.to_owned()).expect_err("faults").render();
        for part in [
            "stagewright.lock:1: `version` is out of range: `2`",
            "stagewright.lock:3: `sha256:1` is not a digest",
            "stagewright.lock:4:",
            "unknown key `stages`",
        ] {
            assert!(told.contains(part), "{part} is not in:\n{told}");
        }
    }

    #[test]
    fn one_file_has_one_name_however_it_is_written() {
        let name = |manifest: &str, component: &str| Lock::name_of(Path::new(manifest), Path::new(component));
        for component in ["x.wasm", "./x.wasm", ".//x.wasm", "a/../x.wasm", "././a/./../x.wasm"] {
            assert_eq!(name("p.toml", component), "x.wasm", "{component}");
            assert_eq!(name("./p.toml", component), "x.wasm", "{component}");
            assert_eq!(name("config/p.toml", &format!("config/{component}")), "x.wasm", "{component}");
            assert_eq!(name("/pipelines/p.toml", &format!("/pipelines/{component}")), "x.wasm", "{component}");
        }
        let here = std::path::absolute("x.wasm").expect("a folder").display().to_string();
        assert_eq!(name("p.toml", &here), "x.wasm");
        let digest = Digest::of(b"x");
        let text =
            |other: Digest| format!("version = 1\n[files]\n\"./x.wasm\" = \"{digest}\"\n\"x.wasm\" = \"{other}\"\n");
        let lock = Lock::parse("stagewright.lock", text(digest)).expect("one file");
        assert_eq!(lock.files, [("x.wasm".to_owned(), digest)].into());
        let told = Lock::parse("stagewright.lock", text(Digest::of(b"y"))).expect_err("which?").render();
        assert!(told.contains("pinned twice"), "{told}");
    }

    #[test]
    fn a_link_in_the_way_is_replaced_and_nothing_outside_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let (outside, path) = (folder.path().join("outside"), folder.path().join(LOCK_FILE));
        std::fs::write(&outside, "precious").expect("a file");
        // A temporary file with a predictable name, as earlier versions used one, and the lock file
        // itself.
        let aside = folder.path().join(format!("{LOCK_FILE}.{}.new", std::process::id()));
        for link in [&aside, &path] {
            std::os::unix::fs::symlink(&outside, link).expect("a link");
        }
        Lock::default().write(&path).expect("written");
        assert_eq!(std::fs::read_to_string(&outside).expect("the file"), "precious");
        assert!(!path.is_symlink());
    }

    // invariant: as `an_operators_file_that_cannot_be_looked_at_is_an_error_and_not_absent`
    #[test]
    fn a_lock_of_unknown_existence_is_an_error() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(LOCK_FILE);
        assert_eq!(Lock::load(&path).expect("there is none"), Lock::default());
        std::os::unix::fs::symlink(folder.path().join("gone"), &path).expect("a link");
        let told = Lock::load(&path).expect_err("it was meant to be there").render();
        assert!(told.contains("cannot read the file") && told.contains("pin anew"), "{told}");
    }

    #[test]
    fn paths_are_relative_to_the_lock_files_folder() {
        let name = |manifest: &str, component: &str| Lock::name_of(Path::new(manifest), Path::new(component));
        assert_eq!(name("config/p.toml", "config/stages/mine.wasm"), "stages/mine.wasm");
        assert_eq!(name("p.toml", "stages/mine.wasm"), "stages/mine.wasm");
        assert_eq!(name("config/p.toml", "config/../stages/mine.wasm"), "../stages/mine.wasm");
        assert_eq!(name("config/p.toml", "/lib/mine.wasm"), "/lib/mine.wasm");
        assert_eq!(Lock::beside(Path::new("config/p.toml")), Path::new("config/stagewright.lock"));
    }
}
