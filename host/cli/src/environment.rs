//! The environment of this process, and the variables that a file `.env` may add to it.
//!
//! A `.env` comes with a folder, and the folder may come from anybody: a repository, an archive.
//! Therefore only the few variables of [`ALLOWED`] are read from it. Their values are kept in this
//! module and never put into the environment of the process, which libraries and child processes
//! read by themselves. The file never decides which code is run, under which limits, in whose name,
//! or to which server exported credentials are sent.
//!
//! Why not load it and remove the harmful variables? No list of those is complete: `LD_PRELOAD`,
//! `GIT_TRACE` and `AWS_CONFIG_FILE` belong to programs that change.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;

mod assignments;

/// The file in the current folder. Folders above are not searched: they may belong to another user.
const FILE: &str = ".env";

/// The largest file that is read, in bytes. Usual files have less than a hundredth of it.
const MAX_FILE: u64 = 64 << 10;

/// The variables that the file may set, besides [`TOKENS`] and, with both keys, [`ENDPOINTS`].
const ALLOWED: [&str; 4] = ["STAGEWRIGHT_HOME", "PGPASSWORD", "AWS_REGION", "AWS_DEFAULT_REGION"];

/// The prefix of the variables whose values a manifest may send to a server.
const TOKENS: &str = stagewright_manifest::TOKEN_PREFIX;

/// Credentials of S3. They belong together: if one of them is exported, none of the file is used.
const CREDENTIALS: [&str; 3] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"];

/// Addresses of S3. Those of the file are used only with credentials of the file, so that its
/// server never receives other credentials.
const ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL"];

/// The MLflow server that runs are logged to, and its credentials. They belong together, as those
/// of S3 do: if one of them is exported, none of the file is used.
const TRACKING: [&str; 4] =
    ["MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"];

/// Prefixes of variables that are read here, or were once. The file may name them by mistake, so
/// ignoring one is worth a warning.
const MEANT: [&str; 7] = ["STAGEWRIGHT_", "AWS_", "MLFLOW_", "OTEL_", "PG", "XDG_STATE_HOME", "RUST_LOG"];

/// The variables of the file that are used.
static ADDED: OnceLock<BTreeMap<String, String>> = OnceLock::new();

