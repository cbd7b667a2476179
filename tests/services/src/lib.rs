//! Real services for tests: what a deployment has beside the binary.

pub mod postgres;
