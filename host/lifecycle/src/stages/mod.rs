//! The six stages: what the host does around each call into the sandbox. One file each, in the
//! lifecycle's order; and `weights`, which two of them check.

pub(crate) mod evaluation;
pub(crate) mod ingestion;
pub(crate) mod promotion;
pub(crate) mod training;
pub(crate) mod transformation;
pub(crate) mod validation;
pub(crate) mod weights;
