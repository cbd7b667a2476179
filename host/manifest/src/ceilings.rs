//! The most that stages may be given, by world.

use std::collections::BTreeMap;

use crate::limits::Limits;
use crate::world::World;

/// The most that a stage of each world may be given: one ceiling for all, and what differs from it.
///
/// By default it is [`Limits::greatest`], the most that any manifest may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceilings {
    all: Limits,
    own: BTreeMap<World, Limits>,
}

impl Ceilings {
    /// The same for every world.
    pub fn all(ceiling: Limits) -> Self {
        Self { all: ceiling, own: BTreeMap::new() }
    }

    /// That of a world.
    pub fn of(&self, world: World) -> &Limits {
        self.own.get(&world).unwrap_or(&self.all)
    }

    /// Gives a world a ceiling of its own.
    pub(crate) fn set(&mut self, world: World, ceiling: Limits) {
        self.own.insert(world, ceiling);
    }
}

impl Default for Ceilings {
    fn default() -> Self {
        Self::all(Limits::greatest())
    }
}
