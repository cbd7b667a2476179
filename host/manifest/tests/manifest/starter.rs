use proptest::prelude::*;
use stagewright_manifest::{Identifier, Overrides, Starter, TaskKind, TaskSection, World, write_manifest};
use stagewright_store::{DataType, Field, Role};

use crate::parse;

fn starter(task: &TaskSection, fields: &[Field]) -> String {
    write_manifest(&Starter {
        pipeline: &Identifier::new("telco").unwrap(),
        uri: "csv:data/telco \"new\".csv",
        delimiter: Some('\t'),
        task,
        null_values: &[String::new(), " ".to_owned()],
        fields,
        split_seed: 2_718_281_828,
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
}
