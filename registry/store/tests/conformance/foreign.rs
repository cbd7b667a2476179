//! Models and versions of clients: any source, any stage, aliases as they like, and no way to run,
//! judge, deploy or promote one.

use stagewright_store::search::{Entity, Filter, OrderBy};
use stagewright_store::{
    Digest, ForeignState, JudgedAgainst, LifecycleStage, ModelVersion, NewForeignVersion, NewLoggedModel, NewModel,
    NewVersion, Page, PromotionRequest, StoreError, TrackingError, Verdict,
};

use crate::client_files::uploaded;
use crate::client_runs::begun;
use crate::deployments::canary;
use crate::world::{World, judged, nobody, pairs, unnumbered, version};

/// Registers a version of a client's model, with a source that has no files.
fn registered(world: &World, model: &str) -> ModelVersion {
    if world.registry.model(model).is_err() {
        world.registry.create_foreign_model(model, &NewModel::default()).unwrap();
    }
    let source = "s3://bucket/model".to_owned();
    world.registry.create_foreign_version(model, &NewForeignVersion { source, ..Default::default() }).unwrap()
}

fn is_foreign<T>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Tracking(TrackingError::Foreign { version: 1, .. })))
}

pub(crate) fn a_version_of_a_client_is_read_back_as_it_was_registered(world: &World) {
    let registry = world.registry.acting_as("ada");
    let run = begun(world, "demo");
    let new_model = NewModel { description: "of a client".into(), tags: pairs(&[("team", "growth")]) };
    let model = registry.create_foreign_model("churn model (α)", &new_model).unwrap();
    assert_eq!((model.is_foreign, model.description.as_str(), model.champion), (true, "of a client", None));
    assert_eq!(registry.model("churn model (α)").unwrap(), model);
    let again = registry.create_foreign_model("churn model (α)", &new_model);
    assert!(matches!(again, Err(StoreError::ModelExists { .. })));
    let new = NewForeignVersion {
        source: "s3://bucket/model".into(),
        run_id: Some(run.run_id.clone()),
        run_link: Some("https://host/run".into()),
        model_id: None,
        description: "first".into(),
        tags: pairs(&[("b", "1"), ("a", "2")]),
    };
    let found = registry.create_foreign_version("churn model (α)", &new).unwrap();
    assert_eq!(registry.version("churn model (α)", 1).unwrap(), found);
    let foreign = found.foreign.clone().unwrap();
    assert_eq!((foreign.source, foreign.run_link, foreign.digest), (new.source, new.run_link, None));
    assert_eq!((found.version, found.run_id, found.description.as_str()), (1, Some(run.run_id), "first"));
    assert_eq!((found.actor.as_str(), found.tags), ("ada", pairs(&[("a", "2"), ("b", "1")])));
    for bad in ["", " ", "a/b", "a:b", "a\nb", &"x".repeat(257)] {
        let refused = registry.create_foreign_model(bad, &NewModel::default());
        assert!(matches!(refused, Err(StoreError::Tracking(TrackingError::BadModelName { .. }))), "{bad}");
    }
    let lost = registry.create_foreign_version("none", &NewForeignVersion::default());
    assert!(matches!(lost, Err(StoreError::NoModel { .. })));
    let lost = NewForeignVersion { model_id: Some("m-none".into()), ..NewForeignVersion::default() };
    let lost = registry.create_foreign_version("churn model (α)", &lost);
    assert!(matches!(lost, Err(StoreError::Tracking(TrackingError::NoLoggedModel { .. }))));
    registry.rename_model("churn model (α)", "other (β)").unwrap();
    assert!(registry.rename_model("other (β)", "a/b").is_err());
    assert_eq!(registry.version("other (β)", 1).unwrap().version, 1);
}

