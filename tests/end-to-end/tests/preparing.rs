//! Tables become one: by a component that is not built in, and by the built-in `prepare-table`.

use serde_json::Value;
use stagewright_end_to_end::{Place, WALLS, digests, guests};

const CUSTOMERS: usize = 1200;

/// Returns a pseudo-random number in [0, 1).
fn noise(row: usize, column: u64) -> f64 {
    let mixed = (row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(column * 0x517c_c1b7_2722_0a95);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed ^ (mixed >> 32)) % 10_000) as f64 / 10_000.0
}

/// Writes customers, and their calls in another order. Every tenth customer never called. Who calls
/// often leaves.
fn write_tables(place: &Place) {
    let (mut customers, mut calls) = (String::from("id,tenure,plan,churn\n"), String::from("id,calls,minutes\n"));
    for row in 0..CUSTOMERS {
        let plan = ["basic", "plus", "pro"][row % 3];
        let often = noise(row, 1);
        let churn = if often + 0.4 * noise(row, 2) > 0.9 { "yes" } else { "no" };
        customers.push_str(&format!("c{row},{},{plan},{churn}\n", row % 72));
        let other = CUSTOMERS - 1 - row;
        if !other.is_multiple_of(10) {
            let minutes = 10.0 * noise(other, 3);
            calls.push_str(&format!("c{other},{},{minutes}\n", (20.0 * noise(other, 1)) as u32));
        }
    }
    place.write("customers.csv", customers);
    place.write("calls.csv", calls);
}

fn write_manifest(place: &Place) {
    let component = guests().join("join-tables.wasm").display().to_string();
    let text = format!(
        r#"
pipeline = "joined"
experiment = "tests"
model = "joined"
seed = 3

[task]
kind = "binary"
target = "churn"
positive = "yes"

[sources.customers]
uri = "csv:customers.csv"

[sources.calls]
uri = "csv:calls.csv"

[signature.fields]
id = {{ type = "utf8", role = "identifier" }}
tenure = "int64"
plan = "categorical"
churn = "categorical"
calls = {{ type = "int64", nullable = true }}
minutes = {{ type = "float64", nullable = true }}

[split]
method = "stratified"
test = 0.25
validation = 0.2

[stages.customers]
world = "ingestion"
component = "ingest-table"
source = "customers"

[stages.calls]
world = "ingestion"
component = "ingest-table"
source = "calls"

[stages.check-calls]
world = "validation"
component = "validate-table"
inputs = {{ table = "calls" }}

[stages.joined]
world = "preparation"
component = "join-tables"
inputs = {{ left = "ingestion.customers", right = "ingestion.calls" }}
parameters = {{ key = "id" }}

[stages.validation]
component = "validate-table"

[stages.transformation]
component = "transform-table"

[stages.training]
component = "train-logistic"

[stages.evaluation]
component = "evaluate-classifier"

[stages.promotion]
component = "promote-gated"

[components.join-tables]
path = {component:?}

[gates]
primary = "roc_auc"
minimum = {{ roc_auc = 0.75 }}
"#
    );
    place.write("joined.toml", text);
}

fn place(walls: &str) -> Place {
    let place = Place::new().with_walls(walls);
    write_tables(&place);
    write_manifest(&place);
    place
}

fn run(place: &Place, more: &[&str]) -> Value {
    place.run(&[&["run", "joined.toml", "--json"], more].concat()).expect(0).json()
}

/// Returns the steps that a run executed.
fn executed(run: &Value) -> Vec<&str> {
    let stages = run["stages"].as_array().expect("stages").iter();
    stages.filter(|stage| stage["cached"] == false).filter_map(|stage| stage["name"].as_str()).collect()
}

fn digest_of<'a>(digests: &'a [(String, String)], name: &str) -> &'a str {
    digests.iter().find(|(found, _)| found == name).map(|(_, digest)| digest.as_str()).expect(name)
}

