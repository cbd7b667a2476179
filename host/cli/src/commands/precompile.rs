//! `stage precompile`: compiles components for hosts without a compiler.
//!
//! A component is named by itself or by a manifest that uses it. Compiled code depends on
//! `canonicalize-nans`, so the components of a manifest are compiled with its setting.

use std::collections::BTreeSet;
use std::path::Path;

use stagewright_manifest::{Identifier, Manifest, Operator, Overrides};
use stagewright_runtime::{Origin, StubGrants};

use crate::arguments::PrecompileArguments;
use crate::commands::inspect::located;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::installation;
use crate::project::{self, Project};
use crate::trust::Signers;

/// Compiles components into a folder, authenticated with the key of the host that will run them.
pub(crate) fn precompile(location: &HomeLocation, arguments: &PrecompileArguments) -> anyhow::Result<ExitCode> {
    let operator = installation::operator()?;
    let signers = Signers::of(&operator)?;
    let (manifests, named): (Vec<_>, Vec<_>) =
        arguments.components.iter().partition(|component| component.ends_with(".toml"));
    let project = Project::open(location, &operator)?;
    let own = project.key.clone();
    let key = arguments.key.as_ref().unwrap_or(&own);
    let compile = |project: &Project, name: &str, origin: &Origin| -> anyhow::Result<()> {
        let digest = project.runtime.inspect(name, origin, StubGrants::default())?.digest;
        signers.admit(name, origin, digest)?;
        for file in project.runtime.precompile(name, origin, &arguments.output, key, arguments.baseline)? {
            println!("{name}: {}", arguments.output.join(file).display());
        }
        Ok(())
    };
    for component in named {
        let (name, origin) = located(component);
        compile(&project, &name, &origin)?;
    }
    for manifest in manifests {
        let (project, components) = used(location, Path::new(manifest), &operator)?;
        for (name, origin) in &components {
            compile(&project, name, origin)?;
        }
    }
    eprintln!(
        "copy them to components/ in the cache of the other host, whose host key must be that of {} (docs/edge.md)",
        key.display()
    );
    Ok(ExitCode::Done)
}

/// Returns the components that a manifest uses, and a project with the manifest's engine options.
fn used(location: &HomeLocation, file: &Path, operator: &Operator) -> anyhow::Result<(Project, Vec<(String, Origin)>)> {
    let manifest = Manifest::load(file, &Overrides::default())?.within(operator)?;
    let project = Project::open_for(location, operator, &manifest)?;
    let used: BTreeSet<&Identifier> = manifest.stages.iter().map(|stage| &stage.component).collect();
    let component = |name: &Identifier| (name.to_string(), project::origin(&manifest.components[name]));
    let components = used.into_iter().map(component).collect();
    Ok((project, components))
}