// invariant: No version that a client registered becomes champion, or is run, judged or deployed.
pub(crate) fn a_version_of_a_client_is_neither_judged_nor_deployed_nor_promoted_nor_run(world: &World) {
    let registry = &world.registry;
    let found = registered(world, "churn");
    let request = PromotionRequest::default();
    assert!(is_foreign(registry.promote("churn", 1, &request)));
    assert!(is_foreign(registry.begin_promotion("churn", 1, &request)));
    let verdict = judged(Verdict::Approved, JudgedAgainst::from(None), "good");
    assert!(is_foreign(registry.record_verdict(&world.artifacts, "churn", 1, &verdict)));
    assert!(is_foreign(found.check_runnable()));
    registered(world, "churn");
    assert!(is_foreign(registry.start_deployment("churn", &canary())));
    let production = registry.transition("churn", 1, LifecycleStage::Production, "");
    assert!(matches!(production, Err(StoreError::NeedsPromotion { .. })));
    // In production by MLflow's rules, it is no champion.
    registry.transition_foreign("churn", 1, LifecycleStage::Production, false, "").unwrap();
    assert!(is_foreign(registry.promote("churn", 1, &request)));
    assert!(matches!(registry.begin_rollback("churn", &request), Err(StoreError::NoArchivedVersion { .. })));
    assert!(matches!(registry.retire_model("churn", ""), Err(StoreError::NothingToRetire { .. })));
    assert_eq!(registry.model("churn").unwrap().champion, None);
    assert_eq!(
        (registry.alias("churn", "champion").unwrap(), registry.champion_at("churn", i64::MAX).unwrap()),
        (None, None)
    );
    assert_eq!(registry.champion_changes(0, 10).unwrap(), []);
    assert_eq!(world.rows("SELECT name, champion FROM models"), ["churn|"]);
}

pub(crate) fn a_model_has_versions_of_pipelines_or_of_clients(world: &World) {
    let registry = &world.registry;
    registered(world, "client");
    world.approved("pipeline");
    let refused = registry.create_version(&world.artifacts, "client", &version(), &unnumbered);
    assert!(matches!(refused, Err(StoreError::Tracking(TrackingError::ForeignModel { .. }))));
    assert!(matches!(
        registry.check_own_model("client"),
        Err(StoreError::Tracking(TrackingError::ForeignModel { .. }))
    ));
    registry.check_own_model("pipeline").unwrap();
    registry.check_own_model("none").unwrap();
    let refused = registry.create_foreign_version("pipeline", &NewForeignVersion::default());
    assert!(matches!(refused, Err(StoreError::Tracking(TrackingError::PipelineModel { .. }))));
    let refused = registry.transition_foreign("pipeline", 1, LifecycleStage::Production, true, "");
    assert!(matches!(refused, Err(StoreError::Tracking(TrackingError::NotForeign { .. }))));
    assert!(registry.pin_foreign_version("pipeline", 1).is_err());
    // Of a model without versions, the first decides.
    registry.create_foreign_model("taken", &NewModel::default()).unwrap();
    world.promote("taken", world.unjudged("taken"));
    assert!(!registry.model("taken").unwrap().is_foreign);
    registry.create_model("given", &NewModel::default()).unwrap();
    registered(world, "given");
    assert!(registry.model("given").unwrap().is_foreign);
}

