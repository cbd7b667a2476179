//! Injects faults at chosen file operations of the built binary. A library that is preloaded before
//! the C library does it (`faults/faults.c`).
//!
//! A hook in the store would be code in the product that makes it fail, and would not see SQLite's
//! writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The fault at the chosen operation. `faults.c` defines each exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The disk is full from this operation on.
    Full,
    /// This operation alone returns an error.
    Error,
    /// The process is killed before the operation.
    Kill,
    /// The process is killed before the operation, and unflushed writes are lost.
    Power,
    /// The process gets a signal to stop, and continues.
    Interrupt,
}

/// A file operation of a program.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The number of the operation, counted from 1.
    pub number: usize,
    /// `create`, `write`, `fsync`, `rename` and so on.
    pub name: String,
    /// Whether the operation needs space on the disk.
    pub needs_room: bool,
    /// The file.
    pub path: PathBuf,
}

impl Fault {
    /// Returns the name that the library knows.
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

/// Makes a command log its operations on files below `folder` to the file `log`.
pub fn count(command: &mut Command, folder: &Path, log: &Path) {
    command.env("LD_PRELOAD", library()).env("FAULTS_UNDER", folder).env("FAULTS_LOG", log);
}

/// Makes an operation of a command that logs them fail.
pub fn inject(command: &mut Command, fault: Fault, operation: usize) {
    command.env("FAULTS_KIND", fault.name()).env("FAULTS_AT", operation.to_string());
}

/// Reads the operations of a command from its log.
///
/// # Panics
///
/// The log cannot be read.
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

/// Returns the library. It is compiled once per process and lies beside the binary.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let library = crate::binary().with_file_name("faults.so");
        // Another test process may use the library now, so it is replaced by a rename.
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
