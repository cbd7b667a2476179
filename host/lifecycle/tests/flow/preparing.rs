//! Preparations: the tables that they get, the use of their table, and when they are done again.

use stagewright_evaluation::report::PreparationReport;
use stagewright_lifecycle::Reuse;
use stagewright_lifecycle::RunError;
use stagewright_lifecycle::invocation::{Invocation, Work};
use stagewright_lifecycle::lineage::{self, Id, Subject};
use stagewright_manifest::{StepId, World};
use stagewright_store::{ArtifactKind, Role};

use crate::graphs::{names, recorded};
use crate::lineage::{named, of, steps};
use crate::portable::{exported, imported};
use crate::reproducing::reproduced;
use crate::test_bed::{EndedRun, MODEL, RunSpec, TestBed};

/// Two tables become one, which becomes another.
pub(crate) const STAGES: &str = r#"
[stages.left]
world = "ingestion"
component = "ingest"
parameters = { columns = ["id", "x", "outcome"] }

[stages.right]
world = "ingestion"
component = "ingest"
parameters = { columns = ["id", "y", "z"] }

[stages.check-right]
world = "validation"
component = "validate"
inputs = { table = "right" }

[stages.joined]
world = "preparation"
component = "prepare"
inputs = { one = "ingestion.left", other = "ingestion.right" }
parameters = { columns = ["outcome", "x", "y", "z", "id"] }

[stages.ordered]
world = "preparation"
component = "prepare"
inputs = { table = "joined" }
parameters = { columns = ["id", "x", "y", "z", "outcome"] }

[stages.validation]
component = "validate"

[stages.transformation]
component = "transform"

[stages.training]
component = "train"

[stages.evaluation]
component = "evaluate"

[stages.promotion]
component = "promote"

"#;

fn graph() -> RunSpec {
    RunSpec::whole().stages(STAGES)
}

fn invocation(ended: &EndedRun, step: &str) -> Invocation {
    let stage = ended.stages.iter().find(|stage| stage.name == step).expect("a step");
    serde_json::from_value(stage.invocation.clone().expect("an invocation")).expect("an invocation")
}

fn executed(ended: &EndedRun) -> Vec<&str> {
    let executed = ended.stages.iter().filter(|stage| stage.cached_from.is_none());
    executed.map(|stage| stage.name.as_str()).collect()
}

fn roles(bed: &TestBed, ended: &EndedRun, artifact: &str) -> Vec<(String, Role)> {
    let table = bed.home.artifacts.open_table(&ended.made()[artifact]).expect("a table");
    table.schema().fields().iter().map(|field| (field.name.clone(), field.role)).collect()
}

