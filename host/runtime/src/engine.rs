//! The Wasm engine: its settings, its pool of memories, its clock.
//!
//! Settings that bind every stage (proposals, pool sizes) live here, the figures that an operator may want to change in `bounds`.

use std::time::Duration;

use stagewright_lifecycle::limits::Budget;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::bounds::Bounds;
use crate::error::RuntimeError;

/// How often running stages look at their budgets. Ten times the cost of one look (two clock readings) is still below 0.1 %.
const TICK: Duration = Duration::from_millis(5);

/// Linear memories at once, at least. Each reserves 4 GiB of address space, and no memory.
const LEAST_MEMORIES: u32 = 48;

/// Linear memories for each thread at work: a transformer and a predictor, and room for components
/// with several.
const MEMORIES_OF_A_THREAD: u32 = 6;

/// Linear memories for what no permit is asked for: an evaluator with the models that it asks.
const OTHER_MEMORIES: u32 = 8;

/// The slots of the pool: linear memories at once, and as many components.
pub(crate) fn pool_memories(budget: &Budget) -> u32 {
    let permits = u32::try_from(budget.permits()).unwrap_or(u32::MAX);
    permits.saturating_mul(MEMORIES_OF_A_THREAD).saturating_add(OTHER_MEMORIES).max(LEAST_MEMORIES)
}

/// Linear memories of one component, at most.
const MEMORIES_PER_COMPONENT: u32 = 8;

/// Core instances, and tables, of a usual component: a Python one has some 20. Address space only.
const INSTANCES_PER_COMPONENT: u32 = 24;

/// Memory that a freed slot keeps, so that the next instance does not pay for fresh pages (3 s per GB on small machines).
const KEEP_RESIDENT: usize = 16 << 20;

/// How components are compiled and run.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// Lets the compiler canonicalise every NaN, for bit-equal results across architectures. Batches are canonicalised at the boundary anyway.
    pub canonicalize_nans: bool,
    /// Switches epoch interruption off, as for code of stages' processes, which are killed. In this
    /// process it is for benchmarks only: without it, no limit on time holds.
    pub without_interruption: bool,
    /// Switches the limiter of memory, tables and instances off. For benchmarks only: without it, those limits do not hold.
    pub without_limiter: bool,
    /// What binds every stage.
    pub bounds: Bounds,
    /// The budget that all runs of this process share.
    pub budget: &'static Budget,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            canonicalize_nans: false,
            without_interruption: false,
            without_limiter: false,
            bounds: Bounds::default(),
            budget: Budget::of_machine(),
        }
    }
}

fn config(options: EngineOptions) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(!options.without_interruption)
        .relaxed_simd_deterministic(true)
        .max_wasm_stack(options.bounds.stack)
        // wasmtime wants it to be the larger of the two, although nothing here is asynchronous.
        .async_stack_size(options.bounds.stack + (1 << 20))
        // Tables for debuggers and for unwinders other than wasmtime's own; every start would read and verify them with the code.
        .generate_address_map(false)
        .native_unwind_info(false)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(16));
    #[cfg(feature = "compiler")]
    config.cranelift_nan_canonicalization(options.canonicalize_nans);
    config
}

fn pooling(bounds: &Bounds, budget: &Budget) -> PoolingAllocationConfig {
    let memories = pool_memories(budget);
    let instances = memories.saturating_mul(INSTANCES_PER_COMPONENT);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(memories)
        .total_component_instances(memories)
        .total_core_instances(instances)
        .total_tables(instances)
        .max_core_instances_per_component(bounds.instances as u32)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(bounds.instances as u32)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .table_elements(bounds.table_elements)
        // Stacks are for async calls, of which there are none. wasmtime would map a thousand, each with a guard page of its own; for none it maps nothing.
        .total_stacks(0)
        .max_memory_size(4 << 30)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Makes an engine; pooled where the address space allows, on demand elsewhere (edge boards may have 39 bits).
///
/// # Errors
/// The engine's settings are refused on this machine.
pub(crate) fn engine(options: EngineOptions) -> Result<wasmtime::Engine, RuntimeError> {
    let mut pooled = config(options);
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling(&options.bounds, options.budget)));
    let engine = match wasmtime::Engine::new(&pooled) {
        Ok(engine) => engine,
        Err(reason) => {
            tracing::debug!(%reason, "no pool of memories; allocating on demand");
            wasmtime::Engine::new(&config(options)).map_err(|error| RuntimeError::Engine(format!("{error:#}")))?
        }
    };
    if !options.without_interruption {
        tick(&engine);
    }
    Ok(engine)
}

/// An engine that loads compiled code and runs none: other processes do.
///
/// # Errors
/// The engine's settings are refused on this machine.
pub(crate) fn loading(options: EngineOptions) -> Result<wasmtime::Engine, RuntimeError> {
    wasmtime::Engine::new(&config(options)).map_err(|error| RuntimeError::Engine(format!("{error:#}")))
}

/// The engine of a stage's process: a pool of one component's memories, which is mapped before the
/// process locks itself in. Reserving address space afterwards is past its limit.
///
/// # Errors
/// The engine's settings are refused on this machine.
pub(crate) fn jailed(options: EngineOptions) -> Result<wasmtime::Engine, RuntimeError> {
    let mut pool = pooling(&options.bounds, options.budget);
    pool.total_memories(MEMORIES_PER_COMPONENT)
        .total_component_instances(1)
        .total_core_instances(options.bounds.instances as u32)
        .total_tables(options.bounds.instances as u32)
        .linear_memory_keep_resident(0)
        // It asks for a system call that the lock refuses.
        .pagemap_scan(Enabled::No);
    let mut config = config(options);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    wasmtime::Engine::new(&config).map_err(|error| RuntimeError::Engine(format!("{error:#}")))
}

