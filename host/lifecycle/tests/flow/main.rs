//! The flow of a run with fake stages: no Wasm, a real home.

mod caching;
mod children;
mod failing;
mod fake;
mod fake_table;
mod graphs;
mod invocations;
mod judging;
mod lineage;
mod portable;
mod preparing;
mod reproducing;
mod semantics;
mod strange_records;
mod taking_over;
mod test_bed;
mod whole;
