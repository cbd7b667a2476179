//! Random numbers that depend on the stage's seed alone.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng as _, SeedableRng as _, TryRng};

/// A random number generator that can be reset while a [`WasiCtx`](wasmtime_wasi::WasiCtx) holds
/// it.
#[derive(Debug, Clone)]
pub(crate) struct SeededRng(Arc<Mutex<Pcg64Mcg>>);

impl SeededRng {
    fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Pcg64Mcg::seed_from_u64(seed))))
    }

    fn numbers(&self) -> std::sync::MutexGuard<'_, Pcg64Mcg> {
        // Any state of a generator is valid.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl TryRng for SeededRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.numbers().next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.numbers().next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.numbers().fill_bytes(bytes);
        Ok(())
    }
}

/// The generators of one instance: of WASI's secure and insecure random numbers.
#[derive(Debug, Clone)]
pub(crate) struct RandomNumbers {
    pub(super) seed: u64,
    pub(super) secure: SeededRng,
    pub(super) insecure: SeededRng,
}

impl RandomNumbers {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, secure: SeededRng::new(seed), insecure: SeededRng::new(seed ^ INSECURE) }
    }

    /// Resets both generators.
    pub(crate) fn restart(&self) {
        *self.secure.numbers() = Pcg64Mcg::seed_from_u64(self.seed);
        *self.insecure.numbers() = Pcg64Mcg::seed_from_u64(self.seed ^ INSECURE);
    }
}

/// Combined with the seed by XOR, so that the insecure numbers differ from the secure ones.
const INSECURE: u64 = 0x9e37_79b9_7f4a_7c15;
