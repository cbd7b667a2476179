//! Compiling components that nobody knows yet, in a process that can be killed.
//!
//! A component may be made so that compiling it takes for ever, or all memory: the compiler has no limit of its own, and a thread cannot be stopped. So the parent
//! starts a child (the same program, told to compile), gives it the component on standard input and a file in memory as standard output, watches its clock and
//! its memory, and kills it. The child also limits itself before it reads a byte, in case its parent is gone. What it made is sealed; nothing is written to the
//! cache before that.
//!
//! It is no protection against a compiler that makes wrong code: docs/decisions/compile-in-a-child.md.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use stagewright_lifecycle::fault::guest_text;
use stagewright_manifest::CompilationLimits;

use crate::engine::EngineOptions;
use crate::error::{CompileLimit, RuntimeError};
use crate::sealed::{Sealed, memory_file};

/// The argument that makes a program a compiler's child: see [`compile_if_asked`].
const COMMAND: &str = "compile-component";

/// The child's exit code for a component that is not valid.
const INVALID: u8 = 2;

/// How long the parent sleeps between two looks at the child: short at first, since most components take tenths of a second.
const LOOKS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));

/// What an allocation that fails makes Rust's runtime say.
const OUT_OF_MEMORY: &str = "memory allocation of ";

/// Who compiles components that are not in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compiler {
    /// NullTracker: only what is in the cache is run.
    Absent,
    /// A child process of this program, under limits. The program calls [`compile_if_asked`] before anything else.
    Program(PathBuf),
    /// This process, without any limit on time or memory. For tests and benchmarks with components of their own; never for others' components.
    #[cfg(feature = "compiler")]
    InProcess,
}

/// Compiles as an operator wants it.
pub(crate) struct Compilation {
    pub(crate) compiler: Compiler,
    pub(crate) limits: CompilationLimits,
    pub(crate) options: EngineOptions,
    /// For any processor of this architecture instead of this very one.
    pub(crate) baseline: bool,
}

impl Compilation {
    /// Compiles a component, to bytes that only an engine of the same options can load.
    ///
    /// # Errors
    /// The component is not valid, takes more than it may, or there is no compiler.
    pub(crate) fn compile(&self, name: &str, bytes: &[u8]) -> Result<Sealed, RuntimeError> {
        self.within_size(name, bytes.len() as u64)?;
        match &self.compiler {
            Compiler::Absent => Err(RuntimeError::NoCompiler { name: name.into() }),
            Compiler::Program(program) => self.in_child(name, bytes, program),
            #[cfg(feature = "compiler")]
            Compiler::InProcess => {
                let code = precompile(self.options, self.baseline, bytes)
                    .map_err(|reason| RuntimeError::Invalid { name: name.into(), reason: guest_text(&reason) })?;
                in_memory(name, &code).and_then(Sealed::new).map_err(|reason| broken(name, &reason))
            }
        }
    }

    /// Refuses a component that is too large to be looked at.
    ///
    /// # Errors
    /// [`RuntimeError::CompileLimit`].
    pub(crate) fn within_size(&self, name: &str, size: u64) -> Result<(), RuntimeError> {
        if size > self.limits.size { Err(limit(name, CompileLimit::Size, size, self.limits.size)) } else { Ok(()) }
    }

    fn in_child(&self, name: &str, bytes: &[u8], program: &Path) -> Result<Sealed, RuntimeError> {
        let failed = |reason: io::Error| broken(name, &reason);
        let mut input = in_memory(name, bytes).map_err(failed)?;
        input.rewind().map_err(failed)?;
        let output = memory_file(name).map_err(failed)?;
        let said = memory_file("stderr").map_err(failed)?;
        let mut command = Command::new(program);
        command
            .arg(COMMAND)
            .arg(self.limits.memory.to_string())
            .arg(self.limits.wall.as_secs().saturating_add(1).to_string());
        command.args(self.flags()).env_clear();
        // Memory that the allocator only reserves would count as used.
        command.env("MIMALLOC_ARENA_EAGER_COMMIT", "0");
        command.stdin(input).stdout(output.try_clone().map_err(failed)?).stderr(said.try_clone().map_err(failed)?);
        let child =
            command.spawn().map_err(|reason| broken(name, &format!("cannot start {}: {reason}", program.display())))?;
        let ended = self.watch(name, child)?;
        if ended.status.success() {
            return Sealed::new(output).map_err(failed);
        }
        Err(self.why(name, &ended, &first_words(said)))
    }

