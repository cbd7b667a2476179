//! What a component may say of itself.
//!
//! `describe` is the first thing that an untrusted component says, and it is shown in lists, plans and errors: names must be what the contract calls them, texts are cut and
//! escaped, the whole is bounded. Whether the schema is one that parameters can be checked against is the manifest's to say, which bounds it too.

use stagewright_lifecycle::fault::guest_name;
use stagewright_lifecycle::sandbox::Description;

use crate::bindings::exports::stagewright::stage::metadata::{self, ArtifactKind};
use crate::bounds::Bounds;

/// The longest name or version, in bytes.
const MAX_NAME: usize = 64;

/// Artifacts that one stage says it makes.
const MAX_PRODUCTS: usize = 64;

/// Checks a description and takes it over.
///
/// # Errors
/// What is wrong with it, for people.
pub(crate) fn checked(said: metadata::Description, bounds: &Bounds) -> Result<Description, String> {
    let products: usize = said.produces.iter().map(|product| product.name.len()).sum();
    let bytes = said.name.len() + said.version.len() + said.summary.len() + said.parameters.len() + products;
    if bytes > bounds.description {
        return Err(format!("it takes {bytes} bytes; the operator's limit is {}", bounds.description));
    }
    if said.produces.len() > MAX_PRODUCTS {
        return Err(format!("it names {} products; at most {MAX_PRODUCTS} are allowed", said.produces.len()));
    }
    named("name", "lower case, digits and `-`", &said.name, is_name)?;
    named("version", "letters, digits, `.`, `-` and `+`", &said.version, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+')
    })?;
    for product in &said.produces {
        named("product", "lower case, digits and `-`", &product.name, is_name)?;
    }
    let parameters = serde_json::from_str(&said.parameters)
        .map_err(|reason| format!("its parameters' schema is not JSON: {reason}"))?;
    Ok(Description {
        parameters,
        name: said.name,
        version: said.version,
        summary: guest_name(&said.summary),
        produces: said.produces.into_iter().map(|product| (product.name, kind(product.kind).to_owned())).collect(),
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

fn kind(kind: ArtifactKind) -> &'static str {
    match kind {
        ArtifactKind::Table => "table",
        ArtifactKind::Blob => "blob",
        ArtifactKind::Document => "document",
    }
}
