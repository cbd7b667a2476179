//! A table of any shape ends in a manifest that loads, reads the table, and leaves something to
//! learn from; or in a reason.

use std::fmt::Write as _;
use std::path::Path;

use proptest::prelude::*;
use stagewright_data::{DataError, InferenceOptions, Interrupt, Partition, Source, SplitPlan, Strictness};
use stagewright_lifecycle::settings;
use stagewright_manifest::{Manifest, Overrides, World};
use stagewright_store::{Role, Schema};

use super::*;

fn arguments(folder: &Path, target: &str) -> InitArguments {
    InitArguments {
        table: None,
        source: Some(format!("csv:{}", folder.join("table.csv").display())),
        target: Some(target.to_owned()),
        positive: None,
        identifier: None,
        strict: false,
        name: None,
        output: folder.join("pipeline.toml"),
    }
}

fn proposed(arguments: &InitArguments) -> anyhow::Result<(Proposal, String)> {
    let address = arguments.source.as_deref().expect("an address");
    let uri: SourceUri = address.parse()?;
    let options = InferenceOptions { target: arguments.target.clone(), ..InferenceOptions::default() };
    let inference = stagewright_data::propose(&Source::new(uri.clone()), &options, &Interrupt::never())?;
    let choices = Choices {
        target: arguments.target.clone().expect("a target"),
        positive: arguments.positive.clone(),
        identifier: arguments.identifier.clone(),
    };
    let proposal = Proposal::of(&choices, &inference, 20_261_128)?;
    for line in proposal.lines(&inference) {
        assert!(!line.contains(|letter: char| letter.is_control()), "{line:?} would move the cursor");
    }
    let name = pipeline_name(arguments, uri.path())?;
    let text = proposal.manifest(&name, address);
    Ok((proposal, text))
}

/// Does what a run does before its stages: reads the table under the manifest's signature, names
/// the classes, splits; and holds the columns to what validation and transformation will ask of
/// them.
fn holds(text: &str, folder: &Path) -> Result<(), String> {
    let manifest = Manifest::parse("pipeline.toml", text.to_owned(), folder.to_owned(), &Overrides::default())
        .map_err(|error| error.render())?;
    let told = |error: DataError| error.to_string();
    let signature = settings::signature(&manifest).map_err(told)?.ok_or("no signature")?;
    let (_, section) = manifest.ingestion_source().ok_or("no source")?;
    let path = settings::path(section).ok_or("no file")?;
    let source = settings::reading(section).ok_or("no format")?.at(path.to_owned());
    let mut cursor =
        stagewright_data::open(&source, &signature, Strictness::Ingest, &Interrupt::never()).map_err(told)?;
    let schema: Schema = cursor.schema().clone();
    let mut batches = Vec::new();
    while let Some(batch) = cursor.next(1000).map_err(told)? {
        batches.push(batch);
    }
    let target = schema.indices_with(Role::Target)[0];
    let labels = || batches.iter().map(|batch| Ok::<_, DataError>(batch.column(target).clone()));
    let task = manifest.task.kind.with_classes(&manifest.task.target, labels()).map_err(told)?;
    let plan = SplitPlan {
        method: manifest.split.method,
        test: manifest.split.test,
        validation: manifest.split.validation,
        seed: manifest.split.seed,
    };
    let split = plan.split(&schema, batches.iter().cloned().map(Ok::<_, DataError>)).map_err(told)?;
    let mut seen = [[false; 2]; 3];
    let mut rows = split.partitions().iter();
    for array in labels() {
        let codes = task.encode("y", &array.map_err(told)?, 0).map_err(told)?;
        for code in codes.as_any().downcast_ref::<arrow_array::Int64Array>().ok_or("no classes")?.values() {
            seen[*rows.next().ok_or("fewer partitions than rows")? as usize][*code as usize] = true;
        }
    }
    for partition in [Partition::Train, Partition::Test] {
        if seen[partition as usize] != [true; 2] {
            return Err(format!("a class is missing among the {} rows", partition.name()));
        }
    }
    within_null_ratios(&manifest, &schema, &batches)?;
    learns_something(&manifest, &schema)
}

