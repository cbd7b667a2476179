//! `doctor`: checks whether this installation can run pipelines.

use serde::Serialize;
use stagewright_manifest::{OPERATOR_FILE, Operator, WallPolicy};
use stagewright_runtime::{HostWalls, Origin};

use crate::arguments::JsonArgument;
use crate::classify::classify;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::installation;
use crate::output::print_json;
use crate::project::{self, Project};

/// Whether this program has no compiler, and runs components that others compiled.
const RUN_ONLY: bool = cfg!(not(feature = "compiler"));

#[derive(Serialize)]
struct Finding {
    check: &'static str,
    ok: bool,
    detail: String,
    /// The code of the error, if the check failed with one.
    code: Option<&'static str>,
    hint: Option<String>,
    /// Only of the check `walls`.
    #[serde(flatten)]
    walls: Option<Walls>,
}

/// The walls of this host, in JSON.
#[derive(Serialize)]
struct Walls {
    /// The walls that the host can put around a stage.
    walls: Vec<&'static str>,
    /// The walls that it cannot.
    missing: Vec<&'static str>,
    /// The policy; null if the host cannot keep the operator's.
    policy: Option<WallPolicy>,
}

impl Finding {
    fn fine(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, ok: true, detail: detail.into(), code: None, hint: None, walls: None }
    }

    fn wrong(check: &'static str, error: &anyhow::Error) -> Self {
        let detail = format!("{error:#}");
        let (code, hint) = classify(error);
        Self { check, ok: false, detail, code: Some(code.as_str()), hint, walls: None }
    }
}

/// Checks the walls, the home, the host key, the engine and the built-in stages.
pub(crate) fn doctor(location: &HomeLocation, arguments: &JsonArgument) -> anyhow::Result<ExitCode> {
    let build = match (RUN_ONLY, cfg!(feature = "pipelines")) {
        (false, _) => "",
        (true, true) => ", run-only: it carries no compiler",
        (true, false) => ", serving-only: it carries no compiler and runs no pipeline",
    };
    let mut findings = vec![Finding::fine("version", format!("stagewright {}{build}", env!("CARGO_PKG_VERSION")))];
    let mut operator = installation::operator()?;
    let file = operator.file.as_ref().map_or_else(
        || format!("no operator's file ({OPERATOR_FILE} or STAGEWRIGHT_OPERATOR): manifests' own bounds hold"),
        |file| file.display().to_string(),
    );
    findings.push(Finding::fine("operator", file));
    let walls = walls(&operator);
    if !walls.ok {
        // The error is reported once, and the other checks go on.
        operator.walls = Some(WallPolicy::SandboxOnly);
    }
    findings.push(walls);
    match Project::open(location, &operator) {
        Err(error) => {
            let mut home = Finding::wrong("home", &error);
            let other = "choose a folder that you may write with --home or STAGEWRIGHT_HOME";
            home.hint.get_or_insert_with(|| other.to_owned());
            findings.push(home);
        }
        Ok(project) => {
            findings.push(Finding::fine("home", location.home.display().to_string()));
            findings.push(Finding::fine("key", project.key.display().to_string()));
            findings.push(stages(&project));
            if RUN_ONLY {
                findings.push(compiled(&project)?);
            }
            let runs = project.home.registry.list_runs(usize::MAX)?.len();
            let models = project.home.registry.models()?.len();
            findings.push(Finding::fine("registry", format!("{runs} runs, {models} models")));
        }
    }
    findings.push(Finding::fine("workers", project::workers(None, &operator)?.to_string()));
    let is_fit = findings.iter().all(|finding| finding.ok);
    if arguments.json {
        print_json(&findings)?;
    } else {
        for finding in &findings {
            let code = finding.code.map(|code| format!("error[{code}]: ")).unwrap_or_default();
            println!("{:<4} {:<10} {code}{}", if finding.ok { "ok" } else { "FAIL" }, finding.check, finding.detail);
            if let Some(hint) = &finding.hint {
                println!("     hint: {hint}");
            }
        }
    }
    Ok(if is_fit { ExitCode::Done } else { ExitCode::Host })
}

/// Checks which walls this host can put around a stage, and which policy holds.
fn walls(operator: &Operator) -> Finding {
    let host = HostWalls::look();
    let (walls, missing) = (host.names(), host.missing());
    let mut told = format!("this host can put {} around a stage", walls.join(", "));
    if !missing.is_empty() {
        told = format!("{told}, and not {}", missing.join(", "));
    }
    // The outer walls surround a program, which has to exist.
    let policy = host.policy(operator.walls).map_err(anyhow::Error::from);
    let policy = policy.and_then(|policy| installation::stage_program(operator).map(|_| policy));
    let (policy, mut finding) = match policy {
        Ok(policy) => (Some(policy), Finding::fine("walls", format!("{policy}: {told}"))),
        Err(error) => (None, Finding::wrong("walls", &error)),
    };
    finding.walls = Some(Walls { walls, missing, policy });
    finding
}

/// Checks that there are built-in stages. A host without a compiler may have none, and predict with
/// models that bring their own components.
fn stages(project: &Project) -> Finding {
    let names: Vec<String> = project.runtime.built_in().into_iter().map(|(name, _)| name).collect();
    if !names.is_empty() {
        return Finding::fine("stages", names.join(", "));
    }
    let hint = "build them with `cargo xtask stages`, or name their folder with STAGEWRIGHT_STAGES".to_owned();
    let none = Finding::fine("stages", "no built-in stages were found");
    Finding { ok: RUN_ONLY, hint: Some(hint), ..none }
}

/// Lists the stages that a host without a compiler can run.
fn compiled(project: &Project) -> anyhow::Result<Finding> {
    let mut ready = Vec::new();
    for (name, _) in project.runtime.built_in() {
        if project.runtime.is_compiled(&name, &Origin::BuiltIn)? {
            ready.push(name);
        }
    }
    let hint = "where there is a compiler: stagewright stage precompile (docs/edge.md)".to_owned();
    Ok(if ready.is_empty() {
        Finding { hint: Some(hint), ..Finding::fine("compiled", "none of the built-in stages") }
    } else {
        Finding::fine("compiled", ready.join(", "))
    })
}
