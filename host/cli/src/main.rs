//! The command line: wires everything.
fn main() {}
