//! The worlds of the contract in lifecycle order: its six stages, and the preparation that a graph
//! may have between the first two.
//!
//! [`WORLDS`] is the one place that describes them: the interfaces that components of a world
//! export and import, their inputs and outputs, their default limits, and whether they are part of
//! a model.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::step_id::StepId;

/// A kind of stage, named after the WIT world that its component implements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum World {
    /// Makes a table from outside data.
    Ingestion,
    /// Makes one table of several.
    Preparation,
    /// Checks a table.
    Validation,
    /// Turns raw columns into features.
    Transformation,
    /// Learns a model from features.
    Training,
    /// Judges a model.
    Evaluation,
    /// Decides whether a model is promoted.
    Promotion,
}

/// The contract of a world. Interfaces are named as in WIT, without their package.
#[derive(Debug)]
pub struct Contract {
    /// The world.
    pub world: World,
    /// The name in manifests, arguments and messages.
    pub name: &'static str,
    /// The interfaces that components export besides `metadata`. The first identifies the world.
    pub exports: &'static [&'static str],
    /// The interfaces that components may export.
    pub optional: &'static [&'static str],
    /// The interfaces that components may import besides `types` and WASI.
    pub imports: &'static [&'static str],
    /// Returns the default limits.
    pub limits: fn() -> Limits,
    /// Whether the stage reads a source, for which the host may contact servers.
    pub reads_sources: bool,
    /// The inputs that come from earlier steps.
    pub inputs: &'static [Port],
    /// The inputs whose names the manifest chooses; at least one of them, if `inputs` is empty.
    pub named_inputs: Option<Port>,
    /// The names of the artifacts that the stage makes.
    pub outputs: &'static [&'static str],
    /// Whether the rows of the stage's table correspond to rows of the source: the source's own
    /// table, and tables made of it row by row.
    pub rows_are_the_sources: bool,
    /// Whether every pipeline has a stage of this world.
    pub is_required: bool,
    /// Whether the component and its learnt state are part of the model.
    pub is_learnt: bool,
}

/// An input of a stage.
#[derive(Debug, PartialEq, Eq)]
pub struct Port {
    /// The name under `inputs`; empty if the manifest chooses it.
    pub name: &'static str,
    /// The worlds whose stages make such an artifact.
    pub from: &'static [World],
    /// The name of the artifact there.
    pub artifact: &'static str,
    /// Whether it may come from several stages. The stage then runs once for each.
    pub is_many: bool,
}

/// A table of rows, ingested or prepared.
const TABLE: Port =
    Port { name: "table", from: &[World::Ingestion, World::Preparation], artifact: "table", is_many: false };

/// All worlds, in lifecycle order.
pub const WORLDS: &[Contract] = &[
    Contract {
        world: World::Ingestion,
        name: "ingestion",
        exports: &["ingest"],
        optional: &[],
        imports: &["tables", "sources", "tracking"],
        limits: Limits::of_tables,
        reads_sources: true,
        inputs: &[],
        named_inputs: None,
        outputs: &["objects", "response", "signature", "table"],
        rows_are_the_sources: true,
        is_required: true,
        is_learnt: false,
    },
    Contract {
        world: World::Preparation,
        name: "preparation",
        exports: &["prepare"],
        optional: &[],
        imports: &["tables", "tracking"],
        limits: Limits::of_tables,
        reads_sources: false,
        inputs: &[],
        named_inputs: Some(Port { name: "", ..TABLE }),
        outputs: &["figures", "report", "signature", "table"],
        // Faults name rows of several tables.
        rows_are_the_sources: false,
        is_required: false,
        is_learnt: false,
    },
    Contract {
        world: World::Validation,
        name: "validation",
        exports: &["validate"],
        optional: &["assess"],
        imports: &["tables", "tracking"],
        limits: Limits::of_findings,
        reads_sources: false,
        inputs: &[TABLE],
        // The other tables that it compares with.
        named_inputs: Some(Port { name: "", ..TABLE }),
        outputs: &["findings", "report"],
        rows_are_the_sources: true,
        is_required: true,
        is_learnt: false,
    },
    Contract {
        world: World::Transformation,
        name: "transformation",
        exports: &["transform"],
        optional: &["rebalance"],
        imports: &["tables", "blobs", "tracking"],
        limits: Limits::of_tables,
        reads_sources: false,
        inputs: &[TABLE],
        named_inputs: None,
        outputs: &[
            "features-train",
            "features-validation",
            "split",
            "state",
            "task",
            "test",
            "test-rows",
            "train",
            "validation",
        ],
        rows_are_the_sources: true,
        is_required: true,
        is_learnt: true,
    },
    Contract {
        world: World::Training,
        name: "training",
        exports: &["train", "predict"],
        optional: &["shards"],
        imports: &["tables", "blobs", "tracking"],
        limits: Limits::of_learning,
        reads_sources: false,
        inputs: &[Port {
            name: "features",
            from: &[World::Transformation],
            artifact: "features-train",
            is_many: false,
        }],
        named_inputs: None,
        outputs: &["importance", "model", "training-component", "transformation-component"],
        rows_are_the_sources: false,
        is_required: true,
        is_learnt: true,
    },
    Contract {
        world: World::Evaluation,
        name: "evaluation",
        exports: &["evaluate"],
        optional: &[],
        imports: &["tables", "models", "tracking"],
        limits: Limits::of_judging,
        reads_sources: false,
        inputs: &[Port { name: "models", from: &[World::Training], artifact: "model", is_many: true }],
        named_inputs: None,
        outputs: &["compared", "evaluation", "predictions", "report"],
        rows_are_the_sources: false,
        is_required: true,
        is_learnt: false,
    },
    Contract {
        world: World::Promotion,
        name: "promotion",
        exports: &["decide"],
        optional: &[],
        imports: &["tracking"],
        limits: Limits::of_deciding,
        reads_sources: false,
        inputs: &[Port { name: "evaluation", from: &[World::Evaluation], artifact: "evaluation", is_many: false }],
        named_inputs: None,
        outputs: &["decision"],
        rows_are_the_sources: false,
        is_required: true,
        is_learnt: false,
    },
];