// invariant: as `a_preparation_is_handed_whole_tables_by_name_and_models_learn_from_the_last`
#[test]
fn two_sources_are_joined_learnt_from_and_traced_back_and_the_tables_do_not_depend_on_where_they_are_made() {
    let first = place(WALLS[0]);
    let plan = first.run(&["plan", "joined.toml", "--json"]).expect(0).json();
    let order: Vec<&str> =
        plan["steps"].as_array().expect("steps").iter().filter_map(|step| step["name"].as_str()).collect();
    assert_eq!(order[..5], ["customers", "calls", "check-calls", "joined", "validation"]);
    let edge = serde_json::json!({ "from": "calls", "to": "joined", "input": "right", "artifact": "table" });
    assert!(plan["edges"].as_array().expect("edges").contains(&edge), "{plan}");
    let drawn = first.run(&["plan", "joined.toml", "--mermaid"]).expect(0).stdout;
    assert!(drawn.contains("s_joined[\"joined<br/>preparation\"]"), "{drawn}");

    let ran = run(&first, &["--workers", "1"]);
    let made = digests(&ran);
    assert_eq!(ran["decision"]["verdict"], "approved", "the calls tell who leaves: {ran}");
    let joined = ran["stages"].as_array().expect("stages").iter().find(|stage| stage["name"] == "joined");
    let joined = joined.expect("a step");
    assert_eq!((&joined["rows_in"], &joined["rows_out"]), (&(1200 + 1080).into(), &1200.into()));
    assert!(joined["walls"].as_array().is_some_and(|walls| walls.len() > 1), "{joined}");
    let logged = first.run(&["runs", "show", "--json"]).expect(0).stdout;
    assert!(logged.contains("1080 of 1200 rows have their key in `right`"), "{logged}");
    for (walls, workers) in [(WALLS[0], "2"), (WALLS[0], "8"), (WALLS[1], "1"), (WALLS[1], "8")] {
        assert_eq!(digests(&run(&place(walls), &["--workers", workers])), made, "{walls}, {workers} workers");
    }

    // The lineage of the table and of the version.
    let lineage = first.run(&["lineage", "joined/1"]).expect(0).stdout;
    for step in ["joined by join-tables", "customers by ingest-table", "calls by ingest-table"] {
        assert!(lineage.contains(step), "{step}: {lineage}");
    }
    let id = ran["run_id"].as_str().expect("a run");
    let again = first.run(&["reproduce", id, "--json"]).expect(0).json();
    assert_eq!((&again["identical"], &again["first_difference"]), (&true.into(), &Value::Null));
    first.run(&["runs", "export", id, "run.tar"]).expect(0);
    let other = Place::new();
    other.run(&["runs", "import", &first.path().join("run.tar").display().to_string()]).expect(0);
    let elsewhere = other.run(&["reproduce", id, "--json"]).expect(0).json();
    assert_eq!(elsewhere["identical"], true, "{elsewhere}");
    // Rows to predict have the columns that the preparation makes.
    let rows = first.write("rows.csv", "tenure,plan,calls,minutes\n3,basic,19,9.5\n3,basic,,\n");
    let predicted =
        first.run(&["predict", "joined", "--input", &rows.display().to_string(), "--json"]).expect(0).json();
    assert_eq!(predicted["predictions"].as_array().map(Vec::len), Some(2), "{predicted}");
}

// invariant: as `a_preparation_is_handed_whole_tables_by_name_and_models_learn_from_the_last`
#[test]
fn a_join_is_done_once_and_again_when_one_of_its_tables_changes() {
    let place = place(WALLS[1]);
    run(&place, &[]);
    let same = run(&place, &[]);
    assert_eq!((executed(&same), &same["executed"]), (Vec::new(), &0.into()));
    // A customer without calls gets one.
    let calls = std::fs::read_to_string(place.path().join("calls.csv")).expect("a table");
    place.write("calls.csv", format!("{calls}c0,3,1.5\n"));
    let changed = run(&place, &[]);
    let names = executed(&changed);
    assert_eq!(names[..4], ["calls", "check-calls", "joined", "validation"], "{names:?}");
    assert!(!names.contains(&"customers"));
    // A row whose key nobody has changes no output.
    place.write("calls.csv", format!("{calls}c0,3,1.5\nnobody,3,1.5\n"));
    let nobody = run(&place, &[]);
    assert_eq!(executed(&nobody), ["calls", "check-calls", "joined"]);
    let table = |run: &Value| digest_of(&digests(run), "joined.table").to_owned();
    assert_eq!(table(&nobody), table(&changed));
    // Two rows with the same key are an error that names the table, and nothing is trained.
    place.write("calls.csv", format!("{calls}c1,3,1.5\n"));
    let twice = place.run(&["run", "joined.toml"]).expect(3);
    assert!(twice.stderr.contains("stage `joined`") && twice.stderr.contains("`c1`"), "{}", twice.stderr);
}

