//! Every route of the server, tried by everybody: nobody, a reader, editors of other things, an
//! editor, the owner, an administrator.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request, StatusCode};
use serde_json::json;
use stagewright_store::{Home, NewClientRun, NewForeignVersion, NewLoggedModel, NewModel, Permission, Resource, RunId};
use tower::Service as _;

use crate::access::{Need, Needs, Of};
use crate::app::{App, HttpLimits};
use crate::operation::{Route, Work};
use crate::router::router;
use crate::routes;

/// Everybody who tries, and the token of each.
struct Callers {
    reader: String,
    editor: String,
    owner: String,
    admin: String,
    /// Who may edit and manage other things, and nothing of the things that the requests name.
    of_other_experiment: String,
    of_other_model: String,
}

/// The things that the requests name.
struct Things {
    experiment: i64,
    run: RunId,
    logged_model: String,
    /// The path of a file at the proxy.
    file: String,
}

/// The names by which a leak would show.
const HIDDEN: &str = "zebra";
const MODEL: &str = "zebra-model";
const EXPERIMENT: &str = "zebra-experiment";

/// Fills a home. Nobody may do anything unless it is granted.
fn fill(folder: &Path) -> (Callers, Things) {
    let home = Home::open(folder).expect("a home");
    let registry = &home.registry;
    registry.ensure_default_experiment().expect("an experiment");
    let token = |name: &str, is_admin: bool| {
        registry.create_user(name, "correct horse", is_admin).expect("a user");
        registry.create_token(name, "test", None).expect("a token").1.reveal().to_owned()
    };
    let callers = Callers {
        admin: token("root", true),
        owner: token("owner", false),
        editor: token("editor", false),
        reader: token("reader", false),
        of_other_experiment: token("eve", false),
        of_other_model: token("mallory", false),
    };
    registry.set_default_permission(Permission::NoPermissions).expect("a default");
    // As the server does it, so that the owner is whoever created the things.
    let owned = registry.on_behalf_of(&registry.user("owner").expect("a user"));
    let experiment = owned.create_experiment(EXPERIMENT, &[]).expect("an experiment");
    let run = NewClientRun {
        experiment_id: experiment,
        name: "zebra-run".into(),
        user: "owner".into(),
        started_ms: None,
        tags: vec![("t".into(), "zebra-tag".into())],
    };
    let run = owned.begin_client_run(&run).expect("a run").run_id;
    let logged = NewLoggedModel {
        experiment_id: experiment,
        name: "zebra-logged".into(),
        model_type: None,
        source_run: Some(run.clone()),
        parameters: Vec::new(),
        tags: vec![("t".into(), "a".into())],
    };
    let logged_model = owned.create_logged_model(&logged).expect("a logged model").model_id;
    let file = format!("{experiment}/{run}/artifacts/zebra.txt");
    let mut upload = home.artifacts.upload().expect("an upload");
    upload.write(b"zebra bytes").expect("bytes");
    upload.finish(registry, &file).expect("a file");
    owned.create_foreign_model(MODEL, &NewModel::default()).expect("a model");
    let version =
        NewForeignVersion { source: format!("runs:/{run}/model"), run_id: Some(run.clone()), ..Default::default() };
    owned.create_foreign_version(MODEL, &version).expect("a version");
    for (user, permission) in [("reader", Permission::Read), ("editor", Permission::Edit)] {
        for resource in [Resource::Experiment(experiment), Resource::Model(MODEL.into())] {
            registry.grant(user, &resource, permission).expect("a permission");
        }
    }
    let other = |user: &str| registry.on_behalf_of(&registry.user(user).expect("a user"));
    other("eve").create_experiment("other", &[]).expect("an experiment");
    other("mallory").create_foreign_model("other", &NewModel::default()).expect("a model");
    (callers, Things { experiment, run, logged_model, file })
}

/// Copies the files of a home, so that what one route deletes is there for the next one.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}

fn application(folder: &Path) -> (Arc<App>, Router) {
    let home = Home::open(folder).expect("a home");
    let app = Arc::new(App::new(home.registry, home.artifacts, HttpLimits::default(), None));
    let router = router(&app);
    (app, router)
}

