//! The commands that people run.
fn main() {}
