use std::path::Path;
use std::time::Duration;

use stagewright_manifest::{
    ChampionUnreadable, ExtraColumns, Literal, Manifest, Overrides, SourceLocation, SplitMethod, SqliteRows, Stub,
    TaskKind, World,
};
use stagewright_store::{DataType, Role};

use crate::{WHOLE, changed, parse, repository, said};

#[test]
fn a_whole_file_is_read_as_written() {
    let manifest = parse(WHOLE, &Overrides::default()).unwrap();
    assert_eq!(manifest.pipeline.as_str(), "churn");
    assert_eq!(manifest.experiment.as_str(), "Churn-2026");
    assert_eq!(manifest.seed, 42);
    assert_eq!(manifest.as_of.to_string(), "2026-01-01T00:00:00Z");
    assert_eq!(manifest.workers.map(usize::from), Some(2));
    assert_eq!(manifest.task.kind, TaskKind::Binary { positive: "Yes".to_owned() });
    assert_eq!(manifest.signature.null_values, ["", " "]);
    assert_eq!(manifest.signature.extra_columns, ExtraColumns::Ignore);
    assert_eq!(manifest.split.method, SplitMethod::Stratified);
    assert_eq!((manifest.seed, manifest.split.seed), (42, 20241));
    let training = manifest.component(World::Training);
    assert_eq!(training.parameters["n_estimators"], 300);
    assert_eq!(training.parameters["categories"]["order"][1], "high");
    assert_eq!(manifest.gates.minimum["accuracy"], 0.78);
    assert_eq!(manifest.gates.maximum["log_loss"], 0.6);
    assert_eq!(manifest.gates.champion_unreadable, ChampionUnreadable::AbsoluteGates);
    assert_eq!(manifest.gates.no_regression.unwrap().metrics, ["roc_auc"]);
}

#[test]
fn the_compiler_makes_nans_canonical_only_on_request() {
    assert!(!parse(WHOLE, &Overrides::default()).unwrap().canonicalize_nans);
    let asked = WHOLE.replace("workers = 2\n", "workers = 2\ncanonicalize-nans = true\n");
    let manifest = parse(&asked, &Overrides::default()).unwrap();
    assert!(manifest.canonicalize_nans);
    assert_eq!(manifest.effective()["canonicalize-nans"], true);
}

#[test]
fn fields_keep_their_order_and_the_target_its_implied_role() {
    let manifest = parse(WHOLE, &Overrides::default()).unwrap();
    let fields: Vec<_> = manifest.signature.fields.iter().map(|it| (it.name.as_str(), it.data_type, it.role)).collect();
    assert_eq!(
        fields,
        [
            ("customerID", DataType::Utf8, Role::Identifier),
            ("tenure", DataType::Int64, Role::Feature),
            ("Total Charges", DataType::Float64, Role::Feature),
            ("Churn", DataType::Utf8, Role::Target),
        ]
    );
    assert!(manifest.signature.fields[2].nullable);
}

#[test]
fn paths_start_where_the_file_is() {
    let manifest = parse(WHOLE, &Overrides::default()).unwrap();
    let (name, source) = manifest.ingestion_source().unwrap();
    assert_eq!(name.as_str(), "customers");
    let csv = SourceLocation::Csv {
        path: "config/telco.csv".into(),
        delimiter: ';',
        header: true,
        compression: None,
        dialect: Default::default(),
    };
    assert_eq!(source.location, csv);
    let sqlite = SourceLocation::Sqlite {
        path: "config/shop.db".into(),
        rows: SqliteRows::Query {
            query: "SELECT * FROM t WHERE date > ? AND n > ?".to_owned(),
            parameters: vec![Literal::Text("2024-01-01".to_owned()), Literal::Integer(3)],
        },
    };
    assert_eq!(manifest.sources["transactions"].location, sqlite);
    let component = manifest.component(World::Transformation);
    assert_eq!(component.path.as_deref(), Some(Path::new("config/stages/engineered.wasm")));
    assert_eq!(component.stubs, [Stub::Filesystem, Stub::Sockets]);
}

// invariant: Every limit has a finite default, which is the documented one.
#[test]
fn limits_that_are_not_set_keep_their_finite_defaults() {
    let manifest = parse(WHOLE, &Overrides::default()).unwrap();
    let ingestion = manifest.stage(World::Ingestion).limits;
    assert_eq!((ingestion.memory, ingestion.cpu), (512 << 20, Duration::from_secs(60)));
    assert_eq!(ingestion.output, World::Ingestion.default_limits().output);
    assert_eq!(manifest.stage(World::Training).limits, World::Training.default_limits());
}

