//! One run for each of several values or segments.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use stagewright_lifecycle::foreach::{self, ChildEnd, ChildOf, ChildRun, Family, PARENT_TAG, children_of};
use stagewright_lifecycle::reproduce::{ReproduceEnvironment, reproduce};
use stagewright_lifecycle::sandbox::Cancel;
use stagewright_lifecycle::{Reuse, RunError};
use stagewright_store::{Digest, RunId, RunStatus};

use crate::fake::{Call, Fake, Script};
use crate::test_bed::{RunSpec, TestBed};

/// A run with its children, which has ended.
struct EndedFamily {
    family: Family,
    result: Result<(), RunError>,
    calls: Vec<Call>,
}

const BY_REGION: &str = "column = \"region\"\nnulls = \"skip\"\nmodel = \"outcomes-{value}\"";
const VALUES: &str = "set = \"components.train.parameters.fails\"\nvalues = { first = false, second = false }";

fn by_region() -> RunSpec {
    RunSpec::whole().each(BY_REGION)
}

fn run(bed: &TestBed, asked: RunSpec) -> EndedFamily {
    let (request, fake) = bed.request(asked);
    let (family, result) = foreach::execute(request);
    EndedFamily { family, result, calls: fake.calls() }
}

fn done(bed: &TestBed, asked: RunSpec) -> EndedFamily {
    let ran = run(bed, asked);
    if let Err(error) = &ran.result {
        panic!("the run failed: {error}");
    }
    ran
}

impl EndedFamily {
    fn parent(&self) -> RunId {
        self.family.summary.run_id.parse().expect("a run's identifier")
    }

    fn child(&self, name: &str) -> &ChildRun {
        self.family.children.iter().find(|child| child.name == name).expect("a child")
    }

    /// Returns the digests of the children's artifacts, by child, step and name.
    fn made(&self, bed: &TestBed) -> BTreeMap<String, Digest> {
        let mut made = BTreeMap::new();
        for child in &self.family.children {
            let Some(summary) = child.summary() else { continue };
            let id: RunId = summary.run_id.parse().expect("an identifier");
            for stage in bed.home.registry.stages(&id).expect("stages") {
                let outputs = stage.outputs.iter();
                made.extend(outputs.map(|it| (format!("{}/{}.{}", child.name, stage.name, it.name), it.digest)));
            }
        }
        made
    }

    fn error(&self) -> String {
        self.result.as_ref().expect_err("it fails").to_string()
    }

    fn count(&self, export: &str) -> usize {
        self.calls.iter().filter(|call| call.export == export).count()
    }

    /// Returns the number of executed steps of each child.
    fn executed(&self) -> Vec<(&str, usize)> {
        let children = self.family.children.iter();
        children.filter_map(|child| Some((child.name.as_str(), child.summary()?.executed))).collect()
    }
}

// invariant: A child run sees only the rows of its segment. What it makes does not depend on the
// number of workers or on other segments.
#[test]
fn each_segment_is_a_run_with_a_model_of_its_own_and_an_unchanged_second_run_executes_nothing() {
    let bed = TestBed::new();
    let first = done(&bed, by_region());
    let steps: Vec<&str> = first.family.summary.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(steps, ["ingestion", "segments"]);
    assert_eq!((first.family.counts(), first.count("ingest.ingest")), ((12, 0), 1));
    assert_eq!(first.executed(), [("north", 5), ("south", 5)]);
    let parent = bed.home.registry.run(first.parent().as_str()).expect("the parent");
    assert_eq!(parent.status, RunStatus::Finished);
    let children = children_of(&bed.home.registry, &first.parent()).expect("children");
    assert_eq!(children.len(), 2);
    for child in &children {
        assert!(child.tags.contains(&(PARENT_TAG.to_owned(), first.parent().to_string())));
        let of = ChildOf::of(&child.config).expect("a child");
        assert_eq!((&of.value, of.is_segment), (&json!(of.name), true));
        assert_eq!(child.config["model"], format!("outcomes-{}", of.name));
    }
    for (name, rows) in [("north", 120), ("south", 100)] {
        let child = first.child(name);
        assert_eq!((child.rows, child.model.clone()), (Some(rows), format!("outcomes-{name}")));
        let model = child.summary().and_then(|it| it.model.clone()).expect("a model");
        assert_eq!((model.name, model.version, model.aliases.len()), (format!("outcomes-{name}"), 1, 1));
        // The child reads the rows of its segment only, and records where they come from.
        let id: RunId = child.summary().expect("a run").run_id.parse().expect("an identifier");
        let stages = bed.home.registry.stages(&id).expect("stages");
        let table = stages[0].inputs.iter().find(|it| it.name == "ingestion.table").expect("a table").digest;
        assert_eq!(bed.home.artifacts.open_table(&table).expect("a table").rows(), rows);
        let dealt = &bed.home.registry.stages(&first.parent()).expect("stages")[1];
        assert!(dealt.outputs.iter().any(|it| it.name == format!("segment-{name}") && it.digest == table));
        let invocation = stages[0].invocation.as_ref().expect("an invocation");
        let from =
            invocation["inputs"].as_array().and_then(|inputs| inputs.iter().find(|it| it["role"] == "ingestion.table"));
        assert_eq!(from.expect("the table")["from"]["step"], "segments");
    }
    let second = done(&bed, by_region());
    assert_eq!((second.family.counts().0, second.calls.len()), (0, 0), "nothing is called");
    assert_eq!(second.executed(), [("north", 0), ("south", 0)]);
    assert!(second.family.children.iter().all(|it| it.summary().is_some_and(|it| it.is_champion_already)));
}

