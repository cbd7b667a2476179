//! The imports of built-in stages. A new capability shows in review.

use stagewright_end_to_end::Place;

// invariant: A built-in stage gains no import without review.
#[test]
fn every_built_in_stage_imports_what_it_did_when_it_was_last_reviewed() {
    let place = Place::new();
    let list = place.run(&["stage", "list", "--json"]).expect(0).json();
    let mut names: Vec<&str> =
        list.as_array().expect("stages").iter().filter_map(|stage| stage["name"].as_str()).collect();
    names.sort_unstable();
    assert!(!names.is_empty(), "there are no built-in stages");
    let mut text = String::new();
    for name in names {
        let inspected = place.run(&["stage", "inspect", name, "--json"]).expect(0).json();
        let imports = inspected["imports"].as_array().unwrap_or_else(|| panic!("{inspected}"));
        text.push_str(&format!("{name}\n"));
        imports.iter().for_each(|import| text.push_str(&format!("  {}\n", import.as_str().expect("a name"))));
    }
    insta::assert_snapshot!(text);
}
