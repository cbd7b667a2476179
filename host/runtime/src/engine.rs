//! The Wasm engine: its settings, its pool of memories, its epoch clock.
//!
//! Fixed settings (Wasm proposals, pool sizes) are defined here, and settings that an operator may
//! change in `bounds`.

use std::time::Duration;

use stagewright_lifecycle::limits::Budget;
use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::bounds::Bounds;
use crate::error::RuntimeError;

/// How often running stages check their limits. A check reads two clocks; even ten times its cost
/// would be below 0.1 % of this interval.
const TICK: Duration = Duration::from_millis(5);

/// The least number of linear memories in the pool. Each reserves 4 GiB of address space, but no
/// memory.
const LEAST_MEMORIES: u32 = 48;

/// Linear memories for each working thread: a transformer and a predictor, and room for components
/// with several memories.
const MEMORIES_OF_A_THREAD: u32 = 6;

/// Linear memories for work that needs no permit: an evaluator and the models that it asks.
const OTHER_MEMORIES: u32 = 8;

/// Returns the size of the pool: the number of linear memories, and of components, at once.
pub(crate) fn pool_memories(budget: &Budget) -> u32 {
    let permits = u32::try_from(budget.permits()).unwrap_or(u32::MAX);
    permits.saturating_mul(MEMORIES_OF_A_THREAD).saturating_add(OTHER_MEMORIES).max(LEAST_MEMORIES)
}

/// The most linear memories of one component.
const MEMORIES_PER_COMPONENT: u32 = 8;

/// Core instances, and tables, of a usual component; a Python one has some 20. They cost address
/// space only.
const INSTANCES_PER_COMPONENT: u32 = 24;

/// Memory that a freed slot keeps, in bytes, so that the next instance does not pay for fresh pages
/// (3 s per GB on small machines).
const KEEP_RESIDENT: usize = 16 << 20;

/// How components are compiled and run.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions {
    /// Canonicalises every NaN, for bit-equal results across architectures. NaNs in batches are
    /// always canonicalised at the boundary.
    pub canonicalize_nans: bool,
    /// Disables epoch interruption, as in stage processes, which are killed instead. In this
    /// process, for benchmarks only: no limit on time is enforced without it.
    pub without_interruption: bool,
    /// Disables the limits on memory, tables and instances. For benchmarks only.
    pub without_limiter: bool,
    /// The operator's limits.
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
        // wasmtime requires this to be larger than the Wasm stack, although nothing here is async.
        .async_stack_size(options.bounds.stack + (1 << 20))
        // Tables for debuggers and other unwinders than wasmtime's own. Every start would have to
        // read and verify them with the code.
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
        // Stacks are for async calls, of which there are none. By default, wasmtime maps a
        // thousand, each with a guard page.
        .total_stacks(0)
        .max_memory_size(4 << 30)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// Creates an engine. Its instances come from a pool where the address space allows one, and are
/// allocated on demand elsewhere (edge boards may have 39 bits).
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

/// Creates an engine that loads compiled code but does not run it, since stage processes do.
///
/// # Errors
/// The engine's settings are refused on this machine.
pub(crate) fn loading(options: EngineOptions) -> Result<wasmtime::Engine, RuntimeError> {
    wasmtime::Engine::new(&config(options)).map_err(|error| RuntimeError::Engine(format!("{error:#}")))
}

/// Creates the engine of a stage process. Its pool has the memories of `components` and is mapped
/// before the process locks itself in; reserving address space later exceeds the process's limit.
///
/// # Errors
/// The engine's settings are refused on this machine.
pub(crate) fn jailed(options: EngineOptions, components: u32) -> Result<wasmtime::Engine, RuntimeError> {
    let mut pool = pooling(&options.bounds, options.budget);
    let instances = (options.bounds.instances as u32).saturating_mul(components);
    pool.total_memories(MEMORIES_PER_COMPONENT.saturating_mul(components))
        .total_component_instances(components)
        .total_core_instances(instances)
        .total_tables(instances)
        .linear_memory_keep_resident(0)
        // This needs a system call that the lock refuses.
        .pagemap_scan(Enabled::No);
    let mut config = config(options);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    wasmtime::Engine::new(&config).map_err(|error| RuntimeError::Engine(format!("{error:#}")))
}

/// Starts a thread that advances the engine's epoch until the engine is dropped. An async runtime
/// could not do this, since its only worker may be inside a stage.
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

/// Raises this process's limit on open files to the hard limit. A training with 1,024 shards has as
/// many open blobs, and the usual soft limit is 1,024 files. If the hard limit is too low as well,
/// opening a file fails with an error of the host.
pub(crate) fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(reason) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::debug!(%reason, "the limit on open files stays as it is");
    }
}

/// Creates an engine that only compiles. It has no pool, since the limits of the compiler's process
/// do not allow its address space.
///
/// # Errors
/// The engine's settings are refused on this machine.
#[cfg(feature = "compiler")]
pub(crate) fn compiling(options: EngineOptions, baseline: bool) -> Result<wasmtime::Engine, RuntimeError> {
    let mut config = config(options);
    if baseline {
        // With an explicit target, wasmtime does not use the features of this processor.
        let target = format!("{}-unknown-{}-gnu", std::env::consts::ARCH, std::env::consts::OS);
        config.target(&target).map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
    }
    wasmtime::Engine::new(&config).map_err(|error| RuntimeError::Engine(format!("{error:#}")))
}

/// Returns a hash of the settings that compiled code depends on, for file names. A build without
/// the compiler must compute the same, so wasmtime's own hash cannot be used. What this leaves out
/// (features of the processor, tunables), wasmtime checks when it loads a file.
pub(crate) fn settings(options: EngineOptions) -> String {
    let (nans, epochs) = (options.canonicalize_nans, !options.without_interruption);
    let (wasmtime, architecture, system) = (env!("STAGEWRIGHT_WASMTIME"), std::env::consts::ARCH, std::env::consts::OS);
    let settings = format!("{wasmtime} {architecture} {system} {nans} {epochs}");
    blake3::hash(settings.as_bytes()).to_hex()[..16].to_owned()
}

// The tests compile a module.
#[cfg(all(test, feature = "compiler"))]
mod tests {
    use super::*;
    use wasmtime::{Instance, Module, Store};

    /// A module with one function, which divides:
    ///
    /// ```wat
    /// (module (func (export "f") (param f64 f64) (result i64)
    ///     (i64.reinterpret_f64 (f64.div (local.get 0) (local.get 1)))))
    /// ```
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
        // Without the option, the payload of the NaN is preserved.
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
