//! The program as a tracking server.

mod artifacts;
mod frame;
mod lost;
mod pipelines;
mod server;
mod session;
mod shared;
