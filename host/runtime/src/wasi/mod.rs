//! WASI for stages: virtual, deterministic, empty.
//!
//! Clocks start at the run's `as-of` and advance by a microsecond at each reading; sleeping
//! advances them without waiting. Random numbers come from the stage's seed. The environment and
//! standard input are empty; standard output and standard error become log lines. The file system
//! and sockets are linked only for components to which the manifest grants stubs; they are empty
//! and refuse every operation.

pub(crate) mod clock;
pub(crate) mod linker;
pub(crate) mod output;
pub(crate) mod random;
pub(crate) mod stubs;

use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use self::clock::VirtualClock;
use self::output::CapturedOutput;
use self::random::RandomNumbers;

/// Creates the WASI state of an instance.
///
/// This asks the system for random numbers, which a locked process cannot do. So one state serves
/// all instances of a process, and everything that an instance changes in it can be reset.
pub(crate) fn context(random: &RandomNumbers, clock: &VirtualClock, output: &CapturedOutput) -> WasiCtx {
    WasiCtxBuilder::new()
        .stdout(output.clone())
        .stderr(output.clone())
        .wall_clock(clock.clone())
        .secure_random(random.secure.clone())
        .insecure_random(random.insecure.clone())
        .insecure_random_seed(u128::from(random.seed))
        .max_random_size(1 << 20)
        .allow_udp(false)
        .allow_tcp(false)
        .build()
}
