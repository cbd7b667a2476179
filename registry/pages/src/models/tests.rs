//! Pages about models over a registry whose every text is hostile, and what pages refuse.

use serde_json::{Value as Json, json};
use stagewright_store::{
    DeploymentArm, DeploymentStrategy, Home, JudgedAgainst, LifecycleStage, NewDeployment, NewForeignVersion, NewModel,
    NewRun, NewVerdict, NewVersion, PromotionRequest, RunStatus, Verdict,
};

use crate::answer::{Answer, Content, Form, Request};
use crate::fault::{Fault, FaultKind};
use crate::query::Query;
use crate::route::{Level, Method, Resource};
use crate::site::Site;
use crate::table::routes;
use crate::viewer::{Everything, May, Viewer};

/// A text that breaks out of everything that does not escape it.
const NASTY: &str = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>&amp;\u{202e}{{7*7}}";
/// The same, as far as the name of a client's model may have its letters.
const NASTY_NAME: &str = "\"'><img src=x onerror=alert(1)><script>alert(2)<b>&amp;\u{202e}";
const OWN: &str = "churn";

struct World {
    _folder: tempfile::TempDir,
    home: Home,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut home = Home::open(folder.path()).expect("a home");
        home.registry = home.registry.acting_as(NASTY);
        Self { _folder: folder, home }
    }

    /// Registers a version of the pipeline's model and judges it.
    fn judged(&self, verdict: Verdict, reason: &str) -> u32 {
        let registry = &self.home.registry;
        let contents = json!({
            "task": { "kind": NASTY, "positive": NASTY }, "target": NASTY, "source": NASTY,
            "signature": { "fields": [{ "name": NASTY, "data_type": NASTY, "role": NASTY, "nullable": true }],
                "null-values": [NASTY], "extra-columns": NASTY },
            "code": { "commit": NASTY, "branch": NASTY, "dirty": true }, "data_digest": NASTY,
            "limits": [{ "stage": NASTY, "memory": 1, "memory_used": 1, "cpu_ms": 1, "cpu_used_ms": 1, "wall_ms": 1,
                "wall_used_ms": 1 }],
        });
        let pair = || vec![(NASTY.to_owned(), NASTY.to_owned())];
        let new = NewVersion { contents, parameters: pair(), tags: pair(), ..NewVersion::default() };
        let version = registry.create_version(&self.home.artifacts, OWN, &new, &|_| None).expect("a version");
        let champion = registry.alias(OWN, "champion").expect("an alias");
        let mut judged = NewVerdict::by_person(verdict, JudgedAgainst::from(champion), reason);
        (judged.is_override, judged.policy) = (false, NASTY.to_owned());
        judged.reasons[0].gate = NASTY.to_owned();
        judged.metrics = vec![(NASTY.to_owned(), 0.5), ("nan".to_owned(), f64::NAN)];
        registry.record_verdict(&self.home.artifacts, OWN, version, &judged).expect("a verdict");
        version
    }

    fn promoted(&self) -> u32 {
        let version = self.judged(Verdict::Approved, NASTY);
        let request = PromotionRequest { destination: NASTY.into(), expected: None, reason: NASTY.into() };
        self.home.registry.promote(OWN, version, &request).expect("a promotion");
        version
    }

    fn ask(
        &self,
        method: Method,
        route: &'static str,
        parts: &[(&str, &str)],
        sent: &[(&str, &str)],
        form: Form,
        viewer: &Viewer,
    ) -> Result<Answer, Fault> {
        let query = |pairs: &[(&str, &str)]| {
            let mut query = Query::default();
            pairs.iter().for_each(|(name, value)| query.add(name, value));
            query
        };
        let found = routes().into_iter().find(|it| it.method == method && it.path == route);
        let (asked, fields) = match method {
            Method::Get => (query(sent), Query::default()),
            Method::Post => (Query::default(), query(sent)),
        };
        let request = Request { path: route, parts: query(parts), query: asked, fields, form, viewer };
        let site = Site { registry: &self.home.registry, artifacts: &self.home.artifacts, pipelines: None };
        (found.expect("a route").handler)(&site, &request)
    }

    fn shown(&self, route: &'static str, parts: &[(&str, &str)], query: &[(&str, &str)], form: Form) -> String {
        let answer = self.ask(Method::Get, route, parts, query, form, &Viewer::anybody());
        let answer = answer.unwrap_or_else(|fault| panic!("{route}: {fault}"));
        text(answer)
    }
}

