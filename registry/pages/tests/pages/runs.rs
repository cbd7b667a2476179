//! The list of runs, the comparison, and the page of a run.

use stagewright_store::{
    ArtifactKind, ArtifactRecord, InputRecord, LogLine, MetricPoint, NewClientRun, NewRun, RunStatus, RunningStep,
};

use crate::world::{World, stage};

#[test]
fn runs_are_searched_sorted_and_shown_with_the_chosen_columns() {
    let world = World::new();
    let low = world.run("low", &[("depth", "3")], &[("auc", 0.71), ("loss", 0.5)]);
    let high = world.run("high", &[("depth", "6")], &[("auc", 0.91)]);
    let all = world.json("/runs?order=metrics.auc+DESC&column=metrics.auc&column=params.depth");
    let order: Vec<&str> =
        all["runs"].as_array().expect("runs").iter().map(|run| run["run_id"].as_str().expect("an id")).collect();
    assert_eq!(order, [high.as_str(), low.as_str()]);
    assert_eq!(
        all["columns"],
        serde_json::json!([{"kind": "metrics", "name": "auc"}, {"kind": "params", "name": "depth"}])
    );
    assert_eq!(all["runs"][0]["values"], serde_json::json!([0.91, "6"]));
    let found = world.json("/runs?filter=metrics.auc+%3C+0.8&column=");
    assert_eq!(found["runs"].as_array().map(Vec::len), Some(1));
    assert_eq!(found["runs"][0]["values"], serde_json::json!([]));
    let usual = world.json("/runs");
    assert_eq!(usual["columns"][0]["name"], "auc");
    let page = world.get("/runs?filter=metrics.auc+%3E+0.8").text;
    assert!(page.contains("0.91") && page.contains(high.as_str()) && !page.contains(low.as_str()), "{page}");
}

#[test]
fn a_nested_run_has_a_mark_that_leads_to_the_run_around_it() {
    let world = World::new();
    let outer = world.run("outer", &[], &[]);
    let tagged = |name: &str, parent: &str| {
        let tags = vec![("mlflow.parentRunId".to_owned(), parent.to_owned())];
        let run = NewRun { name: name.into(), experiment: "demo".into(), tags, ..NewRun::default() };
        world.home.registry.begin_run(&run).expect("a run")
    };
    tagged("inner", outer.as_str());
    tagged("odd", "\"><script>");
    let runs = world.json("/runs?order=run_name+ASC")["runs"].as_array().cloned().expect("runs");
    let parents: Vec<_> = runs.iter().map(|run| (run["name"].as_str().expect("a name"), &run["parent"])).collect();
    let none = serde_json::Value::Null;
    let own = serde_json::json!(outer.as_str());
    assert_eq!(parents, [("inner", &own), ("odd", &none), ("outer", &none)]);
    let page = world.get("/runs").text;
    assert_eq!(page.matches("class=\"nested\"").count(), 1, "{page}");
    assert!(page.contains(&format!("<a class=\"nested\" href=\"/runs/{outer}\"")), "{page}");
}

#[test]
fn a_wrong_search_is_explained_beside_its_text() {
    let world = World::new();
    let page = world.get("/runs?filter=metrics.auc+%3E");
    assert_eq!(page.status, 400);
    assert!(page.text.contains("value=\"metrics.auc &gt;\"") && page.text.contains("role=\"alert\""), "{}", page.text);
    let json = world.get("/runs?filter=metrics.auc+%3E&format=json");
    assert_eq!(json.status, 400);
    assert!(json.json()["error"]["message"].as_str().is_some_and(|text| text.contains("column 14")), "{}", json.text);
}

#[test]
fn runs_come_page_by_page() {
    let world = World::new();
    let made: Vec<String> = (0..5).map(|number| world.run(&format!("r{number}"), &[], &[]).to_string()).collect();
    let (mut seen, mut link) = (Vec::new(), "/runs?limit=2".to_owned());
    loop {
        let page = world.json(&link);
        seen.extend(
            page["runs"].as_array().expect("runs").iter().map(|run| run["run_id"].as_str().expect("id").to_owned()),
        );
        let Some(token) = page["next_page_token"].as_str() else { break };
        link = format!("/runs?limit=2&page_token={token}");
    }
    seen.sort();
    let mut made = made;
    made.sort();
    assert_eq!(seen, made);
    assert!(world.get("/runs?limit=2&page_token=at-2").text.contains("rel=\"prev\""));
}

