//! The files of `deploy/` agree with the program and with each other. `cargo xtask deploy` runs the
//! tools that read them (kustomize, promtool, systemd-analyze, hadolint).
//!
//! A server is started for what needs one, and Prometheus where it is installed. No container,
//! cluster or systemd is; docs/deploy.md says what was run by hand.

mod compose;
mod files;
mod image;
mod kubernetes;
mod live;
mod metric_names;
mod observation;
mod running;
mod service;
mod workflow;