/// Returns a request of a route that names the hidden things in every member that a route knows.
fn request(route: &Route, path: &str, things: &Things, token: Option<&str>) -> Request<Body> {
    let Things { experiment, run, logged_model, file } = things;
    let path = path
        .replace("{*path}", file)
        .replace("{*folder}", &file[..file.rfind('/').unwrap_or_default()])
        .replace("{model_id}", logged_model)
        .replace("{run_id}", run.as_str())
        .replace("{experiment_id}", &experiment.to_string())
        .replace("{tag_key}", "t")
        .replace("{name}", MODEL);
    // What else a path has, such as a number of a version.
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    parts.iter_mut().filter(|part| part.starts_with('{')).for_each(|part| *part = "1".into());
    let path = parts.join("/");
    let is_form = matches!(&route.work, Work::Action(_) | Work::Site(_));
    let query = format!(
        "experiment_id={experiment}&experiment_ids={experiment}&run_id={run}&run_ids={run}&name={MODEL}&version=1\
         &experiment_name={EXPERIMENT}&path={}&metric_key=m&alias=a&artifact_file_path=a&key=t",
        if path.contains(file.as_str()) || path.contains("get-artifact") { "zebra.txt" } else { file }
    );
    let body = json!({
        "experiment_id": experiment.to_string(), "experiment_ids": [experiment.to_string()], "run_id": run.as_str(),
        "name": if path.ends_with("/create") { "new" } else { MODEL }, "new_name": "renamed", "version": "1",
        "key": "t", "value": "1", "alias": "a", "stage": "Staging", "timestamp": 1, "source": format!("runs:/{run}/model"),
        "path": file, "status": "FINISHED", "model_json": "{}", "models": [{"model_id": logged_model}],
        "model_id": logged_model, "metrics": [{"key": "m", "value": 1, "timestamp": 1, "model_id": logged_model}],
        "tags": [], "params": [], "source_run_id": run.as_str(),
    });
    let mut body = body;
    if matches!(path.rsplit('/').next(), Some("create")) && path.contains("model-versions") {
        body["name"] = MODEL.into();
    }
    let has_query = matches!(route.method, Method::GET) || matches!(route.work, Work::Streaming(_));
    let uri = if has_query { format!("{path}?{query}") } else { path };
    let mut request = Request::builder().method(&route.method).uri(uri).header(ACCEPT, "application/json");
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let (media_type, body) = match is_form {
        true => ("application/x-www-form-urlencoded", format!("{query}&form_token=none")),
        false => ("application/json", body.to_string()),
    };
    let body = if route.method == Method::GET { Body::empty() } else { Body::from(body) };
    request.header(CONTENT_TYPE, media_type).body(body).expect("a request")
}

async fn ask(router: &Router, request: Request<Body>) -> (StatusCode, String) {
    let response = router.clone().call(request).await.expect("an answer");
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 22).await.expect("a body");
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the least permission on the hidden things that a route needs; `None`: none.
fn least(needs: &Needs) -> Option<Permission> {
    let Needs::All(needs) = needs else { return None };
    // A location is taken by an experiment that does not exist yet.
    needs.iter().filter(|need| !matches!(need.of, Of::Location(_))).map(|Need { permission, .. }| *permission).max()
}

fn is_stream_of_events(route: &Route) -> bool {
    matches!(&route.work, Work::Site(route) if route.is_stream)
}

