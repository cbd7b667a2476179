//! Reading a real table.

mod real_tables;
mod requests;
