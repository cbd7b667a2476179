//! The sandbox: runs stages as Wasm components. The only crate of the host that names wasmtime, besides serving.
//!
//! - `engine`: engine settings, pool, epochs. `bounds`: the operator's limits. `installation`: what
//!   a runtime works with; `component`: from a file to something that can be instantiated;
//!   `description`: what a component may say of itself; `admission`: what it may import; `version`: in which versions; `anatomy`: what its bytes
//!   say; `compile`: compiling in a child process; `cache`: compiled code on disk, authenticated; `sealed`: bytes in memory that nobody can change; `signature`: who
//!   vouches for a component; `envelope`: signed statements; `against`: where one differs from a
//!   folder of WIT.
//! - `walls`: which walls this host can put around a stage. `seat`: an instance that is called, wherever it runs. `call`: calls of exports as values, and an
//!   instance that performs them; `guest`: one instance and its limits; `wasi`: WASI, virtual; `far`: an instance in a process of its own, from both sides.
//! - `desk`: what answers a guest's imports, without an engine in mind; `desk/tables`, `blobs`, `sources`, `models`, `tracking`: the WIT
//!   interfaces of these names. `account`: what one instance uses. `ask`: imports as values; `imports`: from the engine to the desk. `batch`, `convert`: values across.
//! - `runtime`: the lifecycle's `ComponentSource`; `stages`: its `StageRunner`; `models`: its
//!   `ModelRunner`;
//!   `predictor`: transformers and predictors; `parallel`: several instances at once.
//!
//! Calls are synchronous, on the caller's thread: CPU time is then the thread's, an evaluator that waits for a prediction lends its thread to it, and
//! nothing can starve an async runtime. Host functions never block for long: clocks are virtual and sources watch the stage's deadline.

mod account;
mod admission;
#[cfg(feature = "compiler")]
mod against;
mod anatomy;
mod ask;
mod batch;
mod bindings;
mod bounds;
mod cache;
mod call;
mod compile;
mod component;
mod convert;
mod description;
mod desk;
mod engine;
mod envelope;
mod error;
mod far;
mod guest;
mod imports;
mod installation;
mod models;
mod parallel;
mod predictor;
mod runtime;
mod sealed;
mod seat;
mod signature;
mod stages;
mod version;
mod walls;
mod wasi;

pub use admission::Grant;
#[cfg(feature = "compiler")]
pub use against::WitDifference;
pub use anatomy::{Package, Provenance};
pub use bounds::Bounds;
pub use compile::{CompileLimit, Compiler, compile_if_asked};

pub use engine::EngineOptions;
pub use envelope::{EnvelopeError, sign_statement, signed_statement};
pub use error::RuntimeError;
pub use far::child::stage_process;
pub use far::decoder::decoder;
pub use installation::{Inspection, Installation, Origin, StageProcess, StoredTrust, Trust};
pub use runtime::{Runtime, StubGrants};
pub use signature::{PublicKey, SecretKey, SignatureError, Signatures, signature_file};
pub use stagewright_jail::Walls;
pub use walls::HostWalls;
