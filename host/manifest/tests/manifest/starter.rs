use proptest::prelude::*;
use stagewright_manifest::{
    ExtraColumns, Identifier, Overrides, SplitSection, Starter, StarterField, TaskKind, TaskSection, World,
    write_manifest,
};
use stagewright_store::{DataType, Field, Role};

use crate::parse;

fn starter(task: &TaskSection, fields: &[Field]) -> String {
    let fields: Vec<StarterField> = fields.iter().cloned().map(StarterField::from).collect();
    with_fields(task, &fields)
}

fn with_fields(task: &TaskSection, fields: &[StarterField]) -> String {
    write_manifest(&Starter {
        pipeline: &Identifier::new("telco").unwrap(),
        uri: "csv:data/telco \"new\".csv",
        delimiter: Some('\t'),
        task,
        null_values: &[String::new(), " ".to_owned()],
        extra_columns: ExtraColumns::Error,
        fields,
        split: &SplitSection { seed: 2_718_281_828, ..SplitSection::default() },
        postgres: &[],
        notes: &[],
        contract: &[],
    })
}

fn binary() -> TaskSection {
    TaskSection { kind: TaskKind::Binary { positive: "Yes".to_owned() }, target: "Churn".to_owned() }
}

#[test]
fn the_first_file_explains_itself() {
    let fields = [
        Field::new("customer ID", DataType::Utf8).with_role(Role::Identifier),
        Field::new("tenure", DataType::Int64),
        Field::new("TotalCharges", DataType::Float64).with_nullable(true),
        Field::new("Churn", DataType::Utf8).with_nullable(true),
    ];
    insta::assert_snapshot!(starter(&binary(), &fields));
}

#[test]
fn the_first_file_loads_for_every_kind_of_task() {
    for kind in [TaskKind::Binary { positive: "1".to_owned() }, TaskKind::MultiClass, TaskKind::Regression] {
        let task = TaskSection { kind, target: "y".to_owned() };
        let fields = [Field::new("x", DataType::Float64), Field::new("y", DataType::Int64)];
        let text = starter(&task, &fields);
        let manifest = parse(&text, &Overrides::default()).unwrap_or_else(|error| panic!("{}", error.render()));
        assert_eq!(manifest.task, task);
        assert_eq!(manifest.stage(World::Promotion).component.as_str(), "promote-gated");
    }
}

#[test]
fn what_a_column_needs_is_written_as_parameters_and_comments() {
    let sparse = Field::new("a.b \"c\"", DataType::Float64).with_nullable(true);
    let fields = [
        StarterField {
            max_null_ratio: Some(0.5),
            is_dropped: true,
            notes: vec!["`NA\n\u{202e}\\` (3 rows) is \"missing\"".to_owned()],
            ..sparse.into()
        },
        Field::new("x", DataType::Int64).into(),
        Field::new("Churn", DataType::Utf8).into(),
    ];
    let text = with_fields(&binary(), &fields);
    let note =
        "# `NA\\u000A\\u202E\\` (3 rows) is \"missing\"\n\"a.b \\\"c\\\"\" = { type = \"float64\", nullable = true }\n";
    assert!(text.contains(note), "{text}");
    let manifest = parse(&text, &Overrides::default()).unwrap_or_else(|error| panic!("{}", error.render()));
    let parameters = |world| serde_json::Value::Object(manifest.component(world).parameters.clone());
    let name = "a.b \"c\"";
    assert_eq!(parameters(World::Validation)["columns"][name]["max_null_ratio"], 0.5);
    assert_eq!(parameters(World::Transformation)["columns"][name]["drop"], true);
}

proptest! {
    #[test]
    fn columns_of_any_name_are_read_back(names in prop::collection::btree_set("[^\\p{Cc}]{1,60}", 1..20)) {
        let fields: Vec<Field> = names
            .into_iter()
            .filter(|name| name != "Churn")
            .enumerate()
            .map(|(index, name)| Field::new(name, DataType::ALL[index % 6]).with_nullable(index % 2 == 0))
            .chain([Field::new("Churn", DataType::Utf8).with_role(Role::Target)])
            .collect();
        prop_assume!(fields.len() > 1);
        let text = starter(&binary(), &fields);
        let manifest = parse(&text, &Overrides::default()).map_err(|error| TestCaseError::fail(error.render()))?;
        prop_assert_eq!(manifest.signature.fields, fields);
        prop_assert_eq!(manifest.signature.null_values, ["", " "]);
    }

    #[test]
    fn a_comment_ends_where_its_line_ends(note in "\\PC*|[\\p{Cc}\\p{Cf}\\p{Zl}\"\\\\#=\\n]{0,20}", column_note: String) {
        let fields = [
            StarterField { notes: vec![column_note], ..Field::new("x", DataType::Int64).into() },
            Field::new("Churn", DataType::Utf8).into(),
        ];
        let text = write_manifest(&Starter {
            pipeline: &Identifier::new("telco").unwrap(),
            uri: "csv:x.csv",
            delimiter: None,
            task: &binary(),
            null_values: &[],
            extra_columns: ExtraColumns::Ignore,
            fields: &fields,
            split: &SplitSection::default(),
            postgres: &[],
            notes: &[note],
            contract: &[],
        });
        let manifest = parse(&text, &Overrides::default()).map_err(|error| TestCaseError::fail(error.render()))?;
        prop_assert_eq!(manifest.signature.fields.len(), 2);
    }
}