// invariant: as
// `each_segment_is_a_run_with_a_model_of_its_own_and_an_unchanged_second_run_executes_nothing`
#[test]
fn where_one_segments_rows_change_its_child_alone_is_executed() {
    let bed = TestBed::new();
    done(&bed, by_region());
    let changed = done(&bed, by_region().set("ingestion.moved=south"));
    assert_eq!(changed.family.summary.executed, 2);
    assert_eq!(changed.executed()[0], ("north", 0));
    assert!(changed.executed()[1].1 > 0, "{:?}", changed.executed());
    // A new segment is one more child, and the others do not change.
    let grown = run(&bed, by_region().set("ingestion.rest=east").set("foreach.min-rows=1"));
    assert_eq!(grown.executed()[1..], [("north", 0), ("south", 0)]);
}

// invariant: as
// `each_segment_is_a_run_with_a_model_of_its_own_and_an_unchanged_second_run_executes_nothing`
#[test]
fn what_children_make_does_not_depend_on_how_many_work_at_once() {
    let made: Vec<_> = [1, 2, 8]
        .into_iter()
        .map(|workers| {
            let bed = TestBed::new();
            done(&bed, by_region().workers(workers)).made(&bed)
        })
        .collect();
    assert!(made[0].len() > 20, "{}", made[0].len());
    assert_eq!(made[0], made[1]);
    assert_eq!(made[0], made[2]);
}

#[test]
fn rows_without_a_value_and_segments_with_few_rows_are_told_and_the_others_go_on() {
    let bed = TestBed::new();
    let refused = run(&bed, by_region().set("foreach.nulls=error"));
    assert!(refused.error().contains("20 rows have no value") && refused.error().contains("nulls = \"skip\""));
    assert!(refused.family.children.is_empty());
    let own = done(&bed, by_region().set("foreach.nulls=segment"));
    let null = own.child("null");
    assert_eq!((&null.value, null.rows), (&serde_json::Value::Null, Some(20)));
    assert!(matches!(null.end, ChildEnd::TooFewRows(50)), "{:?}", null.end);
    assert_eq!(own.executed(), [("north", 5), ("south", 5)]);
    let none = run(&bed, by_region().set("foreach.min-rows=1000"));
    assert!(none.error().contains("none of its 2 segments has 1000 rows"), "{}", none.error());
    // A child whose data is wrong fails, and the other children do not.
    let failing = run(&bed, by_region().set("ingestion.rest=east").set("foreach.min-rows=1"));
    assert!(failing.error().contains("1 of 3 children failed; the first of them is `east`"), "{}", failing.error());
    assert!(failing.child("north").error().is_none() && failing.child("east").error().is_some());
    let parent = bed.home.registry.run(failing.parent().as_str()).expect("the parent");
    assert_eq!(parent.status, RunStatus::Failed);
}

#[test]
fn a_column_of_too_many_values_or_of_none_and_values_of_one_name_are_errors_of_the_data() {
    let bed = TestBed::new();
    let many = run(&bed, by_region().set("foreach.column=id"));
    assert!(many.error().contains("it has more than 100 values"), "{}", many.error());
    assert!(many.family.children.is_empty());
    let few = run(&bed, by_region().set("foreach.max-children=1"));
    assert!(few.error().contains("it has more than 1 values"), "{}", few.error());
    // The bound also applies to segments that an earlier run made.
    done(&bed, by_region());
    let few = run(&bed, by_region().set("foreach.max-children=1"));
    assert!(few.error().contains("more than 1") && few.family.children.is_empty(), "{}", few.error());
    let clash = run(&bed, by_region().set("ingestion.rest=\"North\""));
    assert!(clash.error().contains("\"North\"") && clash.error().contains("\"north\""), "{}", clash.error());
    // Every value becomes a plain name.
    let evil = run(&bed, by_region().set("ingestion.rest=\"../../x'; --\""));
    let names: Vec<&str> = evil.family.children.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["x", "north", "south"]);
    assert!(matches!(evil.child("x").end, ChildEnd::TooFewRows(_)));
}

