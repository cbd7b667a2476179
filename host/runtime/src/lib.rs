//! The sandbox: runs stages as Wasm components. Besides serving, this is the only crate of the host
//! that depends on wasmtime.
//!
//! [`Runtime`] implements the lifecycle's traits `ComponentSource`, `StageRunner` and `ModelRunner`
//! over an [`Installation`]. A component passes through these modules, from its file to a result:
//!
//! - `catalog` resolves it: `signature` and `envelope` verify who vouches for it,
//!   `component_sections` reads its imports, exports and metadata, `version` and `admission` decide
//!   whether its imports are granted, `compile` compiles it in a child process, `cache` keeps the
//!   compiled code authenticated on disk and `sealed` in memory, `description` checks what the
//!   component says about itself. `code` is the result.
//! - `stage_instance` is an instance that can be called: a `local_instance` in this process, whose
//!   `store_data` holds its virtual `wasi`, or one in a stage process (`process`). `export_call`
//!   and `import_call` are the calls of both directions as values.
//! - `stage_host` answers an instance's imports without depending on the engine, and charges them
//!   to the `account` of the instance; `imports` connects it to the generated `bindings`. `batch`
//!   and `convert` convert values.
//! - `stage_runner`, `model_runner` and `predictor` call the exports; `parallel` distributes work
//!   over several instances.
//! - `engine` and `bounds` hold the engine's settings and the operator's limits, `walls` the walls
//!   that this host can build. `wit_comparison` explains a refused component to its author.
//!
//! Calls are synchronous and run on the caller's thread. Their CPU time is then the thread's, an
//! evaluator that waits for a prediction lends its thread to it, and no async runtime can be
//! starved. Host functions never block for long: clocks are virtual, and sources observe the
//! stage's deadline.
//!
//! # Examples
//!
//! Reads a component without compiling or running any of it:
//!
//! ```
//! use stagewright_runtime::{Compiler, EngineOptions, Installation, Origin, Runtime, StubGrants};
//!
//! let folder = tempfile::tempdir()?;
//! let installation = Installation::new(folder.path().join("cache"), Vec::new(), Compiler::Absent);
//! let runtime = Runtime::open(installation, EngineOptions::default())?;
//!
//! // The smallest component: it imports and exports nothing.
//! let file = folder.path().join("empty.wasm");
//! std::fs::write(&file, b"\0asm\x0d\0\x01\0")?;
//! let inspection = runtime.inspect("empty", &Origin::File(file), StubGrants::default())?;
//! assert_eq!(inspection.size, 8);
//! assert!(inspection.imports.is_empty() && inspection.worlds.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod account;
mod admission;
mod batch;
mod bindings;
mod bounds;
mod cache;
mod catalog;
mod code;
mod compile;
mod component_sections;
mod convert;
mod description;
mod engine;
mod envelope;
mod error;
mod export_call;
mod fed;
#[cfg(all(test, feature = "compiler"))]
mod guests;
mod import_call;
mod imports;
mod installation;
mod kept_model;
mod local_instance;
mod model_runner;
mod parallel;
mod predictor;
mod predictor_outputs;
mod process;
mod resource_types;
mod runtime;
mod sealed;
mod session;
mod signature;
mod stage_host;
mod stage_instance;
mod stage_runner;
mod store_data;
mod transformer_features;
mod version;
mod walls;
mod wasi;
#[cfg(feature = "compiler")]
mod wit_comparison;

pub use admission::Grant;
pub use bounds::Bounds;
pub use compile::{Compiler, compile_if_asked};
pub use component_sections::{Package, Provenance};
pub use engine::EngineOptions;
pub use envelope::{EnvelopeError, sign_statement, signed_statement};
pub use error::{CompileLimit, Refusal, RuntimeError};
pub use installation::{Inspection, Installation, Origin, StageProcess, StoredTrust, Trust};
pub use kept_model::KeptModel;
pub use process::child::stage_process;
pub use process::decoder_parent::decoder;

pub use runtime::{Runtime, StubGrants};
pub use signature::{PublicKey, SecretKey, SignatureError, Signatures, signature_file};
pub use stagewright_jail::Walls;
pub use walls::HostWalls;
#[cfg(feature = "compiler")]
pub use wit_comparison::WitDifference;
