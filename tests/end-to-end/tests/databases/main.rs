//! Pipelines whose source is a database server.

mod postgres;
