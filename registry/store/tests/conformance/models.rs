//! Models, with their descriptions, tags and aliases.

use stagewright_store::{CHAMPION, NewModel, PromotionRequest, StoreError};

use crate::world::{World, pairs, unnumbered, version};

pub(crate) fn a_model_is_registered_by_hand_or_by_its_first_version(world: &World) {
    let registry = &world.registry;
    let new = NewModel { description: "who leaves".into(), tags: pairs(&[("b", "2"), ("a", "1")]) };
    registry.create_model("by-hand", &new).unwrap();
    assert_eq!(world.unjudged("churn"), 1);
    assert_eq!(world.unjudged("by-hand"), 1);
    let models = registry.models().unwrap();
    assert_eq!(models.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["by-hand", "churn"]);
    let by_hand = registry.model("by-hand").unwrap();
    assert_eq!(by_hand, models[0]);
    assert_eq!((by_hand.description.as_str(), by_hand.tags), ("who leaves", pairs(&[("a", "1"), ("b", "2")])));
    assert_eq!((by_hand.latest_version, by_hand.champion), (1, None));
    assert!(matches!(registry.create_model("churn", &new), Err(StoreError::ModelExists { .. })));
    assert!(matches!(registry.model("nothing"), Err(StoreError::NoModel { .. })));
}

pub(crate) fn models_are_sorted_by_bytes(world: &World) {
    for name in ["b", "B", "a", "A", "_", "1"] {
        world.registry.create_model(name, &NewModel::default()).unwrap();
    }
    let names: Vec<_> = world.registry.models().unwrap().into_iter().map(|model| model.name).collect();
    assert_eq!(names, ["1", "A", "B", "_", "a", "b"]);
}

pub(crate) fn names_are_identifiers(world: &World) {
    let registry = &world.registry;
    for bad in ["", ".", "..", "a/b", "a b", "ä", "a\n", &"x".repeat(129)] {
        let created = registry.create_version(&world.artifacts, bad, &version(), &unnumbered);
        assert!(matches!(created, Err(StoreError::BadName { .. })), "{bad}");
        assert!(matches!(registry.create_model(bad, &NewModel::default()), Err(StoreError::BadName { .. })), "{bad}");
        assert!(matches!(registry.set_alias("churn", bad, None, Some(1)), Err(StoreError::BadName { .. })), "{bad}");
    }
    world.unjudged(&"x".repeat(128));
    world.unjudged("Churn_model-2.1");
}

pub(crate) fn tags_and_descriptions_of_models_are_changed(world: &World) {
    let registry = &world.registry;
    world.unjudged("churn");
    registry.describe_model("churn", "who leaves").unwrap();
    registry.tag_model("churn", "owner", Some("ada")).unwrap();
    registry.tag_model("churn", "owner", Some("grace")).unwrap();
    let model = registry.model("churn").unwrap();
    assert_eq!((model.description.as_str(), model.tags), ("who leaves", pairs(&[("owner", "grace")])));
    registry.tag_model("churn", "owner", None).unwrap();
    assert!(matches!(registry.tag_model("churn", "owner", None), Err(StoreError::NoTag { .. })));
    assert!(matches!(registry.tag_model("nothing", "owner", Some("")), Err(StoreError::NoModel { .. })));
    assert!(matches!(registry.describe_model("nothing", ""), Err(StoreError::NoModel { .. })));
}

// invariant: An alias moves only if it points where the caller expects.
pub(crate) fn an_alias_moves_only_from_where_it_is_believed_to_be(world: &World) {
    let registry = &world.registry;
    for _ in 0..3 {
        world.unjudged("churn");
    }
    assert_eq!(registry.alias("churn", "candidate").unwrap(), None);
    registry.set_alias("churn", "candidate", None, Some(1)).unwrap();
    registry.set_alias("churn", "candidate", Some(1), Some(2)).unwrap();
    let moved = registry.set_alias("churn", "candidate", Some(1), Some(3)).unwrap_err();
    let text = "alias `candidate` of model `churn` points to version 2, not to version 1\n\
                hint: another run moved it; look at it and try again";
    assert_eq!(moved.to_string(), text);
    assert!(matches!(registry.set_alias("churn", "candidate", None, Some(3)), Err(StoreError::AliasMoved { .. })));
    assert!(matches!(registry.set_alias("churn", "candidate", Some(2), Some(9)), Err(StoreError::NoVersion { .. })));
    assert!(matches!(registry.set_alias("nothing", "candidate", None, Some(1)), Err(StoreError::NoModel { .. })));
    assert_eq!(registry.version("churn", 2).unwrap().aliases, ["candidate"]);
    assert_eq!(registry.model("churn").unwrap().aliases, [("candidate".to_owned(), 2)]);
    registry.set_alias("churn", "candidate", Some(2), None).unwrap();
    assert_eq!(registry.alias("churn", "candidate").unwrap(), None);
    let moves = registry.audit_of("churn", None).unwrap().into_iter().filter(|it| it.action == "alias.moved");
    let (one, two) = (Some("candidate -> 1".to_owned()), Some("candidate -> 2".to_owned()));
    assert!(moves.map(|it| (it.old_state, it.new_state)).eq([(None, one.clone()), (one, two.clone()), (two, None)]));
}

