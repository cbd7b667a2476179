//! Components that are expensive to compile on purpose, with the real binary as the compiler's
//! child.

#![cfg(feature = "compiler")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use stagewright_manifest::World;
use stagewright_runtime::{
    CompileLimit, Compiler, EngineOptions, Installation, Origin, Refusal, Runtime, RuntimeError, StubGrants,
};

fn built(variable: &str, place: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = std::env::var_os(variable).map_or_else(|| root.join("target/release").join(place), PathBuf::from);
    assert!(path.exists(), "{} is missing: run `cargo xtask test`, which builds it", path.display());
    path
}

/// A cache of its own, and the binary that compiles into it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn cache(&self) -> PathBuf {
        self.0.path().join("components")
    }

    fn installation(&self) -> Installation {
        Installation::new(self.cache(), Vec::new(), Compiler::Program(built("STAGEWRIGHT_BIN", "stagewright")))
    }

    fn cached(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.cache()).expect("the cache").flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Origin {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("room");
        Origin::File(path)
    }
}

fn resolve(runtime: &Runtime, origin: &Origin) -> Result<(), RuntimeError> {
    runtime.resolve(World::Promotion, "guest", origin, StubGrants::default()).map(drop)
}

fn good() -> Vec<u8> {
    std::fs::read(built("STAGEWRIGHT_GUESTS", "guests").join("empty-promotion.wasm")).expect("a guest")
}

/// An unsigned LEB128 number.
fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(content.len()), content].concat()
}

/// A good component with one more module in it, whose only function has `loops` loops after one
/// another, each of which changes all of its `locals`: as many values to merge at each loop as
/// there are locals, which is what compilers keep tables of.
fn bomb(loops: usize, locals: usize) -> Vec<u8> {
    let mut code = [&[1][..], &leb(locals), &[0x7e]].concat(); // locals of one kind: i64
    let mut body = Vec::new();
    for local in 0..locals {
        // local = local + local of the next
        body.extend(
            [&[0x20][..], &leb(local), &[0x20], &leb((local + 1) % locals), &[0x7c, 0x21], &leb(local)].concat(),
        );
    }
    for _ in 0..loops {
        code.extend([0x03, 0x40]); // loop
        code.extend(&body);
        code.extend([0x20, 0x00, 0x50, 0x0d, 0x00, 0x0b]); // again if the first local is zero; end
    }
    code.push(0x0b);
    let function = [leb(code.len()), code].concat();
    let module = [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[1, 0]),
        section(10, &[leb(1), function].concat()),
    ]
    .concat();
    [good(), section(1, &module)].concat()
}

/// After a refused component, nothing is in the cache, and a good component still compiles and is
/// cached.
fn the_next_one_works(place: &Place, runtime: &Runtime) {
    assert_eq!(place.cached(), Vec::<String>::new());
    let origin = place.write("good.wasm", &good());
    resolve(runtime, &origin).expect("a good component");
    let cached = place.cached();
    assert!(cached.iter().any(|name| name.ends_with(".cwasm")) && cached.len() == 2, "{cached:?}");
}

// invariant: A component that exhausts memory or time during compilation ends only its compiler
// process and leaves nothing in the cache.
#[test]
fn a_component_that_takes_all_memory_to_compile_is_refused_and_the_next_one_works() {
    let place = Place::new();
    let mut installation = place.installation();
    installation.limits.memory = 192 << 20;
    let runtime = Runtime::open(installation, EngineOptions::default()).expect("an engine");
    let refused = resolve(&runtime, &place.write("bomb.wasm", &bomb(1500, 500))).expect_err("a bomb");
    let RuntimeError::CompileLimit { limit: CompileLimit::Memory, used, allowed, .. } = refused else {
        panic!("{refused:?}");
    };
    assert!(used >= allowed && allowed == 192 << 20, "{refused}");
    let text = refused.to_string();
    assert!(text.starts_with("compiling component `guest` ran past its limit of 192.0 MiB memory: it used "), "{text}");
    the_next_one_works(&place, &runtime);
}

