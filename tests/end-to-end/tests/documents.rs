//! Runs the commands of README.md and docs/ as a reader types them.
//!
//! The lines of a ```` ```sh ```` block run one after the other. README.md and docs/session.md tell
//! a story, so their blocks share one home. In every other document each block starts in a home
//! with five versions of a model. Blocks of ```` ```sh,ignore ```` are left out, as are programs
//! that a machine may lack. A command that needs a server is only parsed: `--help` is appended,
//! which ends it after its arguments were read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use stagewright_end_to_end::{binary, config};
use tempfile::TempDir;

/// The programs whose lines run.
const RUN: [&str; 5] = ["stagewright", "case", "cp", "head", "mkdir"];

/// The programs whose lines are left out: they build, need a server, or are not on every machine.
const LEFT_OUT: [&str; 17] = [
    "(cd",
    "/usr/bin/time",
    "aws",
    "cargo",
    "createdb",
    "curl",
    "docker",
    "env",
    "eval",
    "export",
    "openssl",
    "psql",
    "python3",
    "rustup",
    "scp",
    "sqlite3",
    "venv/bin/componentize-py",
];

/// A command that contains one of these needs a server, a webhook or a file that is not there.
const ELSEWHERE: [&str; 5] = ["s3://", "https://", "postgresql://", "wasm32-wasip2", "webhooks deliveries ID"];

/// Placeholders in documents, and their replacements. `{run}` and `{other}` are identifiers of
/// runs, `{head}` is the head of the audit.
const STAND_FOR: [(&str, &str); 10] = [
    ("RUN", "{run}"),
    ("4f1c", "{run}"),
    ("9ab2", "{other}"),
    ("3f0c…", "{head}"),
    ("'…'", "'0'"),
    ("/media/stick", "stick"),
    ("ingest-synthetic", "ingest-synthetic --set ingestion.rows=1500"),
    ("--at 2026-11-21", "--at 2099-11-21"),
    ("mine.wasm", "ingest-synthetic"),
    ("edge-host.key", "user/.local/state/stagewright/host.key"),
];

/// The documents whose blocks share one home, which is empty at first.
const FROM_NOTHING: [&str; 2] = ["README.md", "docs/session.md"];

/// The trainings of the five versions. The first two become champion, the others are rejected.
const VERSIONS: [&[&str]; 5] = [
    &["gates.margin=0.5"],
    &["gates.margin=0.5", "training.component=train-logistic"],
    &["gates.minimum.accuracy=1.0", "training.component=train-logistic", "training.c=0.1"],
    &["gates.minimum.accuracy=1.0", "training.component=train-logistic", "training.c=0.5"],
    &["gates.minimum.accuracy=1.0", "training.learning_rate=0.1"],
];

#[test]
fn every_command_of_the_documents_runs() {
    let prepared = prepared();
    let documents = documents();
    let readers: Vec<Reader> = std::thread::scope(|scope| {
        let read = |document: &String| {
            let mut reader = Reader::new(document, prepared.path());
            scope.spawn(move || {
                reader.read();
                reader
            })
        };
        let threads: Vec<_> = documents.iter().map(read).collect();
        threads.into_iter().map(|thread| thread.join().expect("a reader")).collect()
    });
    let mut left_out: BTreeMap<&str, usize> = BTreeMap::new();
    readers.iter().flat_map(|reader| &reader.left_out).for_each(|name| *left_out.entry(name).or_default() += 1);
    let sum = |count: fn(&Reader) -> usize| readers.iter().map(count).sum::<usize>();
    let (run, parsed) = (sum(|reader| reader.run), sum(|reader| reader.parsed));
    println!("{run} commands of documents run, {parsed} parsed, left out: {left_out:?}");
    let failures: Vec<&str> = readers.iter().flat_map(|reader| &reader.failures).map(String::as_str).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(run > 0, "the documents have no command");
}

/// Returns README.md and the documents for users. Formats and decisions have no commands to follow.
fn documents() -> Vec<String> {
    let mut documents = vec!["README.md".to_owned()];
    let mut folders = vec!["docs".to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(repository().join(&folder)).expect("a folder of documents").flatten() {
            let name = entry.file_name().into_string().expect("a plain name");
            let path = format!("{folder}/{name}");
            if path.ends_with(".md") {
                documents.push(path);
            } else if entry.path().is_dir() && !["formats", "decisions"].contains(&name.as_str()) {
                folders.push(path);
            }
        }
    }
    documents.sort();
    documents
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace").to_owned()
}

