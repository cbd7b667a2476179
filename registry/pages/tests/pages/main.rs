//! The pages over a registry: that they show everything, escape everything, and say the same as
//! JSON.

mod documents;
mod escaping;
mod rights;
mod runs;
mod world;
