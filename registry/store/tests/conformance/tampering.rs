//! A change of the tables without the registry differs from the audit, which names it.

use serde_json::json;
use stagewright_store::{
    AuditDifference, JudgedAgainst, LifecycleStage, NewModel, NewVerdict, NewVersion, PromotionRequest, RowMemory,
    StoreError, Verdict,
};

use crate::deployments::{canary, step};
use crate::world::{World, judged, reference, unnumbered};

/// Creates two models with all that a model can have: version 1 of `churn` is archived, 2 in
/// production, 3 rejected twice.
fn rich(world: &World) {
    let registry = &world.registry;
    let described = NewModel { description: "who leaves".into(), tags: vec![("team".into(), "growth".into())] };
    registry.create_model("churn", &described).unwrap();
    for number in 1..=3_u64 {
        let version = NewVersion {
            contents: json!({ "number": number }),
            references: vec![reference("model", world.blob(format!("model {number}").as_bytes()))],
            rows: Some(RowMemory::new(vec!["id".into()], vec![number, 7], vec![number])),
            parameters: vec![("depth".into(), number.to_string())],
            tags: vec![("who".into(), "ada".into())],
            ..NewVersion::default()
        };
        let version = registry.register_candidate(&world.artifacts, "churn", &version, &unnumbered).unwrap().version;
        let verdicts: &[Verdict] =
            if version == 3 { &[Verdict::Rejected, Verdict::Undecided] } else { &[Verdict::Approved] };
        for (place, verdict) in verdicts.iter().enumerate() {
            let against = JudgedAgainst::from(registry.alias("churn", "champion").unwrap());
            let verdict = NewVerdict {
                metrics: vec![("roc_auc".into(), 0.5 + number as f64 / 8.0), ("worst".into(), f64::NAN)],
                references: vec![reference("evaluation.report", world.blob(format!("{version} {place}").as_bytes()))],
                evaluation: json!({ "rows": 100 }),
                ..judged(*verdict, against, "by its gates")
            };
            registry.record_verdict(&world.artifacts, "churn", version, &verdict).unwrap();
        }
        if version < 3 {
            let request = PromotionRequest { destination: "file:///production".into(), ..PromotionRequest::default() };
            registry.promote("churn", version, &request).unwrap();
        }
    }
    registry.force_alias("churn", "candidate", Some(3)).unwrap();
    registry.describe_version("churn", 1, "the first").unwrap();
    world.unjudged("other");
    let check = registry.verify_audit().unwrap();
    assert_eq!((check.models, check.versions, check.without_digests, check.different), (2, 4, 0, 0));
}

/// Returns the differences after statements were run without the registry: version and part.
fn differing(world: &World, statements: &str) -> Vec<(Option<u32>, String)> {
    world.sql(statements).unwrap();
    match world.registry.verify_audit() {
        Err(StoreError::Differs { differences, different }) => {
            assert_eq!(differences.len() as u64, different);
            let named = |it: AuditDifference| {
                assert_ne!(it.expected, it.found, "{it}");
                (it.version, it.what)
            };
            differences.into_iter().map(named).collect()
        }
        whole => panic!("{statements}: {whole:?}"),
    }
}

const CHURN: &str = "(SELECT id FROM registered_models WHERE name = 'churn')";

/// Returns the row id of a version of `churn`, as a subquery.
fn number(version: u32) -> String {
    format!("(SELECT id FROM versions WHERE model = {CHURN} AND version = {version})")
}

