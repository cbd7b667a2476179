//! The same digests with 1, 2 and 8 workers, cached and not, with artifacts in a folder and on S3,
//! with stages in their own processes and in the host's.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Value, json};
use stagewright_end_to_end::{Ended, Place, WALLS, config, graph};
use stagewright_services::s3;

/// The results that must be equal wherever a pipeline runs: the artifacts and figures of each step,
/// its metrics, the model's metrics and the verdict.
#[derive(Debug, PartialEq)]
struct Made {
    steps: BTreeMap<String, Value>,
    metrics: Value,
    trained: Value,
    model: Value,
    verdict: Value,
}

/// A way to run a pipeline.
#[derive(Clone, Copy, Debug)]
struct Way<'a> {
    walls: &'static str,
    workers: &'static str,
    /// The server with the bucket in which artifacts are shared.
    server: Option<&'a s3::Server>,
}

struct Pipeline<'a> {
    name: &'static str,
    text: &'a str,
    changes: &'a [&'a str],
}

impl Pipeline<'_> {
    fn command(&self, place: &Place, way: Way<'_>, words: &[&str]) -> Command {
        let mut command = place.command(words);
        if let Some(server) = way.server {
            // A place of its own for each home.
            let name = place.path().file_name().expect("a name").to_string_lossy().replace('.', "");
            let uri = format!("s3://mlflow/{name}?endpoint={}&path-style=true", server.endpoint());
            command.envs(server.variables()).env("STAGEWRIGHT_ARTIFACTS", uri);
        }
        command
    }

    /// Runs the pipeline in a home. Returns how many stages were executed, and the results.
    fn run(&self, place: &Place, way: Way<'_>) -> (u64, Made) {
        place.write("pipeline.toml", self.text);
        let mut words = vec!["run", "pipeline.toml", "--json", "--workers", way.workers];
        words.extend(self.changes.iter().flat_map(|change| ["--set", change]));
        // Gates reject the candidate, so that the next run judges again.
        let run = Ended::of(self.command(place, way, &words)).expect(4).json();
        let id = run["run_id"].as_str().expect("a run");
        let shown = Ended::of(self.command(place, way, &["runs", "show", id, "--json"])).expect(0).json();
        let stages = shown["stages"].as_array().expect("stages").iter();
        let steps = stages.map(|stage| {
            let parts = ["key", "outputs", "metrics", "logs"].map(|part| (part, stage[part].clone()));
            (stage["name"].as_str().expect("a name").to_owned(), json!(BTreeMap::from(parts)))
        });
        let executed = run["executed"].as_u64().expect("a count");
        let made = Made {
            steps: steps.collect(),
            metrics: json!([
                run["metrics"],
                shown["run"]["metrics"].as_array().map(|metrics| {
                    let point = |metric: &Value| (metric["name"].to_string(), metric["value"].clone());
                    metrics.iter().map(point).collect::<BTreeMap<_, _>>()
                })
            ]),
            trained: run["trained"].clone(),
            model: run["model"]["version"].clone(),
            verdict: run["decision"]["verdict"].clone(),
        };
        (executed, made)
    }
}

/// Reports the first step that differs; all of them would fill the screen.
fn is_same(made: &Made, first: &Made, told: &str) {
    assert!(made.steps.keys().eq(first.steps.keys()), "{told}: {:?}", made.steps.keys());
    for (name, step) in &made.steps {
        assert_eq!(step, &first.steps[name], "{told}: `{name}`");
    }
    assert_eq!(made, first, "{told}");
}

/// Compares the results of all ways to run a pipeline.
fn is_the_same_everywhere(pipeline: &Pipeline<'_>) {
    let server = s3::Server::start("mlflow", s3::Options::default());
    let mut first: Option<(u64, Made)> = None;
    for walls in WALLS {
        for workers in ["1", "2", "8"] {
            for server in [None, Some(&server)] {
                let way = Way { walls, workers, server };
                let told = format!("{}, {walls}, {workers} workers, shared: {}", pipeline.name, server.is_some());
                let place = Place::new().with_walls(way.walls);
                let executed = pipeline.run(&place, way);
                let (count, made) = first.get_or_insert_with(|| pipeline.run(&Place::new().with_walls(walls), way));
                assert_eq!(executed.0, *count, "{told}");
                is_same(&executed.1, made, &told);
                let cached = pipeline.run(&place, way);
                assert_eq!(cached.0, 0, "{told}, cached");
                is_same(&cached.1, made, &format!("{told}, cached"));
                if way.server.is_some() {
                    // Artifacts at the shared place alone are as good.
                    let folder = place.home().join("artifacts");
                    std::fs::remove_dir_all(&folder).expect("a folder");
                    let fetched = pipeline.run(&place, way);
                    assert_eq!(fetched.0, 0, "{told}, fetched");
                    is_same(&fetched.1, made, &format!("{told}, fetched"));
                    let again = pipeline.command(&place, way, &["reproduce", "--json", "--workers", workers]);
                    assert_eq!(Ended::of(again).expect(0).json()["identical"], true, "{told}");
                }
            }
        }
    }
}

// invariant: Results do not depend on workers, on the cache, on the store (a folder or S3), or on
// the walls.
#[test]
fn a_pipeline_of_six_makes_the_same_with_any_workers_cached_or_not_on_a_folder_and_on_s3() {
    let text = std::fs::read_to_string(config("churn.toml")).expect("the shipped pipeline");
    is_the_same_everywhere(&Pipeline {
        name: "six",
        text: &text,
        changes: &[
            "ingestion.component=ingest-synthetic",
            "ingestion.rows=700",
            // Several instances at once, and a merge of their results.
            "training.component=train-forest",
            "training.n_estimators=6",
            "gates.minimum.roc_auc=0.9999",
        ],
    });
}

// invariant: as
// `a_pipeline_of_six_makes_the_same_with_any_workers_cached_or_not_on_a_folder_and_on_s3`
#[test]
fn a_graph_makes_the_same_with_any_workers_cached_or_not_on_a_folder_and_on_s3() {
    let text = graph() + "minimum = { roc_auc = 0.9999 }\n";
    is_the_same_everywhere(&Pipeline { name: "graph", text: &text, changes: &["boosted.n_estimators=5"] });
}
