//! The readers on a real table.

mod real_tables;
