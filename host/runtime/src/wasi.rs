//! WASI as stages get it: virtual, deterministic, empty.
//!
//! Clocks start at the run's `as-of` and advance by a microsecond a reading; sleeping advances them without waiting. Random numbers come from the
//! stage's seed. The environment is empty, standard input too; standard output and error become log lines. File system and sockets are linked only for
//! components that the manifest gives stubs, and then hold nothing and refuse everything.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand_pcg::Pcg64Mcg;
use rand_pcg::rand_core::{Rng as _, SeedableRng as _, TryRng};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::bindings::{self, clocks, random};
use wasmtime_wasi::p2::{DynPollable, OutputStream, Pollable, StreamResult, subscribe};
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::ask::Host;
use crate::guest::Guest;
use crate::version::Name;

/// How far a clock moves at each reading, nanoseconds.
const STEP: u64 = 1_000;

/// What is kept of a guest's standard error, to be shown when it crashes.
const STDERR_KEPT: usize = 16 << 10;

/// A clock that moves only when it is looked at.
#[derive(Debug, Clone)]
pub(crate) struct VirtualClock {
    start: Duration,
    elapsed: Arc<AtomicU64>,
}

impl VirtualClock {
    /// A clock that starts `as_of` microseconds after the epoch (not before it).
    pub(crate) fn new(as_of: i64) -> Self {
        Self { start: Duration::from_micros(as_of.max(0) as u64), elapsed: Arc::default() }
    }

    /// As at the begin.
    pub(crate) fn restart(&self) {
        self.elapsed.store(0, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.elapsed.fetch_add(STEP, Ordering::Relaxed)
    }
}

impl HostWallClock for VirtualClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(STEP)
    }

    fn now(&self) -> Duration {
        self.start + Duration::from_nanos(self.read())
    }
}

/// A timer that is over as soon as somebody waits for it: the clock jumps to its end.
struct Timer {
    until: u64,
    elapsed: Arc<AtomicU64>,
}

#[wasmtime_wasi::async_trait]
impl Pollable for Timer {
    async fn ready(&mut self) {
        self.elapsed.fetch_max(self.until, Ordering::Relaxed);
    }
}

/// What WASI's monotonic clock needs of a guest.
pub(crate) struct ClockView<'a> {
    clock: &'a VirtualClock,
    table: &'a mut ResourceTable,
}

impl ClockView<'_> {
    fn timer(&mut self, until: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let timer = self.table.push(Timer { until, elapsed: self.clock.elapsed.clone() })?;
        subscribe(self.table, timer)
    }
}

impl clocks::monotonic_clock::Host for ClockView<'_> {
    fn now(&mut self) -> wasmtime::Result<u64> {
        Ok(self.clock.read())
    }

    fn resolution(&mut self) -> wasmtime::Result<u64> {
        Ok(STEP)
    }

    fn subscribe_instant(&mut self, when: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.timer(when)
    }

    fn subscribe_duration(&mut self, duration: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let until = self.clock.elapsed.load(Ordering::Relaxed).saturating_add(duration);
        self.timer(until)
    }
}

/// What a guest wrote to standard output and error during one call, and what of it came last: a panic's message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Written(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    /// Lines that did not fit.
    dropped: u64,
    /// What was taken last.
    last: String,
}

/// What a guest wrote during one call.
pub(crate) struct Taken {
    /// The text, as far as it was kept.
    pub(crate) text: String,
    /// How many lines were not.
    pub(crate) dropped: u64,
}

impl Written {
    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        // Every change under this lock leaves it whole.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes what was written since the last time.
    pub(crate) fn take(&self) -> Taken {
        let mut kept = self.kept();
        let text = String::from_utf8_lossy(&std::mem::take(&mut kept.bytes)).into_owned();
        if !text.is_empty() {
            kept.last.clone_from(&text);
        }
        Taken { text, dropped: std::mem::take(&mut kept.dropped) }
    }

    /// Forgets everything.
    pub(crate) fn restart(&self) {
        *self.kept() = Kept::default();
    }