fn within_null_ratios(
    manifest: &Manifest,
    schema: &Schema,
    batches: &[arrow_array::RecordBatch],
) -> Result<(), String> {
    let rows: usize = batches.iter().map(arrow_array::RecordBatch::num_rows).sum();
    let limits = &manifest.component(World::Validation).parameters;
    for (place, field) in schema.fields().iter().enumerate() {
        let nulls: usize = batches.iter().map(|batch| batch.column(place).null_count()).sum();
        let own = limits.get("columns").and_then(|columns| columns[&field.name]["max_null_ratio"].as_f64());
        let ratio = nulls as f64 / rows as f64;
        if ratio > own.unwrap_or(0.1) {
            return Err(format!("{:?} is missing in {ratio} of the rows, and may be in {own:?}", field.name));
        }
        let declared = manifest.signature.fields.iter().find(|it| it.name == field.name).ok_or("no field")?;
        if nulls > 0 && !declared.nullable {
            return Err(format!("{:?} has nulls and is not nullable", field.name));
        }
    }
    Ok(())
}

fn learns_something(manifest: &Manifest, schema: &Schema) -> Result<(), String> {
    let columns = manifest.component(World::Transformation).parameters.get("columns");
    let is_dropped = |name: &str| columns.is_some_and(|columns| columns[name]["drop"] == true);
    let kept = schema.fields().iter().filter(|it| it.role == Role::Feature && !is_dropped(&it.name)).count();
    if kept > 0 { Ok(()) } else { Err("no feature is left".to_owned()) }
}

/// A cell as CSV, always quoted.
fn cell(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn csv(header: &[String], rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for row in std::iter::once(header).chain(rows.iter().map(Vec::as_slice)) {
        let cells: Vec<String> = row.iter().map(|it| cell(it)).collect();
        writeln!(text, "{}", cells.join(",")).unwrap();
    }
    text
}

/// Cells of one column, each kind with what spoils it.
fn column(rows: usize) -> impl Strategy<Value = Vec<String>> {
    let of = |cell: &'static str| prop::collection::vec(cell, rows).boxed();
    let mixed = |often: &'static str, seldom: &'static str| {
        prop::collection::vec(prop_oneof![8 => often, 1 => seldom], rows).boxed()
    };
    let marker = "NA|\\?| \\?|-|null|None|  |nan|#N/A|unknown|\\\\N";
    prop_oneof![
        of("[0-9]{1,3}"),
        mixed("-?[0-9]{1,3}(\\.[0-9]{1,2})?", marker),
        mixed("[0-9]{1,2}", "()"),
        mixed("()| ", "[a-c]"),
        of("()"),
        of("k"),
        of("(a|b|C|none|Ünï|x y)"),
        mixed("20[0-2][0-9]-0[1-9]-1[0-9]", marker),
        of("20[0-2][0-9]-0[1-9]-1[0-9] 1[0-9]:[0-5][0-9]"),
        of("[0-3][0-9]/[0-1][0-9]/20[0-2][0-9]"),
        of("(true|False|TRUE)"),
        mixed("(true|false)", marker),
        of("[1-9][0-9]{17,22}"),
        of("(inf|-inf|1e300|-0|nan|1e-320)"),
        of("0[0-9]{3}"),
        of("\\PC{0,12}"),
        of("[\\p{Cc}\\p{Cf}\\p{Zs}\"'`\\\\,;#]{0,6}"),
    ]
}

/// A name of a column: plain, strange, repeated, empty, or none that a table can have.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-z]{1,8}".boxed(),
        2 => "\\PC{0,20}".boxed(),
        1 => "[\\p{Cc}\\p{Cf}\\p{Zs}\"'`\\\\.\\]\\[=#]{0,6}".boxed(),
        1 => "(a|b|id|type|role|target|date|)".boxed(),
        1 => Just("n".repeat(300)).boxed(),
    ]
}

fn labels(rows: usize) -> impl Strategy<Value = Vec<String>> {
    let pair = prop_oneof![
        Just(["0", "1"]).boxed(),
        Just(["0", "1.0"]).boxed(),
        Just(["yes", "No"]).boxed(),
        Just(["a\\b", "a`b"]).boxed(),
        Just(["\u{a0}", "\u{200b}"]).boxed(),
        Just(["x\ny", "x\r\ny"]).boxed(),
        Just(["none", "NA"]).boxed(),
        Just(["TRUE", "false"]).boxed(),
        Just(["2024-01-01", "2024-01-02"]).boxed(),
        Just(["\u{202e}\u{1b}[2J", "\"'"]).boxed(),
    ];
    (pair, prop::collection::vec(any::<prop::sample::Index>(), rows))
        .prop_map(|(pair, picks)| picks.iter().map(|pick| pair[usize::from(pick.index(5) == 0)].to_owned()).collect())
}