pub(crate) fn a_changed_value_of_a_version_is_named(world: &World) {
    rich(world);
    world.sql("CREATE TABLE kept AS SELECT * FROM versions").unwrap();
    for (column, value, what) in [
        ("verdict", "'approved'", "verdict"),
        ("judged_against", "NULL", "verdict"),
        ("judged_against", "1", "verdict"),
        ("reason", "'because'", "judgement"),
        ("judged_ms", "1", "judgement"),
        ("stage", "'archived'", "stage"),
        ("stage_ms", "1", "life"),
        ("withdrawn", "1", "life"),
        ("followed", "9", "life"),
        ("contents", "'{}'", "record"),
        ("parts", "'x'", "record"),
        ("run_id", "'x'", "record"),
        ("semantic_version", "'9.0.0'", "record"),
        ("created_ms", "1", "record"),
        ("actor", "'eve'", "record"),
        ("published", "0", "record"),
        ("description", "'the best'", "description"),
    ] {
        let change = format!("UPDATE versions SET {column} = {value} WHERE id = {}", number(3));
        assert_eq!(differing(world, &change), [(Some(3), what.to_owned())], "{column}");
        let restore = format!("UPDATE versions SET {column} = (SELECT {column} FROM kept WHERE kept.id = versions.id)");
        world.sql(&restore).unwrap();
        world.registry.verify_audit().unwrap();
    }
    // Columns on which no decision depends are not compared.
    world.sql("UPDATE versions SET updated_ms = 1").unwrap();
    world.registry.verify_audit().unwrap();
    world.sql(&format!("UPDATE versions SET version = 9 WHERE id = {}", number(3))).unwrap();
    let swapped = differing(world, "UPDATE registered_models SET last_version = 9 WHERE name = 'churn'");
    let expected = [(None, "aliases"), (None, "record"), (Some(9), "version"), (Some(3), "version")];
    assert_eq!(swapped, expected.map(|(version, what)| (version, what.to_owned())));
}

// invariant: as `a_changed_verdict_is_named`
pub(crate) fn a_moved_champion_is_named_with_what_was_expected(world: &World) {
    rich(world);
    let change = format!(
        "UPDATE versions SET stage = 'archived' WHERE id = {}; UPDATE versions SET stage = 'production' WHERE id = {}",
        number(2),
        number(3)
    );
    assert_eq!(differing(world, &change), [(Some(2), "stage".to_owned()), (Some(3), "stage".to_owned())]);
    let told = world.registry.verify_audit().unwrap_err().to_string();
    for line in [
        "in 2 places:",
        "\n  model `churn`, version 2: `stage` is `archived`, the audit says `production`",
        "\n  model `churn`, version 3: `stage` is `production`, the audit says `none`",
    ] {
        assert!(told.contains(line), "{told}");
    }
    let check = world.registry.check_audit().unwrap();
    assert_eq!((check.different, check.differences.len(), check.head), (2, 2, world.registry.audit_head().unwrap()));
}

// invariant: A change of the registry's tables without an audit entry is detected and named. No
// operation of the registry causes such a difference.
pub(crate) fn a_changed_verdict_is_named(world: &World) {
    rich(world);
    world.sql("CREATE TABLE kept AS SELECT * FROM verdicts").unwrap();
    let second = format!("(SELECT max(id) FROM verdicts WHERE version = {})", number(3));
    for (column, value, what) in [
        ("verdict", "'approved'", "verdict 2: verdict"),
        ("judged_against", "0", "verdict 2: verdict"),
        ("policy", "'absolute'", "verdict 2: record"),
        ("is_override", "1", "verdict 2: record"),
        ("reason", "'because'", "verdict 2: record"),
        ("reasons", "'[]'", "verdict 2: record"),
        ("evaluation", "'{}'", "verdict 2: record"),
        ("run_id", "'x'", "verdict 2: record"),
        ("actor", "'eve'", "verdict 2: record"),
        ("at_ms", "1", "verdict 2: record"),
    ] {
        let change = format!("UPDATE verdicts SET {column} = {value} WHERE id = {second}");
        assert_eq!(differing(world, &change), [(Some(3), what.to_owned())], "{column}");
        let restore = format!("UPDATE verdicts SET {column} = (SELECT {column} FROM kept WHERE kept.id = verdicts.id)");
        world.sql(&restore).unwrap();
        world.registry.verify_audit().unwrap();
    }
    // The order of verdicts is that of the rows: the first becomes the last.
    let first = format!("(SELECT min(id) FROM verdicts WHERE version = {})", number(3));
    let swap = format!("UPDATE verdicts SET verdict = 'undecided' WHERE id = {first}; UPDATE verdicts SET verdict = 'rejected' WHERE id = {second}");
    let differing = differing(world, &swap);
    assert_eq!(differing[0], (Some(3), "verdict 1: verdict".to_owned()));
    assert!(differing.contains(&(Some(3), "verdict 2: verdict".to_owned())));
}