pub(crate) fn an_alias_that_is_not_there_cannot_be_removed(world: &World) {
    world.unjudged("churn");
    let before = world.registry.audit_head().unwrap();
    for refused in
        [world.registry.set_alias("churn", "candidate", None, None), world.registry.force_alias("churn", "candidate", None)]
    {
        assert_eq!(refused.unwrap_err().to_string(), "model `churn` has no alias `candidate`");
    }
    assert_eq!(world.registry.audit_head().unwrap(), before);
}

pub(crate) fn a_forced_alias_moves_from_anywhere(world: &World) {
    world.unjudged("churn");
    world.unjudged("churn");
    world.registry.force_alias("churn", "candidate", Some(1)).unwrap();
    world.registry.force_alias("churn", "candidate", Some(2)).unwrap();
    world.registry.force_alias("churn", "other", Some(2)).unwrap();
    assert_eq!(world.registry.version("churn", 2).unwrap().aliases, ["candidate", "other"]);
    world.registry.force_alias("churn", "candidate", None).unwrap();
    assert_eq!(world.registry.alias("churn", "candidate").unwrap(), None);
}

pub(crate) fn some_aliases_are_reserved(world: &World) {
    world.approved("churn");
    for reserved in [CHAMPION, "Champion", "latest", "LATEST", "v1", "V007"] {
        for refused in [
            world.registry.set_alias("churn", reserved, None, Some(1)),
            world.registry.force_alias("churn", reserved, Some(1)),
        ] {
            assert!(matches!(refused, Err(StoreError::ReservedAlias { .. })), "{reserved}");
        }
    }
    for free in ["v", "v1a", "vintage", "champion-2", "challenger"] {
        world.registry.set_alias("churn", free, None, Some(1)).unwrap();
    }
}

pub(crate) fn a_model_is_renamed_with_all_that_belongs_to_it(world: &World) {
    let registry = &world.registry;
    let champion = world.approved("churn");
    world.promote("churn", champion);
    world.unjudged("taken");
    let before = registry.audit_entries(1).unwrap()[0].at_ms;
    assert!(matches!(registry.rename_model("churn", "taken"), Err(StoreError::ModelExists { .. })));
    assert!(matches!(registry.rename_model("churn", "a b"), Err(StoreError::BadName { .. })));
    assert!(matches!(registry.rename_model("nothing", "new"), Err(StoreError::NoModel { .. })));
    registry.rename_model("churn", "retention").unwrap();
    assert!(matches!(registry.model("churn"), Err(StoreError::NoModel { .. })));
    assert_eq!(registry.version("retention", champion).unwrap().model, "retention");
    assert_eq!(world.champion("retention"), Some(champion));
    // The audit follows the model to its new name.
    let after = registry.audit_entries(1).unwrap()[0].at_ms;
    assert_eq!(registry.champion_at("retention", after).unwrap(), Some(champion));
    assert_eq!(registry.champion_at("churn", after.max(before + 1)).unwrap(), None);
    registry.verify_audit().unwrap();
}

pub(crate) fn a_model_is_deleted_but_for_its_audit(world: &World) {
    let registry = &world.registry;
    world.approved("churn");
    world.unjudged("churn");
    registry.set_alias("churn", "candidate", None, Some(1)).unwrap();
    registry.tag_model("churn", "owner", Some("ada")).unwrap();
    registry.tag_version("churn", 1, "note", Some("x")).unwrap();
    let undone = registry.begin_promotion("churn", 1, &PromotionRequest::default()).unwrap();
    let running = registry.delete_model("churn", "obsolete").unwrap_err();
    assert!(matches!(running, StoreError::PromotionRunning { .. }), "{running}");
    registry.undo_promotion(&undone.id, "").unwrap();
    registry.acting_as("ada").delete_model("churn", "obsolete").unwrap();
    assert!(matches!(registry.model("churn"), Err(StoreError::NoModel { .. })));
    assert!(matches!(registry.delete_model("churn", ""), Err(StoreError::NoModel { .. })));
    let audit = registry.audit_of("churn", None).unwrap();
    let last = audit.last().unwrap();
    assert_eq!((last.action.as_str(), last.actor.as_str(), last.reason.as_str()), ("model.deleted", "ada", "obsolete"));
    assert_eq!(audit[0].action, "model.registered");
    registry.verify_audit().unwrap();
    assert_eq!(world.unjudged("churn"), 3, "the name is free again, and its numbers are not given twice");
}

pub(crate) fn a_model_with_a_champion_is_not_deleted(world: &World) {
    let champion = world.approved("churn");
    world.promote("churn", champion);
    let refused = world.registry.delete_model("churn", "").unwrap_err();
    assert!(matches!(refused, StoreError::IsChampion { version: 1, .. }), "{refused}");
    assert_eq!(world.champion("churn"), Some(champion));
}
