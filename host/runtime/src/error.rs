//! Errors before a stage runs.

use std::io::ErrorKind;
use std::path::PathBuf;

use stagewright_manifest::World;
use stagewright_store::Digest;

/// Why the caller does not trust a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody whom they trust signed it.
    Signature,
    /// It is not the one that they pinned, or they pinned none.
    Pin,
}

/// A component cannot be used, or an engine cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// There is no built-in stage of that name.
    #[error("no component `{name}`")]
    Unknown {
        /// The name.
        name: String,
        /// The folders that were searched.
        searched: Vec<PathBuf>,
    },
    /// The file cannot be read.
    #[error("cannot read component `{name}` at {}: {reason}", .path.display())]
    Read {
        /// The component.
        name: String,
        /// Its file.
        path: PathBuf,
        /// The reason.
        reason: std::io::Error,
    },
    /// The file is not a valid component.
    #[error("`{name}` is not a valid component: {reason}")]
    Invalid {
        /// The component.
        name: String,
        /// The reason.
        reason: String,
    },
    /// The component is for another version of the contract.
    #[error("component `{name}` speaks contract {found}, and this version runs {wanted}")]
    Contract {
        /// The component.
        name: String,
        /// The versions that it uses.
        found: String,
        /// The version of this host.
        wanted: String,
        /// How its author can rebuild it.
        hint: String,
    },
    /// The component imports another version of WASI than stages get.
    #[error("component `{name}` imports `{import}`: stages get WASI 0.2")]
    Wasi {
        /// The component.
        name: String,
        /// The import.
        import: String,
    },
    /// The component imports an interface that its world does not grant.
    #[error("component `{name}` imports `{import}`, which a {world} stage is not given")]
    Import {
        /// The component.
        name: String,
        /// Its world.
        world: World,
        /// The import.
        import: String,
        /// How the import could be granted, if it could.
        grant: Option<String>,
    },
    /// The component does not implement the world.
    #[error("component `{name}` is not a {world} component: it does not export `{missing}`")]
    World {
        /// The component.
        name: String,
        /// The requested world.
        world: World,
        /// The missing export.
        missing: String,
        /// The worlds that it implements.
        fits: Vec<World>,
    },
    /// A folder or file is not valid WIT.
    #[error("cannot read WIT at {}: {reason}", .path.display())]
    Wit {
        /// The folder or file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// `describe` failed or returned an invalid description.
    #[error("component `{name}` does not describe itself: {reason}")]
    Description {
        /// The component.
        name: String,
        /// The reason.
        reason: String,
    },
    /// Compiling the component exceeded a limit.
    #[error("compiling component `{name}` ran past its limit of {} {}: it used {}", .limit.show(*.allowed), .limit.as_str(), .limit.show(*.used))]
    CompileLimit {
        /// The component.
        name: String,
        /// The limit.
        limit: CompileLimit,
        /// The amount used, in the limit's unit.
        used: u64,
        /// The amount allowed, in the limit's unit.
        allowed: u64,
    },
    /// The compiler's process failed.
    #[error("cannot compile component `{name}`: {reason}")]
    Compiler {
        /// The component.
        name: String,
        /// The reason.
        reason: String,
    },
    /// The component would have to be compiled, and this host has no compiler.
    #[error("component `{name}` is not compiled for this host, and this stagewright carries no compiler")]
    NoCompiler {
        /// The component.
        name: String,
    },
    /// The file changed between two reads.
    #[error("component `{name}` changed while it was read: it was {expected}, it is {found}")]
    Changed {
        /// The component.
        name: String,
        /// The digest that was admitted.
        expected: Digest,
        /// The digest of the second read.
        found: Digest,
    },
    /// The caller does not trust the component.
    #[error("{message}")]
    Refused {
        /// Why it is not trusted.
        refusal: Refusal,
        /// The problem.
        message: String,
        /// How to make it acceptable.
        hint: Option<String>,
    },
    /// Other users could have written native code to a file or folder.
    #[error("cannot trust {}: {problem}", .path.display())]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// The problem.
        problem: String,
        /// How to fix it.
        fix: String,
    },
    /// The compile cache cannot be written.
    #[error("cannot use the compile cache at {}: {reason}", .path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        reason: std::io::Error,
    },
    /// The operator requires walls around stages that this system cannot build.
    #[error("the operator requires walls that this system cannot build: {}", quoted(missing))]
    Walls {
        /// Their names.
        missing: Vec<&'static str>,
    },
    /// The engine cannot be created.
    #[error("cannot start the Wasm engine: {0}")]
    Engine(String),
}

/// A limit on compiling one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompileLimit {
    /// The size of the component, in bytes.
    Size,
    /// The memory of the compiler, in bytes.
    Memory,
    /// The wall time, in nanoseconds.
    Wall,
}

impl CompileLimit {
    /// Returns the name of the limit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Memory => "memory",
            Self::Wall => "wall",
        }
    }

    /// Formats an amount with its unit.
    pub fn show(self, amount: u64) -> String {
        match self {
            Self::Size | Self::Memory => format!("{:.1} MiB", amount as f64 / f64::from(1 << 20)),
            Self::Wall => format!("{:.2} s", amount as f64 / 1e9),
        }
    }
}

impl RuntimeError {
    /// Returns how the user can fix the error, if there is a way.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { name, searched } => Some(format!(
                "built-in stages are looked for in {}; for a file of your own write `path = \"{name}.wasm\"` under [components.{name}]",
                searched.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
            )),
            Self::Contract { hint, .. } => Some(hint.clone()),
            Self::Wasi { .. } => Some("build it for WASI 0.2 (componentize-qjs: --sync)".into()),
            Self::Import { grant, .. } => grant.clone(),
            Self::Wit { .. } => Some("name the folder wit/ of the version that is to run the component".into()),
            Self::World { fits, .. } if !fits.is_empty() => Some(format!(
                "it is a {} component",
                fits.iter().map(|world| world.as_str()).collect::<Vec<_>>().join(" and a ")
            )),
            Self::CompileLimit { .. } => {
                Some("the component has to be smaller or simpler; or the operator raises the limit under [compilation] (docs/operator.md)".into())
            }
            Self::NoCompiler { name } => Some(format!(
                "on a host with the compiler, and with this host's key: stagewright stage precompile {name} --output FOLDER --key KEY (or the manifest, for all that it uses); then copy the files to this host's cache (docs/edge.md)"
            )),
            Self::Changed { .. } => Some("run again when nobody writes the file".into()),
            Self::Refused { hint, .. } => hint.clone(),
            Self::Walls { missing } => Some(walls_hint(missing)),
            Self::Exposed { fix, .. } => Some(fix.clone()),
            Self::Cache { reason, .. } if matches!(reason.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
                Some("name places that this user may write: STAGEWRIGHT_CACHE for the cache, STAGEWRIGHT_HOST_KEY for the host key".into())
            }
            _ => None,
        }
    }
}

/// Formats names, each in backticks.
fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Returns how to get each missing wall.
fn walls_hint(missing: &[&str]) -> String {
    let fix = |wall: &&str| match *wall {
        "landlock" => "`landlock` takes Linux 5.13 or newer with `landlock` in /sys/kernel/security/lsm",
        "seccomp" => "`seccomp` takes a kernel with filters, and a container whose profile does not refuse the call",
        _ => "`rlimits` takes a container whose profile lets limits be lowered",
    };
    let fixes: Vec<&str> = missing.iter().map(fix).collect();
    format!("{}; or write `walls = \"sandbox-only\"` in the operator's file (docs/operator.md)", fixes.join("; "))
}
