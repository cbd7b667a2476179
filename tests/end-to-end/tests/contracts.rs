//! Runs components and models of other versions of the contract, and recorded components of this
//! version.
//!
//! `fixtures/home-of-contract-0.1.0` is a home from the last version with contract 0.1.0, made by a
//! pipeline of six empty stages: its database as SQL, its artifacts and its production location.
//! The bytes of the model's components are in tests/components.

use std::fs;
use std::path::{Path, PathBuf};

use stagewright_end_to_end::{Ended, Place, WALLS, config, digests};
use stagewright_store::Digest;

const WORLDS: [&str; 6] = ["ingestion", "validation", "transformation", "training", "evaluation", "promotion"];

/// Returns the folder of components that were built for a version of the contract. They are not
/// built again.
fn kept(version: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../components").join(version)
}

/// Returns the version of the folder wit/.
fn contract() -> String {
    let wit = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/types.wit")).expect("wit");
    let (_, version) = wit.split_once("package stagewright:stage@").expect("a version");
    version.split(';').next().expect("an end").to_owned()
}

#[track_caller]
fn says(ended: &Ended, parts: &[&str]) {
    let said = format!("{}\n{}", ended.stdout, ended.stderr);
    for part in parts {
        assert!(said.contains(part), "`{part}` is missing:\n{said}");
    }
}

