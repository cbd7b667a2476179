//! The installation that this process belongs to: the operator's file, the folders of built-in
//! stages, the program that runs stages, the compiler, the host key.

use std::path::{Path, PathBuf};

use stagewright_manifest::{ManifestError, Operator, WallPolicy};
use stagewright_runtime::{Compiler, HostWalls, RuntimeError, StageProcess, Walls};

use crate::environment;
use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;

/// Reads the operator's file of this machine.
pub(crate) fn operator() -> Result<Operator, ManifestError> {
    Operator::find(environment::own("STAGEWRIGHT_OPERATOR").map(PathBuf::from).as_deref())
}

/// Returns the folder that `STAGEWRIGHT_STAGES` names, which replaces the installation's stages.
pub(crate) fn stages_override() -> Option<PathBuf> {
    environment::own("STAGEWRIGHT_STAGES").map(PathBuf::from)
}

/// Returns the folders of built-in stages: the one that `STAGEWRIGHT_STAGES` names, else `stages`
/// beside the binary and the one that an installation uses.
pub(crate) fn stage_folders() -> Vec<PathBuf> {
    if let Some(folder) = stages_override() {
        return vec![folder];
    }
    let binary = std::env::current_exe().and_then(|path| path.canonicalize());
    let Ok(Some(folder)) = binary.map(|path| path.parent().map(Path::to_owned)) else { return Vec::new() };
    let mut folders = vec![folder.join("stages")];
    folders.extend(folder.parent().map(|prefix| prefix.join("lib/stagewright/stages")));
    folders
}

/// Returns the file of a built-in stage.
pub(crate) fn built_in(name: &str) -> anyhow::Result<PathBuf> {
    let folders = stage_folders();
    let found = folders.iter().map(|folder| folder.join(format!("{name}.wasm"))).find(|path| path.is_file());
    found.ok_or_else(|| RuntimeError::Unknown { name: name.into(), searched: folders }.into())
}

/// Returns the compiler: this program, in a child process. `/proc/self/exe` is the running program
/// even if its file was replaced.
pub(crate) fn compiler() -> Compiler {
    if cfg!(feature = "compiler") { Compiler::Program("/proc/self/exe".into()) } else { Compiler::Absent }
}

/// Returns the file of the host key, if this user has a place for it.
///
/// The default is never in the home: a home from elsewhere could then bring compiled code together
/// with the key that authenticates it.
pub(crate) fn host_key() -> Option<PathBuf> {
    let named = environment::own("STAGEWRIGHT_HOST_KEY").map(PathBuf::from);
    named.or_else(|| Some(environment::state_folder()?.join("stagewright/host.key")))
}

/// Returns the program in which stages run, if the policy asks for the outer walls.
///
/// # Errors
/// The program is missing, or this host cannot keep the operator's policy.
pub(crate) fn stage_program(operator: &Operator) -> anyhow::Result<Option<StageProcess>> {
    const NAME: &str = "stagewright-stage";
    if HostWalls::look().policy(operator.walls)? == WallPolicy::SandboxOnly {
        return Ok(None);
    }
    // The program is beside this one, or where an installation puts it. No environment variable
    // names it: whoever sets the variable would choose the code outside the sandbox.
    let binary = std::env::current_exe()?.canonicalize()?;
    let folder = binary.parent().map_or_else(PathBuf::new, Path::to_owned);
    let installed = folder.parent().map(|prefix| prefix.join("lib/stagewright"));
    let found = [Some(folder.clone()), installed].into_iter().flatten().map(|folder| folder.join(NAME));
    match found.into_iter().find(|path| path.is_file()) {
        Some(program) => Ok(Some(StageProcess { program, required: Walls::ALL })),
        None => Err(UsageError::error(
            ErrorCode::NoStageProgram,
            format!("the program `{NAME}` is missing, in which stages run: it belongs to {}", folder.display()),
            "install both again (`cargo xtask install`), or write `walls = \"sandbox-only\"` in the operator's file \
             (docs/operator.md)",
        )),
    }
}
