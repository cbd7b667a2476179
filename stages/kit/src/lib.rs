//! What the author of a Rust stage uses.
