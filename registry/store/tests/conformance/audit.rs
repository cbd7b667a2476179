//! The audit records every change of a model, and reveals changes of itself.

use stagewright_store::{
    AuditCheck, AuditPage, AuditSearch, JudgedAgainst, NewModel, PromotionRequest, StoreError, Verdict,
};

use crate::world::{World, judged};

/// Creates a registry with more than twelve entries. Returns their number.
fn busy(world: &World) -> u64 {
    for _ in 0..3 {
        let version = world.approved("churn");
        world.registry.promote("churn", version, &PromotionRequest::default()).unwrap();
    }
    world.registry.verify_audit().unwrap().entries
}

/// Returns the entry at which the audit was tampered with.
fn tampered(world: &World) -> u64 {
    match world.registry.verify_audit() {
        Err(StoreError::Tampered { seq, .. }) => seq,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn an_empty_audit_verifies(world: &World) {
    assert_eq!(world.registry.verify_audit().unwrap(), AuditCheck::default());
    assert_eq!(world.registry.audit_head().unwrap(), "");
}

// invariant: The audit records every change of a model. Editing, removing, inserting or moving an
// entry is detected.
pub(crate) fn every_change_of_a_model_is_in_the_chain(world: &World) {
    let entries = busy(world);
    let audit = world.registry.audit_of("churn", None).unwrap();
    let actions: Vec<_> = audit.iter().map(|entry| (entry.action.as_str(), entry.version)).collect();
    assert_eq!(
        actions[..8],
        [
            ("model.registered", None),
            ("version.registered", Some(1)),
            ("version.judged", Some(1)),
            ("promotion.intended", Some(1)),
            ("version.transitioned", Some(1)),
            ("version.registered", Some(2)),
            ("version.judged", Some(2)),
            ("promotion.intended", Some(2)),
        ]
    );
    assert_eq!(audit.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (1..=entries).collect::<Vec<_>>());
    let check = world.registry.verify_audit().unwrap();
    let seen = AuditCheck { models: 1, versions: 3, ..AuditCheck::default() };
    assert_eq!(check, AuditCheck { entries, head: audit.last().unwrap().hash.clone(), ..seen });
    assert_eq!(world.registry.audit_head().unwrap(), check.head);
    let latest = world.registry.audit_entries(2).unwrap();
    assert_eq!(latest.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [entries, entries - 1]);
    let second = world.registry.audit_of("churn", Some(2)).unwrap();
    assert!(second.len() > 4 && second.iter().all(|entry| entry.version == Some(2)));
}

pub(crate) fn the_audit_is_read_page_by_page_from_its_end(world: &World) {
    assert_eq!(world.registry.audit_page(&AuditSearch::default(), None, 5).unwrap(), AuditPage::default());
    let entries = busy(world);
    world.registry.acting_as("ada").create_model("other", &NewModel::default()).unwrap();
    let all = |wanted: &AuditSearch, limit| {
        let (mut before, mut seen) = (None, Vec::new());
        loop {
            let page = world.registry.audit_page(wanted, before, limit).unwrap();
            assert!(page.entries.len() <= limit);
            seen.extend(page.entries.iter().map(|entry| entry.seq));
            match page.next {
                Some(next) => before = Some(next),
                None => return seen,
            }
        }
    };
    let every: Vec<u64> = (1..=entries + 1).rev().collect();
    for limit in [1, 4, 100] {
        assert_eq!(all(&AuditSearch::default(), limit), every, "{limit}");
    }
    let of_model = AuditSearch { model: "churn".into(), ..AuditSearch::default() };
    assert_eq!(all(&of_model, 3), every[1..]);
    let by_ada = AuditSearch { actor: "ada".into(), ..AuditSearch::default() };
    assert_eq!(all(&by_ada, 3), every[..1]);
    let action = |action: &str| AuditSearch { model: "churn".into(), action: action.into(), ..AuditSearch::default() };
    assert_eq!(all(&action("promotion."), 2).len(), 3);
    assert_eq!(all(&action("version.judged"), 2).len(), 3);
    // A pattern of the database is no kind of change, nor is its escape.
    for odd in ["%", "_", "\\", "version\\", "Version.", "'"] {
        assert_eq!(all(&action(odd), 2), [0_u64; 0], "{odd}");
    }
    let past_the_end = world.registry.audit_page(&AuditSearch::default(), Some(u64::MAX), 1).unwrap();
    assert_eq!(past_the_end.entries[0].seq, entries + 1);
    assert_eq!(world.registry.audit_page(&AuditSearch::default(), Some(1), 9).unwrap(), AuditPage::default());
}

pub(crate) fn odd_texts_do_not_break_the_chain(world: &World) {
    let odd = "ädä \"quoted\" \\ '; DROP TABLE audit; --";
    let registry = world.registry.acting_as(odd);
    for reason in ["", "null", "\u{feff}ß\u{10ffff}\t\r\n", "?1 $1", &"x".repeat(50_000)] {
        let version = world.unjudged("churn");
        let verdict = judged(Verdict::Approved, JudgedAgainst::NoChampion, reason);
        registry.record_verdict(&world.artifacts, "churn", version, &verdict).unwrap();
        assert_eq!(registry.audit_entries(1).unwrap()[0].reason, reason);
        let verdicts = registry.verdicts("churn", version).unwrap();
        assert_eq!((verdicts[0].reason.as_str(), verdicts[0].by.as_str()), (reason, odd));
    }
    registry.verify_audit().unwrap();
}

// invariant: as `every_change_of_a_model_is_in_the_chain`
pub(crate) fn the_database_refuses_to_change_the_audit(world: &World) {
    busy(world);
    for statement in [
        "UPDATE audit SET reason = 'nothing' WHERE seq = 2",
        "UPDATE audit SET seq = seq + 1000",
        "DELETE FROM audit WHERE seq = 2",
        "DELETE FROM audit",
        "INSERT INTO audit SELECT * FROM audit WHERE seq = 2",
    ] {
        assert!(world.sql(statement).is_err(), "{statement}");
    }
    world.registry.verify_audit().unwrap();
}

// invariant: as `every_change_of_a_model_is_in_the_chain`
pub(crate) fn an_edited_entry_is_detected(world: &World) {
    let entries = busy(world);
    world.disarm_audit();
    for (column, value) in [
        ("at_ms", "at_ms + 1"),
        ("actor", "'eve'"),
        ("action", "'version.deleted'"),
        ("model", "'other'"),
        ("version", "99"),
        ("version", "-1"),
        ("version", "NULL"),
        ("old_state", "'none'"),
        ("new_state", "'archived'"),
        ("new_state", "NULL"),
        ("reason", "'eve'"),
        ("details", "'{}'"),
        ("details", "'not JSON'"),
        ("details", "NULL"),
        ("hash", "reverse"),
    ] {
        let value = if value == "reverse" { "'0' || substr(hash, 2)" } else { value };
        for seq in [2, 5, entries] {
            let kept = format!("kept_{seq}");
            world.sql(&format!("CREATE TABLE {kept} AS SELECT * FROM audit WHERE seq = {seq}")).unwrap();
            world.sql(&format!("UPDATE audit SET {column} = {value} WHERE seq = {seq}")).unwrap();
            let changed = world.rows(&format!("SELECT {column} FROM audit WHERE seq = {seq}"));
            let before = world.rows(&format!("SELECT {column} FROM {kept}"));
            if changed == before {
                world.registry.verify_audit().unwrap();
            } else {
                assert_eq!(tampered(world), seq, "{column} = {value}");
            }
            let restore = format!(
                "DELETE FROM audit WHERE seq = {seq}; INSERT INTO audit SELECT * FROM {kept}; DROP TABLE {kept}"
            );
            world.sql(&restore).unwrap();
        }
    }
    assert_eq!(world.registry.verify_audit().unwrap().entries, entries);
}

// invariant: as `every_change_of_a_model_is_in_the_chain`
pub(crate) fn a_removed_entry_is_detected_wherever_it_stood(world: &World) {
    let entries = busy(world);
    world.disarm_audit();
    world.sql("CREATE TABLE kept AS SELECT * FROM audit").unwrap();
    for seq in [1, 2, 6, entries - 1, entries] {
        world.sql(&format!("DELETE FROM audit WHERE seq = {seq}")).unwrap();
        assert_eq!(tampered(world), seq);
        world.sql(&format!("INSERT INTO audit SELECT * FROM kept WHERE seq = {seq}")).unwrap();
    }
    world.registry.verify_audit().unwrap();
    world.sql("DELETE FROM audit WHERE seq > 3").unwrap();
    assert_eq!(tampered(world), 4);
    world.sql("DELETE FROM audit").unwrap();
    assert_eq!(tampered(world), 1);
}

pub(crate) fn an_entry_that_is_removed_with_the_others_renumbered_is_detected(world: &World) {
    busy(world);
    world.disarm_audit();
    world.sql("DELETE FROM audit WHERE seq = 4").unwrap();
    // One after the other: neither database can shift a whole unique column at once.
    let rest: u64 = world.rows("SELECT max(seq) FROM audit")[0].parse().unwrap();
    for seq in 5..=rest {
        world.sql(&format!("UPDATE audit SET seq = {} WHERE seq = {seq}", seq - 1)).unwrap();
    }
    world.sql(&format!("UPDATE audit_head SET seq = {}", rest - 1)).unwrap();
    assert_eq!(tampered(world), 4);
}

// invariant: as `every_change_of_a_model_is_in_the_chain`
pub(crate) fn reordered_entries_are_detected(world: &World) {
    busy(world);
    world.disarm_audit();
    for (from, to) in [(5, 9000), (6, 5), (9000, 6)] {
        world.sql(&format!("UPDATE audit SET seq = {to} WHERE seq = {from}")).unwrap();
    }
    assert_eq!(tampered(world), 5);
}

// invariant: as `every_change_of_a_model_is_in_the_chain`
pub(crate) fn an_entry_that_nobody_made_is_detected(world: &World) {
    let entries = busy(world);
    world.disarm_audit();
    let forge = |seq: &str| {
        format!(
            "INSERT INTO audit (seq, at_ms, actor, action, model, reason, hash)
             SELECT {seq}, at_ms, actor, action, model, reason, hash FROM audit WHERE seq = {entries}"
        )
    };
    for (seq, found) in [("0", 0), ("-5", 0), (&*(entries + 1).to_string(), entries + 1)] {
        world.sql(&forge(seq)).unwrap();
        assert_eq!(tampered(world), found, "{seq}");
        world.sql(&format!("DELETE FROM audit WHERE seq = {seq}")).unwrap();
    }
    world.registry.verify_audit().unwrap();
}

pub(crate) fn the_champion_of_any_date_is_known(world: &World) {
    let registry = &world.registry;
    let mut dates = vec![(0, None)];
    for _ in 0..3 {
        let version = world.approved("churn");
        world.promote("churn", version);
        dates.push((registry.audit_entries(1).unwrap()[0].at_ms, Some(version)));
        // So that the next promotion has another time.
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(world.roll_back("churn").unwrap(), 2);
    dates.push((registry.audit_entries(1).unwrap()[0].at_ms, Some(2)));
    let agree = || {
        for (at_ms, champion) in &dates {
            assert_eq!(registry.champion_at("churn", *at_ms).unwrap(), *champion, "{at_ms}");
        }
    };
    agree();
    for version in [1, 3] {
        registry.delete_version("churn", version, "").unwrap();
    }
    agree();
    // A model with a champion cannot be deleted; the owner of the database demotes it.
    world.sql("UPDATE versions SET stage = 'archived'").unwrap();
    registry.delete_model("churn", "").unwrap();
    agree();
    assert_eq!(registry.champion_at("churn", i64::MAX).unwrap(), None);
    assert_eq!(registry.champion_at("nothing", i64::MAX).unwrap(), None);
}

pub(crate) fn views_answer_people_who_ask_in_sql(world: &World) {
    let run = world.registry.begin_run(&crate::world::new_run("churn")).unwrap();
    let made = stagewright_store::NewVersion { run_id: Some(run.clone()), ..crate::world::version() };
    world.registry.create_version(&world.artifacts, "churn", &made, &crate::world::unnumbered).unwrap();
    for _ in 0..2 {
        let version = world.approved("churn");
        world.promote("churn", version);
    }
    world.unjudged("other");
    assert_eq!(world.rows("SELECT name, last_version, champion FROM models ORDER BY name"), ["churn|3|3", "other|1|"]);
    let transitions = "SELECT version, from_stage, to_stage FROM model_transitions WHERE model = 'churn' ORDER BY seq";
    assert_eq!(world.rows(transitions), ["2|none|production", "2|production|archived", "3|none|production"]);
    let experiments = "SELECT model, version, run_id, experiment FROM model_experiments";
    assert_eq!(world.rows(experiments), [format!("churn|1|{run}|churn")]);
}