prop_compose! {
    fn table()(rows in prop_oneof![3 => 1_usize..120, 1 => 200_usize..600], width in 1_usize..6)(
        names in prop::collection::vec(name(), width),
        columns in prop::collection::vec(column(rows), width),
        labels in labels(rows),
        place in 0..=width,
    ) -> String {
        let mut names = names;
        let mut columns = columns;
        names.insert(place, "the target".to_owned());
        columns.insert(place, labels);
        let rows: Vec<Vec<String>> =
            (0..columns[0].len()).map(|row| columns.iter().map(|cells| cells[row].clone()).collect()).collect();
        csv(&names, &rows)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    // invariant: `init` writes a manifest that runs for every table, or says why it cannot.
    #[test]
    fn what_is_written_for_any_table_runs(text in table()) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("table.csv"), &text).unwrap();
        match proposed(&arguments(folder.path(), "the target")) {
            Ok((_, manifest)) => {
                holds(&manifest, folder.path()).map_err(|reason| TestCaseError::fail(format!("{reason}\n{manifest}")))?;
            }
            Err(error) => {
                let told = error.to_string();
                let reasons = ["distinct values: nothing can be learnt", "only one row is of class", "no column is left to learn from"];
                prop_assert!(reasons.iter().any(|reason| told.contains(reason)), "{told}");
            }
        }
    }
}

fn init_of(text: &str, target: &str) -> anyhow::Result<(Proposal, String)> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("table.csv"), text).unwrap();
    let (proposal, manifest) = proposed(&arguments(folder.path(), target))?;
    if matches!(proposal.task.kind, TaskKind::Binary { .. }) {
        holds(&manifest, folder.path()).unwrap_or_else(|reason| panic!("{reason}\n{manifest}"));
    }
    Ok((proposal, manifest))
}

fn rows(count: usize, row: impl Fn(usize) -> String) -> String {
    (0..count).map(|number| row(number) + "\n").collect()
}

#[test]
fn two_dates_gaps_and_a_constant_are_dealt_with_and_told() {
    let text = "opened,seen,gaps,same,x,y\n".to_owned()
        + &rows(300, |row| {
            let gap = if row % 10 == 0 { String::new() } else { format!("{row}.5") };
            format!("2024-01-{:02},2024-02-{:02},{gap},k,{},{}", 1 + row % 28, 1 + row % 28, row % 7, row % 2)
        });
    let (_, manifest) = init_of(&text, "y").unwrap();
    for part in [
        "opened = { type = \"timestamp\", role = \"time\" }",
        "# only one column has the role `time`, and `opened` got it\n# no feature is made of a date;",
        "seen = \"timestamp\"",
        "[components.transform-table.parameters.columns.seen]\ndrop = true",
        "[components.validate-table.parameters.columns.gaps]\nmax_null_ratio = 0.15",
        "# every row has the same value: nothing can be learnt from it",
        "[components.transform-table.parameters.columns.same]\ndrop = true",
        "extra-columns = \"error\"",
    ] {
        assert!(manifest.contains(part), "{part} is not in:\n{manifest}");
    }
}

#[test]
fn an_index_without_a_name_is_left_out_and_told() {
    let text = ",x,y\n".to_owned() + &rows(300, |row| format!("{row},{row}.5,{}", row % 2));
    let (_, manifest) = init_of(&text, "y").unwrap();
    assert!(manifest.contains("# left out: column 1: it has no name\n"), "{manifest}");
    assert!(manifest.contains("extra-columns = \"ignore\""), "{manifest}");
}

