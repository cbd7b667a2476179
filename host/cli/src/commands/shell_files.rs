//! `completions` and `share-files`: completions of shells and manual pages, made of the arguments
//! that this binary takes.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};
use clap_complete::{Shell, generate};

use crate::arguments::Arguments;
use crate::exit_code::ExitCode;

/// The name under which the program is installed.
const PROGRAM: &str = "stagewright";

/// Where each shell looks for completions of programs, below a prefix's `share`.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions/stagewright"),
    (Shell::Zsh, "zsh/site-functions/_stagewright"),
    (Shell::Fish, "fish/vendor_completions.d/stagewright.fish"),
];

/// Prints the completions of a shell.
pub(crate) fn completions(shell: Shell) -> ExitCode {
    crate::output::bytes(&script(shell));
    ExitCode::Done
}

/// Writes the completions of all shells and the manual pages to a folder such as `PREFIX/share`.
pub(crate) fn share_files(folder: &Path) -> anyhow::Result<ExitCode> {
    for (shell, file) in COMPLETIONS {
        write(&folder.join(file), &script(shell))?;
    }
    let pages = folder.join("man/man1");
    fs::create_dir_all(&pages).with_context(|| format!("cannot make {}", pages.display()))?;
    // A page of a command that is gone would still be shown.
    for entry in fs::read_dir(&pages).into_iter().flatten().flatten() {
        if is_page(&entry.file_name()) {
            fs::remove_file(entry.path()).with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    clap_mangen::generate_to(Arguments::command(), &pages)
        .with_context(|| format!("cannot write manual pages to {}", pages.display()))?;
    Ok(ExitCode::Done)
}

/// Whether a file of this name is a manual page of this program.
fn is_page(name: &OsStr) -> bool {
    let stem = name.to_str().and_then(|name| name.strip_prefix(PROGRAM)?.strip_suffix(".1"));
    stem.is_some_and(|stem| stem.is_empty() || stem.starts_with('-'))
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    generate(shell, &mut visible(), PROGRAM, &mut script);
    script
}

/// The commands that help shows. Completions would offer hidden ones too.
fn visible() -> Command {
    let all = Arguments::command();
    let shown = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    Command::new(PROGRAM).version(env!("CARGO_PKG_VERSION")).args(all.get_arguments().cloned()).subcommands(shown)
}

fn write(file: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = file.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    stagewright_store::write_whole(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_programs_are_left_alone() {
        for (name, is_ours) in [
            ("stagewright.1", true),
            ("stagewright-models-show.1", true),
            ("stagewrightd.1", false),
            ("git.1", false),
            ("stagewright.1.gz", false),
        ] {
            assert_eq!(is_page(OsStr::new(name)), is_ours, "{name}");
        }
    }

    #[test]
    fn completions_offer_what_help_shows() {
        for (shell, _) in COMPLETIONS {
            let script = String::from_utf8(script(shell)).unwrap();
            assert!(script.contains("rollback") && script.contains("no-cache"), "{shell}");
            assert!(!script.contains("share-files"), "{shell}");
        }
    }

    #[test]
    fn every_command_that_help_shows_has_a_manual_page() {
        fn pages(command: &Command, name: &str, found: &mut Vec<String>) {
            found.push(format!("{name}.1"));
            for command in command.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help") {
                pages(command, &format!("{name}-{}", command.get_name()), found);
            }
        }
        let folder = tempfile::tempdir().unwrap();
        share_files(folder.path()).unwrap();
        let mut expected = Vec::new();
        pages(&Arguments::command(), PROGRAM, &mut expected);
        for page in &expected {
            let text =
                fs::read_to_string(folder.path().join("man/man1").join(page)).unwrap_or_else(|_| panic!("{page}"));
            assert!(text.contains(".SH SYNOPSIS"), "{page}");
        }
        assert!(expected.len() > 40, "only {} pages", expected.len());
    }
}
