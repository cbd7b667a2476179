//! Whole pipelines on real tables.

mod real_tables;