/// Returns the value that a variable had when this process started.
#[expect(clippy::disallowed_methods, reason = "this is where the environment is asked")]
pub(crate) fn own(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Returns the value that a variable had when this process started, unless it is empty or not
/// UTF-8.
pub(crate) fn non_empty(name: &str) -> Option<String> {
    own(name)?.into_string().ok().filter(|value| !value.is_empty())
}

/// Returns the value of a variable that the file may set. The environment comes first.
pub(crate) fn variable(name: &str) -> Option<String> {
    match own(name) {
        Some(value) => value.into_string().ok(),
        None => ADDED.get()?.get(name).cloned(),
    }
}

/// Returns all variables that are UTF-8, and those of the file.
pub(crate) fn variables() -> BTreeMap<String, String> {
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is asked")]
    let own =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    ADDED.get().cloned().unwrap_or_default().into_iter().chain(own).collect()
}

/// Reads the file of the current folder, if there is one. Returns warnings.
///
/// # Errors
/// Somebody else could have written the file, or it cannot be read. Going on without it could mean
/// working in another home.
pub(crate) fn read_file() -> anyhow::Result<Vec<String>> {
    let text = match read(Path::new(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let hint = "let nobody but you write it, with `chmod go-w .env` or `chown`, or remove it";
            return Err(UsageError::error(
                ErrorCode::EnvironmentFile,
                format!("the file .env of this folder is refused: {error}"),
                hint,
            ));
        }
    };
    let (added, warnings) = admitted(&text, &|name| own(name).is_some());
    ADDED.set(added).map_err(|_| anyhow::anyhow!("the file .env was read twice"))?;
    Ok(warnings)
}

/// Reads the file, if nobody but this user or root can have written it.
fn read(path: &Path) -> io::Result<String> {
    let refused = |reason: String| io::Error::new(io::ErrorKind::PermissionDenied, reason);
    let (named, file) = (path.symlink_metadata()?, stagewright_store::open_regular(path)?);
    let found = file.metadata()?;
    let own = rustix::process::geteuid().as_raw();
    if let Some(owner) = [named.uid(), found.uid()].into_iter().find(|&owner| owner != own && owner != 0) {
        return Err(refused(format!("it belongs to another user (uid {owner})")));
    }
    if found.mode() & 0o022 != 0 {
        return Err(refused(format!("others can write it (mode {:o})", found.mode() & 0o777)));
    }
    text(file)
}

fn text(file: File) -> io::Result<String> {
    let bytes = stagewright_store::read_bounded(file, MAX_FILE)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Returns the variables of a file's text that are used, and warnings. `is_exported` says whether
/// the environment has a variable.
fn admitted(text: &str, is_exported: &dyn Fn(&str) -> bool) -> (BTreeMap<String, String>, Vec<String>) {
    let mut warnings = Vec::new();
    let mut said = BTreeMap::new();
    for (line, assignment) in assignments::read(text) {
        match assignment {
            Ok((name, value)) => drop(said.insert(name, value)),
            Err(reason) => warnings.push(format!("line {line} of .env is ignored: {reason}")),
        }
    }
    let has = |name: &str| said.contains_key(name);
    let brings_keys = has(CREDENTIALS[0]) && has(CREDENTIALS[1]) && !CREDENTIALS.iter().any(|name| is_exported(name));
    let brings_tracking = !TRACKING.iter().any(|name| is_exported(name));
    let mut added = BTreeMap::new();
    for (name, value) in &said {
        if is_exported(name) {
            continue;
        }
        match refusal(name, value, brings_keys, brings_tracking) {
            None => drop(added.insert(name.clone(), value.clone())),
            Some(reason) if MEANT.iter().any(|meant| name.starts_with(meant)) || name == "HOME" => {
                warnings.push(format!("`{name}` in .env is ignored: {reason}; if it is meant, export {name}"));
            }
            // Variables of other programs are ignored without a warning.
            Some(_) => {}
        }
    }
    (added, warnings)
}

/// Returns the reason why a variable of the file is not used.
fn refusal(name: &str, value: &str, brings_keys: bool, brings_tracking: bool) -> Option<&'static str> {
    let is_endpoint = ENDPOINTS.contains(&name);
    if is_endpoint || CREDENTIALS.contains(&name) {
        let reason = if is_endpoint {
            "a file that comes with a folder names a server of S3 only together with both keys for it, where none is exported"
        } else {
            "credentials of S3 count together, both keys in the file and none exported"
        };
        return (!brings_keys).then_some(reason);
    }
    if TRACKING.contains(&name) {
        return (!brings_tracking)
            .then_some("address and credentials of an MLflow server count together, where none of them is exported");
    }
    if name.ends_with("_REGION") && !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        // The region becomes part of a server's name.
        return Some("it is not the name of a region");
    }
    let is_allowed = ALLOWED.contains(&name) || name.starts_with(TOKENS);
    (!is_allowed).then_some(
        "a file that comes with a folder does not decide what is run as you, nor in whose name, nor which servers are believed",
    )
}

