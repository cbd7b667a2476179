//! The model card of a version: its origin, its intended use, its evaluation and its caveats.
//!
//! After Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019), with sections for lineage,
//! limits and history added. This module knows no registry: the caller fills a [`Card`] with
//! strings and numbers, and missing parts are shown as unknown.

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
