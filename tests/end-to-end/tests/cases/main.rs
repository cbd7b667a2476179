//! Inputs that once failed.

mod real_tables;