fn text(answer: Answer) -> String {
    match answer.content {
        Content::Bytes { bytes, .. } => String::from_utf8(bytes).expect("text"),
        other => panic!("{other:?}"),
    }
}

fn hostile() -> World {
    let world = World::new();
    let registry = &world.home.registry;
    let pair = || vec![(NASTY.to_owned(), NASTY.to_owned())];
    let new_model = NewModel { description: NASTY.into(), tags: pair() };
    registry.create_foreign_model(NASTY_NAME, &new_model).expect("a model");
    let new = NewForeignVersion { source: NASTY.into(), description: NASTY.into(), tags: pair(), ..Default::default() };
    registry.create_foreign_version(NASTY_NAME, &new).expect("a version");
    registry.transition_foreign(NASTY_NAME, 1, LifecycleStage::Production, false, NASTY).expect("a transition");
    world.promoted();
    world.promoted();
    let third = world.judged(Verdict::Approved, NASTY);
    world.judged(Verdict::Rejected, NASTY);
    registry.describe_model(OWN, NASTY).expect("a description");
    registry.tag_model(OWN, NASTY, Some(NASTY)).expect("a tag");
    registry.describe_version(OWN, third, NASTY).expect("a description");
    registry.set_alias(OWN, "shadow", None, Some(third)).expect("an alias");
    registry.record_refusal(OWN, 1, NASTY).expect("a refusal");
    let arm = |name: &str, version, share| DeploymentArm { name: name.into(), version, share };
    let new = NewDeployment {
        strategy: DeploymentStrategy::Canary,
        configuration: json!({ "odd": NASTY }),
        step: 0,
        arms: vec![arm("control", 2, 0.9), arm("canary", third, 0.1)],
        state: json!({ "note": NASTY, "compared_rows": 5, "different_rows": 1 }),
        reason: NASTY.into(),
    };
    registry.start_deployment(OWN, &new).expect("a deployment");
    let run = NewRun { name: NASTY.into(), pipeline: NASTY.into(), experiment: "e".into(), ..NewRun::default() };
    let id = registry.begin_run(&run).expect("a run");
    registry.finish_run(&id, RunStatus::Failed, Some(&json!({ "message": NASTY }))).expect("its end");
    registry.begin_run(&run).expect("a run");
    world
}

/// Members of a path or of a query, by name.
type Members = &'static [(&'static str, &'static str)];

/// Every page about models: its route, with the members of its path and of its query.
const PAGES: &[(&str, Members, Members)] = &[
    ("/", &[], &[]),
    ("/models", &[], &[]),
    ("/models", &[], &[("search", NASTY)]),
    ("/models/{name}", &[("name", OWN)], &[]),
    ("/models/{name}", &[("name", OWN)], &[("on", "2100-01-01"), ("done", NASTY), ("of", "1")]),
    ("/models/{name}", &[("name", NASTY_NAME)], &[]),
    ("/models/{name}/{version}", &[("name", OWN), ("version", "2")], &[]),
    ("/models/{name}/{version}", &[("name", OWN), ("version", "4")], &[]),
    ("/models/{name}/{version}", &[("name", NASTY_NAME), ("version", "1")], &[]),
    ("/models/{name}/decide", &[("name", OWN)], &[("action", "promote"), ("version", "3")]),
    ("/models/{name}/decide", &[("name", OWN)], &[("action", "promote"), ("version", "4")]),
    ("/models/{name}/decide", &[("name", NASTY_NAME)], &[("action", "promote"), ("version", "1")]),
    ("/models/{name}/decide", &[("name", OWN)], &[("action", "rollback")]),
    ("/models/{name}/decide", &[("name", OWN)], &[("action", "approve"), ("version", "4")]),
    ("/models/{name}/decide", &[("name", OWN)], &[("action", "abort")]),
    ("/models/{name}/decide", &[("name", OWN)], &[("action", "advance")]),
    ("/models/{name}/edit", &[("name", OWN)], &[("action", "tag"), ("key", NASTY), ("value", NASTY)]),
    ("/models/{name}/edit", &[("name", OWN)], &[("action", "remove-tag"), ("key", NASTY)]),
    ("/models/{name}/edit", &[("name", NASTY_NAME)], &[("action", "describe"), ("value", NASTY)]),
    ("/models/{name}/edit", &[("name", OWN)], &[("action", "alias"), ("key", NASTY), ("version", "4")]),
    ("/models/{name}/edit", &[("name", NASTY_NAME)], &[("action", "stage"), ("value", "archived"), ("version", "1")]),
    ("/deployments", &[], &[]),
    ("/deployments/{name}", &[("name", OWN)], &[]),
    ("/audit", &[], &[]),
    ("/audit", &[], &[("model", NASTY_NAME), ("actor", NASTY), ("action", NASTY)]),
];

