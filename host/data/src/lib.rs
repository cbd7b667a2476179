//! Data from outside: signatures, sources, splits.
