//! The flow of a run over made-up stages: no Wasm, a real home.

mod bed;
mod failing;
mod fake;
mod invocations;
mod judging;
mod taking_over;
mod whole;