/// Returns the folder for state of this machine: `XDG_STATE_HOME`, or its default in the home
/// directory (XDG base directory specification 0.8, which ignores relative paths).
pub(crate) fn state_folder() -> Option<PathBuf> {
    let absolute = |name| own(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str, exported: &[&str]) -> (Vec<String>, Vec<String>) {
        let (added, warnings) = admitted(text, &|name| exported.contains(&name));
        (added.into_keys().collect(), warnings)
    }

    #[test]
    fn only_names_of_the_list_count() {
        let (added, warnings) = names(
            "STAGEWRIGHT_HOME=home\nPGPASSWORD=x\nSTAGEWRIGHT_TOKEN_PARTNER=x\nAWS_REGION=eu-west-1\n\
             LD_PRELOAD=./x.so\nLD_LIBRARY_PATH=.\nLD_AUDIT=./x.so\nPATH=.\nGIT_TRACE=/tmp/x\nGIT_SSH_COMMAND=./x\nGIT_DIR=.\n\
             TMPDIR=.\nSSL_CERT_FILE=./x\nHTTPS_PROXY=http://x\nMIMALLOC_VERBOSE=1\nRUST_BACKTRACE=1\nGLIBC_TUNABLES=x\n",
            &[],
        );
        assert_eq!(added, ["AWS_REGION", "PGPASSWORD", "STAGEWRIGHT_HOME", "STAGEWRIGHT_TOKEN_PARTNER"]);
        assert_eq!(warnings, Vec::<String>::new());
    }

    #[test]
    fn what_looks_meant_and_does_not_count_is_told() {
        for name in [
            "STAGEWRIGHT_REGISTRY",
            "STAGEWRIGHT_ARTIFACTS",
            "STAGEWRIGHT_STAGES",
            "STAGEWRIGHT_OPERATOR",
            "STAGEWRIGHT_HOST_KEY",
            "STAGEWRIGHT_CACHE",
            "STAGEWRIGHT_ACTOR",
            "AWS_PROFILE",
            "AWS_CONFIG_FILE",
            "AWS_SHARED_CREDENTIALS_FILE",
            "AWS_CA_BUNDLE",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
            "PGSSLROOTCERT",
            "PGHOST",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "RUST_LOG",
            "HOME",
            "XDG_STATE_HOME",
        ] {
            let (added, warnings) = names(&format!("{name}=x"), &[]);
            assert_eq!(added, Vec::<String>::new(), "{name}");
            assert!(warnings[0].contains(&format!("`{name}` in .env is ignored")), "{warnings:?}");
        }
    }

    #[test]
    fn an_endpoint_counts_only_with_credentials_that_come_with_it() {
        let endpoint = "AWS_ENDPOINT_URL_S3=http://theirs\n";
        let keys = "AWS_ACCESS_KEY_ID=x\nAWS_SECRET_ACCESS_KEY=x\n";
        assert_eq!(names(endpoint, &[]).0, Vec::<String>::new());
        assert_eq!(names(&format!("{endpoint}AWS_ACCESS_KEY_ID=x"), &[]).0, Vec::<String>::new());
        let all = format!("{endpoint}{keys}");
        assert_eq!(names(&all, &[]).0, ["AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL_S3", "AWS_SECRET_ACCESS_KEY"]);
        for exported in CREDENTIALS {
            assert_eq!(names(&all, &[exported]).0, Vec::<String>::new(), "{exported}");
        }
        assert_eq!(names("AWS_REGION=x.theirs.example/", &[]).0, Vec::<String>::new());
    }

    #[test]
    fn an_mlflow_server_counts_only_where_none_of_its_variables_is_exported() {
        let text = "MLFLOW_TRACKING_URI=http://theirs\nMLFLOW_TRACKING_TOKEN=x\nMLFLOW_TRACKING_INSECURE_TLS=true\n";
        let (added, warnings) = names(text, &[]);
        assert_eq!(added, ["MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_URI"]);
        assert!(warnings.len() == 1 && warnings[0].contains("MLFLOW_TRACKING_INSECURE_TLS"), "{warnings:?}");
        for exported in TRACKING {
            assert_eq!(names(text, &[exported]).0, Vec::<String>::new(), "{exported}");
        }
    }

    #[test]
    fn the_environment_is_heard_first() {
        assert_eq!(names("STAGEWRIGHT_HOME=theirs", &["STAGEWRIGHT_HOME"]), (vec![], vec![]));
    }
}
