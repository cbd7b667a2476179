//! The lineage of versions, runs and artifacts.

use std::collections::BTreeSet;

use stagewright_lifecycle::lineage::{self, Id, Lineage, Subject};
use stagewright_store::{Digest, RunId};

use crate::reproducing::compared;
use crate::test_bed::{EndedRun, MODEL, RunSpec, TestBed};

pub(crate) fn of(bed: &TestBed, subject: &Subject) -> Lineage {
    lineage::of(&bed.home.registry, subject).expect("a registry").expect("something on record")
}

/// Returns the steps among some nodes, by run and name.
pub(crate) fn steps(lineage: &Lineage, ids: &BTreeSet<Id>) -> BTreeSet<(RunId, String)> {
    let step = |id: &Id| match id {
        Id::Step(run, _) => Some((run.clone(), lineage.nodes[id].name.clone())),
        _ => None,
    };
    ids.iter().filter_map(step).collect()
}

pub(crate) fn named(run: &EndedRun, names: &[&str]) -> BTreeSet<(RunId, String)> {
    names.iter().map(|name| (run.id.clone(), (*name).to_owned())).collect()
}

/// Returns the first run of [`compared`].
fn first(bed: &TestBed, second: &EndedRun) -> EndedRun {
    let run = bed.home.registry.list_runs(9).expect("runs").into_iter().find(|run| run.run_id != second.id);
    let record = run.expect("a run before");
    let stages = bed.home.registry.stages(&record.run_id).expect("records");
    let summary = second.summary.clone();
    EndedRun { id: record.run_id.clone(), summary, result: Ok(()), calls: Vec::new(), stages, record }
}

#[test]
fn a_version_comes_from_the_steps_of_its_run_and_from_nothing_that_came_later() {
    let (bed, second) = compared();
    let found = of(&bed, &Subject::Version(MODEL.to_owned(), 2));
    // Equal artifacts of the first run are the same nodes, and the steps are the version's own.
    let made_by = named(&second, &["ingestion", "transformation", "training"]);
    assert_eq!(steps(&found, &found.upstream), made_by);
    let component = |name: &str| Id::Component(Digest::of(format!("code of {name}").as_bytes()));
    for name in ["ingest", "transform", "train"] {
        assert!(found.upstream.contains(&component(name)), "{name}");
    }
    assert!(!found.upstream.contains(&component("validate")), "nothing of it is made by validation");
    assert!(found.upstream.contains(&Id::Artifact(second.made()["ingestion.table"])));
    assert_eq!(found.downstream, BTreeSet::new(), "there is no production location");
    assert!(!found.is_cut);
    for edge in &found.edges {
        assert!(found.nodes.contains_key(&edge.from) && found.nodes.contains_key(&edge.to), "{edge:?}");
    }
}

#[test]
fn a_table_leads_to_all_that_read_it_and_a_component_to_all_that_called_it() {
    let (bed, second) = compared();
    let before = first(&bed, &second);
    let table = second.made()["ingestion.table"];
    assert_eq!(table, before.made()["ingestion.table"]);
    let found = of(&bed, &Subject::Content(table));
    let all = ["validation", "transformation", "training", "evaluation", "promotion"];
    let both: BTreeSet<_> = named(&before, &all).into_iter().chain(named(&second, &all)).collect();
    assert_eq!(steps(&found, &found.downstream), both);
    for version in [1, 2] {
        assert!(found.downstream.contains(&Id::Version(MODEL.to_owned(), version)), "{version}");
    }
    assert_eq!(steps(&found, &found.upstream), named(&before, &["ingestion"]), "the step that made it first");
    // The evaluation that compared the champion reads its model.
    let champion = of(&bed, &Subject::Content(before.made()["training.model"]));
    let read: BTreeSet<_> = named(&before, &["evaluation", "promotion"])
        .into_iter()
        .chain(named(&second, &["evaluation", "promotion"]))
        .collect();
    assert_eq!(steps(&champion, &champion.downstream), read);
    let component = of(&bed, &Subject::Content(Digest::of(b"code of train")));
    assert_eq!(component.subject, [Id::Component(Digest::of(b"code of train"))]);
    assert!(named(&before, &["training"]).is_subset(&steps(&component, &component.downstream)));
    assert!(component.upstream.is_empty());
    let nothing = lineage::of(&bed.home.registry, &Subject::Content(Digest::of(b"never"))).expect("a registry");
    assert!(nothing.is_none());
}

#[test]
fn a_run_is_all_of_its_steps_and_works_on_another_runs() {
    let bed = TestBed::new();
    let base = bed.run_ok(RunSpec::of(stagewright_manifest::World::Ingestion..=stagewright_manifest::World::Training));
    let on =
        RunSpec::of(stagewright_manifest::World::Evaluation..=stagewright_manifest::World::Promotion).based_on(&base);
    let ended = bed.run_ok(on);
    let found = of(&bed, &Subject::Run(ended.id.clone()));
    assert_eq!(found.subject.len(), 2);
    assert_eq!(steps(&found, &found.upstream), named(&base, &["ingestion", "transformation", "training"]));
    assert_eq!(steps(&found, &found.downstream), BTreeSet::new());
}

#[test]
fn lineage_is_shown_as_a_tree_as_a_flowchart_and_as_events() {
    let (bed, second) = compared();
    let found = of(&bed, &Subject::Version(MODEL.to_owned(), 2));
    let tree = lineage::tree(&found);
    let run = &second.id.as_str()[..12];
    assert!(tree.starts_with("version outcomes/2 (champion)\ncomes from\n"), "{tree}");
    assert!(tree.contains(&format!(" <- training by train in run {run}\n")), "{tree}");
    assert!(
        tree.contains(&format!(
            "ingestion.table ({}, 240 rows) <- ingestion by ingest in run {run}\n",
            &second.made()["ingestion.table"].to_hex().to_string()[..12]
        )),
        "{tree}"
    );
    assert!(tree.ends_with("leads to\n└─ nothing on record\n"), "{tree}");
    let step = format!("training by train in run {run}");
    assert_eq!(tree.lines().filter(|line| line.contains(&step) && !line.contains("(see above)")).count(), 1, "{tree}");

    let chart = lineage::mermaid(&found);
    assert!(chart.starts_with("flowchart LR\n  n0"), "{chart}");
    let arrows = chart.lines().filter(|line| line.contains("-->"));
    assert_eq!(arrows.count(), found.edges.len());

    let events = lineage::events(&found);
    let jobs: Vec<_> = events.iter().map(|event| event["job"]["name"].as_str().expect("a name")).collect();
    assert_eq!(jobs, ["flow/ingestion", "flow/transformation", "flow/training"]);
    let outputs = events[2]["outputs"].as_array().expect("a list");
    let model = outputs.iter().find(|output| output["name"] == "models/outcomes").expect("the version");
    assert_eq!(model["facets"]["version"]["datasetVersion"], "2");
    let json = serde_json::to_value(&found).expect("a value");
    assert_eq!(json["subject"][0], "version:outcomes/2");
    assert_eq!(json["nodes"].as_array().map(Vec::len), Some(found.nodes.len()));
}