// invariant: as `a_changed_verdict_is_named`
pub(crate) fn a_verdict_that_nobody_logged_is_named_and_one_that_is_gone(world: &World) {
    rich(world);
    let insert = format!(
        "INSERT INTO verdicts (version, verdict, policy, judged_against, is_override, reason, reasons, evaluation, actor, at_ms)
         VALUES ({}, 'approved', 'better', 2, 0, 'good', '[]', 'null', 'ada', 1)",
        number(3)
    );
    assert_eq!(differing(world, &insert), [(Some(3), "verdict 3".to_owned())]);
    let told = world.registry.verify_audit().unwrap_err().to_string();
    assert!(told.contains("`verdict 3` is `approved against version 2`, the audit says not there"), "{told}");
    world.sql("DELETE FROM verdicts WHERE at_ms = 1").unwrap();
    world.registry.verify_audit().unwrap();
    let last = format!("(SELECT max(id) FROM verdicts WHERE version = {})", number(3));
    let remove = format!(
        "DELETE FROM verdict_metrics WHERE verdict = {last}; DELETE FROM verdict_artifacts WHERE verdict = {last};
         DELETE FROM verdicts WHERE id = {last}"
    );
    assert_eq!(differing(world, &remove), [(Some(3), "verdict 2".to_owned())]);
}

