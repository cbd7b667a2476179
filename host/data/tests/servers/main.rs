//! Rows of real servers.

#![cfg(feature = "postgres")]

mod hostile;
mod postgres;
