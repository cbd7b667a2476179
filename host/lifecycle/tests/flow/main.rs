//! The flow of a run over made-up stages: no Wasm, a real home.

mod bed;
mod caching;
mod children;
mod failing;
mod fake;
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
mod whole;
