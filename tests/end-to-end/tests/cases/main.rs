//! Inputs that failed once.

mod real_tables;
