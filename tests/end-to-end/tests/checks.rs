//! Checks of data in whole runs. An error names column, row and value, and nothing is trained. A
//! warning is told and ends nothing.

use std::fmt::Write as _;

use serde_json::Value;
use stagewright_end_to_end::{Ended, Place};

/// 300 orders of 30 customers, from 2026-01-01 on, three each day.
fn orders() -> String {
    let mut text = "id,customer,code,amount,tax,at,y\n".to_owned();
    for row in 0..300 {
        let (day, amount) = (row / 3, row * 37 % 100);
        let (month, day) = [(1, day), (2, day - 31), (3, day - 59), (4, day - 90)]
            .into_iter()
            .rev()
            .find(|(_, day)| *day >= 0)
            .expect("a day");
        let _ = writeln!(
            text,
            "{row},C{:02},A-{row:03},{amount},{},2026-{month:02}-{:02}T00:00:00Z,{}",
            row % 30,
            amount / 5,
            day + 1,
            usize::from(amount + row % 7 > 50)
        );
    }
    text
}

fn customers(count: usize) -> String {
    "name,size\n".to_owned() + &(0..count).map(|number| format!("C{number:02},{number}\n")).collect::<String>()
}

/// Returns a pipeline over the orders, with the customers as another table if `refers` is true.
fn manifest(requirements: &str, parameters: &str, refers: bool) -> String {
    let mut text = "pipeline = \"p\"\nexperiment = \"p\"\nmodel = \"m\"\nseed = 1\nas-of = \"2026-04-11T00:00:00Z\"\n\
         [task]\nkind = \"binary\"\ntarget = \"y\"\npositive = 1\n\
         [sources.orders]\nuri = \"csv:orders.csv\"\n[sources.customers]\nuri = \"csv:customers.csv\"\n\
         [signature.fields]\nid = { type = \"int64\", role = \"identifier\" }\ncustomer = \"utf8\"\ncode = \"utf8\"\n\
         amount = \"float64\"\ntax = \"float64\"\nat = { type = \"timestamp\", role = \"time\" }\ny = \"int64\"\n\
         [split]\ntest = 0.25\n[stages.ingestion]\ncomponent = \"ingest-table\"\nsource = \"orders\"\n"
        .to_owned();
    let _ = writeln!(text, "[stages.ingestion.requirements]\n{requirements}");
    text.push_str("[stages.validation]\ncomponent = \"validate-table\"\n");
    let table = if refers { "inputs = { table = \"ingestion\" }\n" } else { "" };
    if refers {
        text.push_str("inputs = { table = \"ingestion\", people = \"others\" }\n");
        text.push_str("[stages.others]\nworld = \"ingestion\"\ncomponent = \"ingest-table\"\nsource = \"customers\"\n");
    }
    let _ = write!(text, "[stages.transformation]\ncomponent = \"transform-table\"\n{table}");
    for (stage, component) in
        [("training", "train-logistic"), ("evaluation", "evaluate-classifier"), ("promotion", "promote-gated")]
    {
        let _ = writeln!(text, "[stages.{stage}]\ncomponent = \"{component}\"");
    }
    let drop = "[components.transform-table.parameters.columns]\ncode = { drop = true }\n";
    text + drop + "[components.validate-table.parameters]\n" + parameters + "\n[gates]\nprimary = \"roc_auc\"\n"
}

fn place(orders: &str) -> Place {
    let place = Place::new();
    place.write("orders.csv", orders);
    place.write("customers.csv", customers(30));
    place
}

fn run(place: &Place, text: &str) -> Ended {
    place.write("p.toml", text);
    place.run(&["run", "p.toml"])
}

#[track_caller]
fn says(ended: &Ended, words: &[&str]) {
    for word in words {
        assert!(ended.stderr.contains(word), "`{word}` is not in: {}", ended.stderr);
    }
}

