//! Errors of the manifest: SW02.

use std::fs;

use stagewright_end_to_end::{Ended, Place, config, graph};

use crate::{Case, provoke};

pub(crate) const CASES: &[Case] = &[
    ("SW0201", || Place::new().run(&["run", "missing.toml"])),
    ("SW0202", || plan("pipeline = \"churn\n")),
    ("SW0203", || plan(&format!("sead = 7\n{}", churn()))),
    ("SW0204", || plan(&churn().replacen("\nseed = 42\n", "\n", 1))),
    ("SW0205", || plan(&churn().replacen("\nseed = 42\n", "\nseed = \"42\"\n", 1))),
    ("SW0206", || plan(&churn().replacen("kind = \"binary\"", "kind = \"binari\"", 1))),
    ("SW0207", || set("trainin.depth=3")),
    ("SW0208", || plan(&churn().replace("component = \"train-boosted\"", "component = \"train-boosed\""))),
    ("SW0209", || plan(&graph().replace("inputs = { table = \"customers\" }", "inputs = { tabel = \"customers\" }"))),
    ("SW0210", above_a_ceiling),
    ("SW0211", || set("training.max_depht=3")),
    ("SW0213", task_of_several_classes),
    ("SW0214", output_in_the_home),
];

#[test]
fn errors_of_the_manifest() {
    provoke(CASES);
}

fn churn() -> String {
    let text = fs::read_to_string(config("churn.toml")).expect("the shipped pipeline");
    text.replace("csv:", &format!("csv:{}/", config("")))
}

/// Plans a pipeline of this text.
fn plan(text: &str) -> Ended {
    let place = Place::new();
    place.write("pipeline.toml", text);
    place.run(&["plan", "pipeline.toml"])
}

fn set(change: &str) -> Ended {
    Place::new().run(&["plan", &config("churn.toml"), "--set", change])
}

fn task_of_several_classes() -> Ended {
    let text =
        churn().replacen("kind = \"binary\"", "kind = \"multi-class\"", 1).replacen("\npositive = \"Yes\"", "", 1);
    let gates = text.find("\n[gates]").expect("gates");
    plan(&format!("{}\n[gates]\nprimary = \"roc_auc_ovr\"\n", &text[..gates]))
}

fn above_a_ceiling() -> Ended {
    let place = Place::new();
    let operator = place.write("operator.toml", "[ceilings.training]\nmemory = \"1 GiB\"\n");
    let mut command = place.command(&["plan", &config("churn.toml"), "--set", "training.limits.memory=4 GiB"]);
    command.env("STAGEWRIGHT_OPERATOR", operator);
    Ended::of(command)
}

fn output_in_the_home() -> Ended {
    let place = Place::new();
    let outputs = "\n[outputs]\n\"home/production/models/x.json\" = \"validation.report\"\n";
    place.write("pipeline.toml", format!("{}{outputs}", churn()));
    let set = ["--set", "ingestion.component=ingest-synthetic", "--set", "ingestion.rows=1500"];
    place.run(&[&["run", "pipeline.toml"][..], &set].concat())
}