/// A reader who types the commands of one document.
struct Reader {
    document: String,
    folder: TempDir,
    /// The home in which each block starts, unless the blocks share one.
    home: Option<PathBuf>,
    /// The number of commands that ran, and of those that were only parsed.
    run: usize,
    parsed: usize,
    /// The programs of lines that were left out.
    left_out: Vec<String>,
    /// The commands that failed.
    failures: Vec<String>,
}

impl Reader {
    fn new(document: &str, prepared: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for name in ["config", "data", "customers.csv", "rows.csv", "pipeline.toml", "loans.csv"] {
            copy(&prepared.join(name), &folder.path().join(name));
        }
        let home = Some(prepared.join(".stagewright")).filter(|_| !FROM_NOTHING.contains(&document));
        let document = document.to_owned();
        Self { document, folder, home, run: 0, parsed: 0, left_out: Vec::new(), failures: Vec::new() }
    }

    /// Puts the home of a block in place.
    fn begin_block(&self) {
        let Some(home) = &self.home else { return };
        let here = self.folder.path().join(".stagewright");
        if here.exists() {
            fs::remove_dir_all(&here).expect("a home");
        }
        copy(home, &here);
    }

    /// Types every command of the document.
    fn read(&mut self) {
        let text = fs::read_to_string(repository().join(&self.document)).expect("a document");
        let mut in_block = None;
        let mut command = String::new();
        for (at, line) in text.lines().enumerate() {
            if let Some(info) = line.strip_prefix("```") {
                in_block = if in_block.is_some() { None } else { Some(info) };
                if in_block == Some("sh") {
                    self.begin_block();
                }
                if !command.is_empty() {
                    self.failures.push(format!("{}:{at}: this is no whole command: {command}", self.document));
                    command.clear();
                }
            } else if in_block == Some("sh,ignore") {
                self.left_out.push("in blocks that are not run".to_owned());
            } else if in_block == Some("sh") {
                command.push_str(line);
                command.push('\n');
                // A command may continue on the next line.
                if !command.ends_with("\\\n") && self.shell(&["-n", "-c", &command]).status.success() {
                    if let Err(error) = self.command(command.trim()) {
                        self.failures.push(format!("{}:{}: {error}", self.document, at + 1));
                    }
                    command.clear();
                }
            }
        }
    }

    /// Runs one command, parses it, or leaves it out.
    fn command(&mut self, text: &str) -> Result<(), String> {
        let Some(program) = text.split_whitespace().find(|word| !word.contains('=')) else { return Ok(()) };
        if program.starts_with('#') {
            return Ok(());
        }
        if LEFT_OUT.contains(&program) || text.starts_with("COMPONENTIZE_PY=") {
            self.left_out.push(program.to_owned());
            return if program == "cargo" { exists(text) } else { Ok(()) };
        }
        if !RUN.contains(&program) {
            return Err(format!("this test knows no program `{program}`: {text}"));
        }
        let (mut command, comment) = without_comment(text);
        for (word, meaning) in STAND_FOR {
            if command.contains(word) {
                command = command.replace(word, &self.meaning(meaning));
            }
        }
        let elsewhere = ELSEWHERE.iter().any(|part| command.contains(part)) || self.document.starts_with("docs/errors");
        if elsewhere {
            command = command.split(" > ").next().unwrap_or_default().to_owned() + " --help > /dev/null";
            self.parsed += 1;
        } else {
            self.run += 1;
        }
        let Output { status, stdout, stderr } = self.shell(&["-c", &command]);
        let judged = ["stagewright run", "stagewright gate"].iter().any(|start| command.starts_with(start));
        let expected = comment.split_once("exit code ").map_or("0", |(_, code)| code.trim());
        let code = status.code().map_or_else(|| status.to_string(), |code| code.to_string());
        if code == expected || (judged && !elsewhere && code == "4") {
            return Ok(());
        }
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Err(format!("`{command}` ended with {code}, not {expected}\n{}{}", said(&stdout), said(&stderr)))
    }

    /// Returns the replacement of a placeholder.
    fn meaning(&self, text: &str) -> String {
        let ask = |arguments: &str| -> Value {
            let output = self.shell(&["-c", &format!("stagewright {arguments} --json")]);
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{}: {error}", self.document))
        };
        let value = match text {
            "{run}" => &ask("runs")[0]["run_id"],
            "{other}" => &ask("runs")[1]["run_id"],
            "{head}" => &ask("audit verify")["head"],
            text => return text.to_owned(),
        };
        value.as_str().unwrap_or_else(|| panic!("{}: nothing for {text}", self.document)).to_owned()
    }

