//! The request for a run.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use stagewright_data::Decode;
use stagewright_manifest::{Manifest, StepId, World};
use stagewright_promotion::Destination;
use stagewright_store::{Home, RunId};

use crate::limits::Cancel;
use crate::model::Code;
use crate::observer::Observer;
use crate::run::config::ChildOf;
use crate::sandbox::{Component, Sandbox};

/// Everything that a run is made from.
#[derive(Clone)]
pub struct Request {
    /// The pipeline.
    pub manifest: Arc<Manifest>,
    /// The manifest's text, which is recorded.
    pub manifest_text: String,
    /// The home with the registry and the artifacts.
    pub home: Home,
    /// The sandbox that runs components.
    pub sandbox: Arc<dyn Sandbox>,
    /// The decoder of files.
    pub decoder: Arc<dyn Decode>,
    /// The admitted component of each stage, by the stage's name.
    pub components: BTreeMap<StepId, Arc<Component>>,
    /// The observer.
    pub observer: Arc<dyn Observer>,
    /// The number of instances that may run at once.
    pub workers: usize,
    /// The token that cancels the run.
    pub cancel: Cancel,
    /// The first and the last stage to run.
    pub stages: RangeInclusive<World>,
    /// The one stage or step to run, if it is not the whole range.
    pub only: Option<StepId>,
    /// The run whose artifacts this one starts from, if the first stage is not ingestion.
    pub base_run: Option<RunId>,
    /// The place among the children of another run, if this is a child.
    pub child: Option<ChildOf>,
    /// The command line's changes to the manifest. They are recorded, and apply to stages that are
    /// run later.
    pub changes: serde_json::Value,
    /// The commit that the manifest came from.
    pub code: Option<Code>,
    /// The tokens for sources, by the names of the variables in the manifest. They are sent to
    /// servers, and neither recorded nor shown.
    pub tokens: BTreeMap<String, String>,
    /// The credentials and the address of the store of objects, for sources. Its secrets are
    /// neither recorded nor shown.
    pub s3: stagewright_promotion::Settings,
    /// The location to which an approved candidate is copied, if there is one.
    pub destination: Option<Arc<Destination>>,
    /// The steps that may reuse recorded results.
    pub reuse: Reuse,
}

/// The steps of a run that may reuse recorded results.
#[derive(Clone, Debug, Default)]
pub struct Reuse {
    /// Whether no step may reuse a result, other than those of the `resumed` run.
    pub nothing: bool,
    /// The steps that are executed in any case.
    pub refresh: BTreeSet<StepId>,
    /// The run that this one resumes. Its completed steps are reused, even those of stages without
    /// a cache, because they belong to the same work.
    pub resumed: Option<RunId>,
    /// The walls that every call of a step must have. A result is reused only if all its calls had
    /// them.
    pub walls: BTreeSet<&'static str>,
}
