//! Has the files of `deploy/` read by the tools that they are written for.
//!
//! Tools from PyPI are installed into the tests' environment. Of tools that a system brings
//! (kubectl, promtool, systemd-analyze), those that are missing are named and left out.
//! tests/end-to-end/tests/deploy checks what no such tool knows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::python::python;
use crate::steps::{Result, output, run};
use crate::workspace;

/// The tools from PyPI.
const REQUIREMENTS: &str = "deploy/requirements.txt";

/// The oldest version of Kubernetes for which the manifests are written, and a current one.
const KUBERNETES: [&str; 2] = ["1.30", "1.37"];

/// The most that systemd's own judgement of the unit's exposure may be, in tenths of ten: what is
/// below 2 is called "OK".
const MOST_EXPOSED: &str = "19";

/// Checks everything.
pub(crate) fn deploy() -> Result<()> {
    let tools = python(REQUIREMENTS)?;
    let tool = |name: &str| {
        let mut command = Command::new(tools.join(name));
        command.current_dir(workspace::root());
        command
    };
    run(tool("hadolint").arg("deploy/Dockerfile"))?;
    run(tool("shellcheck").args(files("deploy", "sh")?))?;
    let schema = ["--builtin-schema", "vendor.compose-spec", "deploy/compose.yaml"];
    run(tool("check-jsonschema").args(schema))?;
    let schema = ["--builtin-schema", "vendor.github-workflows"];
    run(tool("check-jsonschema").args(schema).args(files(".github", "yml")?))?;
    run(tool("zizmor").args([
        "--offline",
        "--no-progress",
        "--quiet",
        "--min-severity",
        "medium",
        ".github/workflows",
    ]))?;
    if is_there("kubectl", "version --client") {
        kubernetes(&tool)?;
    }
    if is_there("promtool", "--version") {
        prometheus()?;
    }
    if is_there("systemd-analyze", "--version") {
        systemd()?;
    }
    Ok(())
}

/// Returns whether a program can be started. Says so if not.
pub(crate) fn is_there(program: &str, arguments: &str) -> bool {
    let mut command = Command::new(program);
    command.args(arguments.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    let there = command.status().is_ok_and(|status| status.success());
    if !there {
        eprintln!("there is no {program}: what it reads in deploy/ is not checked");
    }
    there
}

/// Returns the files below a folder with this extension.
fn files(folder: &str, extension: &str) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![workspace::root().join(folder)]);
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    if found.is_empty() { Err(format!("{folder} has no .{extension}")) } else { Ok(found) }
}

/// Builds the overlays and checks the result by the schemas of Kubernetes, which refuse unknown
/// keys.
fn kubernetes(tool: &dyn Fn(&str) -> Command) -> Result<()> {
    let folder = workspace::target().join("deploy");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    for overlay in ["staging", "production"] {
        let of = format!("deploy/kubernetes/overlays/{overlay}");
        let built = output(Command::new("kubectl").current_dir(workspace::root()).args(["kustomize", &of]))?;
        let path = folder.join(format!("{overlay}.yaml"));
        fs::write(&path, &built).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        validate(tool, &path)?;
        // The script that deploys names the image by its digest.
        let image = format!("registry.example.org/stagewright@sha256:{}", "0".repeat(64));
        let mut script = Command::new("sh");
        script.current_dir(workspace::root()).args(["deploy/kubernetes/apply.sh", overlay]);
        let now = output(script.env("IMAGE", &image).env("DRY_RUN", "1"))?;
        if !now.contains(&format!("image: {image}\n")) || now.lines().count() != built.lines().count() {
            return Err(format!("apply.sh does more or less with {overlay} than to set the image"));
        }
    }
    validate(tool, &workspace::root().join("deploy/kubernetes/secrets.example.yaml"))
}

fn validate(tool: &dyn Fn(&str) -> Command, path: &Path) -> Result<()> {
    for version in KUBERNETES {
        run(tool("kubernetes-validate").args(["--strict", "--quiet", "-k", version]).arg(path))?;
    }
    Ok(())
}

/// Checks settings and alerts, and runs the tests of the alerts.
fn prometheus() -> Result<()> {
    let folder = workspace::root().join("deploy/prometheus");
    for arguments in [
        &["check", "config", "--syntax-only", "prometheus.yml"][..],
        &["check", "rules", "alerts.yml"],
        &["test", "rules", "alerts_test.yml"],
    ] {
        run(Command::new("promtool").current_dir(&folder).args(arguments).stdout(Stdio::null()))?;
    }
    Ok(())
}

/// Verifies the unit, and asks how exposed its service is. The unit that is checked names a program
/// that exists here.
fn systemd() -> Result<()> {
    let name = "stagewright-serve.service";
    let unit = workspace::root().join("deploy/systemd").join(name);
    let text = fs::read_to_string(&unit).map_err(|error| format!("cannot read {}: {error}", unit.display()))?;
    let folder = workspace::target().join("deploy");
    let copy = folder.join(name);
    let written = fs::create_dir_all(&folder)
        .and_then(|()| fs::write(&copy, text.replace("/usr/local/bin/stagewright ", "/bin/true ")));
    written.map_err(|error| format!("cannot write {}: {error}", copy.display()))?;
    // The manual page that the unit names need not be installed here.
    let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&copy).output();
    let verified = verified.map_err(|error| format!("cannot start systemd-analyze: {error}"))?;
    // It warns of settings that it does not know, and still succeeds.
    let said = String::from_utf8_lossy(&verified.stderr);
    if !verified.status.success() || said.contains(name) {
        return Err(format!("systemd-analyze verify says:\n{said}"));
    }
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--no-pager", "--offline=true", &format!("--threshold={MOST_EXPOSED}")]).arg(&copy);
    run(security.stdout(Stdio::null()))
}
