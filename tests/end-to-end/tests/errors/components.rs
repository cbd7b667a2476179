//! Errors of components: their files, signatures and compilation: SW06.

use std::fs;

use stagewright_end_to_end::{Ended, Place, binary, config, guests, least_pipeline};

use crate::{Case, open_to_all, provoke, root};

pub(crate) const CASES: &[Case] = &[
    ("SW0601", || Place::new().run(&["stage", "inspect", "train-boosed"])),
    ("SW0602", || Place::new().run(&["stage", "inspect", "./missing.wasm"])),
    ("SW0603", text_as_a_component),
    ("SW0604", component_of_an_old_contract),
    ("SW0605", || plan(&least_pipeline("empty-training").replace("empty-ingestion", "misbehave-wasi"))),
    ("SW0606", || plan(&least_pipeline("misbehave-validation"))),
    ("SW0608", unsigned),
    ("SW0609", changed_after_it_was_pinned),
    ("SW0610", || Place::new().run(&["stage", "sign", "train.wasm", "--key", "missing.key"])),
    ("SW0611", cache_that_others_write),
    ("SW0613", program_alone),
];

#[test]
fn errors_of_components() {
    provoke(CASES);
}

fn plan(text: &str) -> Ended {
    let place = Place::new();
    place.write("pipeline.toml", text);
    place.run(&["plan", "pipeline.toml"])
}

fn text_as_a_component() -> Ended {
    let place = Place::new();
    place.write("text.wasm", "this is text");
    place.run(&["stage", "inspect", "./text.wasm"])
}

fn component_of_an_old_contract() -> Ended {
    let new = guests().join("empty-training.wasm").display().to_string();
    let old = root().join("tests/components/0.1.0/empty-training.wasm").display().to_string();
    plan(&least_pipeline("empty-training").replace(&new, &old))
}

fn unsigned() -> Ended {
    let place = Place::new();
    place.write("train.wasm", "any bytes");
    place.run(&["stage", "keygen", "--output", "signing.key"]).expect(0);
    place.run(&["stage", "verify", "train.wasm", "--key", "signing.key.pub"])
}

fn changed_after_it_was_pinned() -> Ended {
    let place = Place::new();
    fs::copy(guests().join("empty-training.wasm"), place.path().join("own.wasm")).expect("a copy");
    let text = least_pipeline("empty-training");
    let original = guests().join("empty-training.wasm").display().to_string();
    let own = text.replace(&format!("{original:?}"), "\"own.wasm\"").replace("empty-training", "own");
    place.write("pipeline.toml", own);
    place.run(&["lock", "pipeline.toml"]).expect(0);
    place.write("own.wasm", "other bytes");
    place.run(&["lock", "pipeline.toml"])
}

fn cache_that_others_write() -> Ended {
    let place = Place::new();
    let cache = place.path().join("cache");
    fs::create_dir_all(cache.join("components")).expect("a folder");
    for folder in [&cache, &cache.join("components")] {
        open_to_all(folder, 0o777);
    }
    let mut command = place.command(&["stage", "inspect", "train-logistic"]);
    command.env("STAGEWRIGHT_CACHE", cache);
    Ended::of(command)
}

/// The program without the one that it starts for stages.
fn program_alone() -> Ended {
    let place = Place::new();
    let alone = place.path().join("stagewright");
    fs::copy(binary(), &alone).expect("a copy");
    let mut command = place.command_of(&alone, &place.home(), &["plan", &config("churn.toml")]);
    command.env("STAGEWRIGHT_STAGES", binary().with_file_name("stages"));
    Ended::of(command)
}