    fn flags(&self) -> impl Iterator<Item = &'static OsStr> {
        let flags = [
            (self.options.canonicalize_nans, "--canonicalize-nans"),
            (self.options.without_interruption, "--without-interruption"),
            (self.baseline, "--baseline"),
        ];
        flags.into_iter().filter_map(|(wanted, flag)| wanted.then_some(OsStr::new(flag)))
    }

    /// Waits for the child's end, or makes it.
    fn watch(&self, name: &str, mut child: Child) -> Result<Ended, RuntimeError> {
        let start = Instant::now();
        let (mut pause, mut peak) = (LOOKS.0, 0);
        loop {
            let status = child.try_wait().map_err(|reason| broken(name, &reason))?;
            if let Some(status) = status {
                return Ok(Ended { status, peak });
            }
            peak = peak.max(peak_memory(child.id()).unwrap_or_default());
            let wall = start.elapsed();
            let tripped = if wall > self.limits.wall {
                Some(limit(name, CompileLimit::Wall, wall.as_nanos() as u64, self.limits.wall.as_nanos() as u64))
            } else if peak > self.limits.memory {
                Some(limit(name, CompileLimit::Memory, peak, self.limits.memory))
            } else {
                None
            };
            if let Some(error) = tripped {
                // It may just have ended by itself; either way nothing of it stays.
                drop(child.kill());
                drop(child.wait());
                return Err(error);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LOOKS.1);
        }
    }

    /// Why a child ended without code.
    fn why(&self, name: &str, ended: &Ended, said: &str) -> RuntimeError {
        if ended.status.code() == Some(INVALID.into()) {
            return RuntimeError::Invalid { name: name.into(), reason: guest_text(said) };
        }
        if let Some((_, rest)) = said.split_once(OUT_OF_MEMORY) {
            let asked: u64 = rest.split(' ').next().and_then(|bytes| bytes.parse().ok()).unwrap_or_default();
            let used = ended.peak.saturating_add(asked).max(self.limits.memory);
            return limit(name, CompileLimit::Memory, used, self.limits.memory);
        }
        if ended.status.signal() == Some(rustix::process::Signal::XCPU.as_raw()) {
            let allowed = self.limits.wall.as_nanos() as u64;
            return limit(name, CompileLimit::Wall, allowed, allowed);
        }
        broken(name, &format!("the compiler's process ended with {}: {}", ended.status, guest_text(said)))
    }
}

/// How a child ended.
struct Ended {
    status: ExitStatus,
    /// The most memory that it was seen with.
    peak: u64,
}

fn limit(name: &str, limit: CompileLimit, used: u64, allowed: u64) -> RuntimeError {
    RuntimeError::CompileLimit { name: name.into(), limit, used, allowed }
}

fn broken(name: &str, reason: &dyn std::fmt::Display) -> RuntimeError {
    RuntimeError::Compiler { name: name.into(), reason: reason.to_string() }
}

fn in_memory(name: &str, bytes: &[u8]) -> io::Result<File> {
    let mut file = memory_file(name)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// The most memory that a process had so far; nothing once it has ended.
fn peak_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// The beginning of what a child said.
fn first_words(mut said: File) -> String {
    let mut bytes = Vec::new();
    match said.rewind().and_then(|()| said.take(4 << 10).read_to_end(&mut bytes)) {
        Ok(_) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(_) => String::new(),
    }
}

#[cfg(feature = "compiler")]
fn precompile(options: EngineOptions, baseline: bool, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let engine = crate::engine::compiling(options, baseline).map_err(|error| error.to_string())?;
    engine.precompile_component(bytes).map_err(|error| format!("{error:#}"))
}

/// Compiles a component from standard input to standard output and returns the exit code, if that is what this process was started for; does nothing otherwise.
///
/// A program that names itself in [`Compiler::Program`] calls this first of all.
#[cfg(feature = "compiler")]
pub fn compile_if_asked() -> Option<std::process::ExitCode> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(COMMAND) {
        return None;
    }
    Some(match compile_here(arguments) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(ChildError::Invalid(reason)) => {
            eprintln!("{reason}");
            INVALID.into()
        }
        Err(ChildError::Failed(reason)) => {
            eprintln!("{reason}");
            std::process::ExitCode::FAILURE
        }
    })
}

/// Nothing is compiled in a build without the compiler.
#[cfg(not(feature = "compiler"))]
pub fn compile_if_asked() -> Option<std::process::ExitCode> {
    None
}

#[cfg(feature = "compiler")]
enum ChildError {
    Invalid(String),
    Failed(io::Error),
}

#[cfg(feature = "compiler")]
impl From<io::Error> for ChildError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// The child: limits itself, reads, compiles, writes.
#[cfg(feature = "compiler")]
fn compile_here(mut arguments: impl Iterator<Item = String>) -> Result<(), ChildError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
    let (Some(memory), Some(seconds)) = (number(), number()) else {
        return Err(io::Error::other("it is started by stagewright itself, with its limits").into());
    };
    let cap = |resource, most: u64| {
        // Whoever started this program may have set less, which cannot be raised.
        let most = getrlimit(resource).maximum.map_or(most, |allowed| allowed.min(most));
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
    };
    cap(Resource::Data, memory).map_err(io::Error::from)?;
    cap(Resource::Cpu, seconds).map_err(io::Error::from)?;
    cap(Resource::Core, 0).map_err(io::Error::from)?;
    let flags: Vec<String> = arguments.collect();
    let flag = |wanted: &str| flags.iter().any(|flag| flag == wanted);
    let options = EngineOptions {
        canonicalize_nans: flag("--canonicalize-nans"),
        without_interruption: flag("--without-interruption"),
        // They bind instances, not code.
        ..EngineOptions::default()
    };
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    let code = precompile(options, flag("--baseline"), &bytes).map_err(ChildError::Invalid)?;
    let mut out = io::stdout().lock();
    out.write_all(&code)?;
    Ok(out.flush()?)
}
