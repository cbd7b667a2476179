//! Changes of a manifest for one run, which `run`, `plan`, `resume` and `stage run` take.

use clap::Args;
use serde::{Deserialize, Serialize, Serializer};
use stagewright_manifest::{Overrides, without_password};

/// Changes of a manifest for one run. All but `workers` and `locked` are recorded with the run, and
/// hold for the stages that are run on its artifacts.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct Changes {
    /// Sets a key of a stage: its component, a limit, or a parameter of its component. Repeatable.
    #[arg(long = "set", value_name = "STAGE.KEY=VALUE")]
    #[serde(serialize_with = "without_passwords")]
    pub(crate) set: Vec<String>,
    /// Reads a source from another place: `csv:FILE`, `jsonl:FILE`, `parquet:FILE`, `arrow:FILE`,
    /// `sqlite:FILE#TABLE`, `postgresql://USER@HOST/DATABASE#TABLE`, or `parquet:FOLDER/` for all
    /// files in it. Repeatable.
    #[arg(long = "source", value_name = "NAME=URI")]
    #[serde(serialize_with = "without_passwords")]
    pub(crate) sources: Vec<String>,
    /// The seed of every random choice.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// The number of instances that may run at once. Results do not depend on it. [default: the
    /// number of cores]
    #[arg(long)]
    #[serde(skip)]
    pub(crate) workers: Option<usize>,
    /// The experiment that the run belongs to.
    #[arg(long, value_name = "NAME")]
    pub(crate) experiment_name: Option<String>,
    /// The name under which the model is registered.
    #[arg(long, value_name = "NAME")]
    pub(crate) register_name: Option<String>,
    /// Refuses components that `stagewright.lock` does not pin, instead of pinning them.
    #[arg(long)]
    #[serde(skip)]
    pub(crate) locked: bool,
}

/// Writes changes without the passwords of databases in them, since they are kept with the run.
fn without_passwords<S: Serializer>(changes: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(changes.iter().map(|change| without_password(change)))
}

impl Changes {
    /// These changes as the manifest takes them.
    pub(crate) fn overrides(&self) -> Overrides {
        Overrides {
            set: self.set.clone(),
            sources: self.sources.clone(),
            seed: self.seed,
            workers: self.workers,
            experiment: self.experiment_name.clone(),
            register_name: self.register_name.clone(),
        }
    }

    /// Returns these changes on top of those of an earlier run; these win.
    pub(crate) fn after(&self, mut earlier: Self) -> Self {
        // If a component is replaced, the parameters of the old one have no meaning; the stage's
        // limits stay.
        for stage in self.set.iter().filter_map(|set| set.split_once('=')?.0.strip_suffix(".component")) {
            let (own, limits) = (format!("{stage}."), format!("{stage}.limits."));
            earlier.set.retain(|set| !set.starts_with(&own) || set.starts_with(&limits));
        }
        let joined = |earlier: Vec<String>, later: &[String]| earlier.into_iter().chain(later.to_vec()).collect();
        Self {
            set: joined(earlier.set, &self.set),
            sources: joined(earlier.sources, &self.sources),
            seed: self.seed.or(earlier.seed),
            workers: self.workers,
            experiment_name: self.experiment_name.clone().or(earlier.experiment_name),
            register_name: self.register_name.clone().or(earlier.register_name),
            locked: self.locked,
        }
    }
}