impl Contract {
    /// Returns the port for an input of this name, if there is one.
    pub(crate) fn port(&'static self, name: &str) -> Option<&'static Port> {
        self.inputs.iter().find(|port| port.name == name).or(self.named_inputs.as_ref())
    }

    /// Returns all ports, including the one for inputs that the manifest names.
    pub(crate) fn ports(&'static self) -> impl Iterator<Item = &'static Port> {
        self.inputs.iter().chain(&self.named_inputs)
    }
}

impl World {
    /// Returns all worlds, in lifecycle order.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator + Clone {
        WORLDS.iter().map(|contract| contract.world)
    }

    /// Returns the contract.
    ///
    /// # Panics
    /// Never: each world has a row in [`WORLDS`].
    pub fn contract(self) -> &'static Contract {
        WORLDS.iter().find(|contract| contract.world == self).expect("each world has a row")
    }

    /// Returns the limits of a stage of this world where the manifest sets none.
    pub fn default_limits(self) -> Limits {
        (self.contract().limits)()
    }

    /// Returns the name in manifests, arguments and messages.
    pub fn as_str(self) -> &'static str {
        self.contract().name
    }

    /// Returns the world of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        WORLDS.iter().find(|contract| contract.name == name).map(|contract| contract.world)
    }

    /// Returns the worlds of which every pipeline has a stage, in lifecycle order.
    pub fn required() -> impl Iterator<Item = Self> + Clone {
        Self::all().filter(|world| world.contract().is_required)
    }

    /// Returns all names in lifecycle order, for messages.
    pub(crate) fn order() -> String {
        let names: Vec<&str> = Self::all().map(Self::as_str).collect();
        names.join(", ")
    }

    /// Returns the names of the six required worlds in lifecycle order, for messages.
    pub(crate) fn order_of_six() -> String {
        let names: Vec<&str> = Self::required().map(Self::as_str).collect();
        names.join(", ")
    }
}

impl From<World> for StepId {
    /// Returns the name of this world's stage in a pipeline of six.
    fn from(world: World) -> Self {
        Self::unchecked(world.as_str())
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no [`World`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a stage\nhint: use one of {order}", order = World::order())]
pub struct UnknownWorld(String);

impl FromStr for World {
    type Err = UnknownWorld;

    fn from_str(text: &str) -> Result<Self, UnknownWorld> {
        Self::from_name(text).ok_or_else(|| UnknownWorld(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_world_has_one_row_in_lifecycle_order_and_its_name_is_the_one_that_is_stored() {
        use World::{Evaluation, Ingestion, Preparation, Promotion, Training, Transformation, Validation};
        let all = [Ingestion, Preparation, Validation, Transformation, Training, Evaluation, Promotion];
        assert_eq!(World::all().collect::<Vec<_>>(), all);
        assert_eq!(World::required().count(), 6, "a graph alone has preparations");
        assert!(all.is_sorted(), "worlds are compared by their place");
        for world in all {
            assert_eq!(world.contract().world, world);
            assert_eq!(World::from_name(world.as_str()), Some(world));
            assert_eq!(serde_json::to_value(world).expect("a word"), world.as_str());
        }
    }

    #[test]
    fn no_two_worlds_export_the_same_interface() {
        let exports = || WORLDS.iter().flat_map(|contract| contract.exports.iter().chain(contract.optional));
        assert_eq!(exports().collect::<BTreeSet<_>>().len(), exports().count());
        assert!(WORLDS.iter().all(|contract| !contract.exports.is_empty()), "the first export tells the world");
    }
}
