//! The keys that a run adds to the manifest's effective configuration when it records it.

/// The run whose artifacts this one starts from.
pub const BASE_RUN: &str = "upon";
/// The changes that the command line made to the manifest.
pub const CHANGES: &str = "changes";
/// The first and the last stage.
pub const RANGE: &str = "range";
/// The one stage or step, where the run is not to do all steps of its range.
pub const ONLY: &str = "only";
/// The run that this one resumes.
pub const RESUMES: &str = "resumes";
