//! What can go wrong before a stage runs.

use std::path::PathBuf;

use stagewright_manifest::World;

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
    /// `describe` failed or said something unusable.
    #[error("component `{name}` does not describe itself: {reason}")]
    Description {
        /// The component.
        name: String,
        /// The reason.
        reason: String,
    },
    /// The compile cache cannot be written.
    #[error("cannot use the compile cache at {}: {reason}", .path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        reason: std::io::Error,
    },
    /// The engine cannot be made.
    #[error("cannot start the Wasm engine: {0}")]
    Engine(String),
}

impl RuntimeError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unknown { name, searched } => Some(format!(
                "built-in stages are looked for in {}; for a file of your own write `path = \"{name}.wasm\"` under [components.{name}]",
                searched.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
            )),
            Self::Import { grant, .. } => grant.clone(),
            Self::World { fits, .. } if !fits.is_empty() => Some(format!(
                "it is a {} component",
                fits.iter().map(|world| world.as_str()).collect::<Vec<_>>().join(" and a ")
            )),
            _ => None,
        }
    }
}
