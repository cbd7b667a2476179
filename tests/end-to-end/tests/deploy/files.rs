//! The files, as values.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use stagewright_end_to_end::Place;
use toml::de::{DeTable, DeValue};

/// Returns the root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace").to_owned()
}

/// Reads a file of the repository.
pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Reads the only document of a YAML file.
pub(crate) fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Reads all documents of a YAML file.
pub(crate) fn documents(path: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Reads a TOML file.
pub(crate) fn toml(path: &str) -> Value {
    let text = text(path);
    let table = DeTable::parse(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    value(&DeValue::Table(table.into_inner()))
}

fn value(toml: &DeValue<'_>) -> Value {
    match toml {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Boolean(yes) => (*yes).into(),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).expect("an integer").into(),
        DeValue::Float(number) => number.as_str().parse::<f64>().expect("a number").into(),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(list) => list.iter().map(|element| value(element.as_ref())).collect(),
        DeValue::Table(table) => {
            table.iter().map(|(key, element)| (key.as_ref().to_string(), value(element.as_ref()))).collect()
        }
    }
}

/// Returns the elements of a list of text.
pub(crate) fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    list.iter().map(|text| text.as_str().unwrap_or_else(|| panic!("no text: {text}")).to_owned()).collect()
}

/// Returns the seconds of a duration such as `30 s`, `40s` or `45`.
pub(crate) fn seconds(text: &str) -> u64 {
    let digits = text.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit = text[digits.len()..].trim();
    assert!(["s", ""].contains(&unit), "`{text}` is not in seconds");
    digits.parse().unwrap_or_else(|_| panic!("`{text}` is no duration"))
}

/// Returns the time that a `serving.toml` gives to requests after SIGTERM, in seconds.
pub(crate) fn drain(path: &str) -> u64 {
    seconds(toml(path)["server"]["drain"].as_str().unwrap_or_else(|| panic!("{path} has no `drain`")))
}

/// Asserts that the program understands these arguments. It parses them and does nothing else.
#[track_caller]
pub(crate) fn understood(arguments: &[impl AsRef<str>]) {
    let mut all: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
    all.push("--help");
    let ended = Place::new().run(&all);
    assert_eq!(ended.code, 0, "{all:?}\n{}", ended.stderr);
    // Help of the program itself would mean that the command was not understood as one.
    assert!(ended.stdout.contains(&format!("stagewright {}", all[0])), "{all:?}\n{}", ended.stdout);
}

/// Asserts that the program accepts a `serving.toml`, and that the file names no secret but by the
/// file that holds it.
#[track_caller]
pub(crate) fn accepted(path: &str) {
    // The file is read first. What is missing here is a home to serve from.
    let file = repository().join(path).display().to_string();
    let ended = Place::new().run(&["serve", "--config", &file]);
    assert!(ended.stderr.contains("error[SW0103]"), "{path}: {}", ended.stderr);
    let server = &toml(path)["server"];
    for key in server.as_object().expect("a table").keys() {
        assert!(!["token", "password", "secret"].iter().any(|word| key == word), "{path}: `{key}`");
    }
}
