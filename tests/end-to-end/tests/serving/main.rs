//! Predictions over HTTP, by the real program.

mod compatibility;