#[test]
fn a_small_class_is_dealt_out_exactly() {
    let of = |rare: usize, all: usize| {
        init_of(&("x,y\n".to_owned() + &rows(all, |row| format!("{row}.5,{}", u8::from(row < rare)))), "y")
    };
    let split = |rare, all| {
        let manifest = of(rare, all).unwrap().1;
        manifest
            .split_once("[split]")
            .unwrap()
            .1
            .lines()
            .skip(1)
            .take(3)
            .map(|line| line.split(" #").next().unwrap().to_owned())
            .collect::<Vec<_>>()
            .join("; ")
    };
    assert_eq!(split(50, 300), "method = \"hash\"; test = 0.2; validation = 0.1");
    assert_eq!(split(49, 300), "method = \"stratified\"; test = 0.2; validation = 0.1");
    assert_eq!(split(50, 100), "method = \"stratified\"; test = 0.2; validation = 0.1");
    assert_eq!(split(19, 300), "method = \"stratified\"; test = 0.2; validation = 0.0");
    assert_eq!(split(2, 4), "method = \"stratified\"; test = 0.5; validation = 0.0");
    assert!(of(1, 300).err().is_some_and(|error| error.to_string().contains("only one row is of class `1`")));
}

#[test]
fn a_target_that_teaches_nothing_is_refused_with_the_reason() {
    let refused = |cell: &dyn Fn(usize) -> String| {
        let text = "x,y\n".to_owned() + &rows(60, |row| format!("{},{}", row % 7, cell(row)));
        init_of(&text, "y").err().map(|error| error.to_string()).expect("it is refused")
    };
    assert_eq!(refused(&|_| "k".to_owned()), "`y` has 1 distinct values: nothing can be learnt");
    let gaps = refused(&|row| ["0", "1", ""][row % 3].to_owned());
    assert!(gaps.starts_with("column `y`: 20 of 60 rows have no value, and") && gaps.contains("\nhint: "), "{gaps}");
    let marked = refused(&|row| ["0", "1", "NA"][row % 3].to_owned());
    assert!(marked.starts_with("column `y`: 20 of 60 rows have no value (`NA`), and"), "{marked}");
    let only_names = init_of(&("x,y\n".to_owned() + &rows(60, |row| format!("name {row},{}", row % 2))), "y");
    let told = only_names.err().map(|error| error.to_string()).unwrap_or_default();
    assert_eq!(told, "no column is left to learn from: `x` (it names the rows), `y` (the target)");
}

#[test]
fn other_tasks_are_told_by_the_target() {
    let kind = |cell: &dyn Fn(usize) -> String| {
        let text = "x,y\n".to_owned() + &rows(60, |row| format!("{},{}", row % 7, cell(row)));
        let (proposal, manifest) = init_of(&text, "y").unwrap();
        let parsed = Manifest::parse("p.toml", manifest, "".into(), &Overrides::default()).unwrap();
        assert_eq!(parsed.task.kind, proposal.task.kind);
        proposal.task.kind
    };
    assert_eq!(kind(&|row| ["a", "b", "c"][row % 3].to_owned()), TaskKind::MultiClass);
    assert_eq!(kind(&|row| (row % 20).to_string()), TaskKind::MultiClass);
    assert_eq!(kind(&|row| row.to_string()), TaskKind::Regression);
    assert_eq!(kind(&|row| format!("{row}.25")), TaskKind::Regression);
}

