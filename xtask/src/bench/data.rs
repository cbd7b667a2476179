//! Measures what becomes of data before a model learns from it, each part by itself.

use crate::bench::in_process::in_process;
use crate::bench::options::Options;
use crate::bench::preparation::preparation;
use crate::steps::Result;

/// A part, with its name for `--only`.
type Part = (&'static str, fn(&Options) -> Result<()>);

const PARTS: [Part; 2] = [("preparation", preparation), ("postgres", |options| in_process("postgres", options))];

pub(super) fn data(options: &Options) -> Result<()> {
    let wanted = |name: &str| options.only.as_deref().is_none_or(|only| name.contains(only));
    PARTS.iter().filter(|(name, _)| wanted(name)).try_for_each(|(_, part)| part(options))
}