    /// What was taken last.
    pub(crate) fn last(&self) -> String {
        self.kept().last.trim().to_owned()
    }
}

impl OutputStream for Written {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        let mut kept = self.kept();
        let room = STDERR_KEPT.saturating_sub(kept.bytes.len());
        let (fits, rest) = bytes.split_at(bytes.len().min(room));
        kept.bytes.extend_from_slice(fits);
        if !rest.is_empty() {
            kept.dropped += (rest.iter().filter(|byte| **byte == b'\n').count() as u64).max(1);
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(STDERR_KEPT)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Written {
    async fn ready(&mut self) {}
}

impl IsTerminal for Written {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Written {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
}

/// Random numbers that can be begun anew under a context that has them.
#[derive(Debug, Clone)]
pub(crate) struct Seeded(Arc<Mutex<Pcg64Mcg>>);

impl Seeded {
    fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Pcg64Mcg::seed_from_u64(seed))))
    }

    fn numbers(&self) -> std::sync::MutexGuard<'_, Pcg64Mcg> {
        // A state that was left half way is a state all the same.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl TryRng for Seeded {
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

/// The random numbers of one instance: WASI's secure ones, and the insecure ones.
#[derive(Debug, Clone)]
pub(crate) struct Randoms {
    seed: u64,
    secure: Seeded,
    insecure: Seeded,
}

impl Randoms {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, secure: Seeded::new(seed), insecure: Seeded::new(seed ^ INSECURE) }
    }

    /// As at the begin.
    pub(crate) fn restart(&self) {
        *self.secure.numbers() = Pcg64Mcg::seed_from_u64(self.seed);
        *self.insecure.numbers() = Pcg64Mcg::seed_from_u64(self.seed ^ INSECURE);
    }
}

/// The difference between the insecure numbers' seed and the secure ones'.
const INSECURE: u64 = 0x9e37_79b9_7f4a_7c15;

/// The WASI state of one instance. To make one asks the system for random numbers, which a locked
/// process cannot; so it serves one instance after the other, and everything that an instance
/// changes in it can be begun anew.
pub(crate) fn context(randoms: &Randoms, clock: &VirtualClock, written: &Written) -> WasiCtx {
    WasiCtxBuilder::new()
        .stdout(written.clone())
        .stderr(written.clone())
        .wall_clock(clock.clone())
        .secure_random(randoms.secure.clone())
        .insecure_random(randoms.insecure.clone())
        .insecure_random_seed(u128::from(randoms.seed))
        .max_random_size(1 << 20)
        .allow_udp(false)
        .allow_tcp(false)
        .build()
}

struct Clocks;

impl HasData for Clocks {
    type Data<'a> = ClockView<'a>;
}

struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

impl<D: Send> WasiView for Guest<D> {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Which always-failing parts of WASI a component may link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Stubs {
    pub(crate) filesystem: bool,
    pub(crate) sockets: bool,
}

impl Stubs {
    /// Those of these names; others are none of today's.
    pub(crate) fn named(names: &[String]) -> Self {
        let has = |name: &str| names.iter().any(|stub| stub == name);
        Self { filesystem: has("filesystem"), sockets: has("sockets") }
    }

