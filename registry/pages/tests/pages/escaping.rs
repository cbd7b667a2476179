//! Text from outside is text on every page, wherever it stands.

use stagewright_store::{
    ArtifactKind, ArtifactRecord, Dataset, DatasetInput, InputRecord, LogLine, MetricPoint, NewClientRun, NewRun,
    RunStatus,
};

use crate::world::{World, stage};

/// Text that is markup, ends an attribute, and turns what follows around.
const NASTY: &str = "</td><img src=x onerror=alert(1)>\"'&\u{202e}<script>evil()</script>";

/// The elements and attributes that pages have.
const ELEMENTS: &str = "a b body br button circle code data dd details div dl dt fieldset figcaption figure footer \
    form g h1 h2 h3 head header html iframe img input kbd label legend li line link main meta meter nav ol option \
    output p path pre rect section select span strong style summary sup svg table tbody td text textarea th thead \
    time title tr ul";

// invariant: Text from outside is shown as text on every page, and changes no markup.
#[test]
fn nasty_text_in_every_field_stays_text() {
    let world = World::new();
    let registry = &world.home.registry;
    let experiment = registry.create_experiment(NASTY, &[(NASTY.into(), NASTY.into())]).expect("an experiment");
    let note = ("mlflow.note.content".to_owned(), NASTY.to_owned());
    registry.tag_experiment_numbered(experiment, &note.0, Some(NASTY)).expect("a tag");
    let new = NewClientRun {
        experiment_id: experiment,
        name: NASTY.into(),
        user: NASTY.into(),
        started_ms: Some(1),
        tags: vec![(NASTY.into(), NASTY.into()), note, ("mlflow.parentRunId".into(), NASTY.into())],
    };
    let client = registry.begin_client_run(&new).expect("a run");
    let point = MetricPoint { name: NASTY.into(), value: 0.5, step: 3, ..MetricPoint::default() };
    let pair = [(NASTY.to_owned(), NASTY.to_owned())];
    registry.log_client_batch(&client.run_id, &[point], &pair, &[]).expect("logged");
    let text = || NASTY.to_owned();
    let dataset = Dataset { name: text(), digest: text(), source_type: text(), source: text(), ..Dataset::default() };
    let input = DatasetInput { dataset, tags: vec![("mlflow.data.context".into(), text())] };
    registry.log_inputs(&client.run_id, &[input], &[]).expect("inputs");
    let root = stagewright_store::proxied_path(&client.artifact_uri).expect("a path");
    let name = "<img src=x onerror=alert(1)>\"'&.csv";
    let mut upload = world.home.artifacts.upload().expect("an upload");
    upload.write(format!("{NASTY},b\n{NASTY},c\n").as_bytes()).expect("bytes");
    upload.finish(registry, &format!("{root}/{name}")).expect("a file");

    let new = NewRun {
        name: text(),
        pipeline: text(),
        experiment: text(),
        manifest: text(),
        parameters: pair.to_vec(),
        tags: pair.to_vec(),
        ..NewRun::default()
    };
    let pipeline = registry.begin_run(&new).expect("a run");
    let mut step = stage(NASTY);
    step.component = text();
    step.status = text();
    step.walls = Some(vec![text()]);
    step.logs = vec![LogLine { level: text(), message: text() }];
    step.error = Some(serde_json::json!({ "message": NASTY }));
    step.inputs = vec![InputRecord { name: text(), digest: step.digest }];
    step.outputs = vec![ArtifactRecord {
        name: text(),
        kind: ArtifactKind::Document,
        digest: step.digest,
        media_type: "text/html".into(),
        rows: Some(1),
        bytes: 3,
    }];
    registry.record_stage(&pipeline, &step, &[(text(), 0.1)]).expect("a stage");
    let error = serde_json::json!({ "message": NASTY, "hint": NASTY });
    registry.finish_run(&pipeline, RunStatus::Failed, Some(&error)).expect("an end");

    let encoded = stagewright_pages::Query::default().with("q", NASTY).link("");
    let value = &encoded[3..];
    let file = stagewright_pages::Query::default().with("q", name).link("")[3..].to_owned();
    for link in [
        "/runs".to_owned(),
        format!("/runs?filter={value}"),
        format!("/runs?order={value}&column=metrics.{value}"),
        format!("/runs?column=metrics.{value}&column=tags.{value}&column=params.{value}&limit=1"),
        format!("/runs?experiment={value}&view={value}"),
        format!("/runs/{}", client.run_id),
        format!("/runs/{pipeline}"),
        format!("/runs/{}/files/{file}", client.run_id),
        format!("/runs/{}/files/{value}", client.run_id),
        format!("/runs/{value}"),
        format!("/runs/compare?run={}&run={pipeline}", client.run_id),
        format!("/runs/compare?run={value}"),
        "/experiments".to_owned(),
        format!("/experiments?name={value}"),
        format!("/experiments/{experiment}"),
        format!("/experiments/{value}"),
    ] {
        let page = world.get(&link);
        assert!(page.status < 500, "{link}: {} {}", page.status, page.text);
        assert!(!page.text.contains("<script>evil") && !page.text.contains("<img src=x"), "{link}: {}", page.text);
        check_markup(&link, &page.text);
    }
    let json = world.json(&format!("/runs/{pipeline}"));
    assert_eq!(json["name"].as_str(), Some(NASTY));
    assert_eq!(json["error"]["message"].as_str(), Some(NASTY));
}

/// Checks that a document has no elements and attributes but those of pages, and no hidden
/// characters in its text.
fn check_markup(link: &str, html: &str) {
    let allowed: Vec<&str> = ELEMENTS.split_whitespace().collect();
    let mut rest = html.strip_prefix("<!DOCTYPE html>").expect("a document");
    while let Some((text, after)) = rest.split_once('<') {
        assert!(!text.contains('\u{202e}'), "{link}: hidden in {text:?}");
        let (tag, after) = tag(after);
        let name = tag.trim_start_matches('/').split(|letter: char| !letter.is_ascii_alphanumeric()).next();
        let name = name.unwrap_or_default();
        assert!(name == "script" || allowed.contains(&name), "{link}: an element <{tag}>");
        if name == "script" && !tag.starts_with('/') {
            assert!(tag.contains("src=\"/static/"), "{link}: an inline script");
            assert!(after.starts_with("</script>"), "{link}: an inline script");
        }
        for attribute in attributes(tag) {
            let is_event = attribute.starts_with("on") || attribute == "style" || attribute == "srcdoc";
            assert!(!is_event, "{link}: {attribute} in <{tag}>");
        }
        rest = after;
    }
}

/// Returns the inside of a tag and what follows it. A quoted value may have any character but the
/// quote.
fn tag(text: &str) -> (&str, &str) {
    let mut is_quoted = false;
    for (place, letter) in text.char_indices() {
        match letter {
            '"' => is_quoted = !is_quoted,
            '>' if !is_quoted => return (&text[..place], &text[place + 1..]),
            _ => {}
        }
    }
    panic!("a tag that does not end: {text}");
}

/// Returns the names of the attributes of a tag.
fn attributes(tag: &str) -> Vec<&str> {
    let outside: Vec<&str> = tag.split('"').step_by(2).collect();
    outside.iter().flat_map(|text| text.split_whitespace()).skip(1).map(|it| it.trim_end_matches('=')).collect()
}