#[test]
fn stages_of_a_graph_are_run_one_after_the_other_and_what_comes_next_is_told() {
    let place = place(WALLS[1]);
    let whole = run(&place, &[]);
    let apart = self::place(WALLS[1]);
    let told = apart.run(&["stage", "run", "ingestion", "--file", "joined.toml"]).expect(0).stdout;
    assert!(told.contains("next: stagewright stage run preparation"), "{told}");
    let early = apart.run(&["stage", "run", "validation"]).expect(2);
    assert!(early.stderr.contains("stagewright stage run joined"), "{}", early.stderr);
    let ingested = apart.run(&["runs", "list", "--json"]).expect(0).json();
    let ingested = ingested.as_array().and_then(|runs| runs.last()).and_then(|run| run["run_id"].as_str());
    let upon = ["stage", "run", "preparation", "--json", "--run", ingested.expect("the first run")];
    let prepared = apart.run(&upon).expect(0).json();
    assert_eq!(digest_of(&digests(&prepared), "joined.table"), digest_of(&digests(&whole), "joined.table"));
    for stage in ["validation", "transformation", "training"] {
        let ended = apart.run(&["stage", "run", stage, "--json"]).expect(0).json();
        let made = digests(&ended);
        assert!(made.iter().all(|made| digests(&whole).contains(made)), "{stage}: {made:?}");
    }
    let explained = place.run(&["plan", "joined.toml", "--json", "--set", "joined.key=\"tenure\""]).expect(0).json();
    let step = |name: &str| explained["steps"].as_array().and_then(|it| it.iter().find(|it| it["name"] == name));
    let (joined, calls) = (step("joined").expect("a step"), step("calls").expect("a step"));
    assert_eq!((&calls["cached"], &joined["cached"]), (&true.into(), &false.into()));
    assert_eq!(joined["differs"][0]["part"], "guest.parameters.key", "{joined}");
}

#[test]
fn a_table_larger_than_a_preparation_may_use_passes_through_it_and_a_larger_one_that_it_keeps_does_not() {
    let place = place(WALLS[1]);
    let mut customers = String::from("id,tenure,plan,churn\n");
    for row in 0..400_000 {
        let churn = if row % 3 == 0 { "yes" } else { "no" };
        customers.push_str(&format!("c{row},{},{row:040},{churn}\n", row % 72));
    }
    place.write("customers.csv", customers);
    let until = ["--until", "preparation", "--set", "joined.limits.memory=20 MiB"];
    let ran = run(&place, &until);
    let stage = ran["stages"].as_array().expect("stages").iter().find(|stage| stage["name"] == "joined").expect("it");
    assert!(stage["output_bytes"].as_u64().is_some_and(|bytes| bytes > 20 << 20), "{stage}");
    assert!(stage["peak_memory_bytes"].as_u64().is_some_and(|peak| peak < 10 << 20), "{stage}");
    let swapped = ["run", "joined.toml", "--set", "joined.inputs={ left = \"calls\", right = \"customers\" }"];
    let ended = place.run(&[&swapped[..], &until].concat()).expect(6);
    assert!(ended.stderr.contains("stage `joined` ran past its limit of 20.0 MiB memory"), "{}", ended.stderr);
}

#[test]
fn an_input_that_the_component_wants_and_a_world_that_the_pipeline_lacks_are_named() {
    let place = place(WALLS[1]);
    let other = ["run", "joined.toml", "--set", "joined.inputs={ left = \"customers\", rigth = \"calls\" }"];
    let ended = place.run(&other).expect(2);
    assert!(ended.stderr.contains("no table is handed over as `right`, but as `left`, `rigth`"), "{}", ended.stderr);
    assert!(ended.stderr.contains("joined.inputs"), "the key to change: {}", ended.stderr);
    let text = std::fs::read_to_string(place.path().join("joined.toml")).expect("a manifest");
    place.write("wrong.toml", text.replace("component = \"join-tables\"", "component = \"validate-table\""));
    let ended = place.run(&["plan", "wrong.toml"]).expect(2);
    assert!(
        ended.stderr.contains("`validate-table` is the component of `check-calls` and of `joined`"),
        "{}",
        ended.stderr
    );
    let ended = place.run(&["run", &stagewright_end_to_end::config("churn.toml"), "--until", "preparation"]).expect(2);
    assert!(ended.stderr.contains("has no stage of the world `preparation`"), "{}", ended.stderr);
}

/// Steps of `prepare-table`: what each customer bought in the 30 days before they signed.
const STEPS: &str = r#"
[[stages.joined.parameters.steps]]
table = "customers"
[stages.joined.parameters.steps.window]
from = "orders"
by = ["id"]
time = "signed"
from_time = "at"
length = "30d"
until = "before"
columns.bought_30d = { of = "amount", aggregate = "sum" }
columns.orders_30d = { aggregate = "count" }

[[stages.joined.parameters.steps]]
time_parts = { column = "signed", parts = ["day_of_week", "is_weekend"] }

