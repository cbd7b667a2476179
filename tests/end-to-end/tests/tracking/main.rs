//! The program as a tracking server.

mod accounts;
mod artifacts;
mod compatibility;
mod crowd;
mod frame;
mod loading;
mod lost;
mod models_pages;
mod notebook;
mod parts;
mod pipelines;
mod runs_pages;
mod server;
mod session;
mod shared;
mod together;
mod webhooks;
