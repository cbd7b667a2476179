//! `stage precompile`: compiles components for hosts that carry no compiler.
//!
//! By the name of a manifest or one by one: a manifest also says how (`canonicalize-nans` makes other code), so what it uses is compiled as it wants it.

use std::collections::BTreeSet;
use std::path::Path;

use stagewright_manifest::{Identifier, Manifest, Operator, Overrides};
use stagewright_runtime::{Origin, StubGrants};

use crate::arguments::PrecompileArguments;
use crate::commands::inspect::located;
use crate::ending::Ending;
use crate::location::Location;
use crate::trust::Signers;
use crate::workplace::{self, Workplace};

/// Compiles components into a folder, authenticated with the host key of where they will run. A manifest stands for all components that it uses, compiled as it wants them.
pub(crate) fn precompile(location: &Location, arguments: &PrecompileArguments) -> anyhow::Result<Ending> {
    let operator = workplace::operator()?;
    let signers = Signers::of(&operator)?;
    let (manifests, named): (Vec<_>, Vec<_>) =
        arguments.components.iter().partition(|component| component.ends_with(".toml"));
    let workplace = Workplace::open(location, &operator)?;
    let own = workplace.key.clone();
    let key = arguments.key.as_ref().unwrap_or(&own);
    let compile = |workplace: &Workplace, name: &str, origin: &Origin| -> anyhow::Result<()> {
        let digest = workplace.runtime.inspect(name, origin, StubGrants::default())?.digest;
        signers.admit(name, origin, digest)?;
        for file in workplace.runtime.precompile(name, origin, &arguments.output, key, arguments.baseline)? {
            println!("{name}: {}", arguments.output.join(file).display());
        }
        Ok(())
    };
    for component in named {
        let (name, origin) = located(component);
        compile(&workplace, &name, &origin)?;
    }
    for manifest in manifests {
        let (workplace, components) = used(location, Path::new(manifest), &operator)?;
        for (name, origin) in &components {
            compile(&workplace, name, origin)?;
        }
    }
    eprintln!(
        "copy them to components/ in the cache of the other host, whose host key must be that of {} (docs/edge.md)",
        key.display()
    );
    Ok(Ending::Done)
}

/// The components that a manifest uses, and a workplace whose engine is as it wants it.
fn used(location: &Location, file: &Path, operator: &Operator) -> anyhow::Result<(Workplace, Vec<(String, Origin)>)> {
    let manifest = Manifest::load(file, &Overrides::default())?.within(operator)?;
    let workplace = Workplace::open_for(location, operator, &manifest)?;
    let used: BTreeSet<&Identifier> = manifest.stages.iter().map(|stage| &stage.component).collect();
    let component = |name: &Identifier| (name.to_string(), workplace::origin(&manifest.components[name]));
    let components = used.into_iter().map(component).collect();
    Ok((workplace, components))
}
