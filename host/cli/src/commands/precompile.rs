//! `stage precompile`: compiles components for hosts that carry no compiler.

use std::path::Path;

use crate::arguments::PrecompileArguments;
use crate::commands::inspect::located;
use crate::ending::Ending;
use crate::workplace::{self, Workplace};

/// Compiles components into a folder, authenticated with the host key of where they will run.
pub(crate) fn precompile(home: &Path, arguments: &PrecompileArguments) -> anyhow::Result<Ending> {
    let workplace = Workplace::open(home, &workplace::operator()?)?;
    let own = workplace.key.clone();
    let key = arguments.key.as_ref().unwrap_or(&own);
    for component in &arguments.components {
        let (name, origin) = located(component);
        let file = workplace.runtime.precompile(&name, &origin, &arguments.output, key, arguments.baseline)?;
        println!("{name}: {}", arguments.output.join(file).display());
    }
    eprintln!(
        "copy them to components/ in the cache of the other host, which must have the key {} (docs/edge.md)",
        key.display()
    );
    Ok(Ending::Done)
}
