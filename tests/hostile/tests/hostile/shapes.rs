//! Components that no Rust author could write; `build.rs` encodes them.
//!
//! Most are refused or fail before or in `describe`, which gets no parameters. So each misdeed is a
//! component of its own.

use std::path::Path;
use std::time::Duration;

use stagewright_hostile::{Attempt, Workshop};
use stagewright_lifecycle::RunError;
use stagewright_lifecycle::fault::StageFault;
use stagewright_manifest::{Ceilings, Limits, World};
use stagewright_runtime::{Origin, RuntimeError, StubGrants};

/// The expected result of a shape.
enum Expect {
    /// It is refused, or fails while it is admitted and describes itself. The error contains these
    /// words.
    Refused(&'static [&'static str]),
    /// It is admitted and describes itself.
    Admitted,
    /// It uses these versions of the contract and is refused for it.
    Contract(&'static str),
    /// An import is refused by name.
    Import(&'static str),
    /// It is admitted. Its schema is refused with this text when parameters are checked.
    Schema(&'static str),
    /// It is admitted. `decide` ends at this limit.
    Limit(&'static str),
}

/// Returns all shapes: row, name, expected result.
fn shapes() -> Vec<(u8, &'static str, Expect)> {
    let cpu: &[&str] = &["ran past its limit of 150 ms cpu: it used "];
    vec![
        (1, "start-loop", Expect::Refused(cpu)),
        (1, "describe-loop", Expect::Refused(cpu)),
        (1, "post-return-loop", Expect::Refused(cpu)),
        (1, "realloc-loop", Expect::Limit("cpu")),
        (4, "many-memories", Expect::Refused(&["limit of 64.0 MiB memory: it used 80.0 MiB"])),
        (4, "growing-memories", Expect::Refused(&["limit of 64.0 MiB memory: it used 80.0 MiB"])),
        (4, "too-many-memories", Expect::Refused(&["memories count of 9", "limit of 1"])),
        (4, "shared-memory", Expect::Refused(&["not a valid component", "threads"])),
        (5, "table-bomb", Expect::Refused(&["limit of 100000 table elements: it used 101000"])),
        (5, "tables-bomb", Expect::Refused(&["limit of 100000 table elements: it used 120000"])),
        (5, "huge-table", Expect::Refused(&["1000000", "limit of 100000"])),
        (5, "instance-bomb", Expect::Refused(&["150", "maximum of 100"])),
        (5, "nested-components", Expect::Refused(&["component"])),
        (6, "start-recursion", Expect::Refused(&["limit of 1048576 bytes of stack"])),
        (6, "describe-recursion", Expect::Refused(&["limit of 1048576 bytes of stack"])),
        (8, "giant-description", Expect::Refused(&["bytes of one call", "33554432"])),
        (8, "long-description", Expect::Refused(&["2000010 bytes", "limit is 1048576"])),
        (8, "description-outside", Expect::Refused(&["crashed in `describe`"])),
        (11, "deep-schema", Expect::Refused(&["its parameters' schema is not JSON", "recursion limit"])),
        (11, "schema-of-itself", Expect::Schema("refers to itself")),
        (11, "schema-with-names-that-decode", Expect::Schema("it refers to `#/$defs/l%3")),
        (11, "schema-with-a-large-pattern", Expect::Schema("cannot be used")),
        (11, "schema-with-many-patterns", Expect::Schema("more than 64 patterns")),
        (13, "sockets", Expect::Import("wasi:sockets/tcp@0.2.6")),
        (13, "filesystem", Expect::Import("wasi:filesystem/types@0.2.6")),
        (13, "http", Expect::Import("wasi:http/outgoing-handler@0.2.6")),
        (13, "key-value", Expect::Import("wasi:keyvalue/store@0.2.0-draft")),
        (13, "exotic", Expect::Import("evil:corp/backdoor@1.0.0")),
        (13, "unknown-wasi", Expect::Import("wasi:cli/shell@0.2.6")),
        (13, "other-worlds-sources", Expect::Import("stagewright:stage/sources@0.2.0")),
        (13, "other-worlds-models", Expect::Import("stagewright:stage/models@0.2.0")),
        (13, "other-worlds-tables", Expect::Import("stagewright:stage/tables@0.2.0")),
        (13, "wasi-0.3", Expect::Refused(&["imports `wasi:io/poll@0.3.0`: stages get WASI 0.2"])),
        (13, "wasi-0.2.99", Expect::Admitted),
        (13, "contract-0.1.0", Expect::Contract("0.1.0")),
        (13, "contract-0.3.0", Expect::Contract("0.3.0")),
        (13, "contract-mixed", Expect::Contract("0.2.0, 0.3.0")),
        (13, "exports-of-no-type", Expect::Refused(&["broke the contract", "promotion"])),
        (13, "not-a-component", Expect::Refused(&["does not export `stagewright:stage/metadata@0.2.0`"])),
        (25, "escapes-for-a-name", Expect::Refused(&["its name is `\\u{1b}[2Jx`"])),
        (25, "name-not-utf8", Expect::Refused(&["utf-8"])),
    ]
}

/// Tries all shapes of a row and returns how many there are.
pub(crate) fn row(workshop: &Workshop, row: u8) -> usize {
    let shapes: Vec<_> = shapes().into_iter().filter(|shape| shape.0 == row).collect();
    for (_, name, expect) in &shapes {
        let file = Path::new(env!("OUT_DIR")).join("shapes").join(format!("{name}.wasm"));
        let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let resolved = workshop.resolve(World::Promotion, name, &bytes, StubGrants::default());
        match (expect, resolved) {
            (Expect::Refused(parts), Err(error)) => {
                let text = format!("{error} {error:?}").to_lowercase();
                for part in *parts {
                    assert!(text.contains(&part.to_lowercase()), "`{name}`: no `{part}` in: {error}");
                }
                crate::plans::clean(&error.to_string());
            }
            (Expect::Admitted, Ok(component)) => assert_eq!(component.description.name, "shape", "`{name}`"),
            (Expect::Contract(versions), Err(error)) => {
                let RuntimeError::Contract { found, .. } = &error else { panic!("`{name}`: {error}") };
                assert_eq!(found, versions, "`{name}`");
                assert!(error.hint().is_some_and(|hint| hint.contains("wit/")), "`{name}`: {error}");
            }
            (Expect::Import(wanted), Err(error)) => {
                let RuntimeError::Import { import, .. } = &error else { panic!("`{name}`: {error}") };
                assert_eq!(import, wanted, "`{name}`");
                assert!(error.to_string().contains("which a promotion stage is not given"), "`{name}`: {error}");
            }
            (Expect::Schema(part), Ok(component)) => {
                let manifest = workshop.manifest(&["promotion.component=shape".to_owned()]);
                let problems =
                    manifest.check_parameters(manifest.stage(World::Promotion), &component.description.parameters);
                assert!(!problems.is_empty(), "`{name}` was taken");
                let text = manifest.error(problems).render();
                assert!(text.contains(part), "`{name}`: no `{part}` in: {text}");
            }
            (Expect::Limit(key), Ok(component)) => {
                let ended = workshop.attempt(&Attempt {
                    set: vec!["promotion.component=shape".into(), "promotion.limits.cpu=100 ms".into()],
                    component: Some(component),
                    ..Attempt::of(World::Promotion..=World::Promotion)
                });
                let Err(RunError::Stage(StageFault::Limit { kind, used, allowed, .. })) = &ended.result else {
                    panic!("`{name}`: {}", ended.error())
                };
                assert!(kind.key() == *key && used > allowed, "`{name}`: {}", ended.error());
                crate::misdeeds::nothing_is_visible(name, &ended);
            }
            (_, Ok(_)) => panic!("`{name}` was admitted"),
            (_, Err(error)) => panic!("`{name}` was not admitted: {error}"),
        }
        workshop.next_run_is_well(World::Promotion..=World::Promotion);
    }
    shapes.len()
}

// invariant: A component's description is read up to a bound, before compilation. `describe` keeps
// to the operator's ceilings.
/// Tries shapes under an operator's limits, since `describe` has no manifest.
pub(crate) fn ceilings(workshop: &Workshop) -> usize {
    let ceiling = Limits { memory: 32 << 20, cpu: Duration::from_millis(50), ..Limits::greatest() };
    let runtime = workshop.runtime_within(Ceilings::all(ceiling));
    let expected =
        [("growing-memories", "limit of 32.0 MiB memory"), ("describe-loop", "limit of 50 ms cpu: it used ")];
    for (name, part) in expected {
        let path = Path::new(env!("OUT_DIR")).join("shapes").join(format!("{name}.wasm"));
        let refused = runtime
            .resolve(World::Promotion, name, &Origin::File(path), StubGrants::default())
            .expect_err("it is refused");
        assert!(refused.to_string().contains(part), "`{name}`: {refused}");
    }
    expected.len()
}

/// Checks that every shape has an expectation.
pub(crate) fn every_shape_is_tried() {
    let files = std::fs::read_dir(Path::new(env!("OUT_DIR")).join("shapes")).expect("the shapes").flatten();
    // Those that keep state are tried by `isolation.rs`.
    let built = files.filter(|file| !file.file_name().to_string_lossy().starts_with("keeps-")).count();
    assert_eq!(built, shapes().len(), "a shape is built and not tried");
}
