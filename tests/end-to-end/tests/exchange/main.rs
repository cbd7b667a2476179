//! The program beside other MLflow servers: runs that are logged to one, and imports from one.

mod client;
mod faults;
mod faulty;
mod imports;
mod killed;
mod logged;
#[path = "../tracking/server.rs"]
mod server;
mod stock;
