//! `stage inspect --against`: where a component and a folder of WIT differ.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use stagewright_end_to_end::{Place, guests};

/// The folder of the contract.
fn contract() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../wit")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Copies the contract with replacements, each of which must apply.
fn changed(place: &Place, name: &str, changes: &[(&str, &str)]) -> PathBuf {
    let folder = place.path().join(name);
    fs::create_dir(&folder).expect("a folder");
    let mut files: Vec<(String, String)> = ["types.wit", "worlds.wit"]
        .map(|file| (file.to_owned(), fs::read_to_string(contract().join(file)).expect("the contract")))
        .into();
    for (from, to) in changes {
        assert!(files.iter().any(|(_, wit)| wit.contains(from)), "nothing is `{from}`");
        files.iter_mut().for_each(|(_, wit)| *wit = wit.replace(from, to));
    }
    files.iter().for_each(|(file, wit)| fs::write(folder.join(file), wit).expect("written"));
    folder
}

fn difference(interface: &str, item: &str, part: &str, component: Option<&str>, wit: Option<&str>) -> Value {
    let interface = format!("stagewright:stage/{interface}@0.2.0");
    json!({ "interface": interface, "item": item, "part": part, "component": component, "wit": wit })
}

#[test]
fn every_component_of_ours_is_as_the_contract_says() {
    let place = Place::new();
    let wit = text(&contract());
    let mut guests: Vec<String> =
        fs::read_dir(guests()).expect("guests").flatten().map(|entry| text(&entry.path())).collect();
    guests.retain(|name| name.ends_with(".wasm"));
    assert!(guests.len() > 10, "{guests:?}");
    guests.extend(["train-boosted", "transform-table", "evaluate-classifier"].map(str::to_owned));
    for component in guests {
        let ended = place.run(&["stage", "inspect", &component, "--against", &wit, "--json"]).expect(0);
        assert_eq!(ended.json(), json!([]), "{component}");
    }
}

/// The name of a folder, replacements in its WIT, and the expected differences.
type Case = (&'static str, &'static [(&'static str, &'static str)], Vec<Value>);

#[test]
fn differences_from_a_folder_of_wit_are_named_by_interface_function_and_field() {
    let place = Place::new();
    let component = text(&guests().join("empty-training.wasm"));
    let describe = "func() -> description";
    let cases: [Case; 7] = [
        (
            "renamed-field",
            &[("nullable: bool", "optional: bool")],
            vec![
                difference("types", "field", "field `nullable`", Some("bool"), None),
                difference("types", "field", "field `optional`", None, Some("bool")),
            ],
        ),
        (
            "field-of-another-type",
            &[("seed: u64", "seed: u32")],
            vec![difference("types", "settings", "field `seed`", Some("u64"), Some("u32"))],
        ),
        (
            "missing-function",
            &[("describe: func()", "tell: func()")],
            vec![
                difference("metadata", "describe", "function", Some(describe), None),
                difference("metadata", "tell", "function", None, Some(describe)),
            ],
        ),
        (
            "parameter-of-another-type",
            &[(
                "validation: option<table>,\n        task: task,\n        settings: settings,\n    ) -> result<blob",
                "validation: table,\n        task: task,\n        settings: settings,\n    ) -> result<blob",
            )],
            vec![difference("train", "train", "parameter `validation`", Some("option<table>"), Some("table"))],
        ),
        (
            "other-order",
            &[
                ("negative: string", "third: string"),
                ("positive: string", "negative: string"),
                ("third: string", "positive: string"),
            ],
            vec![difference(
                "types",
                "binary-classes",
                "order",
                Some("field `negative`, field `positive`"),
                Some("field `positive`, field `negative`"),
            )],
        ),
        (
            "another-kind",
            &[("enum data-type {", "flags data-type {")],
            vec![difference("types", "data-type", "kind", Some("enum"), Some("flags"))],
        ),
        (
            "one-more-export",
            &[("world training {", "interface more { go: func(); }\nworld training {\n    export more;")],
            vec![difference("more", "", "export", None, Some("an export of world training"))],
        ),
    ];
    for (name, changes, expected) in cases {
        let wit = text(&changed(&place, name, changes));
        let ended = place.run(&["stage", "inspect", &component, "--against", &wit, "--json"]).expect(2);
        assert_eq!(ended.json(), Value::from(expected), "{name}");
    }
    let shown = place.run(&["stage", "inspect", &component, "--against", "field-of-another-type"]).expect(2).stdout;
    let line = "stagewright:stage/types@0.2.0: settings: field `seed`: empty-training has `u64`, field-of-another-type has `u32`\n";
    assert_eq!(shown, line);
}

#[test]
fn another_version_is_a_difference_and_a_newer_patch_is_none() {
    let place = Place::new();
    let component = text(&guests().join("empty-promotion.wasm"));
    let of = |name: &str, version: &str, code: i32| {
        let wit = text(&changed(
            &place,
            name,
            &[("package stagewright:stage@0.2.0", &format!("package stagewright:stage@{version}"))],
        ));
        place.run(&["stage", "inspect", &component, "--against", &wit, "--json"]).expect(code).json()
    };
    let expected: Vec<Value> = ["types", "metadata", "decide"]
        .map(|interface| difference(interface, "", "version", Some("0.2.0"), Some("0.3.0")))
        .into();
    assert_eq!(of("minor", "0.3.0", 2), Value::from(expected));
    assert_eq!(of("patch", "0.2.7", 0), json!([]));
}

#[test]
fn what_is_no_stage_and_what_is_no_wit_is_said() {
    let place = Place::new();
    let wit = text(&contract());
    let empty = text(&place.write("empty.wasm", b"\0asm\x0d\0\x01\0"));
    let shown = place.run(&["stage", "inspect", &empty, "--against", &wit]).expect(2).stdout;
    assert!(shown.starts_with("world: empty has none, "), "{shown}");
    assert!(shown.contains("has `ingestion, preparation, validation, "), "{shown}");
    place.write("wrong.wit", "package a:b;\ninterface {");
    for wrong in ["wrong.wit", "missing"] {
        let said = place.run(&["stage", "inspect", &empty, "--against", wrong]).expect(2).stderr;
        assert!(
            said.contains(&format!("cannot read WIT at {wrong}: ")) && said.contains("hint: name the folder wit/"),
            "{said}"
        );
    }
}