/// Returns a pipeline of six empty stages. `version` gives the contract version of each world's
/// component.
fn pipeline(place: &Place, version: impl Fn(&str) -> String) -> String {
    let mut text = "pipeline = \"kept\"\nexperiment = \"kept\"\nmodel = \"kept\"\nseed = 1\n\
        [task]\nkind = \"binary\"\ntarget = \"y\"\npositive = \"1\"\n\
        [split]\nmethod = \"stratified\"\ntest = 0.5\nvalidation = 0.0\n\
        [gates]\npolicy = \"absolute\"\nminimum = { accuracy = 0.0 }\n"
        .to_owned();
    for world in WORLDS {
        let path = kept(&version(world)).join(format!("empty-{world}.wasm")).display().to_string();
        text.push_str(&format!("[stages.{world}]\ncomponent = \"kept-{world}\"\n"));
        text.push_str(&format!("[components.kept-{world}]\npath = {path:?}\n"));
    }
    place.write("kept.toml", text).display().to_string()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("the fixture").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// Returns the home from the last version with contract 0.1.0. Version 1 of the model `kept` is its
/// champion.
fn home_of_contract_0_1_0() -> Place {
    let place = Place::new();
    let home = place.home();
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/home-of-contract-0.1.0"), &home);
    let sql = fs::read_to_string(home.join("stagewright.sql")).expect("the database");
    fs::remove_file(home.join("stagewright.sql")).expect("removed");
    let database = rusqlite::Connection::open(home.join("stagewright.db")).expect("a database");
    database.execute_batch(&sql).expect("the fixture's SQL");
    let objects = home.join("production/objects/sha256");
    for world in ["transformation", "training"] {
        let bytes = fs::read(kept("0.1.0").join(format!("empty-{world}.wasm"))).expect("a component");
        let digest = Digest::of(&bytes).to_hex();
        fs::write(home.join(format!("artifacts/{digest}.blob")), &bytes).expect("written");
        fs::write(objects.join(digest), bytes).expect("written");
    }
    place
}

#[test]
fn a_model_of_contract_0_1_0_is_listed_and_shown_and_its_history_holds() {
    let place = home_of_contract_0_1_0();
    let models = place.run(&["models", "list", "--json"]).expect(0).json();
    assert_eq!((&models[0]["name"], &models[0]["champion"]), (&"kept".into(), &1.into()), "{models}");
    let shown = place.run(&["models", "show", "kept/1"]).expect(0);
    says(&shown, &["empty-transformation", "empty-training", "approved", "champion"]);
    let shown = place.run(&["models", "show", "kept/1", "--json"]).expect(0).json();
    assert_eq!((&shown["stage"], &shown["verdict"]), (&"production".into(), &"approved".into()), "{shown}");
    let card = place.path().join("card.html").display().to_string();
    place.run(&["models", "card", "kept/1", "--output", &card]).expect(0);
    says(&place.run(&["models", "history", "kept"]).expect(0), &["production"]);
    let audit = place.run(&["audit", "verify", "--json"]).expect(0).json();
    assert_eq!((&audit["different"], &audit["versions"]), (&0.into(), &1.into()), "{audit}");
}

// invariant: as `components_that_were_built_for_this_contract_run_as_they_are`
#[test]
fn a_model_of_contract_0_1_0_that_is_used_says_how_to_train_it_again() {
    let place = home_of_contract_0_1_0();
    let rows = place.write("rows.csv", "x\n1.5\n2.5\n").display().to_string();
    for version in ["kept", "kept/1"] {
        let ended = place.run(&["predict", version, "--input", &rows]).expect(2);
        let made = format!("was made for contract 0.1.0, and this version runs {}", contract());
        says(&ended, &["its component `empty-", &made, "hint: train the model again", "`stagewright run MANIFEST`"]);
        assert!(ended.stdout.is_empty(), "{}", ended.stdout);
    }
}

#[test]
fn a_champion_of_contract_0_1_0_follows_champion_unreadable() {
    let place = home_of_contract_0_1_0();
    let manifest = pipeline(&place, |_| contract());
    let refused = place.run(&["run", &manifest]).expect(3);
    let made = format!("made for contract 0.1.0, and this version runs {}", contract());
    says(&refused, &["the champion (version 1 of `kept`)", &made, "champion-unreadable = \"absolute-gates\""]);
    let absolute = ["run", &manifest, "--set", "gates.champion-unreadable=absolute-gates"];
    says(&place.run(&absolute).expect(0), &["approved"]);
    let models = place.run(&["models", "list", "--json"]).expect(0).json();
    assert_eq!(models[0]["champion"], models[0]["latest_version"], "{models}");
    assert!(models[0]["champion"].as_u64() > Some(1), "{models}");
    let rows = place.write("rows.csv", "x\n1.5\n2.5\n").display().to_string();
    place.run(&["predict", "kept", "--input", &rows]).expect(0);
    place.run(&["audit", "verify"]).expect(0);
}

// invariant: as `components_that_were_built_for_this_contract_run_as_they_are`
#[test]
fn a_component_of_contract_0_1_0_is_refused_with_the_way_to_build_it_again() {
    let place = Place::new();
    let own = contract();
    let way = format!("rebuild it with stagewright-kit {own}: `cargo build --release --target wasm32-wasip2`");
    for old in WORLDS {
        let manifest = pipeline(&place, |world| if world == old { "0.1.0".to_owned() } else { own.clone() });
        let speaks = format!("component `kept-{old}` speaks contract 0.1.0, and this version runs {own}");
        says(&place.run(&["run", &manifest]).expect(2), &[&speaks, &way]);
    }
}

// invariant: A component runs as long as the host supports its contract version. Components and
// models of other versions are refused with the way to rebuild or retrain them.
#[test]
fn components_that_were_built_for_this_contract_run_as_they_are() {
    let made = WALLS.map(|walls| {
        let place = Place::new().with_walls(walls);
        let said = place.run(&["run", &pipeline(&place, |_| contract()), "--json"]).expect(0).json();
        let stages = said["stages"].as_array().expect("stages");
        let components: Vec<&str> = stages.iter().filter_map(|stage| stage["component"].as_str()).collect();
        assert_eq!(components, WORLDS.map(|world| format!("kept-{world}")));
        let rows = place.write("rows.csv", "x\n1.5\n2.5\n").display().to_string();
        (digests(&said), place.run(&["predict", "kept", "--input", &rows]).expect(0).stdout)
    });
    assert_eq!(made[0], made[1], "in processes of their own, and in one");
}

#[test]
fn a_rebalancing_and_a_sharded_component_that_were_built_for_this_contract_run_as_they_are() {
    WALLS.into_iter().for_each(rebalances_and_trains_shards);
}

fn rebalances_and_trains_shards(walls: &str) {
    let place = Place::new().with_walls(walls);
    let kept = |name: &str| {
        let path = kept(&contract()).join(format!("{name}.wasm")).display().to_string();
        format!("[components.kept-{name}]\npath = {path:?}\n")
    };
    let text = fs::read_to_string(config("churn-smote.toml")).expect("the manifest");
    let text = text.replace("transform-table", "kept-rebalancing").replace("train-forest", "kept-sharded");
    let text = text.replace("component = \"train-boosted\"", "component = \"kept-sharded\"");
    let manifest = place.write("smote.toml", text + &kept("rebalancing") + &kept("sharded")).display().to_string();
    let rows = ["--set", "ingestion.component=ingest-synthetic", "--set", "ingestion.rows=1500"];
    let set = ["--set", "training.n_estimators=20", "--json"];
    let said = place.run(&[&["run", &manifest][..], &rows, &set].concat()).json();
    assert_eq!(
        (&said["stages"][2]["component"], &said["stages"][3]["component"]),
        (&"kept-rebalancing".into(), &"kept-sharded".into())
    );
    assert!(said["metrics"]["candidate"]["roc_auc"].as_f64() > Some(0.7), "{said}");
    let csv = place.path().join("train.csv").display().to_string();
    place.run(&["artifacts", "export", "transformation.features-train", "--output", &csv]).expect(0);
    let text = fs::read_to_string(csv).expect("the export");
    let target = text.lines().next().expect("a header").split(',').position(|name| name == "Churn").expect("a target");
    let churned = text.lines().skip(1).filter(|line| line.split(',').nth(target) == Some("1")).count();
    assert_eq!(churned * 2, text.lines().count() - 1, "as many who left as who stayed");
}
