//! Advice can be followed: commands, options and keys in messages and in the pages of errors exist.
//!
//! The messages are taken from the sources themselves, so that a new hint is checked too. Other
//! tests, beside the code that gives a hint, check where it leads.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use stagewright_manifest::{Manifest, Overrides};

use crate::arguments::Arguments;
use crate::error_code::ErrorCode;

/// Folders with messages for people.
const FOLDERS: [&str; 3] = ["host", "registry", "stages"];
/// Words that follow the program's name where no command is meant: in magic numbers and in
/// sentences about the program.
const NO_COMMANDS: [&str; 10] =
    ["component", "compiled", "table", "itself", "knows", "carries", "must", "needs", "is", "postgresql"];
/// Options of other programs that messages name.
const FOREIGN_OPTIONS: [&str; 7] =
    ["--artifacts-destination", "--backend-store-uri", "--features", "--format", "--help", "--release", "--sync"];

/// A text of the source, and where it is.
struct Message {
    place: String,
    text: String,
}

/// All texts of a Rust source before its tests: what stands in quotes, escapes resolved as far as
/// messages have them.
fn texts(source: &str, file: &Path) -> Vec<Message> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or(source);
    let letters: Vec<char> = source.chars().collect();
    let (mut found, mut at, mut line) = (Vec::new(), 0, 1);
    while at < letters.len() {
        match (letters[at], letters.get(at + 1)) {
            ('/', Some('/')) => at += letters[at..].iter().take_while(|letter| **letter != '\n').count(),
            // A quote as a character; a lifetime has no second quote so near.
            ('\'', Some('\\')) => at += 2 + letters[at + 2..].iter().skip(1).take_while(|it| **it != '\'').count() + 2,
            ('\'', Some(_)) if letters.get(at + 2) == Some(&'\'') => at += 3,
            ('"', _) => {
                let begins = line;
                let mut text = String::new();
                at += 1;
                while at < letters.len() && letters[at] != '"' {
                    match (letters[at], letters.get(at + 1)) {
                        ('\\', Some('\n')) => {
                            line += 1;
                            at += 2;
                            at += letters[at..].iter().take_while(|it| it.is_whitespace()).count();
                            continue;
                        }
                        ('\\', Some('n')) => text.push('\n'),
                        ('\\', Some(other)) => text.push(*other),
                        (letter, _) => {
                            line += usize::from(letter == '\n');
                            text.push(letter);
                            at += 1;
                            continue;
                        }
                    }
                    at += 2;
                }
                at += 1;
                found.push(Message { place: format!("{}:{begins}", file.display()), text });
            }
            (letter, _) => {
                line += usize::from(letter == '\n');
                at += 1;
            }
        }
    }
    found
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the source").flatten() {
        let path = entry.path();
        let is_test = path.file_stem().is_some_and(|stem| stem == "tests" || stem == "advice_tests");
        if is_test || path.file_name().is_some_and(|name| name == "target") {
            continue;
        }
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace")
}

/// The messages of the sources, and the prose of the pages of errors.
fn messages() -> Vec<Message> {
    let mut files = Vec::new();
    FOLDERS.iter().for_each(|folder| sources(&root().join(folder), &mut files));
    let of_sources = files.iter().flat_map(|file| texts(&std::fs::read_to_string(file).expect("a source"), file));
    let of_page = |code: &ErrorCode| {
        let prose = code.page().split("\n## Example\n").next().unwrap_or_default();
        // A line break in prose is a space.
        Message { place: format!("docs/errors/{code}.md"), text: prose.replace('\n', " ") }
    };
    of_sources.chain(ErrorCode::ALL.iter().map(of_page)).collect()
}

/// The commands of this program in the examples of a page, as a shell splits them.
fn example_commands(page: &str) -> Vec<Vec<String>> {
    let split = |line: &str| {
        let (mut words, mut quoted) = (vec![String::new()], false);
        for letter in line.chars() {
            match letter {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                other => words.last_mut().expect("a word").push(other),
            }
        }
        words
    };
    page.lines()
        .filter_map(|line| line.strip_prefix("$ "))
        .filter(|it| it.starts_with("stagewright "))
        .map(split)
        .collect()
}

