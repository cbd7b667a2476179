//! Components that a catalog refuses or finds in its cache, and instances that it has room for.

use stagewright_lifecycle::fault::{INSTANCES, LimitKind, StageFault};
use stagewright_lifecycle::limits::Budget;

use super::*;
use crate::compile::Compiler;
use crate::local_instance::LocalInstance;
use crate::store_data::StoreData;

/// Encodes a component that exports an empty instance by these names; all lengths take one
/// byte.
fn exporting(names: &[&str]) -> Vec<u8> {
    let mut exports = vec![names.len() as u8];
    names.iter().for_each(|name| {
        exports.extend([0, name.len() as u8]);
        exports.extend(name.as_bytes());
        exports.extend([5, 0, 0]); // the instance 0, without a type
    });
    [b"\0asm\x0d\0\x01\0\x05\x03\x01\x01\0\x0b", &[exports.len() as u8][..], &exports].concat()
}

#[test]
fn cached_code_of_another_contract_is_refused_as_its_bytes_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = EngineOptions::default();
    let catalog = |compiler| {
        let installation = Installation::new(folder.path().join("components"), Vec::new(), compiler);
        Catalog::new(crate::engine::engine(options).expect("an engine"), installation, options).expect("a catalog")
    };
    let bytes = exporting(&["stagewright:stage/metadata@0.0.9", "stagewright:stage/decide@0.0.9"]);
    let path = folder.path().join("old.wasm");
    fs::write(&path, &bytes).expect("room");
    let origin = Origin::File(path);
    // This is what an earlier version of this program would have cached.
    catalog(Compiler::InProcess).compile("old", Digest::of(&bytes), &bytes).expect("it is valid");
    for compiler in [Compiler::InProcess, Compiler::Absent] {
        let catalog = catalog(compiler);
        assert!(catalog.is_compiled("old", &origin).expect("it can be read"), "it is in the cache");
        let refused = catalog.resolve(World::Promotion, "old", &origin, Stubs::default(), &|_| Ok(()));
        let refused = refused.expect_err("another contract");
        assert!(matches!(&refused, RuntimeError::Contract { found, .. } if found == "0.0.9"), "{refused:?}");
    }
}

/// A component with one memory of one page.
const MEMORY: &[u8] = b"\0asm\x0d\0\x01\0\x01\x0d\0asm\x01\0\0\0\x05\x03\x01\0\x01\x02\x04\x01\0\0\0";

// invariant: as `never_more_work_at_once_than_there_are_permits_and_all_of_it_ends`
#[test]
fn a_pool_that_is_full_is_the_operators_limit() {
    let budget: &'static Budget = Box::leak(Box::new(Budget::new(1, u64::MAX)));
    let options = EngineOptions { budget, ..EngineOptions::default() };
    let engine = crate::engine::engine(options).expect("an engine");
    let component = wasm::Component::new(&engine, MEMORY).expect("a component");
    let pre =
        wasm::Linker::<StoreData<StageHost>>::new(&engine).instantiate_pre(&component).expect("it imports nothing");
    let digest = Digest::of(MEMORY);
    let context = Arc::new(describing("own", World::Training, digest, World::Training.default_limits()));
    // The call fails once the instance has started, since the component exports nothing.
    let start = || {
        let data = StoreData::new(StageHost::new(context.clone(), options, None), options.bounds, 0, 0);
        let mut instance = LocalInstance::new(data, pre.clone(), options);
        let outcome = instance.call(ExportCall::TransformerFields).expect("no import fails");
        match crate::stage_instance::into_reply(&mut instance.store.data_mut().host, "own", outcome) {
            Err(StageFault::Trap { .. }) => Ok(instance),
            other => Err(other.expect_err("it exports nothing")),
        }
    };
    let most = u64::from(crate::engine::pool_memories(budget));
    let instances: Vec<_> = (0..most).map(|_| start().expect("there is room")).collect();
    assert_eq!(budget.live(), most << 16);
    let fault = start().map(drop).expect_err("there is no room");
    let StageFault::Limit { kind: LimitKind::Operator(name), used, allowed, .. } = &fault else {
        panic!("{fault}");
    };
    assert_eq!((name.as_ref(), *used, *allowed), (INSTANCES, most + 1, most));
    let hint = fault.hint("m.toml").expect("a hint");
    assert!(hint.contains("--workers") && hint.contains("[machine]"), "{hint}");
    drop(instances);
    assert_eq!(budget.live(), 0);
    start().expect("there is room again");
}
