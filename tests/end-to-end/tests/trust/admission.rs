//! Checks before a component runs, and the environment in which it is compiled and run.

use std::fs;
use std::path::Path;
use std::process::Command;

use stagewright_end_to_end::{Ended, Place, binary};

use crate::{alone, cache, compiled, pipeline, says, stage};

#[test]
fn components_are_compiled_under_limits_that_cannot_be_raised() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    let plan = place.command(&["plan", &manifest]);
    let mut limited = Command::new("sh");
    limited.current_dir(place.path()).args(["-c", "ulimit -t 250; ulimit -d 3000000; exec \"$0\" \"$@\""]);
    limited.arg(plan.get_program()).args(plan.get_args());
    for (name, value) in plan.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited.env("STAGEWRIGHT_CACHE", cache(&place));
    Ended::of(limited).expect(0);
    assert_eq!(compiled(&place).len(), 6);
}

// invariant: An import that was not granted is refused before compilation.
#[test]
fn an_import_that_is_not_granted_is_shown_and_refused_before_anything_is_compiled() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    let file = stage(&place, "promotion");
    // One more import: the function `wasi:http/handler`.
    let name = b"wasi:http/handler@0.2.0";
    let mut bytes = fs::read(&file).expect("a component");
    bytes.extend([&[10, name.len() as u8 + 5, 1, 0, name.len() as u8][..], name, &[1, 0]].concat());
    fs::write(&file, bytes).expect("written");
    let refused = alone(&place, &["run", &manifest]).expect(2);
    says(
        &refused.stderr,
        &["`empty-promotion` imports `wasi:http/handler@0.2.0`, which a promotion stage is not given"],
    );
    let shown = alone(&place, &["stage", "inspect", &file.display().to_string()]).expect(0).stdout;
    says(
        &shown,
        &["not run: component", "refused      wasi:http/handler@0.2.0", "world        stagewright:stage/types@0.2.0"],
    );
    let json = alone(&place, &["stage", "inspect", &file.display().to_string(), "--json"]).expect(0).json();
    assert_eq!(json["grants"]["wasi:http/handler@0.2.0"], "refused");
    assert_eq!(
        compiled(&place)
            .iter()
            .filter(|path| path.to_string_lossy().contains(&json["digest"].as_str().expect("a digest")[7..]))
            .count(),
        0
    );
}

#[test]
fn a_plan_shows_imports_against_grants_and_inspection_shows_where_a_stage_comes_from() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    let shown = place.run(&["plan", &manifest]).expect(0).stdout;
    says(&shown, &["training        virtual WASI: cli", "world: blobs, tables, types"]);
    let plan = place.run(&["plan", &manifest, "--json"]).expect(0).json();
    assert_eq!(plan["stages"][3]["grants"]["stagewright:stage/blobs@0.2.0"], "world");
    let json = place.run(&["stage", "inspect", "train-logistic", "--json"]).expect(0).json();
    assert_eq!((json["signature"]["state"].as_str(), json["world"].as_str()), (Some("built-in"), Some("training")));
    let provenance = &json["provenance"];
    assert_eq!(provenance["notes"]["licenses"], "Apache-2.0");
    assert_eq!(provenance["notes"]["version"], json["version"]);
    let packages = provenance["packages"].as_array().expect("packages");
    assert!(packages.iter().any(|package| package["name"] == "stagewright-kit"), "{provenance}");
    assert!(packages.iter().any(|package| package["name"] == "serde_json" && package["source"] == "crates.io"));
    let tools = provenance["producers"]["processed-by"].to_string();
    assert!(tools.contains("wit-component"), "{provenance}");
}

#[test]
fn what_compiling_may_take_is_the_operators() {
    let place = Place::new();
    let manifest = pipeline(&place, "");
    let operator = place.write("operator.toml", "[compilation]\nsize = \"64 KiB\"\n");
    let mut command = place.command(&["plan", &manifest]);
    let output = command
        .env("STAGEWRIGHT_OPERATOR", operator)
        .env("STAGEWRIGHT_CACHE", cache(&place))
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(6));
    says(&String::from_utf8_lossy(&output.stderr), &["ran past its limit of 0.1 MiB size: it used", "[compilation]"]);
}

// invariant: Stages run only in the installation's own program. No environment variable names
// another, and the error for a missing one says what to install.
#[test]
fn the_program_in_which_stages_run_is_the_installations_and_no_variable_names_another() {
    let place = Place::new();
    // Without an operator's policy, the program is needed where all walls can be built.
    let walls = place.run(&["doctor", "--json"]).expect(0).json();
    let found = walls.as_array().expect("findings").iter().find(|finding| finding["check"] == "walls");
    let is_needed = found.expect("the walls are told")["policy"] == "required";
    let (bin, elsewhere) = (place.path().join("bin"), place.path().join("elsewhere"));
    [&bin, &elsewhere].into_iter().for_each(|folder| fs::create_dir(folder).expect("a folder"));
    fs::copy(binary(), bin.join("stagewright")).expect("the program");
    fs::copy(binary().with_file_name("stagewright-stage"), elsewhere.join("stagewright-stage")).expect("the other");
    let open = |program: &Path, walls: Option<&str>| {
        let mut command = Command::new(bin.join("stagewright"));
        command.current_dir(&elsewhere).env("HOME", place.path()).env("STAGEWRIGHT_HOME", place.home()).args([
            "stage",
            "inspect",
            "promote-gated",
        ]);
        command.env("STAGEWRIGHT_STAGES", binary().with_file_name("stages")).env("PATH", &elsewhere);
        command.env("STAGEWRIGHT_STAGE", program).env("STAGEWRIGHT_STAGE_PROGRAM", program);
        if let Some(walls) = walls {
            command.env("STAGEWRIGHT_OPERATOR", place.write("operator.toml", format!("walls = \"{walls}\"\n")));
        }
        Ended::of(command)
    };
    let program = elsewhere.join("stagewright-stage");
    open(&program, Some("sandbox-only")).expect(0);
    if is_needed {
        let error = open(&program, None).expect(2).stderr;
        says(&error, &["the program `stagewright-stage` is missing", "cargo xtask install", "sandbox-only"]);
        fs::copy(&program, bin.join("stagewright-stage")).expect("beside the program");
        open(Path::new("/no/such/program"), None).expect(0);
        fs::remove_file(bin.join("stagewright-stage")).expect("it is there");
        fs::create_dir_all(place.path().join("lib/stagewright")).expect("a folder");
        fs::copy(&program, place.path().join("lib/stagewright/stagewright-stage")).expect("where it is installed");
    }
    open(&program, None).expect(0);
}