/// Puts examples where a message has what it learns when it is shown.
fn filled(word: &str) -> String {
    if word == "ID" {
        return "1".to_owned();
    }
    let mut out = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        let is_number = ["version", "number", "candidate.version"].contains(&name) || before.ends_with('/');
        let example = match name {
            "stage" => "training",
            "" if before.ends_with(".limits.") => "memory",
            _ if is_number => "1",
            _ => "name",
        };
        out.push_str(before);
        out.push_str(example);
        rest = after;
    }
    out + rest
}

/// Returns the commands that a message tells people to type: the words after the program's name, up
/// to the end of the sentence, of the quotes or of the command.
fn commands(text: &str) -> Vec<Vec<String>> {
    let of = |rest: &str| -> Option<Vec<String>> {
        let end =
            ["`", "\n", "; ", ", ", " (", ": ", " - ", ". ", " until", " and ", " or ", " with ", " lists", "..."]
                .iter()
                .filter_map(|end| rest.find(end))
                .min()
                .unwrap_or(rest.len());
        if !rest.starts_with(|letter: char| letter.is_ascii_lowercase()) {
            return None;
        }
        let words: Vec<String> = rest[..end]
            .trim_end_matches(['.', ','])
            .split_whitespace()
            .map(|it| filled(it.trim_matches(['[', ']'])))
            .collect();
        let first = words.first()?;
        (!NO_COMMANDS.contains(&first.as_str())).then_some(words)
    };
    text.match_indices("stagewright ")
        .filter(|(at, _)| !text[..*at].ends_with(['/', '-', '.']))
        .filter_map(|(at, word)| of(&text[at + word.len()..]))
        .collect()
}