    /// Their names, as manifests and models have them.
    pub(crate) fn names(self) -> Vec<String> {
        let names = [("filesystem", self.filesystem), ("sockets", self.sockets)];
        names.into_iter().filter(|(_, granted)| *granted).map(|(name, _)| name.to_owned()).collect()
    }
}

/// The interfaces that every stage gets, by package.
const ALWAYS: [(&str, &[&str]); 4] = [
    ("wasi:io", &["error", "poll", "streams"]),
    (
        "wasi:cli",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("wasi:clocks", &["monotonic-clock", "wall-clock"]),
    ("wasi:random", &["random", "insecure", "insecure-seed"]),
];

/// The interfaces that the stub of the file system adds.
const FILESYSTEM: (&str, &[&str]) = ("wasi:filesystem", &["types", "preopens"]);

/// The interfaces that the stub of sockets adds.
const SOCKETS: (&str, &[&str]) = (
    "wasi:sockets",
    &["tcp", "udp", "tcp-create-socket", "udp-create-socket", "instance-network", "network", "ip-name-lookup"],
);

/// Whether an import is part of the WASI that every stage gets, or that these stubs add.
pub(crate) fn grants(import: &str, stubs: Stubs) -> bool {
    let Some(name) = Name::parse(import).filter(Name::is_of_our_wasi) else { return false };
    let is = |(package, interfaces): &(&str, &[&str])| name.package == *package && interfaces.contains(&name.interface);
    ALWAYS.iter().any(is) || (stubs.filesystem && is(&FILESYSTEM)) || (stubs.sockets && is(&SOCKETS))
}

/// Whether an import is of a package of WASI that a stage may get, in a version that none gets.
pub(crate) fn is_of_another_version(import: &str) -> bool {
    let mut packages = ALWAYS.iter().chain([&FILESYSTEM, &SOCKETS]).map(|(package, _)| *package);
    Name::parse(import).is_some_and(|name| !name.is_of_our_wasi() && packages.any(|package| package == name.package))
}

/// Links WASI as described above.
pub(crate) fn link<D: Host>(linker: &mut Linker<Guest<D>>, stubs: Stubs) -> wasmtime::Result<()> {
    use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
    use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
    use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
    use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
    use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};

    wasmtime_wasi_io::bindings::wasi::io::error::add_to_linker::<_, Io>(linker, |guest| &mut guest.table)?;
    bindings::sync::io::poll::add_to_linker::<_, Io>(linker, |guest| &mut guest.table)?;
    bindings::sync::io::streams::add_to_linker::<_, Io>(linker, |guest| &mut guest.table)?;
    clocks::monotonic_clock::add_to_linker::<_, Clocks>(linker, |guest| ClockView {
        clock: &guest.clock,
        table: &mut guest.table,
    })?;
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, Guest::<D>::clocks)?;
    random::random::add_to_linker::<_, WasiRandom>(linker, Guest::<D>::random)?;
    random::insecure::add_to_linker::<_, WasiRandom>(linker, Guest::<D>::random)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, Guest::<D>::random)?;
    bindings::cli::exit::add_to_linker::<_, WasiCli>(linker, Guest::<D>::cli)?;
    bindings::cli::environment::add_to_linker::<_, WasiCli>(linker, Guest::<D>::cli)?;
    bindings::cli::stdin::add_to_linker::<_, WasiCli>(linker, Guest::<D>::cli)?;
    bindings::cli::stdout::add_to_linker::<_, WasiCli>(linker, Guest::<D>::cli)?;
    bindings::cli::stderr::add_to_linker::<_, WasiCli>(linker, Guest::<D>::cli)?;
    bindings::cli::terminal_input::add_to_linker::<_, WasiCli>(linker, Guest::<D>::cli)?;
    bindings::cli::terminal_output::add_to_linker::<_, WasiCli>(linker, Guest::<D>::cli)?;
    bindings::cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, Guest::<D>::cli)?;
    bindings::cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, Guest::<D>::cli)?;
    bindings::cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, Guest::<D>::cli)?;
    if stubs.filesystem {
        bindings::sync::filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, Guest::<D>::filesystem)?;
        bindings::filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, Guest::<D>::filesystem)?;
    }
    if stubs.sockets {
        let options = bindings::sockets::network::LinkOptions::default();
        bindings::sync::sockets::tcp::add_to_linker::<_, WasiSockets>(linker, Guest::<D>::sockets)?;
        bindings::sync::sockets::udp::add_to_linker::<_, WasiSockets>(linker, Guest::<D>::sockets)?;
        bindings::sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(linker, Guest::<D>::sockets)?;
        bindings::sync::sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(linker, Guest::<D>::sockets)?;
        bindings::sockets::instance_network::add_to_linker::<_, WasiSockets>(linker, Guest::<D>::sockets)?;
        bindings::sockets::network::add_to_linker::<_, WasiSockets>(linker, &options, Guest::<D>::sockets)?;
        bindings::sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, Guest::<D>::sockets)?;
    }
    Ok(())
}
