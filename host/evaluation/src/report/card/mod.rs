//! The model card of a version: what it is, what it is for, how it was measured, and what to beware of.
//!
//! After Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019), whose sections it follows; lineage, limits and the
//! history of the version are added. Nothing is known here of registries: the caller fills a [`Card`] with strings and
//! numbers, and whatever it leaves out is said to be unknown.

mod caveats;
mod content;
mod dataset;
mod evaluated;
mod render;
mod sections;

pub use content::{
    Card, CardData, CardDetails, CardEvaluation, CardEvent, CardLimits, DataField, IntendedUse, JudgedAgainst,
    VersionVerdict,
};