// invariant: as `a_component_that_takes_all_memory_to_compile_is_refused_and_the_next_one_works`
#[test]
fn a_component_that_takes_for_ever_to_compile_is_killed_and_the_next_one_works() {
    let place = Place::new();
    let mut installation = place.installation();
    installation.limits.wall = Duration::from_millis(300);
    let runtime = Runtime::open(installation, EngineOptions::default()).expect("an engine");
    let start = Instant::now();
    let refused = resolve(&runtime, &place.write("bomb.wasm", &bomb(1500, 500))).expect_err("a bomb");
    let RuntimeError::CompileLimit { limit: CompileLimit::Wall, used, allowed, .. } = refused else {
        panic!("{refused:?}");
    };
    assert!(used >= allowed && start.elapsed() < Duration::from_secs(60), "{refused}");
    assert!(refused.to_string().contains("limit of 0.30 s wall"), "{refused}");
    // A good component takes less than the default on any machine, but perhaps not less than this.
    let runtime = Runtime::open(place.installation(), EngineOptions::default()).expect("an engine");
    the_next_one_works(&place, &runtime);
}

#[test]
fn a_component_that_is_too_large_is_not_even_read() {
    let place = Place::new();
    let mut installation = place.installation();
    installation.limits.size = 100_000;
    let runtime = Runtime::open(installation, EngineOptions::default()).expect("an engine");
    let refused = resolve(&runtime, &place.write("good.wasm", &good())).expect_err("too large");
    assert!(matches!(refused, RuntimeError::CompileLimit { limit: CompileLimit::Size, .. }), "{refused:?}");
}

#[test]
fn what_is_no_component_and_what_is_not_trusted_is_refused_before_it_is_compiled() {
    let place = Place::new();
    // This installation has no compiler.
    let absent = Installation { compiler: Compiler::Absent, ..place.installation() };
    let runtime = Runtime::open(absent, EngineOptions::default()).expect("an engine");
    let text = resolve(&runtime, &place.write("text.wasm", b"(component)")).expect_err("text");
    assert!(matches!(text, RuntimeError::Invalid { .. }), "{text:?}");
    let origin = place.write("good.wasm", &good());
    let foreign = runtime.resolve(World::Training, "guest", &origin, StubGrants::default()).expect_err("another world");
    assert!(matches!(foreign, RuntimeError::World { .. }), "{foreign:?}");
    let distrust = |_| Err(RuntimeError::Refused { refusal: Refusal::Signature, message: "no".into(), hint: None });
    let refused = runtime.resolve_trusted(World::Promotion, "guest", &origin, StubGrants::default(), &distrust);
    assert!(matches!(refused, Err(RuntimeError::Refused { .. })), "{refused:?}");
    // A function body that no decoder accepts. The child finds it and says why.
    let runtime = Runtime::open(place.installation(), EngineOptions::default()).expect("an engine");
    let module =
        [b"\0asm\x01\0\0\0".to_vec(), section(1, &[1, 0x60, 0, 0]), section(3, &[1, 0]), section(10, &[1, 2, 0, 0xff])]
            .concat();
    let broken = place.write("broken.wasm", &[good(), section(1, &module)].concat());
    let invalid = resolve(&runtime, &broken).expect_err("an unknown opcode");
    assert!(invalid.to_string().starts_with("`guest` is not a valid component: "), "{invalid}");
}

/// Changes the version in the names of a good component's interfaces to another one of the same
/// length.
fn renamed(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = good();
    let places: Vec<usize> = bytes
        .windows(from.len())
        .enumerate()
        .filter(|(_, found)| *found == from.as_bytes())
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty(), "no `{from}`");
    places.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to.as_bytes()));
    bytes
}

#[test]
fn another_version_of_the_contract_or_of_wasi_is_refused_before_a_compiler_starts() {
    let place = Place::new();
    // Everything that reaches the compiler fails in another way.
    let compiler = Compiler::Program(place.0.path().join("no such program"));
    let runtime = Runtime::open(Installation { compiler, ..place.installation() }, EngineOptions::default());
    let runtime = runtime.expect("an engine");
    let refusal =
        |bytes: &[u8]| resolve(&runtime, &place.write("x.wasm", bytes)).expect_err("nothing is compiled here");
    let started = refusal(&good());
    assert!(matches!(started, RuntimeError::Compiler { .. }), "a good one is to be compiled: {started:?}");

    for other in ["0.0.9", "0.9.0", "1.0.0"] {
        let refused = refusal(&renamed("@0.2.0", &format!("@{other}")));
        assert!(matches!(&refused, RuntimeError::Contract { found, .. } if found == other), "{refused:?}");
        let text = refused.to_string();
        assert_eq!(text, format!("component `guest` speaks contract {other}, and this version runs 0.2.0"));
        let hint = refused.hint().expect("a hint");
        assert!(hint.contains("with stagewright-kit 0.2.0: `cargo build --release --target wasm32-wasip2`"), "{hint}");
        assert_eq!(hint.starts_with("use a newer stagewright; or "), other != "0.0.9", "{hint}");
    }
    let mixed = refusal(&renamed("stage/decide@0.2.0", "stage/decide@0.3.0"));
    assert!(matches!(&mixed, RuntimeError::Contract { found, .. } if found == "0.2.0, 0.3.0"), "{mixed:?}");

    for other in ["0.3.0", "0.1.9"] {
        let refused = refusal(&renamed("wasi:io/poll@0.2.6", &format!("wasi:io/poll@{other}")));
        assert_eq!(
            refused.to_string(),
            format!("component `guest` imports `wasi:io/poll@{other}`: stages get WASI 0.2")
        );
        assert_eq!(refused.hint().as_deref(), Some("build it for WASI 0.2 (componentize-qjs: --sync)"));
    }
    assert_eq!(place.cached(), Vec::<String>::new());
}

