//! The pipeline file: reading and checking it.
