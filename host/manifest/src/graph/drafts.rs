//! Stages as read, before they are connected.

use crate::problem::Condition;
use crate::reader::Item;
use crate::world::World;

/// A stage with what matters for its place in the graph.
pub(crate) struct Draft<'a> {
    pub(crate) name: &'a str,
    /// `None` if it could not be read.
    pub(crate) world: Option<World>,
    /// The stage's key and value in the file.
    pub(crate) item: Item<'a>,
    pub(crate) wires: Vec<Wire<'a>>,
}

/// An entry under `inputs`.
pub(crate) struct Wire<'a> {
    pub(crate) port: &'a str,
    pub(crate) reference: &'a str,
    pub(crate) item: Item<'a>,
}

/// A resolved input: its name, and the indices of the stages that it comes from.
pub(super) struct Wired {
    pub(super) name: String,
    pub(super) artifact: &'static str,
    pub(super) from: Vec<usize>,
}

impl Draft<'_> {
    /// Reports a problem at the stage.
    pub(super) fn report(&self, message: String, hint: Option<String>) {
        self.item.report_as(Condition::Wiring, message, hint);
    }
}