// invariant: Every command, option and key that a message suggests exists.
#[test]
fn every_command_that_a_message_names_exists() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for Message { place, text } in messages() {
        for words in commands(&text) {
            seen += 1;
            let typed = std::iter::once("stagewright".to_owned()).chain(words.iter().cloned());
            if let Err(error) = Arguments::try_parse_from(typed) {
                // `models rollback` alone names the command; what it takes is the reader's to add.
                let names_it = [
                    ErrorKind::MissingRequiredArgument,
                    ErrorKind::MissingSubcommand,
                    ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
                    ErrorKind::DisplayHelp,
                ];
                if !names_it.contains(&error.kind()) {
                    wrong.push(format!("{place}: `stagewright {}`: {}", words.join(" "), error.kind()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 25, "only {seen} commands were found: are the messages still read?");
}

#[test]
fn every_command_in_an_example_of_a_page_can_be_typed() {
    let mut wrong = Vec::new();
    for code in ErrorCode::ALL {
        let commands = example_commands(code.page());
        for words in &commands {
            if let Err(error) = Arguments::try_parse_from(words)
                && error.kind() != ErrorKind::DisplayVersion
            {
                wrong.push(format!("docs/errors/{code}.md: `{}`: {}", words.join(" "), error.kind()));
            }
        }
        // The example begins with the command that fails.
        assert!(!commands.is_empty(), "docs/errors/{code}.md has no example");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_page_is_of_a_code_and_has_all_parts() {
    let folder = root().join("docs/errors");
    let pages = std::fs::read_dir(&folder).expect("the pages").flatten();
    let mut names: Vec<String> = pages.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| name != "README.md");
    names.sort();
    let codes: Vec<String> = ErrorCode::ALL.iter().map(|code| format!("{code}.md")).collect();
    assert_eq!(names, codes, "pages and codes differ, or the codes are not in their order");
    for code in ErrorCode::ALL {
        let page = code.page();
        let heading = format!("# {code}: {}\n\nExit code {}.\n", code.title(), code.exit_code() as u8);
        assert!(page.starts_with(&heading), "docs/errors/{code}.md does not begin with:\n{heading}");
        for part in ["\n## Why it is refused\n", "\n## How to go on\n", "\n## Example\n"] {
            assert!(page.contains(part), "docs/errors/{code}.md has no part `{}`", part.trim());
        }
        assert!(page.contains(&format!("\nerror[{code}]: ")), "docs/errors/{code}.md has no message in its example");
        assert!((15..=40).contains(&page.lines().count()), "docs/errors/{code}.md has another length");
    }
}

#[test]
fn the_list_of_pages_is_whole() {
    let list = std::fs::read_to_string(root().join("docs/errors/README.md")).expect("the list");
    let rows: Vec<&str> = list.lines().filter(|line| line.starts_with("| [SW")).collect();
    let expected: Vec<String> = ErrorCode::ALL
        .iter()
        .map(|code| format!("| [{code}]({code}.md) | {} | {} |", code.title(), code.exit_code() as u8))
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn the_nearest_code_is_found() {
    assert_eq!(ErrorCode::from_text("sw0103"), Some(ErrorCode::NoHome));
    assert_eq!(ErrorCode::from_text("0103"), None);
    assert_eq!(ErrorCode::nearest("0103"), ErrorCode::NoHome);
    assert_eq!(ErrorCode::nearest("SW0998"), ErrorCode::Unexpected);
}

#[test]
fn every_option_that_a_message_names_exists() {
    fn collect(command: &clap::Command, options: &mut BTreeSet<String>) {
        options.extend(command.get_arguments().filter_map(|it| Some(format!("--{}", it.get_long()?))));
        command.get_subcommands().for_each(|command| collect(command, options));
    }
    let mut known: BTreeSet<String> = FOREIGN_OPTIONS.iter().map(|it| (*it).to_owned()).collect();
    collect(&Arguments::command(), &mut known);
    let mut seen = 0;
    let mut wrong = Vec::new();
    // A text of one word is an argument of another program.
    for Message { place, text } in messages().into_iter().filter(|message| message.text.contains(' ')) {
        let after = text.match_indices("--").filter(|(at, _)| text[..*at].ends_with([' ', '`', '\n']));
        for (at, _) in after {
            let name: String = text[at..].chars().take_while(|it| it.is_ascii_lowercase() || *it == '-').collect();
            if name.len() > 3 {
                seen += 1;
                if !known.contains(&name) {
                    wrong.push(format!("{place}: `{name}` in {text:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 15, "only {seen} options were found: are the messages still read?");
}

#[test]
fn every_key_that_a_message_tells_to_set_is_one() {
    let config = root().join("config/churn.toml");
    let mut seen = 0;
    let mut wrong = Vec::new();
    for Message { place, text } in messages() {
        for (at, set) in text.match_indices("--set ") {
            let word: String =
                text[at + set.len()..].chars().take_while(|it| !it.is_whitespace() && *it != '`').collect();
            // The key of a parameter is made by `fault::settable`, which has a test of its own;
            // `{text}` repeats what was typed.
            let Some((key, _)) = word
                .trim_start_matches('\'')
                .split_once('=')
                .filter(|(key, _)| !["{key}", "{text}", "stage.key"].contains(key) && !key.starts_with("STAGE."))
            else {
                continue;
            };
            seen += 1;
            // Each limit is a key of its own.
            let key = filled(&key.replace(".limits.{key}", ".limits.memory"));
            for value in ["0", "1", "\"1 GiB\"", "\"1 s\"", "\"2026-01-01T00:00:00Z\"", "\"name\""] {
                let set = vec![format!("{key}={value}")];
                match Manifest::load(&config, &Overrides { set, ..Overrides::default() }) {
                    Ok(_) => break,
                    Err(error) if value == "\"name\"" => {
                        wrong.push(format!("{place}: `--set {key}`: {}", error.render()))
                    }
                    Err(_) => {}
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 0, "no key was found: are the messages still read?");
}

#[test]
fn texts_of_a_source_are_found_whatever_stands_around_them() {
    let source = "// \"no\"\nlet a = '\"'; let b = '\\''; f::<'a>(\"one {x}\\n two\"); // \"no\"\n\"thr\\\n   ee\";\n";
    let found: Vec<String> =
        texts(source, Path::new("x.rs")).into_iter().map(|it| format!("{} {}", it.place, it.text)).collect();
    assert_eq!(found, ["x.rs:2 one {x}\n two", "x.rs:3 three"]);
    let words = commands("`stagewright models rollback {model}`, or: stagewright gate {name}/{number} --record (now)");
    assert_eq!(words, [vec!["models", "rollback", "name"], vec!["gate", "name/1", "--record"]]);
}
