//! Faults at chosen file operations of the built binary, by a library that stands before the C
//! library (`faults/faults.c`).
//!
//! Why not a hook in the store? It would be code that makes the product fail on purpose, and it
//! would not see SQLite's writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What happens at the chosen operation; `faults.c` says it exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// From there on the disk is full.
    Full,
    /// This operation alone fails.
    Error,
    /// The process is killed before it.
    Kill,
    /// The same, and what was not flushed is lost.
    Power,
    /// The process is asked to stop, and goes on.
    Interrupt,
}

/// A file operation that a program did.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Counted from 1.
    pub number: usize,
    /// `create`, `write`, `fsync`, `rename` and so on.
    pub name: String,
    /// Whether it needs room on the disk.
    pub needs_room: bool,
    /// The file.
    pub path: PathBuf,
}

impl Fault {
    /// The name that the library knows.
    fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Error => "error",
            Self::Kill => "kill",
            Self::Power => "power",
            Self::Interrupt => "interrupt",
        }
    }
}

/// Makes a command tell its operations on files below `folder` in the file `log`.
pub fn count(command: &mut Command, folder: &Path, log: &Path) {
    command.env("LD_PRELOAD", library()).env("FAULTS_UNDER", folder).env("FAULTS_LOG", log);
}

/// Makes an operation of a command that tells them go wrong.
pub fn inject(command: &mut Command, fault: Fault, operation: usize) {
    command.env("FAULTS_KIND", fault.name()).env("FAULTS_AT", operation.to_string());
}

/// What a command did, from its log.
///
/// # Panics
/// If the log cannot be read.
pub fn operations(log: &Path) -> Vec<Operation> {
    let text = fs::read_to_string(log).expect("a log: is the binary linked dynamically?");
    let operation = |line: &str| {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().expect("three words").to_owned();
        let (number, name, path) = (word(), word(), word());
        let needs_room = name.ends_with('+');
        let name = name.trim_end_matches('+').to_owned();
        Operation { number: number.parse().expect("a number"), name, needs_room, path: path.into() }
    };
    text.lines().map(operation).collect()
}

/// The library, compiled once a process and put beside the binary.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let library = crate::binary().with_file_name("faults.so");
        // Other test processes may use it at this moment.
        let aside = library.with_extension(std::process::id().to_string());
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/faults.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .args([&aside, &source])
            .args(["-ldl", "-lpthread"])
            .status();
        assert!(compiled.is_ok_and(|status| status.success()), "a C compiler is needed: cc");
        fs::rename(aside, &library).expect("a library beside the binary");
        library
    })
}
