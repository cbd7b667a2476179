//! What a component may say of itself.
//!
//! `describe` is the first thing that an untrusted component says, and it is shown in lists, plans and errors: names must be what the contract calls them, texts are cut and
//! escaped, the whole is bounded. Whether the schema is one that parameters can be checked against is the manifest's to say, which bounds it too.

use stagewright_lifecycle::fault::guest_name;
use stagewright_lifecycle::sandbox::Description;

use crate::bindings::exports::stagewright::stage::metadata;
use crate::bounds::Bounds;

/// The longest name or version, in bytes.
const MAX_NAME: usize = 64;

/// Kinds of tasks in the manifest's words.
const KINDS: [(&str, metadata::TaskKind); 3] = [
    ("binary", metadata::TaskKind::Binary),
    ("multi-class", metadata::TaskKind::MultiClass),
    ("regression", metadata::TaskKind::Regression),
];

/// Checks a description and takes it over.
///
/// # Errors
/// What is wrong with it, for people.
pub(crate) fn checked(said: metadata::Description, bounds: &Bounds) -> Result<Description, String> {
    let bytes = said.name.len() + said.version.len() + said.summary.len() + said.parameters.len();
    if bytes > bounds.description {
        return Err(format!("it takes {bytes} bytes; the operator's limit is {}", bounds.description));
    }
    named("name", "lower case, digits and `-`", &said.name, is_name)?;
    named("version", "letters, digits, `.`, `-` and `+`", &said.version, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+')
    })?;
    let parameters = serde_json::from_str(&said.parameters)
        .map_err(|reason| format!("its parameters' schema is not JSON: {reason}"))?;
    Ok(Description {
        parameters,
        name: said.name,
        version: said.version,
        summary: guest_name(&said.summary),
        tasks: KINDS.iter().filter(|(_, kind)| said.tasks.contains(kind)).map(|(name, _)| (*name).to_owned()).collect(),
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

/// A text that is no name is not worth a page.
fn brief(text: &str) -> String {
    guest_name(&text.chars().take(MAX_NAME).collect::<String>())
}