// invariant: A prepared table's lineage leads to all of its sources. It is made again exactly when
// one of them changes, and its content depends neither on workers nor on the machine.
#[test]
fn a_preparation_is_handed_whole_tables_by_name_and_models_learn_from_the_last() {
    let bed = TestBed::new();
    let ended = bed.run_ok(graph());
    let order = [
        "left",
        "right",
        "check-right",
        "joined",
        "ordered",
        "validation",
        "transformation",
        "training",
        "evaluation",
        "promotion",
    ];
    assert_eq!(names(&ended), order);
    let work = |step: &str| match invocation(&ended, step).work {
        Work::Preparation(work) => (work.signature.is_some(), work.target),
        other => panic!("{other:?}"),
    };
    // The signature and the target belong to the table that models are trained on.
    assert_eq!(work("joined"), (false, None));
    assert_eq!(work("ordered"), (true, Some("outcome".to_owned())));
    let inputs: Vec<_> = invocation(&ended, "joined").inputs.into_iter().map(|it| (it.role, it.digest)).collect();
    let made = ended.made();
    assert_eq!(inputs, [("input.one".to_owned(), made["left.table"]), ("input.other".to_owned(), made["right.table"])]);
    let read = invocation(&ended, "transformation").inputs;
    assert!(read.iter().any(|it| it.role == "ingestion.table" && it.digest == made["ordered.table"]), "{read:?}");
    let prepared: Vec<_> = ended.calls.iter().filter(|call| call.export == "prepare.prepare").collect();
    let seen: Vec<&[String]> = prepared.iter().map(|call| &call.columns[..]).collect();
    assert_eq!(seen, [&["id", "x", "outcome", "id", "y", "z"][..], &["outcome", "x", "y", "z", "id"]]);
    // The manifest declares the roles, and the last table is split.
    let feature = |name: &str| (name.to_owned(), Role::Feature);
    let wanted = [
        ("id".to_owned(), Role::Identifier),
        feature("x"),
        feature("y"),
        feature("z"),
        ("outcome".to_owned(), Role::Target),
    ];
    assert_eq!(roles(&bed, &ended, "ordered.table"), wanted);
    let seeds: std::collections::BTreeSet<u64> = order.iter().map(|step| invocation(&ended, step).guest.seed).collect();
    assert_eq!(seeds.len(), order.len(), "each stage has a seed of its own");
    let version = bed.home.registry.version(MODEL, 1).expect("a version");
    assert_eq!(version.contents["data_digest"], serde_json::json!(made["ordered.table"]));
    assert_eq!(version.contents["source"], serde_json::Value::Null);
}

// invariant: Every preparation is shown which input column is the target, though the tables of
// sources have no roles of their own.
#[test]
fn every_preparation_is_told_the_declared_roles_and_its_inputs_keep_their_own() {
    let bed = TestBed::new();
    let ended = bed.run_ok(graph());
    let told: Vec<&[String]> =
        ended.calls.iter().filter(|call| call.export == "prepare.prepare").map(|call| &call.targets[..]).collect();
    assert_eq!(told, [["outcome"], ["outcome"]]);
    assert!(roles(&bed, &ended, "left.table").iter().all(|(_, role)| *role == Role::Feature));
    for step in ["joined", "ordered"] {
        let Work::Preparation(work) = invocation(&ended, step).work else { panic!("{step}") };
        let declared = [("id".to_owned(), Role::Identifier), ("outcome".to_owned(), Role::Target)];
        assert_eq!(work.roles, declared.into(), "{step}");
    }
}

#[test]
fn what_a_preparation_says_of_its_table_is_a_report_and_its_warnings_are_in_the_summary() {
    let bed = TestBed::new();
    let says = || graph().set("joined.says=\"3 rows <alone>\"");
    let (ended, again) = (bed.run_ok(says()), bed.run_ok(says()));
    for (ended, cached) in [(&ended, false), (&again, true)] {
        let stage = |name: &str| ended.summary.stages.iter().find(|stage| stage.name == name).expect("a step");
        assert_eq!(
            (stage("joined").cached, &stage("joined").warnings[..]),
            (cached, &["3 rows <alone>".to_owned()][..])
        );
        assert!(stage("ordered").warnings.is_empty());
    }
    let made = ended.made();
    let text = |name: &str, media_type: &str| {
        let document = bed.home.artifacts.open_document(&made[name], media_type).expect("a document");
        String::from_utf8(document.bytes().to_vec()).expect("text")
    };
    let report: PreparationReport =
        serde_json::from_str(&text("joined.figures", "application/json")).expect("a report");
    let tables: Vec<&str> = report.inputs.iter().map(|table| &*table.name).collect();
    assert_eq!((tables, report.table.digest), (vec!["one", "other"], made["joined.table"].to_string()));
    assert_eq!(report.figures[0].name, "joins");
    assert!(text("joined.report", "text/html").contains("3 rows &lt;alone&gt;"));
    // Who says nothing has no report.
    assert!(!made.contains_key("ordered.figures") && !made.contains_key("ordered.report"));
}