#[test]
fn optional_keys_may_be_left_out() {
    let text = "pipeline = 'p'\nexperiment = 'e'\nmodel = 'm'\nseed = 1\ntask = { kind = 'regression', target = 'y' }\n\
        stages = { ingestion.component = 'a', validation.component = 'b', transformation.component = 'c', \
        training.component = 'd', evaluation.component = 'e', promotion.component = 'f' }\n";
    let manifest = parse(text, &Overrides::default()).unwrap();
    assert_eq!(manifest.as_of.to_string(), "2026-01-01T00:00:00Z");
    assert_eq!(manifest.signature.null_values, [""]);
    assert!(manifest.signature.fields.is_empty());
    assert_eq!((manifest.split.test, manifest.split.validation, manifest.split.seed), (0.2, 0.1, 0));
    assert_eq!(manifest.gates.primary, "r2");
    assert!(manifest.ingestion_source().is_none());
}

#[test]
fn a_class_may_be_a_number_and_is_then_its_text() {
    let manifest = changed("positive = \"Yes\"", "positive = 1").unwrap();
    assert_eq!(manifest.task.kind, TaskKind::Binary { positive: "1".to_owned() });
}

#[test]
fn the_effective_configuration_can_be_compared_as_text() {
    let manifest = parse(WHOLE, &Overrides::default()).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&manifest.effective()).unwrap());
}

#[test]
fn every_file_in_config_loads() {
    let mut loaded = 0;
    for entry in std::fs::read_dir(repository().join("config")).unwrap() {
        let path = entry.unwrap().path();
        // The server's file is no pipeline.
        if path.extension().is_some_and(|ending| ending == "toml") && !path.ends_with("serving.toml") {
            Manifest::load(&path, &Overrides::default()).unwrap_or_else(|error| panic!("{}", error.render()));
            loaded += 1;
        }
    }
    assert!(loaded >= 2, "config/churn.toml and config/churn-smote.toml are there");
}

// invariant: as `limits_that_are_not_set_keep_their_finite_defaults`
#[test]
fn the_example_and_the_defaults_of_the_reference_are_true() {
    let reference = std::fs::read_to_string(repository().join("docs/manifest.md")).unwrap();
    let example = reference.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    parse(example, &Overrides::default()).unwrap_or_else(|error| panic!("{}", error.render()));
    for world in World::all() {
        let limits = serde_json::to_value(world.default_limits()).unwrap();
        let cell = |name: &str| limits[name].as_str().unwrap().to_owned();
        let row = ["memory", "cpu", "wall", "output", "log"].map(cell).join(" | ");
        assert!(reference.contains(&format!("| {world} | {row} |")), "docs/manifest.md lacks: | {world} | {row} |");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.toml");
    let error = Manifest::load(&missing, &Overrides::default()).unwrap_err();
    assert!(
        error.render().starts_with(&format!("{}: cannot read the file: ", missing.display())),
        "{}",
        error.render()
    );
    let binary = directory.path().join("binary.toml");
    std::fs::write(&binary, b"seed = 1\nmodel = \"\xff\"\n").unwrap();
    let error = Manifest::load(&binary, &Overrides::default()).unwrap_err();
    assert!(error.render().contains("line 2 is not UTF-8"), "{}", error.render());
}

#[test]
fn a_gate_on_a_metric_that_the_host_does_not_compute_for_the_task_is_refused() {
    let text = said("maximum = { log_loss = 0.6 }", "maximum = { cost_per_month = 10000 }");
    assert!(text.contains("`cost_per_month` is not a metric of this task"), "{text}");
    assert!(text.contains("the host computes `roc_auc`, `accuracy`"), "{text}");
    assert!(said("log_loss = 0.6", "log_los = 0.6").contains("did you mean `log_loss`?"));
    assert!(said("log_loss = 0.6", "brier = 0.2, rmse = 3").contains("`rmse` is not a metric of this task"));
    assert!(changed("maximum = { log_loss = 0.6 }", "maximum = { brier = 0.2 }").is_ok());
}

mod real_tables {
    use super::*;

    #[test]
    #[ignore = "needs STAGEWRIGHT_TEST_DATA"]
    fn the_shipped_pipelines_declare_the_columns_of_the_real_table() {
        let folder =
            std::env::var("STAGEWRIGHT_TEST_DATA").expect("STAGEWRIGHT_TEST_DATA names the folder of test data");
        let table = std::fs::read_to_string(Path::new(&folder).join("telco_churn.csv")).unwrap();
        let header: Vec<&str> = table.lines().next().unwrap().split(',').collect();
        for file in ["churn.toml", "churn-smote.toml", "churn-by-contract.toml"] {
            let manifest = Manifest::load(&repository().join("config").join(file), &Overrides::default()).unwrap();
            let fields: Vec<_> = manifest.signature.fields.iter().map(|field| field.name.as_str()).collect();
            assert_eq!(fields, header, "{file}");
        }
    }
}
