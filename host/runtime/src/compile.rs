//! Compiles untrusted components in a child process that can be killed.
//!
//! A component may be crafted so that compiling it takes forever or all memory: the compiler has no
//! limit of its own, and a thread cannot be stopped. So the parent starts a child (the same
//! program, with an argument), passes the component on standard input and a file in memory as
//! standard output, watches the child's clock and memory, and kills it if needed. The child also
//! limits itself before it reads a byte, in case its parent has ended. The output is sealed before
//! it is written to the cache.
//!
//! This does not protect against a compiler that generates wrong code:
//! docs/decisions/compile-in-a-child.md.

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

/// The argument that makes a program compile: see [`compile_if_asked`].
const COMMAND: &str = "compile-component";

/// The child's exit code for a component that is not valid.
const INVALID: u8 = 2;

/// The first and the longest pause between two checks of the child. The first is short since most
/// components take tenths of a second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(10));

/// The message of Rust's runtime when an allocation fails.
const OUT_OF_MEMORY: &str = "memory allocation of ";

/// How components that are not in the cache are compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compiler {
    /// Not at all: only cached code is run.
    Absent,
    /// In a child process of this program, under limits. The program must call [`compile_if_asked`]
    /// before anything else.
    Program(PathBuf),
    /// In this process, without a limit on time or memory. For tests and benchmarks with trusted
    /// components only.
    #[cfg(feature = "compiler")]
    InProcess,
}

/// The settings for compiling.
pub(crate) struct Compilation {
    pub(crate) compiler: Compiler,
    pub(crate) limits: CompilationLimits,
    pub(crate) options: EngineOptions,
    /// Compiles for any processor of this architecture instead of for this processor.
    pub(crate) baseline: bool,
}

impl Compilation {
    /// Compiles a component to code that an engine with the same options can load.
    ///
    /// # Errors
    /// The component is invalid, compiling exceeds a limit, or there is no compiler.
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

    /// Refuses a component that exceeds the size limit.
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
        let stderr = memory_file("stderr").map_err(failed)?;
        let mut command = Command::new(program);
        command
            .arg(COMMAND)
            .arg(self.limits.memory.to_string())
            .arg(self.limits.wall.as_secs().saturating_add(1).to_string());
        command.args(self.flags()).env_clear();
        // With eager commit, memory that the allocator only reserves would count as used.
        command.env("MIMALLOC_ARENA_EAGER_COMMIT", "0");
        command.stdin(input).stdout(output.try_clone().map_err(failed)?).stderr(stderr.try_clone().map_err(failed)?);
        let child =
            command.spawn().map_err(|reason| broken(name, &format!("cannot start {}: {reason}", program.display())))?;
        let ended = self.watch(name, child)?;
        if ended.status.success() {
            return Sealed::new(output).map_err(failed);
        }
        Err(self.child_error(name, &ended, &beginning_of(stderr)))
    }

    fn flags(&self) -> impl Iterator<Item = &'static OsStr> {
        let flags = [
            (self.options.canonicalize_nans, "--canonicalize-nans"),
            (self.options.without_interruption, "--without-interruption"),
            (self.baseline, "--baseline"),
        ];
        flags.into_iter().filter_map(|(wanted, flag)| wanted.then_some(OsStr::new(flag)))
    }

    /// Waits for the child, and kills it if it exceeds a limit.
    fn watch(&self, name: &str, mut child: Child) -> Result<ChildEnd, RuntimeError> {
        let start = Instant::now();
        let (mut pause, mut peak) = (PAUSES.0, 0);
        loop {
            let status = child.try_wait().map_err(|reason| broken(name, &reason))?;
            if let Some(status) = status {
                return Ok(ChildEnd { status, peak });
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
                // The child may have ended by itself just now; its output is discarded either way.
                drop(child.kill());
                drop(child.wait());
                return Err(error);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Returns the error of a child that failed.
    fn child_error(&self, name: &str, ended: &ChildEnd, stderr: &str) -> RuntimeError {
        if ended.status.code() == Some(INVALID.into()) {
            return RuntimeError::Invalid { name: name.into(), reason: guest_text(stderr) };
        }
        if let Some((_, rest)) = stderr.split_once(OUT_OF_MEMORY) {
            let requested: u64 = rest.split(' ').next().and_then(|bytes| bytes.parse().ok()).unwrap_or_default();
            let used = ended.peak.saturating_add(requested).max(self.limits.memory);
            return limit(name, CompileLimit::Memory, used, self.limits.memory);
        }
        if ended.status.signal() == Some(rustix::process::Signal::XCPU.as_raw()) {
            let allowed = self.limits.wall.as_nanos() as u64;
            return limit(name, CompileLimit::Wall, allowed, allowed);
        }
        broken(name, &format!("the compiler's process ended with {}: {}", ended.status, guest_text(stderr)))
    }
}

/// The end of a child.
struct ChildEnd {
    status: ExitStatus,
    /// The most memory that was observed, in bytes.
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

/// Returns the peak memory of a process in bytes, or `None` once it has ended.
fn peak_memory(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// Reads the beginning of a child's standard error.
fn beginning_of(mut stderr: File) -> String {
    let mut bytes = Vec::new();
    match stderr.rewind().and_then(|()| stderr.take(4 << 10).read_to_end(&mut bytes)) {
        Ok(_) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(_) => String::new(),
    }
}

#[cfg(feature = "compiler")]
fn precompile(options: EngineOptions, baseline: bool, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let engine = crate::engine::compiling(options, baseline).map_err(|error| error.to_string())?;
    engine.precompile_component(bytes).map_err(|error| format!("{error:#}"))
}

/// Compiles a component from standard input to standard output and returns the exit code, if this
/// process was started for that. Does nothing otherwise.
///
/// A program that [`Compiler::Program`] names must call this before anything else.
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

/// Does nothing: this build has no compiler.
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

/// The child's work: limits itself, reads, compiles, writes.
#[cfg(feature = "compiler")]
fn compile_here(mut arguments: impl Iterator<Item = String>) -> Result<(), ChildError> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let mut number = || arguments.next().and_then(|text| text.parse::<u64>().ok());
    let (Some(memory), Some(seconds)) = (number(), number()) else {
        return Err(io::Error::other("it is started by stagewright itself, with its limits").into());
    };
    let cap = |resource, most: u64| {
        // A lower limit of the parent's cannot be raised.
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
        // The other options concern instances, not code.
        ..EngineOptions::default()
    };
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    let code = precompile(options, flag("--baseline"), &bytes).map_err(ChildError::Invalid)?;
    let mut out = io::stdout().lock();
    out.write_all(&code)?;
    Ok(out.flush()?)
}
