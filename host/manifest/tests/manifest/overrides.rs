use std::time::Duration;

use stagewright_manifest::{Manifest, Overrides, ProblemLocation, SourceLocation, SqliteRows, World};

use crate::{WHOLE, parse};

fn set(settings: &[&str]) -> Overrides {
    Overrides { set: settings.iter().map(|it| (*it).to_owned()).collect(), ..Overrides::default() }
}

fn with(settings: &[&str]) -> Manifest {
    parse(WHOLE, &set(settings)).unwrap_or_else(|error| panic!("{}", error.render()))
}

fn said(overrides: &Overrides) -> String {
    parse(WHOLE, overrides).expect_err("the override is a fault").render()
}

#[test]
fn a_stage_can_get_another_component_and_other_limits() {
    let manifest =
        with(&["training.component=train-forest", "training.limits.cpu=30 s", "training.limits.memory='3 GiB'"]);
    let stage = manifest.stage(World::Training);
    assert_eq!(stage.component.as_str(), "train-forest");
    assert_eq!((stage.limits.cpu, stage.limits.memory), (Duration::from_secs(30), 3 << 30));
}

#[test]
fn a_parameter_goes_to_the_component_that_is_selected_in_the_end() {
    let manifest = with(&["training.n_estimators=7", "training.component=train-forest"]);
    assert_eq!(manifest.component(World::Training).parameters["n_estimators"], 7);
    assert_eq!(manifest.components["train-boosted"].parameters["n_estimators"], 300);
}

#[test]
fn parameters_may_be_nested_and_of_any_type() {
    let manifest = with(&[
        "training.categories.order=[1, 2]",
        "training.learning_rate=0.05",
        "training.growth=leaf-wise",
        "training.\"a.b\"=true",
    ]);
    let parameters = serde_json::Value::Object(manifest.component(World::Training).parameters.clone());
    insta::assert_snapshot!(serde_json::to_string_pretty(&parameters).unwrap());
}

#[test]
fn gates_split_and_task_can_be_set_by_their_keys() {
    let manifest =
        with(&["gates.minimum.accuracy=0.85", "gates.minimum.precision=0.8", "gates.margin=0.01", "split.test=0.3"]);
    assert_eq!(manifest.gates.minimum["accuracy"], 0.85);
    assert_eq!(manifest.gates.minimum["precision"], 0.8);
    assert_eq!(manifest.gates.minimum["roc_auc"], 0.82);
    assert_eq!(manifest.gates.margin, 0.01);
    assert_eq!(manifest.split.test, 0.3);
    assert_eq!(with(&["split.seed=7"]).split.seed, 7);
    let seeded = parse(WHOLE, &Overrides { seed: Some(7), ..Overrides::default() });
    let seeded = seeded.unwrap_or_else(|error| panic!("{}", error.render()));
    assert_eq!((seeded.seed, seeded.split.seed), (7, 20241), "the run's seed is not the split's");
    assert_eq!(
        with(&["task.positive=No"]).task.kind,
        stagewright_manifest::TaskKind::Binary { positive: "No".to_owned() }
    );
}

#[test]
fn the_last_of_several_wins() {
    assert_eq!(with(&["gates.margin=0.01", "gates.margin=0.02"]).gates.margin, 0.02);
}

#[test]
fn options_replace_the_keys_of_the_top_level() {
    let overrides = Overrides {
        seed: Some(u64::MAX),
        workers: Some(8),
        experiment: Some("asfotec-churn".to_owned()),
        register_name: Some("other".to_owned()),
        ..Overrides::default()
    };
    let manifest = parse(WHOLE, &overrides).unwrap();
    assert_eq!(manifest.seed, u64::MAX);
    assert_eq!(manifest.workers.map(usize::from), Some(8));
    assert_eq!((manifest.experiment.as_str(), manifest.model.as_str()), ("asfotec-churn", "other"));
}

#[test]
fn a_source_given_as_an_argument_starts_in_the_current_directory() {
    let source = |uri: &str| {
        let overrides = Overrides { sources: vec![format!("customers={uri}")], ..Overrides::default() };
        parse(WHOLE, &overrides).unwrap().sources["customers"].location.clone()
    };
    let csv = SourceLocation::Csv {
        path: "telco.csv".into(),
        delimiter: ';',
        header: true,
        compression: None,
        dialect: Default::default(),
    };
    assert_eq!(source("csv:telco.csv"), csv);
    let table = SqliteRows::Table { table: "customers".to_owned() };
    let sqlite = SourceLocation::Sqlite { path: "a=b.db".into(), rows: table };
    assert_eq!(source("sqlite:a=b.db#customers"), sqlite);
    assert_eq!(source("parquet:/data/x.parquet"), SourceLocation::Parquet { path: "/data/x.parquet".into() });
}

#[test]
fn another_database_keeps_the_query_and_a_table_replaces_it() {
    let rows = |uri: &str| {
        let overrides = Overrides { sources: vec![format!("transactions={uri}")], ..Overrides::default() };
        match parse(WHOLE, &overrides).unwrap().sources["transactions"].location.clone() {
            SourceLocation::Sqlite { rows, .. } => rows,
            other => panic!("not a database: {other:?}"),
        }
    };
    assert!(matches!(rows("sqlite:new.db"), SqliteRows::Query { parameters, .. } if parameters.len() == 2));
    assert!(matches!(rows("sqlite:new.db#t"), SqliteRows::Table { table } if table == "t"));
}

#[test]
fn what_is_wrong_with_an_argument_cites_the_argument() {
    let overrides = Overrides {
        set: [
            "trainin.component=x",
            "training",
            "training=3",
            "gates.margin",
            "gates.margin=-1",
            "gates.minimun.accuracy=0.9",
            "gates.primary.x=1",
            "split.test=[0.1",
            "split..test=1",
            "training.limits.cpu=soon",
            "nonsense.key=1",
        ]
        .map(str::to_owned)
        .to_vec(),
        sources: ["custmers=csv:x.csv", "customers", "customers=excel:x.xls"].map(str::to_owned).to_vec(),
        workers: Some(0),
        experiment: Some("a/b".to_owned()),
        ..Overrides::default()
    };
    let error = parse(WHOLE, &overrides).unwrap_err();
    assert!(error.problems().iter().all(|problem| matches!(problem.place, ProblemLocation::Argument(_))));
    insta::assert_snapshot!(error.render());
}

#[test]
fn a_parameter_of_a_stage_without_component_is_refused() {
    let text = WHOLE.replacen("component = \"train-boosted\"", "", 1);
    let error = parse(&text, &set(&["training.n_estimators=3"])).unwrap_err().render();
    assert!(error.contains("stage `training` has no component whose parameter could be set"), "{error}");
    assert!(!said(&set(&["training.component=3"])).is_empty());
}
