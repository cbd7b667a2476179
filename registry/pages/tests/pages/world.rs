//! A home with runs, and requests of its pages.

use stagewright_pages::{Answer, Content, Form, Method, PAGE_POLICY, Query, Request, Route, Site, Viewer, routes};
use stagewright_store::{Home, MetricPoint, NewRun, RunId, RunStatus, StageRecord};

pub(crate) struct World {
    pub(crate) home: Home,
    pub(crate) viewer: Viewer,
    _folder: tempfile::TempDir,
}

/// The answer of a page.
pub(crate) struct Shown {
    pub(crate) status: u16,
    pub(crate) media_type: String,
    pub(crate) text: String,
    pub(crate) policy: &'static str,
}

impl Shown {
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.media_type, "application/json", "{}", self.text);
        serde_json::from_str(&self.text).expect("JSON")
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::open(folder.path()).expect("a home");
        home.registry.ensure_default_experiment().expect("an experiment");
        Self { home, viewer: Viewer::anybody(), _folder: folder }
    }

    /// Shows the page of a path with a query, as HTML unless the query says otherwise.
    pub(crate) fn get(&self, link: &str) -> Shown {
        let (path, query) = link.split_once('?').unwrap_or((link, ""));
        let query = Query::parse(query);
        let Some((route, parts)) = found(path) else { panic!("{path} has no route") };
        let form = Form::wanted(&query, Some("text/html"));
        let request = Request { path, parts, query, fields: Query::default(), form, viewer: &self.viewer };
        let site = Site { registry: &self.home.registry, artifacts: &self.home.artifacts, pipelines: None };
        shown((route.handler)(&site, &request).unwrap_or_else(|fault| fault.answer(&request)))
    }

    pub(crate) fn json(&self, link: &str) -> serde_json::Value {
        let sign = if link.contains('?') { '&' } else { '?' };
        self.get(&format!("{link}{sign}format=json")).json()
    }

    /// Records a run of a pipeline that has ended.
    pub(crate) fn run(&self, name: &str, parameters: &[(&str, &str)], metrics: &[(&str, f64)]) -> RunId {
        let pairs = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let run = NewRun {
            name: name.to_owned(),
            pipeline: "churn".to_owned(),
            experiment: "demo".to_owned(),
            parameters: pairs.collect(),
            ..NewRun::default()
        };
        let run_id = self.home.registry.begin_run(&run).expect("a run");
        for (name, value) in metrics {
            let point = MetricPoint { name: (*name).to_owned(), value: *value, ..MetricPoint::default() };
            self.home.registry.log_metric(&run_id, &point).expect("a metric");
        }
        self.home.registry.finish_run(&run_id, RunStatus::Finished, None).expect("an end");
        run_id
    }
}

/// Returns the record of a step.
pub(crate) fn stage(name: &str) -> StageRecord {
    StageRecord {
        name: name.to_owned(),
        component: format!("{name}-component"),
        digest: stagewright_store::Digest::of(name.as_bytes()),
        status: stagewright_store::FINISHED.to_owned(),
        started_ms: 1_000,
        ended_ms: 2_500,
        wall_ms: 1_500.0,
        cpu_ms: 900.0,
        peak_memory_bytes: 3 << 20,
        rows_in: 10,
        rows_out: 9,
        bytes_in: 100,
        bytes_out: 90,
        copies_bytes: 190,
        error: None,
        inputs: Vec::new(),
        outputs: Vec::new(),
        metrics: Vec::new(),
        logs: Vec::new(),
        invocation: None,
        walls: None,
        key: None,
        cached_from: None,
        dropped: 0,
    }
}

/// Finds the route of a path: one without variable parts before others.
fn found(path: &str) -> Option<(Route, Query)> {
    let mut found = None;
    for route in routes().into_iter().filter(|route| route.method == Method::Get) {
        let Some(parts) = parts(route.path, path) else { continue };
        if parts.pairs().next().is_none() {
            return Some((route, parts));
        }
        found = found.or(Some((route, parts)));
    }
    found
}

/// Returns the variable parts of a path, if it is one of a route.
fn parts(pattern: &str, path: &str) -> Option<Query> {
    let mut found = Query::default();
    let mut rest = path;
    for piece in pattern.split('/').skip(1) {
        rest = rest.strip_prefix('/')?;
        if let Some(name) = piece.strip_prefix("{*").and_then(|name| name.strip_suffix('}')) {
            found.add(name, &decoded(rest));
            return Some(found);
        }
        let (part, after) = rest.find('/').map_or((rest, ""), |end| rest.split_at(end));
        match piece.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => found.add(name, &decoded(part)),
            None if piece == part => {}
            None => return None,
        }
        rest = after;
    }
    rest.is_empty().then_some(found)
}

fn decoded(text: &str) -> String {
    let query = Query::parse(&format!("x={}", text.replace('+', "%2B").replace('&', "%26")));
    query.get("x").unwrap_or_default().to_owned()
}

fn shown(answer: Answer) -> Shown {
    let Answer { status, content, policy, .. } = answer;
    let (media_type, bytes) = match content {
        Content::Bytes { media_type, bytes } => (media_type, bytes),
        Content::File { media_type, mut reader, .. } => {
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut reader, &mut bytes).expect("bytes");
            (media_type, bytes)
        }
        Content::Redirect { to } => ("", to.into_bytes()),
        Content::Events(mut events) => {
            let mut text = String::new();
            while let Some(said) = events.next().expect("events") {
                text.push_str(&said);
            }
            ("text/event-stream", text.into_bytes())
        }
    };
    if media_type.starts_with("text/html") && status == 200 && policy != PAGE_POLICY {
        assert!(policy.starts_with("sandbox;"), "{policy}");
    }
    Shown { status, media_type: media_type.to_owned(), text: String::from_utf8_lossy(&bytes).into_owned(), policy }
}