#[test]
fn columns_have_the_roles_of_the_inputs_where_the_manifest_names_none() {
    let bed = TestBed::new();
    let asked = RunSpec::of(World::Ingestion..=World::Validation).stages(STAGES).without_signature();
    let ended = bed.run_ok(
        asked
            .set("right.identifier=id")
            .set("joined.columns=[\"outcome\", \"id\", \"x\", \"z\"]")
            .set("ordered.columns=[\"id\", \"z\", \"outcome\"]"),
    );
    let named = |name: &str, role| (name.to_owned(), role);
    let (feature, identifier) = (Role::Feature, Role::Identifier);
    let made = |step: &str| roles(&bed, &ended, &format!("{step}.table"));
    assert_eq!(made("left")[0], named("id", feature));
    let joined = [named("outcome", feature), named("id", identifier), named("x", feature), named("z", feature)];
    assert_eq!(made("joined"), joined, "nothing is a target before it is learnt from");
    let ordered = [named("id", identifier), named("z", feature), named("outcome", Role::Target)];
    assert_eq!(made("ordered"), ordered);
}

// invariant: as `a_preparation_is_handed_whole_tables_by_name_and_models_learn_from_the_last`
#[test]
fn the_same_tables_are_made_however_many_work_at_once_and_nothing_is_done_twice() {
    let bed = TestBed::new();
    let first = bed.run_ok(graph());
    for workers in [2, 8] {
        assert_eq!(recorded(&TestBed::new().run_ok(graph().workers(workers))), recorded(&first), "{workers}");
    }
    let same = bed.run_ok(graph());
    assert_eq!(executed(&same), Vec::<&str>::new());
    // Another table beside the first: only what is made of it is made again.
    let columns = "right.columns=[\"id\", \"z\", \"y\"]";
    let other = bed.run_ok(graph().set(columns));
    assert_eq!(executed(&other), ["right", "check-right", "joined"], "the table that is made of both is the same");
    let changed =
        bed.run_ok(graph().set("ordered.columns=[\"id\", \"x\", \"y\", \"z\", \"outcome\"]").set("ordered.note=1"));
    assert_eq!(executed(&changed), ["ordered"]);
    let byte = bed.run_ok(graph().other_code(World::Preparation));
    assert_eq!(executed(&byte), ["joined", "ordered"]);
    let refreshed = bed
        .run_ok(graph().reuse(Reuse { refresh: [StepId::new("joined").expect("a name")].into(), ..Reuse::default() }));
    assert_eq!(executed(&refreshed), ["joined"]);
}

// invariant: as `a_preparation_is_handed_whole_tables_by_name_and_models_learn_from_the_last`
#[test]
fn a_prepared_table_leads_back_to_all_ingestions_and_its_run_is_made_again_elsewhere() {
    let bed = TestBed::new();
    let ended = bed.run_ok(graph());
    let found = of(&bed, &Subject::Version(MODEL.to_owned(), 1));
    let made_by = named(&ended, &["left", "right", "joined", "ordered", "transformation", "training"]);
    assert_eq!(steps(&found, &found.upstream), made_by);
    let table = of(&bed, &Subject::Content(ended.made()["right.table"]));
    let read_by = steps(&table, &table.downstream);
    for step in ["check-right", "joined", "ordered", "training"] {
        assert!(read_by.contains(&(ended.id.clone(), step.to_owned())), "{step}: {read_by:?}");
    }
    assert!(table.downstream.contains(&Id::Version(MODEL.to_owned(), 1)));
    assert!(reproduced(&bed, &ended.stages).identical);
    let file = exported(&bed, &ended, None).expect("everything is there");
    let other = TestBed::new();
    let id = imported(&other, &file).expect("a whole file");
    let stages = other.home.registry.stages(&id).expect("records");
    let again = reproduced(&other, &stages);
    assert!(again.identical && again.steps.len() == 10, "{again:?}");
    // One bit of an input table: the step that read it is named.
    let path = other.home.artifacts.path(ArtifactKind::Table, &ended.made()["right.table"]);
    let mut bytes = std::fs::read(&path).expect("a table");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&path).expect("a table");
    std::fs::write(&path, bytes).expect("room");
    let difference = reproduced(&other, &stages).first_difference.expect("a flipped bit");
    assert_eq!((difference.step.as_str(), &*difference.artifact), ("right", "right.table"));
}

