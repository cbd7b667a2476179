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

/// What a run is made of.
#[derive(Clone)]
pub struct Request {
    /// The pipeline.
    pub manifest: Arc<Manifest>,
    /// The manifest's text, for the record.
    pub manifest_text: String,
    /// Where everything is kept.
    pub home: Home,
    /// Runs components.
    pub sandbox: Arc<dyn Sandbox>,
    /// Decodes files.
    pub decoder: Arc<dyn Decode>,
    /// The component of each stage, by the stage's name, admitted.
    pub components: BTreeMap<StepId, Arc<Component>>,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
    /// How many instances may run at once.
    pub workers: usize,
    /// Stops it.
    pub cancel: Cancel,
    /// The stages to run.
    pub stages: RangeInclusive<World>,
    /// Of these, the one stage, or the one step of a stage that is several; `None`: all.
    pub only: Option<StepId>,
    /// The run whose artifacts the first stage works on, if it is not ingestion.
    pub base_run: Option<RunId>,
    /// Its place among the children of another run, if it is one.
    pub child: Option<ChildOf>,
    /// The changes of the command line to the manifest, for the record and for stages that follow.
    pub changes: serde_json::Value,
    /// Where the manifest comes from.
    pub code: Option<Code>,
    /// The tokens that sources need, by the variables that the manifest names. They are sent, and
    /// neither recorded nor shown.
    pub tokens: BTreeMap<String, String>,
    /// Where an approved candidate is copied to; `None`: nowhere.
    pub destination: Option<Arc<Destination>>,
    /// Which steps may take over what is on record.
    pub reuse: Reuse,
}

/// Which steps of a run may take over what is on record.
#[derive(Clone, Debug, Default)]
pub struct Reuse {
    /// No step may, but for what `resumed` brought to its end.
    pub nothing: bool,
    /// Steps that are executed whatever is on record.
    pub refresh: BTreeSet<StepId>,
    /// The run that this one goes on with. Its steps are taken over even where a step keeps no
    /// cache: what was executed for a run need not be executed for it twice.
    pub resumed: Option<RunId>,
    /// The walls that must stand around a step today, and must have stood around one that is taken
    /// over.
    pub walls: BTreeSet<&'static str>,
}
