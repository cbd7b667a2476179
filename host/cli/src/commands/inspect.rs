//! `stage inspect`: shows a component before it is trusted.
//!
//! Everything but its description is read from the bytes. A component is compiled and asked to
//! describe itself only if it would be admitted and the signatures that the operator requires are
//! there.

#[cfg(feature = "compiler")]
use std::path::Path;
use std::path::PathBuf;

use serde_json::{Value, json};
use stagewright_lifecycle::sandbox::Component;
use stagewright_manifest::World;
#[cfg(feature = "compiler")]
use stagewright_runtime::WitDifference;
use stagewright_runtime::{Grant, Inspection, Origin, Provenance, Runtime, RuntimeError, StubGrants, signature_file};

use crate::arguments::InspectArguments;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::installation;
use crate::output::print_json;
use crate::project::Project;
use crate::terminal::bytes;
use crate::trust::{self, Signers};

/// All stubs: the manifest that will use the component, and may allow some, is not known here.
const STUBS: StubGrants = StubGrants { filesystem: true, sockets: true };

/// Returns the name and origin of a component: a `.wasm` file, or the name of a built-in stage.
pub(crate) fn located(component: &str) -> (String, Origin) {
    let path = PathBuf::from(component);
    if path.extension().is_some_and(|ending| ending == "wasm") {
        let name = path.file_stem().map_or_else(|| component.to_owned(), |stem| stem.to_string_lossy().into_owned());
        (name, Origin::File(path))
    } else {
        (component.to_owned(), Origin::BuiltIn)
    }
}

pub(crate) fn inspect(location: &HomeLocation, arguments: &InspectArguments) -> anyhow::Result<ExitCode> {
    let operator = installation::operator()?;
    let signers = Signers::of(&operator)?;
    let project = Project::open(location, &operator)?;
    let (name, origin) = located(&arguments.component);
    #[cfg(feature = "compiler")]
    if let Some(wit) = &arguments.against {
        return against(&project.runtime, &name, &origin, wit, arguments.json.json);
    }
    let inspection = project.runtime.inspect(&name, &origin, STUBS)?;
    let described = described(&project.runtime, &name, &origin, &inspection, &signers);
    let signature = Signature::of(&origin, &inspection);
    if arguments.json.json {
        print_json(&as_json(&name, &inspection, &described, &signature))?;
        return Ok(ExitCode::Done);
    }
    match &described {
        Ok(Component { description, .. }) => {
            println!("{} {}: {}", description.name, description.version, description.summary)
        }
        Err(error) => {
            println!("{name}: not run: {error}");
            error.hint().iter().for_each(|hint| println!("hint       {hint}"));
        }
    }
    let worlds: Vec<&str> = inspection.worlds.iter().map(|world| world.as_str()).collect();
    println!("world      {}", if worlds.is_empty() { "none of ours".to_owned() } else { worlds.join(", ") });
    println!("digest     {}\nsize       {}\nsignature  {signature}", inspection.digest, bytes(inspection.size));
    println!("imports");
    inspection
        .imports
        .iter()
        .for_each(|(import, grant)| println!("  {:<12} {import}{}", grant.as_str(), condition(*grant)));
    println!("exports");
    inspection.exports.iter().for_each(|export| println!("  {export}"));
    show_provenance(&inspection.provenance);
    if let Ok(Component { description, .. }) = &described {
        println!("tasks      {}", description.tasks.join(", "));
        println!("parameters\n{}", stagewright_text::json(&serde_json::to_string_pretty(&description.parameters)?));
    }
    Ok(ExitCode::Done)
}

/// Shows the differences between a component and a folder of WIT. If there are any, the exit code
/// is that of a refused component.
#[cfg(feature = "compiler")]
fn against(runtime: &Runtime, name: &str, origin: &Origin, wit: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let differences = runtime.differences(name, origin, wit)?;
    let ending = if differences.is_empty() { ExitCode::Done } else { ExitCode::Usage };
    if json {
        print_json(&json!(differences))?;
        return Ok(ending);
    }
    let folder = stagewright_text::Untrusted::new(&wit.display().to_string()).to_string();
    if differences.is_empty() {
        println!("{name} is as {folder} says");
    }
    for difference in &differences {
        println!("{}", line(difference, name, &folder));
    }
    Ok(ending)
}

