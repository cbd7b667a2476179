//! The first commands that somebody types: the program alone, completions, manual pages.

use std::process::Command;

use stagewright_end_to_end::{Ended, Place};

#[test]
fn the_program_alone_names_the_first_commands() {
    let place = Place::new();
    let mut command = place.command(&[]);
    // `Place` names a home, and here nothing is typed at all.
    command = {
        let mut alone = Command::new(command.get_program());
        alone.current_dir(place.path()).env_clear();
        alone
    };
    let greeting = Ended::of(command).expect(2);
    assert_eq!(greeting.stdout, "");
    for first in ["stagewright init ", "stagewright run ", "stagewright predict ", "stagewright --help"] {
        assert!(greeting.stderr.contains(first), "{first}: {}", greeting.stderr);
    }
    let help = place.run(&["--help"]).expect(0);
    assert!(help.stdout.contains("Usage: stagewright [OPTIONS] <COMMAND>"), "{}", help.stdout);
}

#[test]
fn completions_and_manual_pages_are_where_shells_look_for_them() {
    let place = Place::new();
    let share = place.path().join("share");
    let folder = share.to_str().expect("UTF-8");
    place.run(&["share-files", folder]).expect(0);
    let bash = share.join("bash-completion/completions/stagewright");
    for file in ["zsh/site-functions/_stagewright", "fish/vendor_completions.d/stagewright.fish"] {
        assert!(share.join(file).is_file(), "{file}");
    }
    let pages: Vec<_> = std::fs::read_dir(share.join("man/man1")).expect("pages").flatten().collect();
    assert!(pages.len() > 40, "only {} pages", pages.len());
    let page = std::fs::read_to_string(share.join("man/man1/stagewright-models-promote.1")).expect("a page");
    assert!(page.contains("champion"), "{page}");
    // Bash completes a command and an option of it.
    let script = ". \"$1\"; COMP_WORDS=(stagewright $2 $3); COMP_CWORD=$4; \
        _stagewright stagewright \"${COMP_WORDS[$4]}\" \"${COMP_WORDS[$4-1]}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let complete = |words: [&str; 2], place: &str| {
        let mut command = Command::new("bash");
        command.args(["-euc", script, "bash"]).arg(&bash).args(words).arg(place);
        Ended::of(command).expect(0).stdout
    };
    let commands = complete(["re", ""], "1");
    assert_eq!(commands.lines().collect::<Vec<_>>(), ["resume", "reproduce"], "{commands}");
    let options = complete(["gc", "--dr"], "2");
    assert_eq!(options.trim(), "--dry-run");
    // The same file is printed, for shells that keep it elsewhere. A second installation replaces
    // the first.
    let printed = place.run(&["completions", "bash"]).expect(0);
    assert_eq!(printed.stdout, std::fs::read_to_string(&bash).expect("a script"));
    std::fs::write(share.join("man/man1/stagewright-gone.1"), "old").expect("a page");
    place.run(&["share-files", folder]).expect(0);
    assert!(!share.join("man/man1/stagewright-gone.1").exists());
}
