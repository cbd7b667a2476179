//! Opening a registry to serve from it, or only to read.

use std::collections::BTreeMap;
use std::fs;

use stagewright_store::{Home, OpenMode, PromotionRequest, PromotionState, Registry, RunStatus, StoreError};

use crate::world::{World, everything, new_run};

pub(crate) fn a_registry_to_serve_from_must_exist(world: &World) {
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("stagewright.db");
    for mode in [OpenMode::Serving, OpenMode::Reading] {
        let refused = Registry::open_as(&file, mode).unwrap_err();
        assert!(matches!(refused, StoreError::NoRegistry { .. }), "{refused}");
        let refused = Home::open_as(elsewhere.path().join("home"), None, None, mode).unwrap_err();
        assert!(matches!(refused, StoreError::NoRegistry { .. }), "{refused}");
        world.reopened_as(mode).unwrap();
    }
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "something was created");
    // A file, or a database, without tables is none.
    fs::write(&file, "").unwrap();
    assert!(matches!(Registry::open_as(&file, OpenMode::Reading), Err(StoreError::NoRegistry { .. })));
    assert_eq!(fs::read(&file).unwrap(), b"");
    assert!(matches!(Registry::open_as(&file, OpenMode::Serving), Err(StoreError::NoRegistry { .. })));
    #[cfg(feature = "postgres")]
    if world.is_on_server() {
        let url = stagewright_services::postgres::Cluster::shared().create_database();
        for mode in [OpenMode::Serving, OpenMode::Reading] {
            assert!(matches!(Registry::connect_as(&url, None, mode), Err(StoreError::NoRegistry { .. })));
        }
        // The home beside a registry on a server holds copies of artifacts, and may be new.
        Registry::connect(&url).unwrap();
        let home = elsewhere.path().join("home");
        assert!(Home::open_as(&home, Some(&url), None, OpenMode::Reading).is_ok());
        assert!(!home.exists());
        Home::open_as(&home, Some(&url), None, OpenMode::Serving).unwrap();
        assert!(home.join("artifacts").is_dir());
    }
}

// invariant: Opening a registry to serve from it undoes nothing. Opening it to work undoes what
// dead processes intended, and nothing of live ones.
pub(crate) fn opening_to_serve_settles_nothing_and_opening_to_work_leaves_what_lives(world: &World) {
    let request = PromotionRequest { destination: "file:///production".into(), ..PromotionRequest::default() };
    if World::part().is_some() {
        let promotion = world.registry.begin_promotion("churn", 2, &request).unwrap();
        println!("\npromotion {}", promotion.id);
        std::process::abort();
    }
    for _ in 0..2 {
        world.approved("churn");
    }
    let run = world.registry.begin_run(&new_run("alive")).unwrap();
    let alive = world.registry.begin_promotion("churn", 1, &request).unwrap().id;
    let output = world.spawn("die").wait_with_output().unwrap();
    assert!(!output.status.success(), "{}", everything(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let dead = said.lines().find_map(|line| line.strip_prefix("promotion ")).expect("it began").to_owned();
    let state = |id: &str| world.registry.promotion(id).unwrap().state;
    let head = world.registry.audit_head().unwrap();
    for mode in [OpenMode::Serving, OpenMode::Reading] {
        let registry = world.reopened_as(mode).unwrap();
        registry.watch().unwrap();
        assert_eq!((state(&dead), state(&alive)), (PromotionState::Intended, PromotionState::Intended));
    }
    assert_eq!(world.registry.audit_head().unwrap(), head);
    crate::world::eventually(|| {
        world.reopened();
        (state(&dead) == PromotionState::Undone).then_some(())
    });
    assert_eq!(state(&alive), PromotionState::Intended);
    assert_eq!(world.registry.run(run.as_str()).unwrap().status, RunStatus::Running);
    world.registry.complete_promotion(&alive).unwrap();
    world.registry.finish_promotion(&alive).unwrap();
    assert_eq!(world.champion("churn"), Some(1));
}

/// Returns the files below a folder with their bytes, without SQLite's index of its log, which
/// readers use.
fn files(folder: &std::path::Path, found: &mut BTreeMap<std::path::PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_none_or(|extension| extension != "db-shm") {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}

// invariant: A registry that is opened to be read is not changed.
pub(crate) fn a_registry_that_is_only_read_is_not_changed(world: &World) {
    let champion = world.approved("churn");
    world.promote("churn", champion);
    let run = world.registry.begin_run(&new_run("churn")).unwrap();
    let state = || {
        let mut found = BTreeMap::new();
        files(world.home(), &mut found);
        found
    };
    let (before, head) = (state(), world.registry.audit_head().unwrap());
    let registry = world.reopened_as(OpenMode::Reading).unwrap();
    assert!(registry.is_read_only() && !world.registry.is_read_only());
    assert_eq!(registry.alias("churn", "champion").unwrap(), Some(champion));
    assert_eq!(registry.version("churn", champion).unwrap().model, "churn");
    assert_eq!(registry.active_deployments().unwrap(), []);
    assert_eq!(registry.audit_head().unwrap(), head);
    registry.verify_audit().unwrap();
    registry.watch().unwrap();
    let refused = registry.record_refusal("churn", 1, "it traps").unwrap_err();
    let text = format!(
        "`{}` was opened only to be read, so nothing can be recorded in it\nhint: use a registry that this program may \
         write",
        registry.place()
    );
    assert_eq!(refused.to_string(), text);
    let is_read_only = |error: StoreError| matches!(error, StoreError::ReadOnly { .. });
    assert!(is_read_only(registry.begin_run(&new_run("churn")).unwrap_err()));
    assert!(is_read_only(registry.begin_promotion("churn", 1, &PromotionRequest::default()).unwrap_err()));
    assert!(is_read_only(registry.force_alias("churn", "shadow", Some(1)).unwrap_err()));
    assert!(is_read_only(registry.begin_collection("file:///production").unwrap_err()));
    assert_eq!(state(), before);
    assert_eq!(world.registry.audit_head().unwrap(), head);
    assert_eq!(world.registry.run(run.as_str()).unwrap().status, RunStatus::Running);
    // It sees what others write.
    world.registry.force_alias("churn", "shadow", Some(1)).unwrap();
    assert_eq!(registry.alias("churn", "shadow").unwrap(), Some(1));
    world.registry.finish_run(&run, RunStatus::Finished, None).unwrap();
}
