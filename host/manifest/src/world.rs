//! The worlds of the contract in the order of the lifecycle: its six stages, and the preparation
//! that a graph may have between the first two.
//!
//! [`WORLDS`] is the one place that says what a world is: which interfaces its components export
//! and import, what they may use, and what they are to a model. Whoever wants to know asks it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::Limits;
use crate::step_id::StepId;

/// A stage of the lifecycle, named after the WIT world that its component implements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum World {
    /// Data from outside becomes a table.
    Ingestion,
    /// Tables become one table.
    Preparation,
    /// The table is checked.
    Validation,
    /// Raw columns become features.
    Transformation,
    /// Features become a model.
    Training,
    /// The model is judged.
    Evaluation,
    /// The model is promoted or not.
    Promotion,
}

/// The contract of a world. Interfaces are named as in WIT, without their package.
#[derive(Debug)]
pub struct Contract {
    /// The world.
    pub world: World,
    /// Its name in manifests, arguments and messages.
    pub name: &'static str,
    /// The interfaces that its components export besides `metadata`. The first tells the world from
    /// all others.
    pub exports: &'static [&'static str],
    /// The interfaces that its components export if they like.
    pub optional: &'static [&'static str],
    /// The interfaces that its components may import besides `types` and WASI.
    pub imports: &'static [&'static str],
    /// The limits of a stage if the manifest does not say.
    pub limits: fn() -> Limits,
    /// Whether the stage is handed a source, for which the host may ask servers.
    pub reads_sources: bool,
    /// The steps before it that it works on.
    pub inputs: &'static [Port],
    /// The artifacts that it works on under names that the manifest chooses, at least one of them.
    pub named_inputs: Option<Port>,
    /// The names of the artifacts that it makes.
    pub outputs: &'static [&'static str],
    /// Whether it is known which rows of the source its rows are: of the source's own table, and of
    /// what is made of it row by row.
    pub rows_are_the_sources: bool,
    /// Whether each pipeline has such a stage.
    pub is_required: bool,
    /// Whether the component learns: it and what it learnt are a part of the model.
    pub is_learnt: bool,
}

/// An input of a stage: which other stages it may come from.
#[derive(Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name under `inputs`; empty where the manifest chooses it.
    pub name: &'static str,
    /// The worlds whose stages make such a thing.
    pub from: &'static [World],
    /// The name of the artifact there.
    pub artifact: &'static str,
    /// Whether it may come from several stages: then the stage works once for each of them.
    pub is_many: bool,
}

/// A table of rows, as data come in or as it was made of such.
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
        outputs: &["response", "signature", "table"],
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
        outputs: &["signature", "table"],
        // Its faults name rows of tables of which it has several.
        rows_are_the_sources: false,
        is_required: false,
        is_learnt: false,
    },
    Contract {
        world: World::Validation,
        name: "validation",
        exports: &["validate"],
        optional: &[],
        imports: &["tables", "tracking"],
        limits: Limits::of_findings,
        reads_sources: false,
        inputs: &[TABLE],
        named_inputs: None,
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
    /// The port under which a stage has an input of this name, if it can have one.
    pub(crate) fn port(&'static self, name: &str) -> Option<&'static Port> {
        self.inputs.iter().find(|port| port.name == name).or(self.named_inputs.as_ref())
    }

    /// All ports, also those to which the manifest gives names.
    pub(crate) fn ports(&'static self) -> impl Iterator<Item = &'static Port> {
        self.inputs.iter().chain(&self.named_inputs)
    }
}

impl World {
    /// All of them, in lifecycle order.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator + Clone {
        WORLDS.iter().map(|contract| contract.world)
    }

    /// Its contract.
    ///
    /// # Panics
    /// Never: each world has a row in [`WORLDS`].
    pub fn contract(self) -> &'static Contract {
        WORLDS.iter().find(|contract| contract.world == self).expect("each world has a row")
    }

    /// The limits of a stage of this world where the manifest sets none.
    pub fn default_limits(self) -> Limits {
        (self.contract().limits)()
    }

    /// The word in manifests, arguments and messages.
    pub fn as_str(self) -> &'static str {
        self.contract().name
    }

    /// The world of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        WORLDS.iter().find(|contract| contract.name == name).map(|contract| contract.world)
    }

    /// Those of which each pipeline has a stage, in lifecycle order.
    pub fn required() -> impl Iterator<Item = Self> + Clone {
        Self::all().filter(|world| world.contract().is_required)
    }

    /// All names in lifecycle order, for messages.
    pub(crate) fn order() -> String {
        let names: Vec<&str> = Self::all().map(Self::as_str).collect();
        names.join(", ")
    }

    /// The names of the six stages in their order, for messages.
    pub(crate) fn order_of_six() -> String {
        let names: Vec<&str> = Self::required().map(Self::as_str).collect();
        names.join(", ")
    }
}

impl From<World> for StepId {
    /// The name of a stage in a pipeline of six, where each is named after its world.
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