/// Returns a page without the contents of its fields.
fn without_fields(page: &str) -> String {
    let mut rest = page.to_owned();
    for (begin, end) in [(" value=\"", "\""), ("<textarea", "</textarea>")] {
        let mut kept = String::new();
        while let Some((before, after)) = rest.split_once(begin) {
            kept += before;
            rest = after.split_once(end).expect("an end").1.to_owned();
        }
        rest = kept + &rest;
    }
    rest
}

// invariant: Text from outside stays text on every page about models, wherever it comes from.
#[test]
fn hostile_text_is_text_on_every_page() {
    let world = hostile();
    let mut seen = 0;
    for (route, parts, query) in PAGES {
        let page = world.shown(route, parts, query, Form::Html);
        for forbidden in ["<img", "<script>", "onerror=alert(1)>", "\"'>"] {
            assert!(!page.contains(forbidden), "{route} {query:?} has {forbidden}: {page}");
        }
        // What a form sends again is exact; it reorders nothing beyond its field.
        assert!(!without_fields(&page).contains('\u{202e}'), "{route} {query:?} is reordered: {page}");
        seen += page.matches("&lt;img src=x onerror=alert(1)&gt;").count();
        let json = world.shown(route, parts, query, Form::Json);
        assert!(serde_json::from_str::<Json>(&json).is_ok_and(|json| json.is_object()), "{route}: {json}");
    }
    assert!(seen > 100, "the text is on the pages: {seen}");
}

#[test]
fn what_a_page_shows_is_in_its_json() {
    let world = hostile();
    let read = |route, parts: &[(&str, &str)], query: &[(&str, &str)]| -> Json {
        serde_json::from_str(&world.shown(route, parts, query, Form::Json)).expect("JSON")
    };
    let models = read("/models", &[], &[]);
    assert_eq!(models["models"].as_array().map(Vec::len), Some(2), "{models}");
    let own = models["models"].as_array().and_then(|it| it.iter().find(|it| it["name"] == OWN)).expect("a model");
    assert_eq!((&own["versions"], &own["in_production"][0]["version"]), (&json!(4), &json!(2)));
    assert!(own["in_production"][0]["since_ms"].as_i64().is_some_and(|since| since > 0));
    let model = read("/models/{name}", &[("name", OWN)], &[("on", "2100-01-01")]);
    assert_eq!(model["on"]["version"], 2);
    assert_eq!(model["promotions"].as_array().map(Vec::len), Some(2));
    assert_eq!(model["rollback_target"], 1);
    assert_eq!(read("/models/{name}", &[("name", OWN)], &[("on", "1999-01-01")])["on"]["version"], Json::Null);
    let version = read("/models/{name}/{version}", &[("name", OWN), ("version", "4")], &[]);
    assert_eq!(version["verdicts"][0]["verdict"], "rejected");
    let overview = read("/", &[], &[]);
    assert_eq!(overview["in_production"].as_array().map(Vec::len), Some(2));
    assert_eq!(overview["failed"]["runs"][0]["error"], NASTY);
    assert_eq!(overview["running"]["runs"].as_array().map(Vec::len), Some(1));
    assert_eq!(overview["refused"][0]["reason"], NASTY);
    assert_eq!(overview["deployments"][0]["number"], 1);
    let audit = read("/audit", &[], &[("model", OWN), ("action", "promotion.")]);
    let actions = audit["entries"].as_array().expect("entries").iter().map(|it| it["action"].as_str());
    assert_eq!(actions.collect::<Vec<_>>(), [Some("promotion.intended"); 2]);
}