// invariant: Every route of the tracking server asks who the caller is and what it may do, and the
// check is one: artifacts, files in parts, pages and their actions included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_refuses_whoever_may_not_and_admits_whoever_may() {
    let original = tempfile::tempdir().expect("a folder");
    let (callers, things) = fill(original.path());
    let mut seen = 0;
    for route in routes::table() {
        for path in route.paths() {
            let folder = tempfile::tempdir().expect("a folder");
            copy(original.path(), folder.path());
            let (app, router) = application(folder.path());
            let before = app.registry.run(things.run.as_str()).expect("a run");
            let is_refused = |status: StatusCode| matches!(status.as_u16(), 401 | 403);
            let what = format!("{} {path} {:?}", route.method, route.needs);
            let (status, answer) = ask(&router, request(&route, &path, &things, None)).await;
            if matches!(route.needs, Needs::Nobody) {
                // The token of an upload in parts is the operation's own matter.
                assert_ne!(status, StatusCode::UNAUTHORIZED, "{what}: {answer}");
                continue;
            }
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{what}: {answer}");
            let least = least(&route.needs);
            let ladder = [
                (&callers.of_other_experiment, None),
                (&callers.of_other_model, None),
                (&callers.reader, Some(Permission::Read)),
                (&callers.editor, Some(Permission::Edit)),
                (&callers.owner, Some(Permission::Manage)),
            ];
            let mut was_admitted = false;
            for (token, has) in ladder {
                let may = !matches!(route.needs, Needs::Admin) && least.is_none_or(|least| has >= Some(least));
                if may && is_stream_of_events(&route) {
                    continue;
                }
                let (status, answer) = ask(&router, request(&route, &path, &things, Some(token))).await;
                assert_eq!(is_refused(status), !may, "{what} with {has:?}: {status} {answer}");
                assert!(
                    status.as_u16() < 500
                        || status == StatusCode::NOT_IMPLEMENTED
                        || status == StatusCode::SERVICE_UNAVAILABLE,
                    "{what}: {status} {answer}"
                );
                if !may && !was_admitted {
                    assert!(!answer.contains(HIDDEN), "{what} tells {answer}");
                    assert_eq!(app.registry.run(things.run.as_str()).expect("a run"), before, "{what}");
                    assert!(app.registry.model(MODEL).is_ok(), "{what}");
                }
                was_admitted |= may;
            }
            if !is_stream_of_events(&route) {
                let (status, answer) = ask(&router, request(&route, &path, &things, Some(&callers.admin))).await;
                assert!(!is_refused(status), "{what}: {status} {answer}");
            }
            seen += 1;
        }
    }
    assert!(seen > 130, "{seen}");
}

// invariant: What a caller may not read is in no search, list or page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_caller_may_not_read_is_in_a_search_a_list_or_a_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let (callers, things) = fill(folder.path());
    let (_, router) = application(folder.path());
    let (mut asked, mut shown) = (0, 0);
    for route in routes::table() {
        if !matches!(route.needs, Needs::Anybody)
            || is_stream_of_events(&route)
            || matches!(route.work, Work::Action(_))
        {
            continue;
        }
        let Things { experiment, run, .. } = &things;
        // Numbers, not names: whoever asks may repeat what they sent.
        let named = format!(
            "?experiment={experiment}&experiment_id={experiment}&experiment_ids={experiment}&experiments={experiment}\
             &run={run}&run_id={run}&run_ids={run}&runs={run}&metric=m&name=m"
        );
        let queries = if route.method == Method::GET { vec!["", &named] } else { vec![""] };
        for path in route.paths() {
            for (accept, query) in ["application/json", "text/html"]
                .into_iter()
                .flat_map(|accept| queries.iter().map(move |query| (accept, *query)))
            {
                let get = |token: &str| {
                    let mut request = request(&route, &path, &things, Some(token));
                    request.headers_mut().insert(ACCEPT, accept.parse().expect("a header"));
                    if route.method == Method::GET {
                        *request.uri_mut() = format!("{path}{query}").parse().expect("a path");
                    }
                    request
                };
                for token in [&callers.of_other_experiment, &callers.of_other_model] {
                    let (status, answer) = ask(&router, get(token)).await;
                    assert!(!answer.contains(HIDDEN), "{} {path}{query}: {status} {answer}", route.method);
                    asked += 1;
                }
                shown += usize::from(ask(&router, get(&callers.reader)).await.1.contains(HIDDEN));
            }
        }
    }
    assert!(asked > 40, "{asked}");
    assert!(shown > 10, "whoever may read them finds them: {shown}");
}

