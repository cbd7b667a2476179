//! Row 28: every import of `wit/` and of WASI is called for ever. Each call ends at a limit that is
//! named.

use std::collections::BTreeSet;
use std::sync::Arc;

use misbehave::{Call, Export, Misdeed, WasiCall};
use stagewright_hostile::{Attempt, Workshop, guests};
use stagewright_manifest::World;
use stagewright_runtime::StubGrants;

use crate::misdeeds::{attempt, judge_as};
use crate::plans::Expect;

/// The imports of all worlds, which the build script found in `wit/`.
const IMPORTS: &str = include_str!(concat!(env!("OUT_DIR"), "/imports.txt"));

/// The source that links WASI.
const LINKED: &str = include_str!("../../../../host/runtime/src/wasi/linker.rs");

/// Interfaces that are linked but that a stage cannot call, because it gets no handle or they have
/// no functions.
const OUT_OF_REACH: &[&str] = &[
    // No stream of ours returns such an error.
    "wasi:io/error",
    // There is no terminal.
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    // There is no open folder.
    "wasi:filesystem/types",
    // A network does nothing, and sockets are refused.
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/udp",
];

/// Returns where an import is called, and the limit that ends it. There is no wildcard: an import
/// of `misbehave` without a limit does not compile, and an import of `wit/` that `misbehave` lacks
/// fails the suite.
fn limit_of(call: Call) -> (Export, &'static str) {
    match call {
        Call::Fields | Call::Roles | Call::Rows | Call::Select | Call::Read => (Export::Fit, "cpu"),
        Call::NewTableWriter | Call::FinishTable => (Export::Ingest, "artifacts"),
        Call::WriteTable => (Export::Ingest, "output"),
        Call::Size | Call::ReadBlob | Call::NewBlobWriter => (Export::Train, "cpu"),
        Call::WriteBlob => (Export::Train, "output"),
        Call::FinishBlob => (Export::Fit, "artifacts"),
        Call::Open => (Export::Ingest, "openings of sources"),
        Call::CursorFields | Call::Next => (Export::Ingest, "cpu"),
        Call::Outputs | Call::Predict | Call::Importance => (Export::Evaluate, "cpu"),
        Call::Log | Call::Progress => (Export::Decide, "cpu"),
        Call::Metric | Call::Count | Call::AddFigure => (Export::Validate, "cpu"),
    }
}

/// Calls every import of `wit/`.
pub(crate) fn imports(workshop: &Workshop) -> usize {
    let tried: BTreeSet<&str> = Call::ALL.iter().map(|call| call.name()).collect();
    assert_eq!(tried, IMPORTS.lines().collect(), "`wit/` has other imports than `misbehave` calls");
    for call in Call::ALL.iter().copied() {
        let (export, key) = limit_of(call);
        let limits: &[&str] = match key {
            "cpu" => &["limits.cpu=100 ms"],
            "output" => &["limits.output=64 KiB"],
            _ => &[],
        };
        let parameters = [format!("call=\"{}\"", call.name())];
        let ended = attempt(workshop, Misdeed::CallForEver, export, limits, &parameters);
        judge_as(workshop, &format!("`{}`", call.name()), export, Expect::Limit(key), &ended);
    }
    Call::ALL.len()
}

/// Returns the interfaces of WASI that are linked.
fn linked() -> BTreeSet<String> {
    let interface = |line: &str| {
        let path = line.trim().strip_suffix('(').unwrap_or(line.trim()).split("::add_to_linker").next()?;
        let mut parts = path.rsplit("::");
        let (name, package) = (parts.next()?, parts.next()?);
        Some(format!("wasi:{package}/{}", name.replace('_', "-")))
    };
    LINKED.lines().filter(|line| line.contains("::add_to_linker")).filter_map(interface).collect()
}

/// Calls every function of WASI that a stage can reach.
pub(crate) fn wasi(workshop: &Workshop) -> usize {
    let interface = |call: &WasiCall| call.name().split_once('#').map(|(interface, _)| interface.to_owned());
    let tried: BTreeSet<String> = WasiCall::ALL.iter().filter_map(interface).collect();
    let all = tried.into_iter().chain(OUT_OF_REACH.iter().map(|&name| name.to_owned())).collect::<BTreeSet<_>>();
    assert_eq!(all, linked(), "host/runtime/src/wasi/linker.rs links other interfaces than are tried here");

    let bytes = std::fs::read(guests().join("misbehave-wasi.wasm")).expect("a guest: run `cargo xtask stages`");
    let stubs = StubGrants { filesystem: true, sockets: true };
    let component = workshop.resolve(World::Ingestion, "misbehave-wasi", &bytes, stubs).expect("with stubs it links");
    for call in WasiCall::ALL.iter().copied() {
        let ended = workshop.attempt(&Attempt {
            component: Some(Arc::clone(&component)),
            set: vec![
                "ingestion.component=misbehave-wasi".into(),
                "ingestion.limits.cpu=100 ms".into(),
                format!("ingestion.call=\"{}\"", call.name()),
            ],
            ..Attempt::of(World::Ingestion..=World::Ingestion)
        });
        let expect = match call {
            // It can be called only once.
            WasiCall::Exit => Expect::Fault("trap", &["crashed in"]),
            _ => Expect::Limit("cpu"),
        };
        judge_as(workshop, &format!("`{}`", call.name()), Export::Ingest, expect, &ended);
    }
    WasiCall::ALL.len()
}
