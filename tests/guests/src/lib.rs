//! Small stages that only tests and benchmarks run.
