//! The files of `deploy/` agree with the program and with each other. `cargo xtask deploy` runs the
//! tools that read them (kustomize, promtool, systemd-analyze, hadolint).
//!
//! No container, cluster or systemd is started here; docs/deploy.md says what was run by hand.

mod compose;
mod files;
mod image;
mod kubernetes;
mod metric_names;
mod observation;
mod service;
mod workflow;
