//! The program beside other MLflow servers: runs that are logged to one, and imports from one.

mod client;
mod faults;
mod faulty;
mod imports;
mod killed;
mod logged;
#[path = "../tracking/server.rs"]
#[expect(dead_code, reason = "the tests of the tracking server use the rest of it")]
mod server;
mod stock;