// invariant: Nobody reaches what they may not read through something of their own: an experiment
// that takes the folder above it, or a version that names it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_others_is_reached_through_something_of_ones_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let (callers, things) = fill(folder.path());
    let (app, router) = application(folder.path());
    let owned = app.registry.on_behalf_of(&app.registry.user("owner").expect("a user"));
    owned.create_experiment_at("inner", Some("mlflow-artifacts:/team/inner"), &[]).expect("an experiment");
    for file in ["team/inner/a.txt", "common/a.txt"] {
        let mut upload = app.artifacts.upload().expect("an upload");
        upload.write(b"zebra bytes").expect("bytes");
        upload.finish(&app.registry, file).expect("a file");
    }
    let post = |token: &str, path: &str, body: serde_json::Value| {
        let request = Request::builder().method(Method::POST).uri(format!("/api/2.0/mlflow/{path}"));
        let request = request.header(AUTHORIZATION, format!("Bearer {token}")).header(CONTENT_TYPE, "application/json");
        request.body(Body::from(body.to_string())).expect("a request")
    };
    let eve = &callers.of_other_experiment;
    for taken in ["team", "team/inner", "team/inner/deeper", "common", "common/a.txt"] {
        let body = json!({ "name": taken, "artifact_location": format!("mlflow-artifacts:/{taken}") });
        let (status, answer) = ask(&router, post(eve, "experiments/create", body)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{taken}: {answer}");
    }
    let body = json!({ "name": "free", "artifact_location": "mlflow-artifacts:/team/free" });
    let (status, answer) = ask(&router, post(eve, "experiments/create", body)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    // Whoever has a folder does not delete what somebody else has in it.
    let own = app.registry.on_behalf_of(&app.registry.user("eve").expect("a user"));
    own.create_experiment_at("outer", Some("mlflow-artifacts:/team"), &[]).expect("an administrator may");
    let delete = Request::builder().method(Method::DELETE).uri("/api/2.0/mlflow-artifacts/artifacts/team");
    let delete = delete.header(AUTHORIZATION, format!("Bearer {eve}")).body(Body::empty()).expect("a request");
    let (status, answer) = ask(&router, delete).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    assert!(app.registry.client_file("team/inner/a.txt").is_ok());
    // A version tells the run of the logged model that it names.
    let mallory = &callers.of_other_model;
    for named in [json!({ "model_id": things.logged_model }), json!({ "modelId": things.logged_model })] {
        let mut body = json!({ "name": "other", "source": "s3://bucket/a" });
        body.as_object_mut().expect("members").extend(named.as_object().expect("members").clone());
        let (status, answer) = ask(&router, post(mallory, "model-versions/create", body)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
        assert!(!answer.contains(things.run.as_str()), "{answer}");
    }
    let body = json!({ "name": "other", "source": "s3://bucket/a" });
    let (status, answer) = ask(&router, post(mallory, "model-versions/create", body)).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

// A route that is added, or that needs something else, is looked at by a person.
#[test]
fn the_table_of_routes_is_the_one_that_was_looked_at() {
    let name = |permission: Permission| permission.name().to_lowercase();
    let needs = |needs: &Needs| match needs {
        Needs::All(all) => {
            let one = |Need { permission, of }: &Need| format!("{} {of:?}", name(*permission));
            all.iter().map(one).collect::<Vec<_>>().join(", ")
        }
        other => format!("{other:?}"),
    };
    let mut lines: Vec<String> = Vec::new();
    for route in routes::table() {
        lines.push(format!("{} {:?} {}: {}", route.method, route.place, route.path, needs(&route.needs)));
    }
    lines.sort();
    let table = lines.join("\n") + "\n";
    let looked_at = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/routes.txt");
    if std::env::var_os("STAGEWRIGHT_UPDATE_ROUTES").is_some() {
        std::fs::write(&looked_at, &table).expect("a file");
    }
    let expected = std::fs::read_to_string(&looked_at).unwrap_or_default();
    assert!(
        table == expected,
        "routes.txt differs from the table of routes: look at what each route needs, then set \
         STAGEWRIGHT_UPDATE_ROUTES=1 and run this test again:\n{table}"
    );
}

// invariant: as `every_route_refuses_whoever_may_not_and_admits_whoever_may`
#[test]
fn no_path_is_mounted_beside_the_table() {
    for folder in ["src", "src/routes"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let is_allowed = path.ends_with("router.rs") || path.ends_with("access_tests.rs");
            if is_allowed || path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("text");
            for mounts in ["Router::new", ".route(", ".nest(", ".fallback("] {
                assert!(!text.contains(mounts), "{} mounts a path by `{mounts}`", path.display());
            }
        }
    }
}