// invariant: as `a_changed_verdict_is_named`
pub(crate) fn a_changed_part_of_a_version_is_named(world: &World) {
    rich(world);
    let of = |version: u32| format!("version = {}", number(version));
    let verdict = format!("verdict = (SELECT min(id) FROM verdicts WHERE version = {})", number(1));
    for (table, change, place, what) in [
        ("version_metrics", "UPDATE # SET value = 0.99 WHERE name = 'roc_auc' AND ", of(3), "metrics"),
        ("version_metrics", "UPDATE # SET value = 0.0 WHERE value IS NULL AND ", of(3), "metrics"),
        ("version_metrics", "DELETE FROM # WHERE name = 'roc_auc' AND ", of(3), "metrics"),
        ("published_metrics", "UPDATE # SET value = 0.99 WHERE name = 'roc_auc' AND ", of(1), "published-metrics"),
        ("version_artifacts", "UPDATE # SET digest = 'x' WHERE ", of(2), "artifacts"),
        ("version_artifacts", "UPDATE # SET needed = 0 WHERE ", of(2), "artifacts"),
        ("version_artifacts", "DELETE FROM # WHERE ", of(2), "artifacts"),
        ("version_parameters", "UPDATE # SET value = '9' WHERE ", of(1), "parameters"),
        ("version_tags", "UPDATE # SET value = 'eve' WHERE ", of(1), "tags"),
        ("version_tags", "DELETE FROM # WHERE ", of(1), "tags"),
        ("promotions", "UPDATE # SET destination = 'file:///elsewhere' WHERE ", of(2), "promotions"),
        ("promotions", "DELETE FROM # WHERE ", of(1), "promotions"),
        ("row_memory_chunks", "DELETE FROM # WHERE kind = 'key' AND ", of(1), "rows"),
        ("verdict_metrics", "UPDATE # SET value = 0.99 WHERE name = 'roc_auc' AND ", verdict.clone(), "verdict 1: metrics"),
        ("verdict_artifacts", "UPDATE # SET digest = 'x' WHERE ", verdict.clone(), "verdict 1: artifacts"),
    ] {
        world.sql(&format!("CREATE TABLE kept AS SELECT * FROM {table}")).unwrap();
        let found = differing(world, &format!("{}{place}", change.replace('#', table)));
        assert_eq!(found.len(), 1, "{change}: {found:?}");
        assert_eq!(found[0].1, what, "{change}");
        world.sql(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept; DROP TABLE kept")).unwrap();
        world.registry.verify_audit().unwrap();
    }
    let insert = format!("INSERT INTO version_tags (version, name, value) VALUES ({}, 'new', 'x')", number(3));
    assert_eq!(differing(world, &insert), [(Some(3), "tags".to_owned())]);
}

pub(crate) fn a_key_of_rows_that_was_replaced_is_named_at_every_version_that_has_rows(world: &World) {
    rich(world);
    let replaced = differing(world, &format!("UPDATE row_hash_key SET hash_key = '{}'", "ab".repeat(32)));
    assert_eq!(replaced, [1, 2, 3].map(|version| (Some(version), "rows".to_owned())));
}

pub(crate) fn a_changed_model_is_named(world: &World) {
    rich(world);
    let alias = format!("UPDATE version_aliases SET version = {}", number(1));
    assert_eq!(differing(world, &alias), [(None, "aliases".to_owned())]);
    let told = world.registry.verify_audit().unwrap_err().to_string();
    assert!(told.contains("model `churn`: `aliases` is `candidate -> 1`, the audit says `candidate -> 3`"), "{told}");
    world.sql(&format!("UPDATE version_aliases SET version = {}", number(3))).unwrap();
    for (change, what, restore) in [
        ("description = 'mine'", "description", "description = 'who leaves'"),
        ("last_version = 9", "record", "last_version = 3"),
    ] {
        let set = |what| format!("UPDATE registered_models SET {what} WHERE name = 'churn'");
        assert_eq!(differing(world, &set(change)), [(None, what.to_owned())]);
        world.sql(&set(restore)).unwrap();
        world.registry.verify_audit().unwrap();
    }
    let tags = differing(world, "UPDATE registered_model_tags SET value = 'mine'");
    assert_eq!(tags, [(None, "tags".to_owned())]);
    world.sql("UPDATE registered_model_tags SET value = 'growth'").unwrap();
    let renamed = differing(world, "UPDATE registered_models SET name = 'mine' WHERE name = 'churn'");
    assert_eq!(renamed, [(None, "model".to_owned()), (None, "model".to_owned())]);
}

// invariant: as `a_changed_verdict_is_named`
pub(crate) fn a_changed_deployment_is_named_and_one_that_nobody_started(world: &World) {
    rich(world);
    let registry = &world.registry;
    let started = registry.start_deployment("churn", &canary()).unwrap();
    let second = registry.advance_deployment("churn", started.at(), &step(1, 0.25)).unwrap();
    // The notes of a server are no decision.
    registry.save_deployment("churn", second.at(), &json!({"calm": false})).unwrap();
    registry.verify_audit().unwrap();
    world.sql("CREATE TABLE kept AS SELECT * FROM deployments").unwrap();
    for (column, value, part) in [
        ("status", "'finished'", "status"),
        ("strategy", "'shadow'", "record"),
        ("configuration", "'{}'", "record"),
        ("reason", "'because'", "record"),
        ("started_ms", "1", "record"),
        ("started_by", "'eve'", "record"),
        ("step", "3", "step"),
        ("since_ms", "1", "step"),
        ("arms", "'[]'", "step"),
        ("ended_ms", "1", "end"),
        ("ended_by", "'eve'", "end"),
        ("end_reason", "'because'", "end"),
    ] {
        let change = format!("UPDATE deployments SET {column} = {value}");
        assert_eq!(differing(world, &change), [(None, format!("deployment 1: {part}"))], "{column}");
        world.sql(&format!("UPDATE deployments SET {column} = (SELECT {column} FROM kept)")).unwrap();
        registry.verify_audit().unwrap();
    }
    world.sql("UPDATE deployments SET state = '{}', revision = 9, changed_ms = 1, changed_by = 'eve'").unwrap();
    registry.verify_audit().unwrap();
    let renumbered = differing(world, "UPDATE deployments SET number = 2");
    assert_eq!(renumbered, [(None, "deployment 2".to_owned()), (None, "deployment 1".to_owned())]);
    world.sql("UPDATE deployments SET number = 1").unwrap();
    let another = "INSERT INTO deployments (model, number, strategy, configuration, status, step, since_ms, arms, state, revision,
            reason, started_ms, started_by, changed_ms, changed_by)
        SELECT id, 1, 'canary', '{}', 'active', 0, 1, '[]', '{}', 1, '', 1, 'eve', 1, 'eve' FROM registered_models
        WHERE name = 'other'";
    assert_eq!(differing(world, another), [(None, "deployment 1".to_owned())]);
    let told = world.registry.verify_audit().unwrap_err().to_string();
    assert!(told.contains("model `other`: `deployment 1` is `active`, the audit says not there"), "{told}");
    let gone = differing(world, "DELETE FROM deployments");
    assert_eq!(gone, [(None, "deployment 1".to_owned())]);
}