// invariant: as `a_preparation_is_handed_whole_tables_by_name_and_models_learn_from_the_last`
#[test]
fn a_preparation_that_changes_nothing_is_a_step_like_others() {
    let bed = TestBed::new();
    let copy = "[stages.copy]\nworld = \"preparation\"\ncomponent = \"prepare\"\ninputs = { table = \"left\" }\n\
                parameters = { columns = [\"id\", \"x\", \"outcome\"] }\n\n[stages.joined]";
    let stages = STAGES.replace("[stages.joined]", copy).replace("one = \"ingestion.left\"", "one = \"copy\"");
    let ended = bed.run_ok(RunSpec::whole().stages(&stages));
    let made = ended.made();
    assert_eq!(made["copy.table"], made["left.table"], "the same content is one artifact");
    let found = of(&bed, &Subject::Version(MODEL.to_owned(), 1));
    let made_by = steps(&found, &found.upstream);
    for step in ["left", "right", "joined", "ordered", "transformation", "training"] {
        assert!(made_by.contains(&(ended.id.clone(), step.to_owned())), "{step}: {made_by:?}");
    }
    assert!(lineage::tree(&found).ends_with("leads to\n└─ nothing on record\n"));
    assert!(reproduced(&bed, &ended.stages).identical);
    assert_eq!(executed(&bed.run_ok(RunSpec::whole().stages(&stages))), Vec::<&str>::new());
}

#[test]
fn an_empty_table_and_one_that_was_handed_over_are_refused() {
    let bed = TestBed::new();
    let failed = |set: &str| bed.run(graph().set(set)).result.expect_err("it is refused").to_string();
    let empty = failed("joined.empty=true");
    assert!(empty.contains("stage `joined`") && empty.contains("the table is empty"), "{empty}");
    // The old roles of the table are not the manifest's.
    let given = failed("ordered.returns=table");
    assert!(given.contains("stage `ordered`") && given.contains("the component returned an input table"), "{given}");
}

#[test]
fn a_table_that_is_not_as_declared_is_no_table_to_learn_from() {
    let bed = TestBed::new();
    let ended = bed.run(graph().set("ordered.columns=[\"id\", \"x\", \"z\", \"outcome\"]"));
    let Err(RunError::Unfit { step, checks }) = ended.result else { panic!("it is learnt from") };
    assert_eq!(step.as_str(), "validation");
    assert!(checks.iter().any(|check| check.column.as_deref() == Some("y")), "{checks:?}");
}

#[test]
fn a_preparation_is_a_stage_of_its_own_for_runs_of_some_stages() {
    let bed = TestBed::new();
    let ingested = bed.run_ok(RunSpec::of(World::Ingestion..=World::Ingestion).stages(STAGES));
    let missing = bed.run(RunSpec::of(World::Validation..=World::Validation).stages(STAGES).based_on(&ingested));
    match missing.result {
        Err(RunError::MissingArtifact { stage, name }) => {
            assert_eq!((stage.as_str(), name.as_str()), ("ordered", "table"));
        }
        other => panic!("{other:?}"),
    }
    let prepared = bed.run_ok(RunSpec::of(World::Preparation..=World::Preparation).stages(STAGES).based_on(&ingested));
    assert_eq!(names(&prepared), ["joined", "ordered"]);
    let rest = bed.run_ok(RunSpec::of(World::Validation..=World::Promotion).stages(STAGES).based_on(&prepared));
    assert_eq!(bed.champion(), Some(1));
    let whole = TestBed::new().run_ok(graph());
    assert_eq!(rest.made()["training.model"], whole.made()["training.model"]);
}