#[test]
fn newer_patches_of_the_contract_and_of_wasi_run() {
    let place = Place::new();
    let runtime = Runtime::open(place.installation(), EngineOptions::default()).expect("an engine");
    // All names, or only those that it exports or imports: each is compared by itself.
    for (from, to) in [("@0.2.0", "@0.2.7"), ("stage/decide@0.2.0", "stage/decide@0.2.7"), ("@0.2.6", "@0.2.9")] {
        resolve(&runtime, &place.write("x.wasm", &renamed(from, to))).unwrap_or_else(|error| panic!("{to}: {error}"));
    }
    let unknown = renamed("stagewright:stage/types@0.2.0", "stagewright:stage/novel@0.2.7");
    let refused = resolve(&runtime, &place.write("x.wasm", &unknown)).expect_err("an interface of a later patch");
    assert!(matches!(&refused, RuntimeError::Import { .. }), "{refused:?}");
    let hint = refused.hint().expect("a hint");
    assert_eq!(hint, "it was made for contract 0.2.7, and this version has 0.2.0: use a newer stagewright");
}

// invariant: A build without a compiler runs only code that was compiled for its key.
#[test]
fn a_host_without_a_compiler_runs_what_another_compiled_for_its_key() {
    let (full, edge) = (Place::new(), Place::new());
    let origin = full.write("good.wasm", &good());
    let absent = || Installation { compiler: Compiler::Absent, ..edge.installation() };
    let runtime = Runtime::open(absent(), EngineOptions::default()).expect("an engine");
    let missing = resolve(&runtime, &origin).expect_err("nothing is compiled");
    assert!(matches!(missing, RuntimeError::NoCompiler { .. }), "{missing:?}");
    assert!(missing.hint().is_some_and(|hint| hint.contains("stage precompile")), "{missing:?}");

    let compiler = Runtime::open(full.installation(), EngineOptions::default()).expect("an engine");
    let folder = full.0.path().join("export");
    // Under the key of another host, it counts as forged.
    let own_key = full.installation().key;
    // The second file: stages run in this process.
    let [_, file] = compiler.precompile("guest", &origin, &folder, &own_key, false).expect("compiled");
    std::fs::copy(folder.join(&file), edge.cache().join(&file)).expect("copied");
    assert!(matches!(resolve(&runtime, &origin), Err(RuntimeError::NoCompiler { .. })));
    for baseline in [false, true] {
        compiler.precompile("guest", &origin, &folder, &edge.installation().key, baseline).expect("compiled");
        std::fs::copy(folder.join(&file), edge.cache().join(&file)).expect("copied");
        let runtime = Runtime::open(absent(), EngineOptions::default()).expect("an engine");
        resolve(&runtime, &origin).expect("compiled elsewhere");
    }
}

#[test]
fn a_cached_file_that_was_changed_is_compiled_again() {
    let place = Place::new();
    let origin = place.write("good.wasm", &good());
    let runtime = Runtime::open(place.installation(), EngineOptions::default()).expect("an engine");
    resolve(&runtime, &origin).expect("a good component");
    for name in place.cached() {
        let path = place.cache().join(name);
        let good = std::fs::read(&path).expect("the file");
        let mut bad = good.clone();
        let middle = bad.len() / 2;
        bad[middle] ^= 1;
        std::fs::write(&path, bad).expect("written");
        resolve(&runtime, &origin).expect("made again");
        assert!(std::fs::read(&path).expect("the file").len() == good.len());
        // Without a compiler, the cached file must be valid.
        let absent = Installation { compiler: Compiler::Absent, ..place.installation() };
        let runtime = Runtime::open(absent, EngineOptions::default()).expect("an engine");
        resolve(&runtime, &origin).expect("the file that was made again");
    }
}