#[test]
fn the_positive_class_is_the_one_asked_for_else_the_usual_else_the_rarer() {
    let folder = tempfile::tempdir().unwrap();
    let positive = |labels: [&str; 2], asked: Option<&str>| {
        let text =
            "x,y\n".to_owned() + &rows(300, |row| format!("{},{}", row % 7, cell(labels[usize::from(row % 3 == 0)])));
        std::fs::write(folder.path().join("table.csv"), text).unwrap();
        let asked = asked.map(str::to_owned);
        let (proposal, _) = proposed(&InitArguments { positive: asked, ..arguments(folder.path(), "y") })?;
        match proposal.task.kind {
            TaskKind::Binary { positive } => anyhow::Ok(positive),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(positive(["Yes", "No"], None).unwrap(), "Yes");
    assert_eq!(positive(["common", "rare"], None).unwrap(), "rare");
    assert_eq!(positive(["a\\b", "c"], Some("a\\b")).unwrap(), "a\\b");
    assert_eq!(positive(["0.0", "1"], Some("0")).unwrap(), "0");
    assert_eq!(positive(["True", "False"], Some("False")).unwrap(), "false");
    let long = "long ".repeat(100);
    assert_eq!(positive([&long, "short"], Some(&long)).unwrap(), long);
    let told = positive(["a", "b"], Some("\u{1b}c")).unwrap_err().to_string();
    assert_eq!(told, "the target has no value `\\u{1b}c`");
}

#[test]
fn a_pipeline_is_named_after_its_file_whatever_that_is_called() {
    for (file, name) in [
        ("telco.csv", "telco"),
        ("Données 2024.csv", "donn-es-2024"),
        ("2024.csv", "table-2024"),
        ("...csv", "table"),
        ("日本.csv", "table"),
    ] {
        assert_eq!(pipeline_name(&arguments(Path::new(""), "y"), Path::new(file)).unwrap().as_str(), name, "{file}");
    }
    let long = format!("{}.csv", "a-".repeat(100));
    assert_eq!(pipeline_name(&arguments(Path::new(""), "y"), Path::new(&long)).unwrap().as_str().len(), 63);
}

#[test]
fn a_contract_is_made_of_all_rows_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "id,code,plan,flag,amount,gap,y\n".to_owned();
    for row in 0..2000 {
        let gap = if row % 10 == 0 { String::new() } else { format!("{}", row % 7) };
        let plan = ["basic", "plus \"2\"", "pro"][row % 3].replace('"', "\"\"");
        let _ = writeln!(
            text,
            "{row},{:03}-X{},\"{plan}\",{},{}.5,{gap},{}",
            row % 1000,
            row % 10,
            row % 2,
            row % 90 + 10,
            if row % 5 == 0 { "yes" } else { "no" }
        );
    }
    std::fs::write(folder.path().join("table.csv"), text).unwrap();
    let arguments = InitArguments { identifier: Some("id".to_owned()), ..arguments(folder.path(), "y") };
    let uri: SourceUri = arguments.source.as_deref().unwrap().parse().unwrap();
    let options = InferenceOptions { target: arguments.target.clone(), ..InferenceOptions::default() };
    let source = Source::new(uri.clone());
    let inference = stagewright_data::propose(&source, &options, &Interrupt::never()).unwrap();
    let choices = Choices { target: "y".to_owned(), positive: None, identifier: Some("id".to_owned()) };
    let mut proposal = Proposal::of(&choices, &inference, 1).unwrap();
    let decoder = stagewright_runtime::decoder(None);
    let leave = DecodeLimits::until(Interrupt::never());
    let evidence = evidence::read(&source, &inference, &proposal.fields, &*decoder, &leave).unwrap();
    let contract = contract::contract(&proposal.fields, &proposal.task.kind, &inference, &evidence);
    proposal.require(contract, &inference);
    let text = proposal.manifest(&pipeline_name(&arguments, uri.path()).unwrap(), "csv:table.csv");
    let manifest = Manifest::parse("pipeline.toml", text.clone(), folder.path().to_owned(), &Overrides::default());
    let manifest = manifest.unwrap_or_else(|error| panic!("{}\n{text}", error.render()));
    let found = serde_json::Value::Object(manifest.component(World::Validation).parameters.clone());
    let expected = [
        ("/min_rows", serde_json::json!(1000)),
        ("/expected_rows", serde_json::json!(2000)),
        ("/unique", serde_json::json!(["id"])),
        ("/patterns/code", serde_json::json!("[0-9]{3}-[A-Z][0-9]")),
        ("/allowed/plan", serde_json::json!(["basic", "plus \"2\"", "pro"])),
        ("/allowed/flag", serde_json::json!([0, 1])),
        ("/allowed/y", serde_json::json!(["no", "yes"])),
        ("/ranges/amount", serde_json::json!({ "min": 0, "max": 144 })),
        ("/warn/ranges/amount", serde_json::json!({ "min": 10.5, "max": 99.5 })),
        ("/warn/max_row_change", serde_json::json!(0.5)),
        ("/warn/max_psi", serde_json::json!(0.25)),
        ("/max_psi", serde_json::json!(1.0)),
        ("/columns/gap/max_null_ratio", serde_json::json!(0.15)),
        ("/target_balance/min_share", serde_json::json!(0.1)),
        ("/profiles/plan/shares", serde_json::json!([0.3335, 0.3335, 0.333])),
    ];
    for (pointer, value) in expected {
        assert_eq!(found.pointer(pointer), Some(&value), "{pointer} in\n{text}");
    }
    let edges = found.pointer("/profiles/amount/edges").and_then(|edges| edges.as_array()).unwrap();
    assert_eq!(edges.len(), 9, "{text}");
    assert!(text.contains("# all of 1000 different values have this form"), "{text}");
    assert!(text.contains("# seen: 10.5 to 99.5, and half as much on both sides"), "{text}");
}