pub(crate) fn versions_of_clients_go_through_stages_by_mlflows_rules(world: &World) {
    let registry = &world.registry;
    for _ in 0..4 {
        registered(world, "churn");
    }
    use LifecycleStage::{Archived, Production, Staging};
    let go = |version, to, archive| registry.transition_foreign("churn", version, to, archive, "why").unwrap();
    assert_eq!(go(1, Production, false).stage, Production);
    go(2, Production, false);
    assert_eq!(world.stages_of("churn"), ["production", "production", "none", "none"]);
    go(3, Staging, true);
    go(4, Production, true);
    assert_eq!(world.stages_of("churn"), ["archived", "archived", "staging", "production"]);
    go(4, Archived, true);
    registry.transition("churn", 3, LifecycleStage::None, "").unwrap();
    assert_eq!(world.stages_of("churn"), ["archived", "archived", "none", "archived"]);
    go(2, Production, false);
    let latest = registry.latest_versions(&["churn", "none"]).unwrap();
    assert_eq!(latest.iter().map(|it| it.version).collect::<Vec<_>>(), [2, 3, 4]);
    let entries = registry.audit_of("churn", Some(1)).unwrap();
    let states: Vec<_> = entries.iter().map(|it| (it.action.as_str(), it.new_state.as_deref())).collect();
    assert_eq!(states[1..], [("foreign.transitioned", Some("production")), ("foreign.transitioned", Some("archived"))]);
    assert!(matches!(registry.transition_foreign("churn", 9, Production, true, ""), Err(StoreError::NoVersion { .. })));
}

pub(crate) fn champion_is_an_alias_of_a_clients_model(world: &World) {
    let registry = &world.registry;
    registered(world, "churn");
    registered(world, "churn");
    registry.force_alias("churn", "champion", Some(1)).unwrap();
    registry.set_alias("churn", "champion", Some(1), Some(2)).unwrap();
    assert_eq!(registry.alias("churn", "champion").unwrap(), Some(2));
    assert_eq!(registry.version("churn", 2).unwrap().aliases, ["champion"]);
    let model = registry.model("churn").unwrap();
    assert_eq!((model.aliases, model.champion), (vec![("champion".to_owned(), 2)], None));
    assert_eq!(registry.champion_at("churn", i64::MAX).unwrap(), None);
    assert!(matches!(registry.force_alias("churn", "latest", Some(1)), Err(StoreError::ReservedAlias { .. })));
    registry.force_alias("churn", "champion", None).unwrap();
    assert_eq!(registry.alias("churn", "champion").unwrap(), None);
    world.approved("ours");
    assert!(matches!(registry.force_alias("ours", "champion", Some(1)), Err(StoreError::ReservedAlias { .. })));
}

pub(crate) fn a_version_is_pinned_to_its_files_when_they_are_there(world: &World) {
    let registry = &world.registry;
    let run = begun(world, "demo");
    let folder = stagewright_store::proxied_path(&run.artifact_uri).unwrap();
    registry.create_foreign_model("churn", &NewModel::default()).unwrap();
    let register = |source: String| {
        let new = NewForeignVersion { source, ..NewForeignVersion::default() };
        registry.create_foreign_version("churn", &new).unwrap()
    };
    let early = register(format!("runs:/{}/model", run.run_id));
    assert!(!early.foreign.unwrap().is_verified());
    assert_eq!(registry.foreign_state("churn", 1).unwrap(), ForeignState::Unverified);
    let unchanged = registry.pin_foreign_version("churn", 1).unwrap();
    assert!(!unchanged.foreign.unwrap().is_verified(), "no file is there");
    uploaded(world, &format!("{folder}/model/MLmodel"), b"flavors:");
    uploaded(world, &format!("{folder}/model/data/model.pkl"), b"pickle");
    uploaded(world, &format!("{folder}/model2/MLmodel"), b"another");
    let pinned = registry.pin_foreign_version("churn", 1).unwrap().foreign.unwrap();
    assert!(pinned.is_verified());
    // By another name of the same folder, and by the version: the same digest.
    let late = register(format!("{}/model/", run.artifact_uri)).foreign.unwrap();
    let copied = register("models:/churn/1".to_owned()).foreign.unwrap();
    assert_eq!((late.digest, copied.digest), (pinned.digest, pinned.digest));
    assert_eq!(registry.foreign_state("churn", 3).unwrap(), ForeignState::Verified);
    // Files that change later are noticed, and the pin stays.
    uploaded(world, &format!("{folder}/model/MLmodel"), b"changed");
    assert_eq!(registry.foreign_state("churn", 1).unwrap(), ForeignState::Changed);
    assert_eq!(registry.pin_foreign_version("churn", 1).unwrap().foreign.unwrap().digest, pinned.digest);
}

