//! Registries of a newer format, which this program uses as far as their maker says.

use stagewright_store::{LifecycleStage, OpenMode, PromotionRequest, Registry, RunStatus, StoreError};

use crate::world::{World, new_run};

const LONG: std::time::Duration = std::time::Duration::from_secs(60);

/// Makes the tables those of the format after this program's, usable by these and later formats.
fn converted(world: &World, read_from: u32, write_from: u32) -> u32 {
    let rows = world.rows(&format!("{} + 1", format_query(world)));
    let next: u32 = rows[0].parse().unwrap();
    let format = if world.is_on_server() { "UPDATE stagewright_format SET format =" } else { "PRAGMA user_version =" };
    let rule = format!("UPDATE usable_by SET read_from = {read_from}, write_from = {write_from}, program = '9.1.0'");
    world.sql(&format!("{format} {next}; {rule}; CREATE TABLE of_the_next_format (id BIGINT)")).unwrap();
    next
}

fn format_query(world: &World) -> &'static str {
    if world.is_on_server() {
        "SELECT (SELECT format FROM stagewright_format)"
    } else {
        "SELECT (SELECT user_version FROM pragma_user_version)"
    }
}

fn known(world: &World) -> u32 {
    world.rows(format_query(world))[0].parse().unwrap()
}

// invariant: A program uses the tables of a newer format as far as their maker says, and no
// further.
pub(crate) fn a_newer_format_is_only_read_if_its_maker_says_so(world: &World) {
    let known = known(world);
    let champion = world.approved("churn");
    world.promote("churn", champion);
    let run = world.registry.begin_run(&new_run("churn")).unwrap();
    let head = world.registry.audit_head().unwrap();
    let found = converted(world, known, known + 1);
    for mode in [OpenMode::Full, OpenMode::Serving, OpenMode::Reading] {
        let registry = world.reopened_as(mode).unwrap();
        assert!(registry.is_read_only());
        assert_eq!(registry.alias("churn", "champion").unwrap(), Some(champion));
        assert_eq!(registry.version("churn", champion).unwrap().stage, LifecycleStage::Production);
        assert_eq!(registry.models().unwrap().len(), 1);
        assert_eq!(registry.run(run.as_str()).unwrap().status, RunStatus::Running);
        registry.verify_audit().unwrap();
        refuses_to_write(&registry, found, known);
    }
    assert_eq!(world.registry.audit_head().unwrap(), head);
    // A program that watches goes on, and sees what newer programs do.
    let reader = world.reopened().acting_as("reader");
    let mut watch = reader.watch().unwrap();
    let other = world.approved("other");
    assert!(watch.wait(LONG).unwrap());
    assert_eq!(reader.model("other").unwrap().latest_version, other);
    world.registry.finish_run(&run, RunStatus::Finished, None).unwrap();
}

fn refuses_to_write(registry: &Registry, found: u32, known: u32) {
    let refused = registry.force_alias("churn", "shadow", Some(1)).unwrap_err();
    let text = format!(
        "`{}` has format {found}, which this program of format {known} may read and not write, so nothing was recorded\n\
         hint: install Stagewright 9.1.0 or newer",
        registry.place()
    );
    assert_eq!(refused.to_string(), text);
    let refused = |error: StoreError| assert!(matches!(error, StoreError::OnlyReadable { .. }), "{error}");
    refused(registry.begin_run(&new_run("churn")).unwrap_err());
    refused(registry.begin_promotion("churn", 1, &PromotionRequest::default()).unwrap_err());
    refused(registry.begin_collection("file:///production").unwrap_err());
    refused(registry.delete_model("churn", "").unwrap_err());
}

// invariant: as `a_newer_format_is_only_read_if_its_maker_says_so`
pub(crate) fn a_newer_format_is_written_if_its_maker_says_so(world: &World) {
    let known = known(world);
    let found = converted(world, known, known);
    for mode in [OpenMode::Full, OpenMode::Serving] {
        let registry = world.reopened_as(mode).unwrap();
        assert!(!registry.is_read_only());
        let run = registry.begin_run(&new_run("churn")).unwrap();
        registry.finish_run(&run, RunStatus::Finished, None).unwrap();
    }
    // It stays what it is: an older program converts nothing.
    assert_eq!(world.rows(format_query(world)), [found.to_string()]);
    assert_eq!(world.rows("SELECT program FROM usable_by"), ["9.1.0"]);
}

// invariant: as `a_newer_format_is_only_read_if_its_maker_says_so`
pub(crate) fn a_newer_format_whose_maker_says_nothing_clear_is_left_alone(world: &World) {
    let known = known(world);
    let found = converted(world, known + 1, known + 1);
    let closed = || {
        for mode in [OpenMode::Full, OpenMode::Serving, OpenMode::Reading] {
            let refused = world.reopened_as(mode).unwrap_err();
            assert!(matches!(refused, StoreError::TooNew { found: it, .. } if it == found), "{refused}");
        }
    };
    closed();
    world.sql("UPDATE usable_by SET read_from = -1, write_from = -1").unwrap();
    closed();
    world.sql("DELETE FROM usable_by").unwrap();
    closed();
    world.sql("INSERT INTO usable_by VALUES (1, 1, ''), (1, 1, '')").unwrap();
    closed();
    world.sql("DROP TABLE usable_by").unwrap();
    closed();
    assert_eq!(world.rows(format_query(world)), [found.to_string()]);
}