    fn shell(&self, arguments: &[&str]) -> Output {
        shell(self.folder.path()).args(arguments).output().expect("a shell")
    }
}

/// Returns a shell in a working folder that finds the binary by its name.
fn shell(folder: &Path) -> Command {
    let binary = binary();
    let programs = binary.parent().expect("a folder").display();
    let mut command = Command::new("sh");
    command.current_dir(folder).env_clear().env("PATH", format!("{programs}:/usr/local/bin:/usr/bin:/bin"));
    let cache = binary.with_file_name("test-cache");
    command.env("HOME", folder.join("user")).env("STAGEWRIGHT_HOST_KEY", cache.join("host.key"));
    command.env("STAGEWRIGHT_CACHE", cache);
    command
}

/// Checks that xtask has the command that a line calls.
fn exists(line: &str) -> Result<(), String> {
    let Some(name) = line.strip_prefix("cargo xtask ").and_then(|rest| rest.split_whitespace().next()) else {
        return Ok(());
    };
    let known = include_str!("../../../xtask/src/main.rs").contains(&format!("Some(\"{name}\")"));
    if known { Ok(()) } else { Err(format!("xtask has no command `{name}`")) }
}

/// Splits a line of a shell into its command and its comment.
fn without_comment(line: &str) -> (String, String) {
    let mut quote = None;
    let mut before = ' ';
    for (at, letter) in line.char_indices() {
        match (quote, letter) {
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, '#') if before.is_whitespace() => return (line[..at].trim().to_owned(), line[at..].to_owned()),
            _ => {}
        }
        before = letter;
    }
    (line.to_owned(), String::new())
}

/// Makes the files that documents mention, and a home with five versions.
fn prepared() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path();
    copy(Path::new(&config("churn.toml")).parent().expect("a folder"), &path.join("config"));
    fs::create_dir(path.join("data")).expect("a folder");
    let stagewright = |arguments: &[&str], codes: &[i32]| {
        let output = shell(path).args(["-c", "stagewright \"$@\"", "sh"]).args(arguments).output().expect("a shell");
        let code = output.status.code().expect("an exit code");
        assert!(codes.contains(&code), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let synthetic = ["run", "config/churn.toml", "--set", "ingestion.component=ingest-synthetic"];
    let first = [&synthetic[..], &["--set", "ingestion.rows=1500"]].concat();
    stagewright(&[&first[..], &["--until", "ingestion"]].concat(), &[0]);
    stagewright(&["artifacts", "export", "ingestion.table", "--output", "customers.csv"], &[0]);
    let customers = fs::read_to_string(path.join("customers.csv")).expect("customers");
    let head: Vec<&str> = customers.lines().take(4).collect();
    for (name, text) in [
        ("data/telco_churn.csv", customers.clone()),
        ("rows.csv", head.join("\n") + "\n"),
        ("loans.csv", customers.replacen("Churn", "defaulted", 1)),
        ("pipeline.toml", fs::read_to_string(config("churn.toml")).expect("a manifest").replace("../data/", "data/")),
    ] {
        fs::write(path.join(name), text).expect("a file");
    }
    fs::remove_dir_all(path.join(".stagewright")).expect("a home");
    for version in VERSIONS {
        let changes = version.iter().flat_map(|change| ["--set", *change]);
        let arguments = ["run", "config/churn.toml", "--set", "gates.policy=no-worse"].into_iter().chain(changes);
        stagewright(&arguments.collect::<Vec<_>>(), if version[0].starts_with("gates.margin") { &[0] } else { &[4] });
    }
    stagewright(&["models", "approve", "churn-classifier/3", "--reason", "for the documents"], &[0]);
    folder
}

/// Copies a file or a folder.
fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        return;
    }
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}

#[test]
fn a_comment_begins_with_a_mark_outside_of_quotes() {
    for (line, command, comment) in [
        ("a b  # exit code 4", "a b", "# exit code 4"),
        ("a 'b # c' d#e", "a 'b # c' d#e", ""),
        ("a \"b\" '#'", "a \"b\" '#'", ""),
    ] {
        assert_eq!(without_comment(line), (command.to_owned(), comment.to_owned()));
    }
}
