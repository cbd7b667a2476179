//! Hooks against a real registry, real servers and real programs.

mod commands;
mod encrypted;
mod follower;
mod place;
mod receiver;
mod requests;
mod two_processes;