#[test]
fn children_of_values_share_what_is_the_same_and_one_that_fails_stops_the_others_only_if_asked() {
    let bed = TestBed::new();
    let first = done(&bed, RunSpec::whole().each(VALUES));
    assert_eq!(first.count("ingest.ingest"), 1, "what is the same is executed once");
    assert_eq!(first.family.summary.stages.len(), 0);
    assert_eq!(
        first.executed(),
        [("first", 6), ("second", 2)],
        "of equal values even the training; a model is judged by its name"
    );
    assert_eq!(done(&bed, RunSpec::whole().each(VALUES)).family.counts().0, 0);
    let three = "foreach.values={ a = false, b = true, c = false }";
    let failing = run(&bed, RunSpec::whole().each(VALUES).set(three).workers(3));
    assert!(failing.error().contains("1 of 3 children failed; the first of them is `b`"), "{}", failing.error());
    assert!(matches!(failing.child("c").end, ChildEnd::Ran(_, None)));
    let stopped = run(&bed, RunSpec::whole().each(VALUES).set(three).set("foreach.on-failure=stop").workers(3));
    assert!(matches!(stopped.child("a").end, ChildEnd::Ran(_, None)));
    assert!(matches!(stopped.child("b").end, ChildEnd::Ran(_, Some(_))));
    assert!(matches!(stopped.child("c").end, ChildEnd::NotRun), "{:?}", stopped.child("c").end);
}

#[test]
fn a_run_is_resumed_with_its_children_and_a_child_alone() {
    let bed = TestBed::new();
    let broken = run(&bed, by_region().set("training.fails=true"));
    assert!(broken.error().contains("2 of 2 children failed"), "{}", broken.error());
    // Only results of the resumed run are reused.
    let reuse = Reuse { nothing: true, resumed: Some(broken.parent()), ..Reuse::default() };
    let resumed = done(&bed, by_region().reuse(reuse));
    assert_eq!((resumed.family.summary.executed, resumed.count("ingest.ingest")), (0, 0));
    assert_eq!(resumed.executed(), [("north", 3), ("south", 3)]);
    let id = &resumed.child("south").summary().expect("a run").run_id;
    let child = bed.home.registry.run(id).expect("the child");
    let (mut request, _) = bed.request(by_region());
    let of = ChildOf::of(&child.config).expect("a child");
    let foreach = request.manifest.foreach.clone().expect("children");
    request.manifest = Arc::new(request.manifest.of_child(&foreach, &of.name).expect("a name"));
    request.stages = stagewright_manifest::World::Validation..=stagewright_manifest::World::Promotion;
    (request.base_run, request.child) = (Some(of.parent.clone()), Some(of));
    let (family, result) = foreach::execute(request);
    result.expect("a child by itself");
    assert_eq!((family.summary.executed, family.summary.is_champion_already), (0, true));
}

#[test]
fn parent_and_children_are_reproduced_and_planned() {
    let bed = TestBed::new();
    let (request, _) = bed.request(by_region());
    let planned = foreach::plan(request).expect("a plan");
    assert!(planned.children.is_none(), "the segments are not known yet");
    assert_eq!(planned.steps.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["ingestion", "segments"]);
    let ran = done(&bed, by_region());
    let (request, _) = bed.request(by_region());
    let planned = foreach::plan(request).expect("a plan");
    assert!(planned.steps.iter().all(|step| step.cached));
    let children = planned.children.expect("they are known");
    assert_eq!(children.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["north", "south"]);
    assert!(children.iter().all(|child| child.steps.len() == 5 && child.steps.iter().all(|step| step.cached)));
    let ids = ran.family.children.iter().filter_map(ChildRun::summary).map(|it| it.run_id.clone());
    for id in ids.chain([ran.family.summary.run_id.clone()]) {
        let stages = bed.home.registry.stages(&id.parse().expect("an identifier")).expect("stages");
        let fake = Arc::new(Fake::new(Script::default(), Cancel::default()));
        let again = ReproduceEnvironment {
            artifacts: bed.home.artifacts.clone(),
            sandbox: fake.clone(),
            decoder: Arc::new(stagewright_data::InProcess),
            observer: fake,
            workers: 1,
            cancel: Cancel::default(),
            ceilings: stagewright_manifest::Ceilings::default(),
            sources: BTreeMap::new(),
        };
        let result = reproduce(&stages, &again).expect("it can be executed again");
        assert!(result.identical, "{:?}", result.first_difference);
        assert_eq!(result.steps.len(), stages.len());
    }
}

#[test]
fn segments_of_a_table_that_was_made_of_several_are_dealt_out_after_it_and_checks_of_others_are_done_once() {
    let bed = TestBed::new();
    let with_region = |columns: &str| columns.replace(']', ", \"region\"]");
    let mut stages = crate::preparing::STAGES.to_owned();
    for columns in [
        "[\"id\", \"x\", \"outcome\"]",
        "[\"outcome\", \"x\", \"y\", \"z\", \"id\"]",
        "[\"id\", \"x\", \"y\", \"z\", \"outcome\"]",
    ] {
        assert!(stages.contains(columns), "{columns}");
        stages = stages.replacen(columns, &with_region(columns), 1);
    }
    let graph = || by_region().stages(&stages);
    let first = done(&bed, graph());
    let shared: Vec<&str> = first.family.summary.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(shared, ["left", "right", "joined", "ordered", "segments"]);
    assert_eq!(first.executed(), [("north", 6), ("south", 5)], "the other table is checked once");
    assert_eq!(first.child("south").rows, Some(100));
    assert_eq!(done(&bed, graph()).family.counts().0, 0);
}
