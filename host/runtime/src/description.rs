//! Checks the description that a component returns from `describe`.
//!
//! `describe` is the first output of an untrusted component, and it is shown in lists, plans and
//! errors. So names must have the contract's form, texts are cut and escaped, and the whole is
//! bounded. The manifest crate checks and bounds the schema of the parameters.

use stagewright_lifecycle::fault::guest_name;
use stagewright_lifecycle::sandbox::Description;

use crate::bindings::exports::stagewright::stage::metadata;
use crate::bounds::Bounds;

/// The longest name or version, in bytes.
const MAX_NAME: usize = 64;

/// The kinds of tasks by their names in manifests.
const KINDS: [(&str, metadata::TaskKind); 3] = [
    ("binary", metadata::TaskKind::Binary),
    ("multi-class", metadata::TaskKind::MultiClass),
    ("regression", metadata::TaskKind::Regression),
];

/// Checks and converts a description.
///
/// # Errors
/// Returns what is wrong with the description, as text.
pub(crate) fn checked(description: metadata::Description, bounds: &Bounds) -> Result<Description, String> {
    let bytes =
        description.name.len() + description.version.len() + description.summary.len() + description.parameters.len();
    if bytes > bounds.description {
        return Err(format!("it takes {bytes} bytes; the operator's limit is {}", bounds.description));
    }
    named("name", "lower case, digits and `-`", &description.name, is_name)?;
    named("version", "letters, digits, `.`, `-` and `+`", &description.version, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+')
    })?;
    let parameters = serde_json::from_str(&description.parameters)
        .map_err(|reason| format!("its parameters' schema is not JSON: {reason}"))?;
    Ok(Description {
        parameters,
        name: description.name,
        version: description.version,
        summary: guest_name(&description.summary),
        tasks: KINDS
            .iter()
            .filter(|(_, kind)| description.tasks.contains(kind))
            .map(|(name, _)| (*name).to_owned())
            .collect(),
    })
}

fn is_name(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')
}

fn named(what: &str, rule: &str, text: &str, allowed: impl Fn(u8) -> bool) -> Result<(), String> {
    if (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(allowed) {
        Ok(())
    } else {
        Err(format!("its {what} is `{}`; it may have {rule}, and at most {MAX_NAME} bytes", brief(text)))
    }
}

/// Cuts an invalid name for an error message.
fn brief(text: &str) -> String {
    guest_name(&text.chars().take(MAX_NAME).collect::<String>())
}