#[test]
fn names_are_found_for_the_chooser() {
    let world = World::new();
    let names: Vec<String> = (0..150).map(|number| format!("metric {number:03}")).collect();
    let metrics: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
    world.run("many", &[("Depth", "3")], &metrics);
    let found = world.json("/runs/names?q=METRIC+14");
    assert_eq!(found["metrics"].as_array().map(Vec::len), Some(10));
    assert_eq!(world.json("/runs/names")["metrics"].as_array().map(Vec::len), Some(100));
    assert_eq!(world.json("/runs/names?q=dep")["params"], serde_json::json!(["Depth"]));
    let demo = world.home.registry.experiment("demo").expect("a registry").expect("an experiment").id;
    assert_eq!(world.json(&format!("/runs/names?q=dep&experiment={demo}"))["params"], serde_json::json!(["Depth"]));
    assert_eq!(world.json("/runs/names?q=dep&experiment=0")["params"], serde_json::json!([]));
}

#[test]
fn a_comparison_has_what_differs_first_and_differences_to_the_first_run() {
    let world = World::new();
    let one = world.run("one", &[("a", "1"), ("z", "1")], &[("auc", 0.5), ("same", 1.0), ("nan", f64::NAN)]);
    let two = world.run("two", &[("a", "1"), ("z", "2")], &[("auc", 0.75), ("same", 1.0)]);
    let both = world.json(&format!("/runs/compare?run={one}&run={two}&run={one}"));
    assert_eq!(both["runs"].as_array().map(Vec::len), Some(2));
    assert_eq!(both["parameters"][0], serde_json::json!({"name": "z", "differs": true, "values": ["1", "2"]}));
    assert_eq!(both["parameters"][1]["differs"], false);
    let auc = &both["metrics"][0];
    assert_eq!((auc["name"].as_str(), auc["differences"].clone()), (Some("auc"), serde_json::json!([0.0, 0.25])));
    assert_eq!(both["metrics"][1]["values"], serde_json::json!(["NaN", null]));
    let page = world.get(&format!("/runs/compare?run={one}&run={two}")).text;
    assert!(page.contains("+0.25") && page.contains("data-curves"), "{page}");
}

// invariant: A page draws a curve of any length from a bounded number of points, and no peak of it
// is lost.
#[test]
fn a_long_history_is_a_short_curve_that_keeps_its_peaks() {
    let world = World::new();
    let client = NewClientRun { name: "long".to_owned(), ..NewClientRun::default() };
    let run = world.home.registry.begin_client_run(&client).expect("a run").run_id;
    let points: Vec<MetricPoint> = (0..5_000)
        .map(|step| MetricPoint {
            name: "loss".to_owned(),
            value: if step == 3_333 { 99.0 } else { 1.0 / f64::from(step + 1) },
            step: step.into(),
            at_ms: Some(i64::from(step)),
            ..MetricPoint::default()
        })
        .collect();
    for piece in points.chunks(1_000) {
        world.home.registry.log_client_batch(&run, piece, &[], &[]).expect("metrics");
    }
    let curve = &world.json(&format!("/runs/{run}/curve?metric=loss&most=100"))["runs"][0].clone();
    let points = curve["points"].as_array().expect("points");
    assert!(points.len() <= 100 && points.len() > 90, "{}", points.len());
    assert_eq!(curve["values"], 5_000);
    assert!(points.iter().any(|point| point[4] == 99.0), "the peak is lost");
    let part = world.json(&format!("/runs/curves?run={run}&metric=loss&from=3330&to=3340"));
    assert_eq!(part["runs"][0]["points"].as_array().map(Vec::len), Some(11));
}