[[stages.joined.parameters.steps]]
derive.columns.per_order.ratio = { numerator = "bought_30d", denominator = "orders_30d" }

[[stages.joined.parameters.steps]]
[stages.joined.parameters.steps.select]
columns = ["id", "tenure", "bought_30d", "orders_30d", "per_order", "churn", "day_of_week", "is_weekend"]
"#;

/// Writes customers with the time at which they signed, and their orders before and after it.
/// Whoever bought much before leaves.
fn write_orders(place: &Place) {
    let (mut customers, mut orders) = (String::from("id,signed,tenure,churn\n"), String::from("id,at,amount\n"));
    for row in 0..CUSTOMERS {
        let spent = 40.0 * noise(row, 1);
        let churn = if spent + 8.0 * noise(row, 2) > 24.0 { "yes" } else { "no" };
        customers.push_str(&format!("c{row},2024-03-{:02},{},{churn}\n", row % 28 + 1, row % 72));
        let day = row % 28 + 1;
        orders.push_str(&format!("c{row},2024-02-{:02}T08:00:00Z,{spent}\n", day.max(2)));
        // Too old, and too late: neither may count.
        orders.push_str(&format!("c{row},2023-11-{day:02}T08:00:00Z,500\nc{row},2024-04-02T08:00:00Z,700\n"));
    }
    place.write("customers.csv", customers);
    place.write("orders.csv", orders);
}

fn write_prepared(place: &Place, steps: &str) {
    let text = std::fs::read_to_string(place.path().join("joined.toml")).expect("a manifest");
    let text = text
        .replace("[sources.calls]\nuri = \"csv:calls.csv\"", "[sources.orders]\nuri = \"csv:orders.csv\"")
        .replace("[stages.calls]", "[stages.orders]")
        .replace("source = \"calls\"", "source = \"orders\"")
        .replace("[stages.check-calls]", "[stages.check-orders]")
        .replace("inputs = { table = \"calls\" }", "inputs = { table = \"orders\" }")
        .replace(
            "inputs = { left = \"ingestion.customers\", right = \"ingestion.calls\" }",
            "inputs = { customers = \"ingestion.customers\", orders = \"ingestion.orders\" }",
        )
        .replace("parameters = { key = \"id\" }", steps)
        .replace(
            "plan = \"categorical\"\n",
            "bought_30d = \"float64\"\norders_30d = \"int64\"\nper_order = \"float64\"\n",
        )
        .replace("calls = { type = \"int64\", nullable = true }\n", "day_of_week = \"int64\"\n")
        .replace("minutes = { type = \"float64\", nullable = true }\n", "is_weekend = \"boolean\"\n");
    let text = text.replace("join-tables", "prepare-table");
    place.write("prepared.toml", text.replace("\n[gates]", "stubs = [\"filesystem\"]\n\n[gates]"));
}

// invariant: as `what_looks_at_the_target_or_at_later_rows_says_so_in_its_name`
#[test]
fn the_built_in_preparation_makes_features_of_time_behind_both_walls() {
    let place = place(WALLS[0]);
    write_orders(&place);
    write_prepared(&place, STEPS);
    let ran = place.run(&["run", "prepared.toml", "--json"]).expect(0).json();
    let stages = ran["stages"].as_array().expect("stages");
    let prepared = stages.iter().find(|stage| stage["name"] == "joined").expect("a step");
    assert_eq!((&prepared["component"], &prepared["rows_out"]), (&"prepare-table".into(), &CUSTOMERS.into()));
    assert!(prepared["walls"].as_array().is_some_and(|walls| walls.len() > 1), "{prepared}");
    assert_eq!(ran["decision"]["verdict"], "approved", "what was bought before tells who leaves: {ran}");
    let again = place.run(&["run", "prepared.toml", "--json", "--workers", "1"]).expect(0).json();
    let table = |run: &Value| digest_of(&digests(run), "joined.table").to_owned();
    assert_eq!((&again["executed"], table(&again)), (&0.into(), table(&ran)));

    let step = |step: &str| format!("{STEPS}\n[[stages.joined.parameters.steps]]\n{step}\n");
    write_prepared(&place, &step("derive.columns.secret.is_null = \"churn\""));
    let refused = place.run(&["run", "prepared.toml"]).expect(2);
    assert!(refused.stderr.contains("computed from the target"), "{}", refused.stderr);
    write_prepared(&place, &step("sort.by = [\"id\"]\ndrop.columns = [\"id\"]"));
    let refused = place.run(&["run", "prepared.toml"]).expect(2);
    assert!(refused.stderr.contains("a step has one operation"), "{}", refused.stderr);
}
