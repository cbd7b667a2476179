//! Upper bounds on the limits of stages, by world.

use std::collections::BTreeMap;

use crate::limits::Limits;
use crate::world::World;

/// Upper bounds on the limits of a stage, by world: one ceiling for all worlds, with exceptions.
///
/// The default is [`Limits::greatest`], the most that any manifest may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ceilings {
    all: Limits,
    own: BTreeMap<World, Limits>,
}

impl Ceilings {
    /// Returns one ceiling for all worlds.
    pub fn all(ceiling: Limits) -> Self {
        Self { all: ceiling, own: BTreeMap::new() }
    }

    /// Returns the ceiling of a world.
    pub fn of(&self, world: World) -> &Limits {
        self.own.get(&world).unwrap_or(&self.all)
    }

    /// Sets the ceiling of one world.
    pub(crate) fn set(&mut self, world: World, ceiling: Limits) {
        self.own.insert(world, ceiling);
    }
}

impl Default for Ceilings {
    fn default() -> Self {
        Self::all(Limits::greatest())
    }
}
