//! Users, tokens and permissions.

use stagewright_store::{AccountError, NewModel, Permission, Registry, Resource, StoreError, User, Visible};

use crate::client_runs::begun;
use crate::world::World;

const PASSWORD: &str = "correct horse battery";

/// Creates a user; the first one is an administrator.
fn user(registry: &Registry, name: &str) -> User {
    let is_first = registry.users().unwrap().is_empty();
    registry.create_user(name, PASSWORD, is_first).unwrap()
}

fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>) -> AccountError {
    match result {
        Err(StoreError::Account(error)) => error,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn the_first_user_is_an_administrator_and_switches_accounts_on(world: &World) {
    let registry = &world.registry;
    let before = registry.accounts().unwrap();
    assert_eq!((before.is_required, before.default_permission), (false, Permission::Read));
    assert!(matches!(refused(registry.create_user("ada", PASSWORD, false)), AccountError::FirstIsNoAdmin { .. }));
    assert!(!registry.accounts().unwrap().is_required);
    let ada = user(registry, "ada");
    assert_eq!(registry.user("ada").unwrap(), ada);
    let bob = user(registry, "bob");
    assert_eq!((ada.is_admin, bob.is_admin), (true, false));
    assert_eq!(registry.users().unwrap(), [ada, bob]);
    let after = registry.accounts().unwrap();
    assert!(after.is_required && after.revision > before.revision);
    assert!(matches!(refused(registry.create_user("ada", PASSWORD, true)), AccountError::UserExists { .. }));
    for wrong in ["", "a b", "a:b", "a/b", "-a", "a\n", &"a".repeat(101)] {
        assert!(matches!(refused(registry.create_user(wrong, PASSWORD, false)), AccountError::BadUserName { .. }));
    }
    for wrong in ["", "short", &"a".repeat(2000)] {
        assert!(matches!(refused(registry.create_user("eve", wrong, false)), AccountError::BadPassword { .. }));
    }
}

// invariant: Accounts are not lost by accident: the last administrator stays until accounts are
// switched off.
pub(crate) fn the_last_administrator_stays_until_accounts_are_switched_off(world: &World) {
    let registry = &world.registry;
    user(registry, "ada");
    user(registry, "bob");
    assert!(matches!(refused(registry.delete_user("ada")), AccountError::LastAdmin { .. }));
    assert!(matches!(refused(registry.set_admin("ada", false)), AccountError::LastAdmin { .. }));
    registry.set_admin("bob", true).unwrap();
    registry.delete_user("ada").unwrap();
    assert!(matches!(refused(registry.delete_user("bob")), AccountError::LastAdmin { .. }));
    assert!(matches!(refused(registry.delete_user("ada")), AccountError::NoUser { .. }));
    registry.switch_accounts_off().unwrap();
    assert!(registry.users().unwrap().is_empty() && !registry.accounts().unwrap().is_required);
}

pub(crate) fn a_password_is_known_until_another_is_set(world: &World) {
    let registry = &world.registry;
    let ada = user(registry, "ada");
    let known = |name, password| registry.user_with_password(name, password).unwrap();
    assert_eq!(known("ada", PASSWORD), Some(ada));
    for (name, wrong) in [("ada", ""), ("ada", "correct horse batter"), ("bob", PASSWORD), ("ADA", PASSWORD)] {
        assert_eq!(known(name, wrong), None, "{name} {wrong}");
    }
    let session = registry.create_session("ada", i64::MAX).unwrap();
    let (_, token) = registry.create_token("ada", "notebook", None).unwrap();
    let revision = registry.accounts().unwrap().revision;
    registry.set_password("ada", "another password").unwrap();
    assert!(registry.accounts().unwrap().revision > revision);
    assert_eq!(known("ada", PASSWORD), None);
    assert!(known("ada", "another password").is_some());
    // Whoever knew the old one is signed out; programs with tokens are not.
    assert!(registry.user_with_token(session.reveal(), true).unwrap().is_none());
    assert!(registry.user_with_token(token.reveal(), false).unwrap().is_some());
    assert!(matches!(refused(registry.set_password("bob", PASSWORD)), AccountError::NoUser { .. }));
}

pub(crate) fn a_token_is_known_until_it_expires_or_is_revoked(world: &World) {
    let registry = &world.registry;
    let ada = user(registry, "ada");
    let (token, secret) = registry.create_token("ada", "notebook", Some(i64::MAX)).unwrap();
    assert!(!format!("{token:?} {secret:?}").contains(secret.reveal()));
    assert_eq!(registry.user_with_token(secret.reveal(), false).unwrap(), Some((ada.clone(), Some(i64::MAX))));
    // A token is no session, and a session no token.
    assert_eq!(registry.user_with_token(secret.reveal(), true).unwrap(), None);
    let session = registry.create_session("ada", i64::MAX).unwrap();
    assert_eq!(registry.user_with_token(session.reveal(), false).unwrap(), None);
    assert!(registry.user_with_token(session.reveal(), true).unwrap().is_some());
    let (_, expired) = registry.create_token("ada", "old", Some(1)).unwrap();
    assert_eq!(registry.user_with_token(expired.reveal(), false).unwrap(), None);
    for wrong in ["", "swt_", "swt_00", &secret.reveal()[4..], &secret.reveal().to_uppercase()] {
        assert_eq!(registry.user_with_token(wrong, false).unwrap(), None, "{wrong}");
    }
    let listed = registry.tokens(None).unwrap();
    assert!(listed.iter().all(|token| !token.is_session) && listed[0].used_ms.is_some(), "{listed:?}");
    assert_eq!(registry.tokens(Some("ada")).unwrap(), listed);
    assert!(matches!(refused(registry.tokens(Some("bob"))), AccountError::NoUser { .. }));
    let revision = registry.accounts().unwrap().revision;
    registry.revoke_token(token.id).unwrap();
    assert!(registry.accounts().unwrap().revision > revision);
    assert_eq!(registry.user_with_token(secret.reveal(), false).unwrap(), None);
    assert!(matches!(refused(registry.revoke_token(token.id)), AccountError::NoToken { .. }));
    registry.end_session(session.reveal()).unwrap();
    assert_eq!(registry.user_with_token(session.reveal(), true).unwrap(), None);
    for label in ["", "a\nb", &"a".repeat(101)] {
        assert!(matches!(refused(registry.create_token("ada", label, None)), AccountError::BadLabel));
    }
}

pub(crate) fn a_user_has_a_bounded_number_of_tokens_and_sessions(world: &World) {
    let registry = &world.registry;
    user(registry, "ada");
    let create = || registry.create_token("ada", "one", None);
    (0..100).for_each(|_| drop(create().unwrap()));
    assert!(matches!(refused(create()), AccountError::TooManyTokens { most: 100, .. }));
    let sessions: Vec<_> = (0..21).map(|_| registry.create_session("ada", i64::MAX).unwrap()).collect();
    let is_known = |at: usize| registry.user_with_token(sessions[at].reveal(), true).unwrap().is_some();
    assert!(!is_known(0) && is_known(1) && is_known(20), "the oldest one ended");
}

pub(crate) fn permissions_hold_on_what_they_were_granted_on(world: &World) {
    let registry = &world.registry;
    user(registry, "ada");
    let (bob, eve) = (user(registry, "bob"), user(registry, "eve"));
    let run = begun(world, "demo");
    let experiment = Resource::Experiment(run.experiment_id);
    registry.create_foreign_model("churn", &NewModel::default()).unwrap();
    let model = Resource::Model("churn".into());
    let has = |user: &User, resource: &Resource| registry.permission(user, resource).unwrap();
    assert_eq!((has(&bob, &experiment), has(&bob, &model)), (Permission::Read, Permission::Read));
    registry.set_default_permission(Permission::NoPermissions).unwrap();
    assert_eq!((has(&bob, &experiment), has(&bob, &model)), (Permission::NoPermissions, Permission::NoPermissions));
    registry.grant("bob", &experiment, Permission::Edit).unwrap();
    registry.grant("bob", &model, Permission::Read).unwrap();
    registry.grant("bob", &model, Permission::Manage).unwrap();
    assert_eq!((has(&bob, &experiment), has(&bob, &model)), (Permission::Edit, Permission::Manage));
    assert_eq!((has(&eve, &experiment), has(&eve, &model)), (Permission::NoPermissions, Permission::NoPermissions));
    assert_eq!(registry.experiment_of_run(&run.run_id).unwrap(), run.experiment_id);
    let visible = registry.visible_experiments(&bob).unwrap();
    assert!(visible == Visible::Only(vec![run.experiment_id]) && visible.contains(&run.experiment_id));
    assert!(registry.visible_models(&bob).unwrap().contains("churn"));
    assert_eq!(registry.visible_models(&eve).unwrap(), Visible::Only(Vec::new()));
    // They stay with what they are on, whatever it is called.
    registry.rename_model("churn", "leavers").unwrap();
    registry.rename_experiment("demo", "other").unwrap();
    assert_eq!(has(&bob, &Resource::Model("leavers".into())), Permission::Manage);
    let grants = registry.grants(Some("bob")).unwrap();
    let shown: Vec<_> = grants.iter().map(|grant| (grant.name.as_str(), grant.permission)).collect();
    assert_eq!(shown, [("other", Permission::Edit), ("leavers", Permission::Manage)]);
    assert_eq!(registry.grants(None).unwrap(), grants);
    registry.revoke("bob", &experiment).unwrap();
    assert_eq!(has(&bob, &experiment), Permission::NoPermissions);
    // Where all may read, what is closed to a user is left out.
    registry.set_default_permission(Permission::Read).unwrap();
    registry.grant("eve", &experiment, Permission::NoPermissions).unwrap();
    assert_eq!(registry.visible_experiments(&eve).unwrap(), Visible::AllBut(vec![run.experiment_id]));
    assert!(matches!(registry.permission(&bob, &model), Err(StoreError::NoModel { .. })));
    assert!(matches!(
        registry.grant("bob", &Resource::Experiment(4711), Permission::Read),
        Err(StoreError::NoExperiment { .. })
    ));
    // They go with the model and with the user.
    registry.delete_model("leavers", "for a test").unwrap();
    registry.delete_user("eve").unwrap();
    assert_eq!(registry.grants(None).unwrap(), []);
}

// invariant: The audit names the user on whose behalf a model was changed.
pub(crate) fn whoever_creates_something_manages_it_and_the_audit_names_them(world: &World) {
    let registry = &world.registry;
    user(registry, "ada");
    let bob = user(registry, "bob");
    registry.set_default_permission(Permission::NoPermissions).unwrap();
    let own = registry.on_behalf_of(&bob);
    let experiment = own.create_experiment("of bob", &[]).unwrap();
    own.create_foreign_model("of-bob", &NewModel::default()).unwrap();
    for resource in [Resource::Experiment(experiment), Resource::Model("of-bob".into())] {
        assert_eq!(registry.permission(&bob, &resource).unwrap(), Permission::Manage);
    }
    registry.acting_as("ada").grant("ada", &Resource::Model("of-bob".into()), Permission::Read).unwrap();
    let audit = registry.audit_of("of-bob", None).unwrap();
    let told: Vec<_> = audit.iter().map(|entry| (entry.actor.as_str(), entry.action.as_str())).collect();
    assert_eq!(told, [("bob", "model.registered"), ("ada", "permission.changed")]);
    assert_eq!(audit[1].new_state.as_deref(), Some("ada READ"));
}

// invariant: Nobody reads files of others through an experiment of their own.
pub(crate) fn a_path_of_a_file_belongs_to_its_experiments(world: &World) {
    let registry = &world.registry;
    let plain = registry.create_experiment("plain", &[]).unwrap();
    let at = |name: &str, location: &str| registry.create_experiment_at(name, Some(location), &[]).unwrap();
    let (outer, inner) = (at("outer", "mlflow-artifacts:/shared"), at("inner", "mlflow-artifacts:/shared/deep"));
    let thief = at("thief", &format!("mlflow-artifacts:/{plain}/0a"));
    at("elsewhere", "s3://bucket/shared");
    let owners = |path: &str| registry.experiments_of_path(path).unwrap();
    assert_eq!(owners(&format!("{plain}/ab/artifacts/a")), [plain]);
    assert_eq!(owners(&format!("{plain}/0a/artifacts/a")), [plain, thief]);
    assert_eq!(owners("shared/ab/artifacts/a"), [outer]);
    assert_eq!(owners("shared/deep/ab"), [inner]);
    assert_eq!(owners("shared/deeper"), [outer]);
    // Whoever has a folder has what is in it.
    assert_eq!(owners("shared"), [outer, inner]);
    at("further", "mlflow-artifacts:/team/a/b");
    assert_eq!(owners("team/a").len(), 1);
    assert_eq!(owners("team/a/c"), [0_i64; 0]);
    for nobodys in ["", "sharedx/a", "4711/a", "stagewright/models/churn/1", "bucket"] {
        assert_eq!(owners(nobodys), [0_i64; 0], "{nobodys}");
    }
}