/// Registers a version of a client's model with a source.
fn try_register(world: &World, model: &str, source: &str) -> Result<ModelVersion, StoreError> {
    if world.registry.model(model).is_err() {
        world.registry.create_foreign_model(model, &NewModel::default()).unwrap();
    }
    let new = NewForeignVersion { source: source.to_owned(), ..NewForeignVersion::default() };
    world.registry.create_foreign_version(model, &new)
}

// invariant: A registered version keeps its files, whatever becomes of what its source names.
pub(crate) fn a_version_keeps_its_files_when_what_its_source_names_is_deleted_or_moved(world: &World) {
    let registry = &world.registry;
    let run = begun(world, "demo");
    let location = |model: &str, source: &str| -> String {
        let foreign = try_register(world, model, source).unwrap().foreign.unwrap();
        assert_eq!(foreign.source, source);
        foreign.location
    };
    let logged = |content: &[u8]| {
        let new = NewLoggedModel { experiment_id: run.experiment_id, name: "forest".into(), ..Default::default() };
        let model = registry.create_logged_model(&new).unwrap();
        let folder = stagewright_store::proxied_path(&model.artifact_uri).unwrap();
        uploaded(world, &format!("{folder}/MLmodel"), content);
        model
    };
    let (first, second) = (logged(b"first"), logged(b"second"));
    assert_eq!(location("a@b", &format!("models:/{}", first.model_id)), first.artifact_uri);
    assert_eq!(location("a@b", &format!("models:/{}", second.model_id)), second.artifact_uri);
    registry.force_alias("a@b", "best", Some(1)).unwrap();
    assert_eq!(location("copy", "models:/a@b/1"), first.artifact_uri);
    assert_eq!(location("copy", "models:/a@b@best"), first.artifact_uri);
    assert_eq!(location("copy", "models:/copy/2"), first.artifact_uri);
    assert_eq!(location("copy", &format!("runs:/{}/model", run.run_id)), format!("{}/model", run.artifact_uri));
    assert_eq!(location("copy", &format!("runs:/{}", run.run_id)), run.artifact_uri);
    assert_eq!(location("copy", "s3://bucket/model"), "s3://bucket/model");
    world.approved("ours");
    assert_eq!(location("copy", "models:/ours/1"), "mlflow-artifacts:/stagewright/models/ours/1");

    registry.force_alias("a@b", "best", Some(2)).unwrap();
    registry.delete_logged_model(&first.model_id).unwrap();
    registry.delete_version("a@b", 1, "old").unwrap();
    for version in [1, 2, 3] {
        let found = registry.version("copy", version).unwrap().foreign.unwrap();
        assert_eq!(found.location, first.artifact_uri);
        assert_eq!(registry.foreign_state("copy", version).unwrap(), ForeignState::Verified);
    }
    // Garbage collection knows it too, until the last of them is deleted.
    let first = Digest::of(b"first");
    assert!(registry.reachable().unwrap().contains(&first));
    for version in [1, 2, 3] {
        registry.delete_version("copy", version, "old").unwrap();
    }
    assert!(!registry.reachable().unwrap().contains(&first));
}

pub(crate) fn a_source_that_refers_to_nothing_is_refused(world: &World) {
    registered(world, "churn");
    let refused = |source: &str| try_register(world, "churn", source).unwrap_err();
    use StoreError as E;
    assert!(matches!(refused("models:/m-none"), E::Tracking(TrackingError::NoLoggedModel { .. })));
    assert!(matches!(refused("models:/none/1"), E::NoModel { .. }));
    assert!(matches!(refused("models:/none@best"), E::NoModel { .. }));
    assert!(matches!(refused("models:/churn@best"), E::NoAlias { .. }));
    assert!(matches!(refused("models:/churn/Production"), E::Tracking(TrackingError::BadSource { .. })));
    assert!(matches!(refused(&format!("runs:/{}/model", nobody())), E::NoRun { .. }));
    // The version that it would be.
    assert!(matches!(refused("models:/churn/2"), E::NoVersion { .. }));
    assert_eq!(registered(world, "churn").version, 2);
}