/// Returns the findings of the last run.
fn findings(place: &Place) -> Value {
    place.run(&["artifacts", "export", "validation.findings", "--output", "f.json"]).expect(0);
    let text = std::fs::read_to_string(place.path().join("f.json")).expect("a file");
    std::fs::remove_file(place.path().join("f.json")).expect("it goes");
    serde_json::from_str(&text).expect("JSON")
}

/// The parameters of a check, the columns of the broken row 7, and the check's name, column, row
/// and value.
type Broken = (&'static str, &'static str, &'static str, &'static str, u64, Option<&'static str>);

/// The checks that one broken cell, or the customers, break.
const BROKEN: [Broken; 7] = [
    ("ranges = { amount = { min = 0, max = 99 } }", "7,C07,A-007,100,1", "range", "amount", 7, Some("100")),
    ("allowed = { customer = [CUSTOMERS] }", "7,Cxx,A-007,9,1", "allowed_values", "customer", 7, Some("Cxx")),
    ("patterns = { code = \"A-[0-9]{3}\" }", "7,C07,A-07,9,1", "pattern", "code", 7, Some("A-07")),
    ("rules = [\"tax <= amount\"]", "7,C07,A-007,9,10", "rule", "tax", 7, Some("tax = 10, amount = 9")),
    ("unique = [\"id\"]", "6,C07,A-007,9,1", "unique", "id", 7, Some("6")),
    (
        "unique = [[\"customer\", \"code\"]]",
        "7,C06,A-006,9,1",
        "unique",
        "customer",
        7,
        Some("customer = C06, code = A-006"),
    ),
    (
        "references = [{ columns = \"customer\", table = \"people\", key = \"name\" }]",
        "7,C99,A-007,9,1",
        "reference",
        "customer",
        7,
        Some("C99"),
    ),
];

// invariant: as `what_is_required_under_warn_only_warns`
#[test]
fn one_broken_cell_per_check_stops_the_run_and_warns_under_warn() {
    let good = orders();
    let line = good.lines().nth(8).expect("row 7");
    let rest: Vec<&str> = line.splitn(6, ',').collect();
    let names: Vec<String> = (0..30).map(|number| format!("\"C{number:02}\"")).collect();
    for (parameters, cells, name, column, row, value) in BROKEN {
        let parameters = parameters.replace("CUSTOMERS", &names.join(", "));
        let refers = name == "reference";
        let broken = good.replace(line, &format!("{cells},{}", rest[5]));
        let place = place(&good);
        run(&place, &manifest("", &parameters, refers)).expect(0);

        place.write("orders.csv", &broken);
        let models = place.run(&["models", "--json"]).expect(0).stdout;
        let ended = run(&place, &manifest("", &parameters, refers)).expect(3);
        says(&ended, &["SW0305", name, column]);
        assert_eq!(place.run(&["models", "--json"]).expect(0).stdout, models, "nothing is trained");
        let found = findings(&place);
        assert_eq!(found["passed"], false);
        let check = failed(&found, name);
        assert_eq!((check["column"].as_str(), check["failures"].as_u64()), (Some(column), Some(1)), "{check}");
        assert_eq!((check["examples"][0]["row"].as_u64(), check["examples"][0]["value"].as_str()), (Some(row), value));
        assert_eq!(check.get("severity"), None, "an error says nothing more");

        let warn = format!("extra_columns = \"error\"\n[components.validate-table.parameters.warn]\n{parameters}");
        let place = self::place(&broken);
        let ended = run(&place, &manifest("", &warn, refers)).expect(0);
        says(&ended, &[name, column]);
        let found = findings(&place);
        assert_eq!(found["passed"], true);
        assert_eq!(failed(&found, name)["severity"], "warn");
    }
}

#[track_caller]
fn failed<'a>(found: &'a Value, name: &str) -> &'a Value {
    let failed: Vec<&Value> =
        found["checks"].as_array().expect("checks").iter().filter(|check| check["passed"] == false).collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["name"], name);
    failed[0]
}

