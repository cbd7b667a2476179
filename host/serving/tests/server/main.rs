//! The server as its clients see it, over real sockets: what it answers, refuses, bounds and ends.

mod answers;
mod bed;
mod connections;
mod deployments;
mod draining;
mod exposition;
mod mutated;
mod shadows;
mod smuggling;
mod transport;
