//! The server as its clients see it, over real sockets: what it answers, refuses, bounds and ends.

mod answers;
mod bed;
mod connections;
mod draining;
mod exposition;
mod smuggling;
mod transport;
