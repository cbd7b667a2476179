//! Pages show their viewer what they may read, and nothing else.

use std::collections::BTreeSet;

use stagewright_pages::{Level, May, Resource};

use crate::world::World;

/// The right to read some experiments.
struct Reader(BTreeSet<i64>);

impl May for Reader {
    fn level(&self, of: Resource<'_>) -> Option<Level> {
        match of {
            Resource::Experiment(number) => self.0.contains(&number).then_some(Level::Read),
            Resource::Model(_) => None,
        }
    }

    fn is_admin(&self) -> bool {
        false
    }

    fn experiments(&self) -> Option<BTreeSet<i64>> {
        Some(self.0.clone())
    }
}

// invariant: A list, a search for names and a comparison have nothing of experiments that their
// viewer may not read.
#[test]
fn a_viewer_sees_the_runs_of_their_experiments_alone() {
    let mut world = World::new();
    let hidden = world.run("hidden-run", &[("hidden-parameter", "1")], &[("hidden-metric", 1.0)]);
    let registry = world.home.registry.clone();
    let demo = registry.experiment("demo").expect("a registry").expect("an experiment").id;
    let own = registry.create_experiment("own", &[]).expect("an experiment");
    let new = stagewright_store::NewClientRun { experiment_id: own, name: "seen".into(), ..Default::default() };
    let seen = registry.begin_client_run(&new).expect("a run").run_id;
    world.viewer.may = Box::new(Reader([own].into()));
    for link in [
        "/runs".to_owned(),
        "/runs?view=all&filter=user_id+LIKE+%27%25%27".to_owned(),
        format!("/runs?experiment={demo}"),
        format!("/runs?experiment={demo}&experiment={own}&column=metrics.hidden"),
        "/runs/names".to_owned(),
        format!("/runs/names?experiment={demo}"),
        "/experiments".to_owned(),
        format!("/runs/compare?run={seen}"),
    ] {
        for form in ["html", "json"] {
            let sign = if link.contains('?') { '&' } else { '?' };
            let page = world.get(&format!("{link}{sign}format={form}"));
            let text = page.text;
            for word in ["hidden-run", "hidden-parameter", "hidden-metric", ">demo<", "\"demo\"", hidden.as_str()] {
                assert!(!text.contains(word), "{link} as {form} tells {word}: {text}");
            }
        }
    }
    assert!(world.get("/runs").text.contains("seen"));
    for link in
        [format!("/runs/compare?run={seen}&run={hidden}"), format!("/runs/curves?run={hidden}&metric=hidden-metric")]
    {
        assert_eq!(world.get(&link).status, 404, "{link}");
    }
    world.viewer.may = Box::new(Reader(BTreeSet::new()));
    assert_eq!(world.json("/runs")["runs"], serde_json::json!([]));
    assert_eq!(world.json("/experiments")["experiments"], serde_json::json!([]));
}