#[test]
fn a_run_of_a_pipeline_shows_its_steps_limits_files_and_logs() {
    let world = World::new();
    let registry = &world.home.registry;
    let staging = world.home.artifacts.stage();
    let figure = staging
        .put_document("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec())
        .expect("a document");
    staging.publish().expect("published");
    let run = registry
        .begin_run(&NewRun { experiment: "demo".into(), pipeline: "churn".into(), ..NewRun::default() })
        .expect("a run");
    let table = stagewright_store::Digest::of(b"a table");
    let mut ingestion = stage("ingestion");
    ingestion.outputs.push(ArtifactRecord {
        name: "plot".into(),
        kind: ArtifactKind::Document,
        digest: figure.digest(),
        media_type: "image/svg+xml".into(),
        rows: None,
        bytes: figure.bytes().len() as u64,
    });
    ingestion.invocation = Some(serde_json::json!({ "guest": { "limits": {
        "memory": 6 << 20, "cpu_ns": 1_800_000_000_u64, "wall_ns": 60_000_000_000_u64, "output": 900, "log": 100,
    } } }));
    ingestion.logs.push(LogLine { level: "warn".into(), message: "one row is odd".into() });
    let mut training = stage("training");
    training.inputs.push(InputRecord { name: "ingestion.table".into(), digest: table });
    training.cached_from = Some("00112233445566778899aabbccddeeff".parse().expect("an id"));
    training.status = stagewright_store::CACHED.to_owned();
    for stage in [&ingestion, &training] {
        registry.record_stage(&run, stage, &[]).expect("a stage");
    }
    let json = world.json(&format!("/runs/{run}"));
    assert_eq!(json["steps"][0]["memory_bytes"], serde_json::json!({ "used": 3_145_728.0, "allowed": 6_291_456.0 }));
    assert_eq!(json["steps"][0]["cpu_ms"]["allowed"], 1800.0);
    assert_eq!(json["steps"][1]["after"], serde_json::json!(["ingestion"]));
    assert_eq!(json["figures"][0]["path"], "ingestion/plot.svg");
    let page = world.get(&format!("/runs/{run}")).text;
    for part in [
        "one row is odd",
        "cached",
        "/runs/00112233445566778899aabbccddeeff",
        "<meter",
        "class=\"edge\"",
        "data-follow",
    ] {
        assert!(page.contains(part), "no {part}");
    }
    let raw = world.get(&format!("/runs/{run}/raw/ingestion/plot.svg"));
    assert_eq!(raw.media_type, "image/svg+xml");
    assert!(raw.policy.starts_with("sandbox; default-src 'none'"), "{}", raw.policy);
    let file = world.get(&format!("/runs/{run}/files/ingestion/plot.svg"));
    assert!(file.text.contains(&format!("src=\"/runs/{run}/raw/ingestion/plot.svg\"")), "{}", file.text);
    assert!(world.get(&format!("/runs/{run}/files/ingestion")).text.contains("plot.svg"));
}

#[test]
fn files_of_clients_are_shown_by_what_they_are_and_a_path_leads_nowhere_else() {
    let world = World::new();
    let registry = &world.home.registry;
    let run =
        registry.begin_client_run(&NewClientRun { name: "files".into(), ..NewClientRun::default() }).expect("a run");
    let root = stagewright_store::proxied_path(&run.artifact_uri).expect("a path");
    let files: [(&str, &[u8]); 5] = [
        ("notes/a b.txt", b"plain <b>text</b>"),
        ("data.csv", b"name,age\nAda,36\n\"x, y\",7\n"),
        ("report.html", b"<script>alert(1)</script>"),
        ("model.json", b"{\"a\":[1,2]}"),
        ("bytes.bin", b"\x00\x01"),
    ];
    for (path, bytes) in files {
        let mut upload = world.home.artifacts.upload().expect("an upload");
        upload.write(bytes).expect("bytes");
        upload.finish(registry, &format!("{root}/{path}")).expect("a file");
    }
    let run = run.run_id;
    let text = world.get(&format!("/runs/{run}/files/notes/a%20b.txt")).text;
    assert!(text.contains("plain &lt;b&gt;text&lt;/b&gt;"), "{text}");
    let table = world.json(&format!("/runs/{run}/files/data.csv"));
    assert_eq!(table["preview"]["columns"], serde_json::json!(["name", "age"]));
    assert_eq!(table["preview"]["rows"], serde_json::json!([["Ada", "36"], ["x, y", "7"]]));
    let report = world.get(&format!("/runs/{run}/files/report.html")).text;
    assert!(report.contains("<iframe class=\"report\" sandbox=\"\"") && !report.contains("alert(1)"), "{report}");
    assert!(world.get(&format!("/runs/{run}/raw/report.html")).policy.starts_with("sandbox;"));
    assert!(
        world.json(&format!("/runs/{run}/files/model.json"))["preview"]["text"]
            .as_str()
            .is_some_and(|it| it.contains("\n"))
    );
    assert_eq!(world.get(&format!("/runs/{run}/raw/model.json")).status, 400);
    assert_eq!(world.json(&format!("/runs/{run}/files/bytes.bin"))["preview"]["kind"], "none");
    assert_eq!(world.json(&format!("/runs/{run}"))["files"]["entries"].as_array().map(Vec::len), Some(5));
    for path in ["%2e%2e/secret", "a/../../b", "..", "a//b", "a%5Cb", "none.txt"] {
        let shown = world.get(&format!("/runs/{run}/files/{path}"));
        assert!(matches!(shown.status, 400 | 404), "{path}: {}", shown.status);
    }
}

#[test]
fn a_followed_run_tells_what_its_steps_say_once_and_ends() {
    let world = World::new();
    let registry = &world.home.registry;
    let run = registry
        .begin_run(&NewRun { experiment: "demo".into(), pipeline: "churn".into(), ..NewRun::default() })
        .expect("a run");
    let line = |message: &str| LogLine { level: "info".into(), message: message.into() };
    let step = RunningStep { name: "training".into(), component: "c".into(), began_ms: 1, done: 3, total: 10 };
    let said = [("training".to_owned(), line("first")), ("training".to_owned(), line("second\nline"))];
    registry.note_running_steps(&run, &[step], &said).expect("noted");
    let page = world.get(&format!("/runs/{run}")).text;
    assert!(page.contains("running") && page.contains("30 %"), "{page}");
    let mut training = stage("training");
    training.logs = vec![line("first"), line("second\nline"), line("third")];
    let events = follow(&world, &run, || {
        registry.record_stage(&run, &training, &[]).expect("a stage");
        registry.finish_run(&run, RunStatus::Finished, None).expect("an end");
    });
    for message in ["first", "second", "third"] {
        assert_eq!(events.matches(&format!("\"message\":\"{message}")).count(), 1, "{events}");
    }
    assert!(events.ends_with("event: end\ndata: {\"status\":\"finished\"}\n\n"), "{events}");
    assert!(registry.running_steps(&run).expect("steps").is_empty());
    assert!(registry.running_lines(&run, 0, 10).expect("lines").is_empty());
}

/// Returns all events of a run, in which `then` happens after the first of them.
fn follow(world: &World, run: &stagewright_store::RunId, then: impl FnOnce()) -> String {
    let route = stagewright_pages::routes().into_iter().find(|it| it.path == "/runs/{run_id}/events").expect("a route");
    let mut parts = stagewright_pages::Query::default();
    parts.add("run_id", run.as_str());
    let request = stagewright_pages::Request {
        path: "/runs/x/events",
        parts,
        query: Default::default(),
        fields: Default::default(),
        form: Default::default(),
        viewer: &world.viewer,
    };
    let site =
        stagewright_pages::Site { registry: &world.home.registry, artifacts: &world.home.artifacts, pipelines: None };
    let answer = (route.handler)(&site, &request).expect("an answer");
    let stagewright_pages::Content::Events(mut events) = answer.content else { panic!("no events") };
    let mut text = events.next().expect("events").expect("events");
    then();
    while let Some(more) = events.next().expect("events") {
        text.push_str(&more);
    }
    text
}