/// Describes a difference in one line.
#[cfg(feature = "compiler")]
fn line(difference: &WitDifference, name: &str, folder: &str) -> String {
    let WitDifference { interface, item, part, component, wit } = difference;
    let place: Vec<&str> =
        [interface, item, part].into_iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    let place = place.join(": ");
    match (component, wit) {
        (Some(component), Some(wit)) => format!("{place}: {name} has `{component}`, {folder} has `{wit}`"),
        (Some(component), None) => format!("{place}: {name} has `{component}`, {folder} has none"),
        (None, wit) => format!("{place}: {name} has none, {folder} has `{}`", wit.as_deref().unwrap_or_default()),
    }
}

/// Returns the component in the first world that it exports, if it would be admitted there.
fn described(
    runtime: &Runtime,
    name: &str,
    origin: &Origin,
    inspection: &Inspection,
    signers: &Signers,
) -> Result<Component, RuntimeError> {
    let world = inspection.worlds.first().copied().unwrap_or(World::Ingestion);
    runtime.resolve_trusted(world, name, origin, STUBS, &|digest| signers.admit(name, origin, digest))
}

fn condition(grant: Grant) -> String {
    match grant {
        Grant::Stub(stub) => format!("   if the manifest says `stubs = [\"{stub}\"]`"),
        _ => String::new(),
    }
}

fn show_provenance(provenance: &Provenance) {
    for (name, text) in &provenance.notes {
        println!("{name:<10} {text}");
    }
    for (field, values) in &provenance.producers {
        println!("{field:<12} {}", values.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
    }
    if let Some(packages) = &provenance.packages {
        println!("packages ({}, as it says itself)", packages.len());
        packages.iter().for_each(|package| println!("  {} {} ({})", package.name, package.version, package.source));
    }
}

/// The signature file of a component.
enum Signature {
    BuiltIn,
    Missing,
    By(Vec<String>),
    Bad(String),
}

impl Signature {
    fn of(origin: &Origin, inspection: &Inspection) -> Self {
        let Origin::File(path) = origin else { return Self::BuiltIn };
        match trust::read_signatures(&signature_file(path)) {
            Ok(None) => Self::Missing,
            Ok(Some(signatures)) => match signatures.verify(inspection.digest) {
                Ok(by) => Self::By(by.iter().map(ToString::to_string).collect()),
                Err(error) => Self::Bad(error.to_string()),
            },
            Err(reason) => Self::Bad(reason),
        }
    }

    fn as_json(&self) -> Value {
        match self {
            Self::BuiltIn => json!({ "state": "built-in" }),
            Self::Missing => json!({ "state": "none" }),
            Self::By(keys) => json!({ "state": "sound", "by": keys }),
            Self::Bad(reason) => json!({ "state": "bad", "reason": reason }),
        }
    }
}

impl std::fmt::Display for Signature {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BuiltIn => formatter.write_str("none; it is part of this installation"),
            Self::Missing => formatter.write_str("none"),
            Self::By(keys) => write!(formatter, "sound, by {}", keys.join(", ")),
            Self::Bad(reason) => write!(formatter, "BAD: {reason}"),
        }
    }
}

fn as_json(
    name: &str,
    inspection: &Inspection,
    described: &Result<Component, RuntimeError>,
    signature: &Signature,
) -> Value {
    let imports: Vec<&String> = inspection.imports.iter().map(|(import, _)| import).collect();
    let grants: serde_json::Map<String, Value> =
        inspection.imports.iter().map(|(import, grant)| (import.clone(), grant.as_str().into())).collect();
    let mut shown = json!({
        "name": name, "digest": inspection.digest, "size": inspection.size,
        "world": inspection.worlds.first(), "worlds": inspection.worlds,
        "imports": imports, "grants": grants, "exports": inspection.exports,
        "signature": signature.as_json(), "provenance": inspection.provenance,
    });
    match described {
        Ok(Component { description, sharded, rebalances, assesses, .. }) => {
            shown["name"] = description.name.as_str().into();
            shown["version"] = description.version.as_str().into();
            shown["summary"] = description.summary.as_str().into();
            shown["sharded"] = (*sharded).into();
            shown["rebalances"] = (*rebalances).into();
            shown["assesses"] = (*assesses).into();
            shown["parameters"] = description.parameters.clone();
            shown["tasks"] = json!(description.tasks);
        }
        Err(error) => {
            shown["refused"] = error.to_string().into();
            shown["hint"] = error.hint().into();
        }
    }
    shown
}
