//! The text that `stagewright` prints when nothing else is typed: the commands that come first.

/// The first commands, in the order in which one needs them.
#[cfg(feature = "pipelines")]
const FIRST: &str = "\
Trains, evaluates and promotes models as pipelines of sandboxed WebAssembly components.

Begin with a table of your own:

  # looks at the table and writes pipeline.toml
  stagewright init churn.csv

  # trains a model, and makes it the champion if it passes the gates
  stagewright run pipeline.toml

  # predicts new rows with the champion, which `stagewright models` lists
  stagewright predict MODEL --input rows.csv

All commands: stagewright --help
";

/// The first commands of a build that only serves.
#[cfg(not(feature = "pipelines"))]
const FIRST: &str = "\
Serves predictions of models that another host trained.

  # serves a model of the home's registry, or of a production location
  stagewright serve MODEL
  stagewright serve MODEL --from FOLDER

  # predicts new rows
  stagewright predict MODEL --input rows.csv

All commands: stagewright --help
";

/// Prints the greeting on standard error: a script that forgot its arguments must not take it for a
/// result.
pub(crate) fn show() {
    eprint!("stagewright {}\n{FIRST}", env!("CARGO_PKG_VERSION"));
}