pub(crate) fn models_and_versions_that_nobody_registered_are_named_and_those_that_are_gone(world: &World) {
    rich(world);
    let insert = "INSERT INTO versions (model, version, created_ms, updated_ms, actor, contents)
        SELECT id, 7, 1, 1, 'ada', '{}' FROM registered_models WHERE name = 'other'";
    assert_eq!(differing(world, insert), [(Some(7), "version".to_owned())]);
    world.sql("DELETE FROM versions WHERE version = 7").unwrap();
    let model = "INSERT INTO registered_models (name, created_ms, updated_ms) VALUES ('mine', 1, 1)";
    assert_eq!(differing(world, model), [(None, "model".to_owned())]);
    world.sql("DELETE FROM registered_models WHERE name = 'mine'").unwrap();
    world.registry.verify_audit().unwrap();
    assert_eq!(differing(world, "DELETE FROM versions WHERE contents = '{\"components\":[]}'"), [(
        Some(1),
        "version".to_owned()
    )]);
    assert_eq!(differing(world, "DELETE FROM registered_models WHERE name = 'other'"), [(None, "model".to_owned())]);
}

// invariant: as `a_changed_verdict_is_named`
pub(crate) fn whatever_the_registry_does_leaves_it_whole(world: &World) {
    rich(world);
    let registry = &world.registry;
    let whole = |what: &str| {
        let check = registry.check_audit().unwrap();
        assert_eq!(check.differences, [], "{what}");
    };
    registry.rename_model("churn", "churn").unwrap();
    whole("renamed to itself");
    registry.rename_model("churn", "loyalty").unwrap();
    whole("renamed");
    registry.create_model("churn", &NewModel::default()).unwrap();
    whole("the old name taken");
    registry.tag_version("loyalty", 2, "who", None).unwrap();
    registry.tag_model("loyalty", "team", Some("sales")).unwrap();
    registry.transition("loyalty", 3, LifecycleStage::Staging, "look").unwrap();
    whole("tagged and tried");
    assert_eq!(world.roll_back("loyalty").unwrap(), 1);
    whole("rolled back");
    let request = PromotionRequest { destination: "file:///elsewhere".into(), ..PromotionRequest::default() };
    world.approve("loyalty", 3);
    let promotion = registry.begin_promotion("loyalty", 3, &request).unwrap();
    whole("intended");
    registry.undo_promotion(&promotion.id, "no").unwrap();
    whole("undone");
    let promotion = registry.begin_promotion("loyalty", 3, &request).unwrap();
    registry.complete_promotion(&promotion.id).unwrap();
    whole("current");
    registry.finish_promotion(&promotion.id).unwrap();
    whole("finished");
    let started = registry.start_deployment("loyalty", &canary()).unwrap();
    whole("deployed");
    registry.advance_deployment("loyalty", started.at(), &step(1, 0.25)).unwrap();
    registry.record_refusal("loyalty", 2, "it traps").unwrap();
    whole("advanced and refused");
    registry.rename_model("loyalty", "leavers").unwrap();
    registry.rename_model("leavers", "loyalty").unwrap();
    whole("renamed while it was deployed");
    registry.abort_deployment("loyalty", None, "too many errors").unwrap();
    whole("aborted");
    let retired = registry.retire_model("loyalty", "enough").unwrap();
    whole("retired");
    for removal in &retired {
        registry.finish_promotion(&removal.id).unwrap();
    }
    whole("gone from its destinations");
    // Deleting the version removes the alias `candidate` too.
    registry.delete_version("loyalty", 3, "").unwrap();
    whole("a version deleted");
    registry.delete_model("loyalty", "").unwrap();
    whole("deleted");
    world.unjudged("loyalty");
    whole("registered again");
    let check = registry.verify_audit().unwrap();
    assert_eq!((check.models, check.versions), (3, 2));
}