#[test]
fn the_audit_is_read_page_by_page_and_verified() {
    let world = World::new();
    let registry = &world.home.registry;
    registry.create_model("tagged", &NewModel::default()).expect("a model");
    for number in 0..250 {
        registry.tag_model("tagged", "n", Some(&number.to_string())).expect("a tag");
    }
    let (mut before, mut seen) = (String::new(), Vec::new());
    loop {
        let query = [("before", before.as_str())];
        let page: Json = serde_json::from_str(&world.shown("/audit", &[], &query, Form::Json)).expect("JSON");
        seen.extend(page["entries"].as_array().expect("entries").iter().map(|it| it["seq"].as_u64().expect("a place")));
        match page["next"].as_u64() {
            Some(next) => before = next.to_string(),
            None => break,
        }
    }
    assert_eq!(seen, (1..=251).rev().collect::<Vec<_>>());
    let verified = world.ask(Method::Post, "/audit/verification", &[], &[], Form::Json, &Viewer::anybody());
    let verified: Json = serde_json::from_str(&text(verified.expect("a verification"))).expect("JSON");
    assert_eq!((&verified["is_whole"], &verified["entries"]), (&json!(true), &json!(251)));
    assert_eq!(verified["head"].as_str(), Some(registry.audit_head().expect("a head").as_str()));
}