pub(crate) fn versions_of_clients_hide_none_that_their_run_made(world: &World) {
    let registry = &world.registry;
    let run_id = begun(world, "demo").run_id;
    registry.create_foreign_model("others", &NewModel::default()).unwrap();
    let other = || NewForeignVersion {
        source: "s3://bucket/model".into(),
        run_id: Some(run_id.clone()),
        ..NewForeignVersion::default()
    };
    for _ in 0..101 {
        registry.create_foreign_version("others", &other()).unwrap();
    }
    assert_eq!(registry.versions_made_by(&run_id).unwrap(), []);
    let own = NewVersion { run_id: Some(run_id.clone()), ..version() };
    registry.create_version(&world.artifacts, "churn", &own, &unnumbered).unwrap();
    registry.create_foreign_version("others", &other()).unwrap();
    assert_eq!(registry.versions_made_by(&run_id).unwrap(), [registry.version("churn", 1).unwrap()]);
    assert_eq!(registry.versions_made_by(&nobody()).unwrap(), []);
}

pub(crate) fn models_of_clients_are_tagged_described_searched_and_deleted(world: &World) {
    let registry = &world.registry;
    registered(world, "churn");
    registered(world, "churn");
    registry.tag_model("churn", "team", Some("growth")).unwrap();
    registry.tag_version("churn", 1, "checked", Some("yes")).unwrap();
    registry.describe_version("churn", 1, "words").unwrap();
    registry.describe_model("churn", "words").unwrap();
    let page = Page { limit: 10, offset: 0 };
    let find = |filter: &str| -> Vec<u32> {
        let filter = Filter::parse(Entity::ModelVersions, filter).unwrap();
        let order = OrderBy::parse(Entity::ModelVersions, &["version_number"]).unwrap();
        registry.search_versions(&filter, &order, page).unwrap().iter().map(|it| it.version).collect()
    };
    assert_eq!(find("source_path = 's3://bucket/model' AND name = 'churn'"), [1, 2]);
    assert_eq!(find("tags.checked = 'yes'"), [1]);
    registry.transition_foreign("churn", 1, LifecycleStage::Production, false, "").unwrap();
    assert_eq!(find("alias = 'champion'"), [0; 0]);
    registry.force_alias("churn", "champion", Some(2)).unwrap();
    assert_eq!(find("alias = 'champion'"), [2]);
    // Production protects no version of a client.
    registry.delete_version("churn", 1, "old").unwrap();
    assert_eq!(registered(world, "churn").version, 3);
    registry.transition_foreign("churn", 2, LifecycleStage::Production, false, "").unwrap();
    registry.delete_model("churn", "old").unwrap();
    assert!(matches!(registry.model("churn"), Err(StoreError::NoModel { .. })));
    assert_eq!(world.rows("SELECT count(*) FROM foreign_versions"), ["0"]);
}

// invariant: as `a_changed_verdict_is_named`
pub(crate) fn a_changed_source_is_named_by_the_audit(world: &World) {
    registered(world, "churn");
    world.registry.verify_audit().unwrap();
    world.sql("UPDATE foreign_versions SET source = 's3://evil/model'").unwrap();
    let differs = world.registry.verify_audit().unwrap_err();
    assert!(differs.to_string().contains("source"), "{differs}");
    world.sql("UPDATE foreign_versions SET source = 's3://bucket/model'").unwrap();
    world.registry.verify_audit().unwrap();
    world.sql("UPDATE foreign_versions SET location = 's3://evil/model'").unwrap();
    let differs = world.registry.verify_audit().unwrap_err();
    assert!(differs.to_string().contains("source"), "{differs}");
}
