//! Preparations: tables of several stages under names that the manifest chooses.

use stagewright_manifest::World;

use crate::graphs::{names, step, with, worked_on};

/// Two tables, of which the second is validated; a preparation of both, and a preparation of that
/// one.
const STAGES: &str = r#"
[stages.joined]
world = "preparation"
component = "join-tables"
inputs = { right = "ingestion.events", left = "customers.table" }

[stages.customers]
world = "ingestion"
component = "ingest-table"
source = "customers"

[stages.events]
world = "ingestion"
component = "ingest-synthetic"

[stages.check-events]
world = "validation"
component = "validate-table"
inputs = { table = "events" }

[stages.preparation]
component = "join-tables"
inputs = { left = "preparation.joined", right = "customers", again = "customers" }
parameters = { key = "id" }

[stages.validation]
component = "validate-table"

[stages.transformation]
component = "engineered"

[stages.training]
component = "train-forest"

[stages.evaluation]
component = "evaluate-classifier"

[stages.promotion]
component = "promote-gated"
"#;

/// Returns the problems of the stages with one change.
fn said(from: &str, to: &str) -> String {
    assert!(STAGES.contains(from), "the stages no longer contain {from:?}");
    with(&STAGES.replacen(from, to, 1)).expect_err("the change is a fault").render()
}

#[test]
fn a_preparation_reads_named_tables_and_its_table_is_learnt_from() {
    let manifest = with(STAGES).unwrap();
    assert!(manifest.is_graph());
    // A table with a validation is not used before it.
    assert_eq!(
        names(&manifest),
        [
            "customers",
            "events",
            "check-events",
            "joined",
            "preparation",
            "validation",
            "transformation",
            "training",
            "evaluation",
            "promotion"
        ]
    );
    let joined = step(&manifest, "joined");
    let inputs: Vec<_> = joined.inputs.iter().map(|it| (it.name.as_str(), it.step.as_str(), it.artifact)).collect();
    assert_eq!(inputs, [("right", "events", "table"), ("left", "customers", "table")]);
    assert_eq!(joined.after.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["check-events"]);
    assert_eq!(worked_on(step(&manifest, "preparation")), ["joined", "customers", "customers"]);
    // The last table is the default input: the others are inputs of preparations.
    assert_eq!(worked_on(step(&manifest, "validation")), ["preparation"]);
    assert_eq!(worked_on(step(&manifest, "transformation")), ["preparation"]);
    assert_eq!(step(&manifest, "promotion").line[&World::Ingestion].as_str(), "preparation");
    let drawn = manifest.graph.mermaid();
    assert!(drawn.contains("s_joined[\"joined<br/>preparation\"]"), "{drawn}");
    assert!(drawn.contains("s_customers --> s_joined\n"), "{drawn}");
    let effective = &manifest.effective()["stages"]["joined"];
    assert_eq!(effective["world"], "preparation");
    assert_eq!(effective["inputs"]["right"], serde_json::json!(["ingestion.events"]));
}

#[test]
fn problems_of_preparations_are_reported_at_once_with_their_lines() {
    let stages = STAGES
        .replace("right = \"ingestion.events\"", "\"Right side\" = \"ingestion.event\"")
        .replace("left = \"customers.table\"", "left = [\"customers\", \"events\"]")
        .replace("again = \"customers\"", "again = \"training\"");
    let text = with(&stages).unwrap_err().render();
    for wanted in [
        "`\"Right side\"` is not a name for an input\n  hint: use a lower-case letter",
        "`left` of `joined` is one thing",
        "`training` is of the world `training`, which does not fit `again`\n  hint: name a stage of the world `ingestion` or `preparation`",
    ] {
        assert!(text.contains(wanted), "{wanted}\n--\n{text}");
    }
    assert_eq!(text.matches("config/pipeline.toml:").count(), 3, "{text}");
    let text = said("right = \"ingestion.events\"", "right = \"ingestion.event\"");
    assert!(text.contains("no stage is named `event`\n  hint: did you mean `events`?"), "{text}");
    let text = said("right = \"customers\", again", "right = \"customers.response\", again");
    assert!(text.contains("`customers.response` does not fit `right`"), "{text}");
}

#[test]
fn a_preparation_without_inputs_or_that_waits_for_itself_is_refused() {
    for inputs in ["", "inputs = {}"] {
        let text = said("inputs = { right = \"ingestion.events\", left = \"customers.table\" }", inputs);
        assert!(text.contains("stage `joined` has no inputs"), "{text}");
        assert!(text.contains("hint: name the tables that it works on: `inputs = { NAME = \"STAGE\" }`"), "{text}");
    }
    let text = said("left = \"customers.table\"", "left = \"preparation\"");
    assert!(text.contains("waits for itself: "), "{text}");
    assert!(text.contains("hint: take one of these inputs away"), "{text}");
    let text = said("left = \"customers.table\"", "left = \"joined\"");
    assert!(text.contains("stage `joined` waits for itself: joined -> joined"), "{text}");
}

#[test]
fn a_preparation_is_named_as_its_world_in_a_graph_alone_and_reads_no_source() {
    let text = said("[stages.preparation]\n", "[stages.preparation]\nsource = \"customers\"\n");
    assert!(text.contains("`preparation` cannot read a source"), "{text}");
    let text = said("left = \"preparation.joined\", ", "");
    assert!(text.contains("stage `validation` could work on `joined`, `preparation`"), "{text}");
    let alone = STAGES
        .replace("left = \"preparation.joined\", ", "")
        .replace(
            "\"validate-table\"\n\n[stages.tr",
            "\"validate-table\"\ninputs = { table = \"preparation\" }\n\n[stages.tr",
        )
        .replace("\"engineered\"", "\"engineered\"\ninputs = { table = \"preparation\" }");
    let text = with(&alone).unwrap_err().render();
    assert!(text.contains("no stage works on what `joined` makes"), "{text}");
    let outputs = with(&format!("{STAGES}\n[outputs]\n\"joined.arrow\" = \"joined.table\"\n")).unwrap().outputs;
    assert_eq!((outputs[0].stage.as_str(), outputs[0].world), ("joined", World::Preparation));
    // Six stages need no `inputs`, and a preparation is not one of the six.
    let six = "[stages.ingestion]\ncomponent = \"ingest-table\"\nsource = \"customers\"\n\
               [stages.preparation]\ncomponent = \"join-tables\"\n\
               [stages.validation]\ncomponent = \"validate-table\"\n\
               [stages.transformation]\ncomponent = \"engineered\"\n\
               [stages.training]\ncomponent = \"train-forest\"\n\
               [stages.evaluation]\ncomponent = \"evaluate-classifier\"\n\
               [stages.promotion]\ncomponent = \"promote-gated\"\n";
    let text = with(six).unwrap_err().render();
    assert!(text.contains("stage `preparation` has no inputs"), "{text}");
}