/// Sees one model alone.
struct OneModel(&'static str);

impl May for OneModel {
    fn level(&self, of: Resource<'_>) -> Option<Level> {
        matches!(of, Resource::Model(name) if name == self.0).then_some(Level::Read)
    }

    fn is_admin(&self) -> bool {
        false
    }

    fn experiments(&self) -> Option<std::collections::BTreeSet<i64>> {
        Some(std::collections::BTreeSet::new())
    }
}

// invariant: Lists of models, deployments, runs and changes have only what their viewer may read.
#[test]
fn a_viewer_finds_in_lists_what_they_may_read_and_no_way_to_change_it() {
    let world = hostile();
    let reader = Viewer { name: Some("eve".into()), session: None, may: Box::new(OneModel(NASTY_NAME)) };
    for route in ["/", "/models", "/deployments", "/audit"] {
        let page = text(world.ask(Method::Get, route, &[], &[], Form::Html, &reader).expect("a page"));
        assert!(!page.contains("/models/churn"), "{route}: {page}");
        assert!(!page.contains("href=\"/runs/"), "{route}: {page}");
        assert!(!page.contains("/audit/verification"), "{route}");
    }
    let parts = [("name", NASTY_NAME), ("version", "1")];
    let page = world.ask(Method::Get, "/models/{name}/{version}", &parts, &[], Form::Html, &reader);
    assert!(!text(page.expect("a page")).contains("/edit"));
    let all = Viewer { name: None, session: None, may: Box::new(Everything) };
    let page = world.ask(Method::Get, "/models/{name}/{version}", &parts, &[], Form::Html, &all);
    assert!(text(page.expect("a page")).contains("/edit"));
}

#[test]
fn an_edit_is_made_from_the_state_that_was_shown_and_from_no_other() {
    let world = hostile();
    let registry = &world.home.registry;
    let post = |sent: &[(&str, &str)]| {
        world.ask(Method::Post, "/models/{name}/edit", &[("name", OWN)], sent, Form::Html, &Viewer::anybody())
    };
    let alias = |state| [("action", "alias"), ("key", "shadow"), ("version", "2"), ("state", state)];
    let refused = post(&alias("1")).expect("a page");
    assert_eq!(refused.status, FaultKind::Refused.status());
    assert!(text(refused).contains("Something else has changed"));
    assert_eq!(registry.alias(OWN, "shadow").expect("an alias"), Some(3));
    let done = post(&alias("3")).expect("an answer");
    assert!(matches!(&done.content, Content::Redirect { to } if to == "/models/churn/2?done=alias&of=2"), "{done:?}");
    assert_eq!(registry.alias(OWN, "shadow").expect("an alias"), Some(2));
    for (key, told) in [("champion", "is the version in production"), ("latest", "latest"), ("a b", "a b")] {
        let refused = post(&[("action", "alias"), ("key", key), ("version", "2")]).expect("a page");
        assert_eq!(refused.status, FaultKind::Refused.status(), "{key}");
        assert!(text(refused).contains(told), "{key}");
    }
    let rejected = post(&[("action", "alias"), ("key", "best"), ("version", "4")]).expect("a page");
    assert!(text(rejected).contains("was rejected"));
    for sent in [&[("action", "promote"), ("version", "3")][..], &[("action", "none")], &[]] {
        assert_eq!(post(sent).expect_err("no edit").kind, FaultKind::BadRequest, "{sent:?}");
    }
    let stage = [("action", "stage"), ("version", "3"), ("value", "production")];
    assert!(text(post(&stage).expect("a page")).contains("by a promotion"));
    post(&[("action", "tag"), ("key", "k"), ("value", "v"), ("version", "3")]).expect("a tag");
    let tags = registry.version(OWN, 3).expect("a version").tags;
    assert!(tags.contains(&("k".to_owned(), "v".to_owned())), "{tags:?}");
}

#[test]
fn a_version_that_was_approved_against_another_champion_is_not_offered_for_promotion() {
    let world = hostile();
    let json = |route, parts: &[(&str, &str)]| -> Json {
        serde_json::from_str(&world.shown(route, parts, &[], Form::Json)).expect("JSON")
    };
    let versions = json("/models/{name}", &[("name", OWN)])["versions"].as_array().cloned().expect("versions");
    let may: Vec<_> = versions.iter().map(|it| (it["version"].as_u64(), it["may_be_promoted"].as_bool())).collect();
    // Version 2 is the champion, against which 3 was approved; 1 was approved against none.
    assert_eq!(may, [(Some(4), Some(false)), (Some(3), Some(true)), (Some(2), Some(false)), (Some(1), Some(false))]);
    let why =
        |version| json("/models/{name}/{version}", &[("name", OWN), ("version", version)])["not_promotable"].clone();
    assert_eq!((why("3"), why("2")), (Json::Null, Json::Null));
    assert!(
        why("1")["reason"].as_str().is_some_and(|it| it.contains("against no champion, and version 2")),
        "{}",
        why("1")
    );
    assert!(why("1")["hint"].as_str().is_some_and(|it| it.contains("gate churn/1 --promote")), "{}", why("1"));
    assert!(why("4")["reason"].as_str().is_some_and(|it| it.starts_with("Version 4 is rejected")), "{}", why("4"));
    let page = world.shown("/models/{name}", &[("name", OWN)], &[], Form::Html);
    assert_eq!(page.matches("against another champion than that of now").count(), 1, "{page}");
}

#[test]
fn the_files_of_a_clients_version_are_links_folder_by_folder() {
    let world = hostile();
    let registry = &world.home.registry;
    for path in ["7/model/MLmodel", "7/model/data/a b&c.bin"] {
        let mut upload = world.home.artifacts.upload().expect("an upload");
        upload.write(b"bytes").expect("bytes");
        upload.finish(registry, path).expect("a file");
    }
    let source = "mlflow-artifacts:/7/model".to_owned();
    let new = NewForeignVersion { source, ..NewForeignVersion::default() };
    let version = registry.create_foreign_version(NASTY_NAME, &new).expect("a version").version.to_string();
    let parts = [("name", NASTY_NAME), ("version", version.as_str())];
    let route = "/models/{name}/{version}";
    let top = world.shown(route, &parts, &[], Form::Html);
    let download = Query::default().with("name", NASTY_NAME).with("version", &version);
    let link = |path: &str| download.with("path", path).link("/model-versions/get-artifact").replace('&', "&amp;");
    assert!(top.contains(&link("MLmodel")) && top.contains("?folder=data#files"), "{top}");
    let folder = world.shown(route, &parts, &[("folder", "data/")], Form::Html);
    assert!(folder.contains(&link("data/a b&c.bin")) && !folder.contains(&link("MLmodel")), "{folder}");
    for bad in ["..", "/etc", "a/../b"] {
        let refused = world.ask(Method::Get, route, &parts, &[("folder", bad)], Form::Html, &Viewer::anybody());
        assert_eq!(refused.expect_err("no folder").kind, FaultKind::BadRequest, "{bad}");
    }
}

#[test]
fn a_decision_without_a_reason_or_a_program_that_can_is_not_made() {
    let world = hostile();
    let post = |sent: &[(&str, &str)]| {
        world.ask(Method::Post, "/models/{name}/decide", &[("name", OWN)], sent, Form::Html, &Viewer::anybody())
    };
    let unreasoned = post(&[("action", "reject"), ("version", "3"), ("reason", "  ")]).expect("a page");
    assert_eq!(unreasoned.status, FaultKind::BadRequest.status());
    assert!(text(unreasoned).contains("needs a reason"));
    let refused = post(&[("action", "promote"), ("version", "4")]).expect("a page");
    assert_eq!(refused.status, FaultKind::Refused.status());
    assert!(text(refused).contains("Version 4 is rejected"));
    let nothing = post(&[("action", "promote"), ("version", "3")]).expect("a page");
    assert_eq!(nothing.status, FaultKind::Refused.status());
    assert!(text(nothing).contains("does nothing with models of pipelines"));
    assert_eq!(world.home.registry.alias(OWN, "champion").expect("an alias"), Some(2));
}