#[test]
fn checks_of_whole_columns_stop_the_run_too() {
    let place = place(&orders());
    for (good, bad, words) in [
        (
            "freshness = { at = { max_age = \"36 h\" } }",
            "freshness = { at = { max_age = \"23 h\" } }",
            ["freshness", "2026-04-10T00:00:00Z"],
        ),
        (
            "expected_rows = 250\nmax_row_change = 0.2",
            "expected_rows = 249\nmax_row_change = 0.2",
            ["row_change", "300 rows"],
        ),
        ("target_balance = { min_share = 0.3 }", "target_balance = { min_share = 0.5 }", ["target_balance", "`"]),
        (
            "profiles = { amount = { edges = [50], shares = [0.5, 0.5] } }",
            "profiles = { amount = { edges = [50], shares = [0.9, 0.1] } }",
            ["psi", "instead of 90.00 %"],
        ),
        ("min_rows = 300", "more_than_rows = 300", ["row_count", "300 rows"]),
    ] {
        run(&place, &manifest("", good, false)).expect(0);
        says(&run(&place, &manifest("", bad, false)).expect(3), &words);
    }
}

// invariant: as `a_span_and_an_age_of_exactly_the_limit_are_met`
#[test]
fn a_table_that_does_not_meet_the_requirements_ends_the_run_with_the_figures() {
    let place = place(&orders());
    run(&place, &manifest("min-rows = 300\nmin-span = \"99 days\"\nmax-age = \"1 days\"", "", false)).expect(0);
    let artifacts = place.artifacts();
    for (requirements, words) in [
        ("min-rows = 301", vec!["300 rows", "`min-rows` is 301"]),
        ("min-span = \"100 days\"", vec!["99.00 days", "2026-01-01T00:00:00Z", "2026-04-10T00:00:00Z", "100.00 days"]),
        ("max-age = \"23 h\"", vec!["2026-04-10T00:00:00Z", "1.00 days before"]),
        ("min-rows = 1000\nmin-span = \"730 days\"", vec!["300 rows", "730.00 days"]),
        ("min-span = \"1 days\"\ntime = \"amount\"", vec!["column of times", "float64"]),
        ("min-span = \"1 days\"\ntime = \"when\"", vec!["requirements.time", "when"]),
    ] {
        says(&run(&place, &manifest(requirements, "", false)).expect(3), &words);
        assert_eq!(place.artifacts(), artifacts, "no other stage began");
    }
    let early = manifest("max-age = \"1 days\"", "", false).replace("2026-04-11T", "2026-04-09T");
    says(&run(&place, &early).expect(3), &["after `as-of`", "--set as-of="]);
    let untold = manifest("max-age = \"1 days\"", "", false).replace("as-of = \"2026-04-11T00:00:00Z\"\n", "");
    says(&run(&place, &untold).expect(2), &["`max-age` needs `as-of`"]);
    place.write("p.toml", &untold);
    place.run(&["run", "p.toml", "--set", "as-of=2026-04-11T00:00:00Z"]).expect(0);
}

#[test]
fn a_strict_manifest_runs_as_it_is_and_refuses_what_is_foreign() {
    let place = place(&orders());
    place
        .run(&["init", "orders.csv", "--target", "y", "--identifier", "id", "--strict", "--output", "strict.toml"])
        .expect(0);
    let text = std::fs::read_to_string(place.path().join("strict.toml")).expect("a manifest");
    for part in ["unique = [\"id\", \"code\"]", "code = \"[A-Z]-[0-9]{3}\"", "allowed", "warn.ranges"] {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
    place.run(&["run", "strict.toml"]).expect(0);
    let found = findings(&place);
    let unmet = found["checks"].as_array().expect("checks").iter().filter(|check| check["passed"] == false);
    assert_eq!(unmet.count(), 0, "the table meets its own contract: {found}");
    place.write("orders.csv", orders().replace("7,C07,A-007,", "7,C07,B0007,"));
    says(&place.run(&["run", "strict.toml"]).expect(3), &["pattern", "code"]);
}
