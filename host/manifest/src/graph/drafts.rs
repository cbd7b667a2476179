//! Stages as the file has them, before they are wired into a graph.

use crate::reader::Item;
use crate::world::World;

/// A stage as far as its place is concerned.
pub(crate) struct Draft<'a> {
    pub(crate) name: &'a str,
    /// `None` if it could not be read.
    pub(crate) world: Option<World>,
    /// The stage where it stands.
    pub(crate) item: Item<'a>,
    pub(crate) wires: Vec<Wire<'a>>,
}

/// A name under `inputs`.
pub(crate) struct Wire<'a> {
    pub(crate) port: &'a str,
    pub(crate) reference: &'a str,
    pub(crate) item: Item<'a>,
}

/// A port of a stage, and the stages that it comes from.
pub(super) struct Wired {
    pub(super) name: String,
    pub(super) artifact: &'static str,
    pub(super) from: Vec<usize>,
}

impl Draft<'_> {
    /// Reports a problem at the stage.
    pub(super) fn report(&self, message: String, hint: Option<String>) {
        self.item.report(message, hint);
    }
}
