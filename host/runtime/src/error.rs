//! What can go wrong before a stage runs.

use std::io::ErrorKind;
use std::path::PathBuf;

use stagewright_manifest::World;
use stagewright_store::Digest;

/// A component that cannot be used, or an engine that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No file of that name among the built-in stages.
    #[error("no component `{name}`")]
    Unknown {
        /// The name.
        name: String,
        /// Where was looked.
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
        /// The versions that it speaks.
        found: String,
        /// The version that this host has.
        wanted: String,
        /// How its author rebuilds it.
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
    /// The component imports what its world does not have.
    #[error("component `{name}` imports `{import}`, which a {world} stage is not given")]
    Import {
        /// The component.
        name: String,
        /// Its world.
        world: World,
        /// The import.
        import: String,
        /// The grant that would permit it, if one would.
        grant: Option<String>,
    },
    /// The component is for another world.
    #[error("component `{name}` is not a {world} component: it does not export `{missing}`")]
    World {
        /// The component.
        name: String,
        /// The world asked for.
        world: World,
        /// The export that is missing.
        missing: String,
        /// The worlds that it is for.
        fits: Vec<World>,
    },
    /// A folder or file is no WIT.
    #[error("cannot read WIT at {}: {reason}", .path.display())]
    Wit {
        /// The folder or file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// `describe` failed or said something unusable.
    #[error("component `{name}` does not describe itself: {reason}")]
    Description {
        /// The component.
        name: String,
        /// The reason.
        reason: String,
    },
    /// Compiling the component takes more than it may.
    #[error("compiling component `{name}` ran past its limit of {} {}: it used {}", .limit.show(*.allowed), .limit.as_str(), .limit.show(*.used))]
    CompileLimit {
        /// The component.
        name: String,
        /// Which limit.
        limit: CompileLimit,
        /// What was used when it tripped, in the limit's unit.
        used: u64,
        /// What is allowed.
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
    /// The component has to be compiled, and nobody here compiles.
    #[error("component `{name}` is not compiled for this host, and this stagewright carries no compiler")]
    NoCompiler {
        /// The component.
        name: String,
    },
    /// The file changed between two looks at it.
    #[error("component `{name}` changed while it was read: it was {expected}, it is {found}")]
    Changed {
        /// The component.
        name: String,
        /// The digest that was admitted.
        expected: Digest,
        /// The digest of what was read later.
        found: Digest,
    },
    /// Whoever asked for the component does not trust it.
    #[error("{message}")]
    Refused {
        /// What is wrong with it.
        message: String,
        /// How it could be accepted.
        hint: Option<String>,
    },
    /// Others could have put native code there.
    #[error("cannot trust {}: {problem}", .path.display())]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        mend: String,
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
    /// The engine cannot be made.
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
    /// What to do about it.
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
            Self::Exposed { mend, .. } => Some(mend.clone()),
            Self::Cache { reason, .. } if matches!(reason.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
                Some("name places that this user may write: STAGEWRIGHT_CACHE for the cache, STAGEWRIGHT_HOST_KEY for the host key".into())
            }
            _ => None,
        }
    }
}

/// Names, each in backticks.
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