/// Advances the engine's epoch from a thread of its own, until the engine is gone: never from an async runtime, whose only worker may be inside a stage.
fn tick(engine: &wasmtime::Engine) {
    let weak = engine.weak();
    let ticker = move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    };
    std::thread::Builder::new().name("epochs".into()).spawn(ticker).expect("a process can start one thread");
}

/// Lets this process open as many files as the system allows it: 1,024 shards of a training are as many blobs, and usual soft limits are 1,024 files. Where even the hard
/// limit is lower, opening the next file is an error of the host.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(reason) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::debug!(%reason, "the limit on open files stays as it is");
    }
}

/// An engine that only compiles: without the pool, whose address space a limited process does not have.
///
/// # Errors
/// The engine's settings are refused on this machine.
#[cfg(feature = "compiler")]
pub(crate) fn compiling(options: EngineOptions, baseline: bool) -> Result<wasmtime::Engine, RuntimeError> {
    let mut config = config(options);
    if baseline {
        // Naming a target switches off what wasmtime finds out about this very processor.
        let target = format!("{}-unknown-{}-gnu", std::env::consts::ARCH, std::env::consts::OS);
        config.target(&target).map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
    }
    wasmtime::Engine::new(&config).map_err(|error| RuntimeError::Engine(format!("{error:#}")))
}

/// What names of compiled files say about what made them. A build without the compiler computes the same, so wasmtime's own hash cannot be asked; and what
/// this leaves out (features of the processor, tunables), wasmtime checks when it loads a file.
pub(crate) fn settings(options: EngineOptions) -> String {
    let (nans, epochs) = (options.canonicalize_nans, !options.without_interruption);
    let (wasmtime, architecture, system) = (env!("STAGEWRIGHT_WASMTIME"), std::env::consts::ARCH, std::env::consts::OS);
    let settings = format!("{wasmtime} {architecture} {system} {nans} {epochs}");
    blake3::hash(settings.as_bytes()).to_hex()[..16].to_owned()
}

// Without the compiler there is nothing to compile the tests' module with.
#[cfg(all(test, feature = "compiler"))]
mod tests {
    use super::*;
    use wasmtime::{Instance, Module, Store};

    /// `(module (func (export "f") (param f64 f64) (result i64) (i64.reinterpret_f64 (f64.div (local.get 0) (local.get 1)))))`
    const DIVISION: &[u8] = b"\0asm\x01\0\0\0\x01\x07\x01\x60\x02\x7c\x7c\x01\x7e\x03\x02\x01\0\x07\x05\x01\x01f\0\0\
        \x0a\x0a\x01\x08\0\x20\0\x20\x01\xa3\xbd\x0b";

    fn divided(options: EngineOptions, numerator: f64, denominator: f64) -> u64 {
        let engine = engine(EngineOptions { without_interruption: true, ..options }).expect("an engine");
        let module = Module::new(&engine, DIVISION).expect("the module is valid");
        let mut store = Store::new(&engine, ());
        let instance = Instance::new(&mut store, &module, &[]).expect("the module imports nothing");
        let function = instance.get_typed_func::<(f64, f64), i64>(&mut store, "f").expect("the export is there");
        function.call(&mut store, (numerator, denominator)).expect("division does not trap") as u64
    }

    #[test]
    fn every_nan_is_the_canonical_one_if_the_compiler_is_asked() {
        let options = EngineOptions { canonicalize_nans: true, ..EngineOptions::default() };
        let strange = f64::from_bits(0xfff8_0000_0000_beef);
        for (numerator, denominator) in [(0.0, 0.0), (strange, 1.0), (1.0, strange), (f64::INFINITY, f64::INFINITY)] {
            let bits = divided(options, numerator, denominator);
            assert_eq!(bits, 0x7ff8_0000_0000_0000, "{numerator} / {denominator}");
        }
        // What the option is for: without it, the payload passes.
        assert_ne!(divided(EngineOptions::default(), strange, 1.0), 0x7ff8_0000_0000_0000);
    }

    #[test]
    fn instances_come_from_the_pool() {
        let engine = engine(EngineOptions::default()).expect("an engine");
        let pool = engine.pooling_allocator_metrics().expect("a pool; this machine has address space for it");
        assert_eq!(pool.core_instances(), 0);
        let module = Module::new(&engine, DIVISION).expect("the module is valid");
        let mut store = Store::new(&engine, ());
        Instance::new(&mut store, &module, &[]).expect("the pool has room");
        assert_eq!((pool.core_instances(), pool.stacks()), (1, 0));
        drop(store);
        assert_eq!(pool.core_instances(), 0);
    }

    #[test]
    fn code_compiled_with_other_options_is_other_code_to_the_cache() {
        let canonical = EngineOptions { canonicalize_nans: true, ..EngineOptions::default() };
        assert_ne!(settings(canonical), settings(EngineOptions::default()));
        assert_eq!(settings(EngineOptions::default()), settings(EngineOptions::default()));
    }
}
