//! Verdicts: with which champion a candidate was compared, on which rows, and with which
//! consequence.

use std::process::{Child, Stdio};

use serde_json::Value;
use stagewright_end_to_end::{Ended, Place, config, digests};

const MODEL: &str = "churn-classifier";

/// Gates that models of few rows pass.
const LOW: [&str; 4] = ["--set", "gates.minimum.roc_auc=0.5", "--set", "gates.minimum.accuracy=0.5"];
/// A model that is worse than a logistic regression by every metric.
const WORSE: [&str; 4] = ["--set", "training.component=train-forest", "--set", "training.n_estimators=1"];
const BETTER: [&str; 2] = ["--set", "training.component=train-logistic"];

fn churn(place: &Place, more: &[&[&str]]) -> Ended {
    place.churn(1500, &[&LOW[..], &more.concat()].concat())
}

fn json(place: &Place, arguments: &[&str]) -> Value {
    place.run(&[arguments, &["--json"]].concat()).expect(0).json()
}

fn champion(place: &Place) -> Option<u64> {
    let models = json(place, &["models", "list"]);
    models.as_array()?.iter().find(|model| model["name"] == MODEL)?["champion"].as_u64()
}

fn verdicts(place: &Place, version: u32) -> Vec<Value> {
    let shown = json(place, &["models", "show", &format!("{MODEL}/{version}")]);
    shown["verdicts"].as_array().expect("verdicts").clone()
}

// invariant: No candidate is promoted on a verdict that was reached against another champion.
#[test]
fn an_evaluation_of_before_promotes_nothing_past_the_champion_that_came_since() {
    let place = Place::new();
    let worse = churn(&place, &[&WORSE, &["--until", "evaluation"]]).expect(0).json();
    assert_eq!(worse["model"]["version"], 1, "registered when trained");
    assert!(worse["decision"].is_null());
    let run = worse["run_id"].as_str().expect("a run").to_owned();

    let better = churn(&place, &[&BETTER]).expect(0).json();
    assert_eq!(better["decision"]["judged_against"], Value::Null);
    assert_eq!(champion(&place), Some(2));

    // The evaluation was made while there was no champion, so it is made again.
    let late = place.run(&["stage", "run", "promotion", "--run", &run, "--json"]).expect(4).json();
    assert_eq!(late["decision"]["verdict"], "rejected");
    assert_eq!(late["decision"]["judged_against"], 2);
    assert_eq!(late["model"]["version"], 1);
    assert_eq!(champion(&place), Some(2));
    let refused = place.run(&["models", "promote", &format!("{MODEL}/1")]).expect(4);
    assert!(refused.stderr.contains("rejected"), "{}", refused.stderr);
    assert_eq!(champion(&place), Some(2));
}

// invariant: as `an_evaluation_of_before_promotes_nothing_past_the_champion_that_came_since`
#[test]
fn a_verdict_is_good_for_one_champion() {
    let place = Place::new();
    churn(&place, &[&WORSE]).expect(0);
    churn(&place, &[&BETTER]).expect(0);
    assert_eq!(champion(&place), Some(2));

    // A rollback needs no verdict. Becoming champion again does.
    place.run(&["models", "rollback", MODEL, "--reason", "complaints"]).expect(0);
    assert_eq!(champion(&place), Some(1));
    let withdrawn = format!("{MODEL}/2");
    let stale = place.run(&["models", "promote", &withdrawn, "--reason", "sorted out"]).expect(4);
    assert!(stale.stderr.contains(&format!("stagewright gate {withdrawn} --promote")), "{}", stale.stderr);
    place.run(&["gate", &withdrawn, "--promote"]).expect(0);
    assert_eq!(champion(&place), Some(2));

    // The first version was approved while there was no champion.
    let stale = place.run(&["models", "promote", &format!("{MODEL}/1")]).expect(4);
    let command = format!("stagewright gate {MODEL}/1 --promote");
    assert!(stale.stderr.contains(&command), "{}", stale.stderr);
    assert_eq!(champion(&place), Some(2));

    // The command that the hint names judges the version against the current champion.
    let judged = place.run(&["gate", &format!("{MODEL}/1"), "--promote", "--json"]).expect(4).json();
    assert_eq!((&judged["judged_against"], &judged["policy"]), (&2.into(), &"better".into()));
    assert_eq!(champion(&place), Some(2));
    let kept = verdicts(&place, 1);
    let words: Vec<&str> = kept.iter().filter_map(|verdict| verdict["verdict"].as_str()).collect();
    assert_eq!(words, ["approved", "rejected"], "a later verdict supersedes, and erases nothing");
    assert_eq!(kept[0]["judged_against"], Value::Null);
    assert_eq!(kept[1]["judged_against"], 2);
}

#[test]
fn a_policy_says_what_is_asked_of_a_candidate() {
    let place = Place::new();
    churn(&place, &[&BETTER]).expect(0);
    // Worse than the champion, but good enough by the absolute gates.
    let rejected = churn(&place, &[&WORSE]).expect(4).json();
    assert_eq!(rejected["decision"]["policy"], "better");
    let difference = &rejected["decision"]["difference"];
    let bound = |name: &str| difference[name].as_f64().expect("a figure");
    assert!(bound("low") < bound("value") && bound("value") < bound("high"), "{difference}");

    let version = format!("{MODEL}/2");
    let gate = |more: &[&str], code| place.run(&[&["gate", &version, "--json"], more].concat()).expect(code).json();
    gate(&["--policy", "no-worse", "--margin", "0.0001"], 4);
    let lenient = gate(&["--policy", "no-worse", "--margin", "0.5"], 0);
    assert_eq!(lenient["judged_against"], 1);
    gate(&["--policy", "no-worse", "--margin", "0.5", "--confidence", "0.99"], 0);
    assert_eq!(champion(&place), Some(1), "nothing was recorded");
    let promoted = gate(&["--policy", "absolute", "--min-auc", "0.5", "--promote"], 0);
    assert_eq!((&promoted["policy"], &promoted["judged_against"]), (&"absolute".into(), &1.into()));
    assert_eq!(champion(&place), Some(2));
}

#[test]
fn what_a_person_decides_is_shown_as_such() {
    let place = Place::new();
    churn(&place, &[&BETTER]).expect(0);
    churn(&place, &[&WORSE]).expect(4);
    let version = format!("{MODEL}/2");
    place.run(&["models", "promote", &version]).expect(4);
    place.run(&["models", "approve", &version]).expect(2);
    place.run(&["models", "approve", &version, "--reason", "an audit asks for it"]).expect(0);
    place.run(&["models", "promote", &version]).expect(0);
    assert_eq!(champion(&place), Some(2));
    let kept = verdicts(&place, 2);
    let last = kept.last().expect("verdicts");
    assert_eq!((&last["verdict"], &last["override"]), (&"approved".into(), &true.into()));
    assert_eq!(last["judged_against"], 1);
    let card = place.path().join("card.html");
    place.run(&["models", "card", &version, "--output", &card.display().to_string()]).expect(0);
    let card = std::fs::read_to_string(card).expect("a card");
    assert!(card.contains("an audit asks for it"));
}

// invariant: as `a_candidate_is_registered_when_trained_or_when_passed`
#[test]
fn the_same_model_again_is_no_new_version_and_a_champion_is_not_judged_against_itself() {
    let place = Place::new();
    churn(&place, &[&BETTER]).expect(0);
    let again = churn(&place, &[&BETTER]).expect(0).json();
    assert_eq!((&again["model"]["version"], &again["model"]["is_new"]), (&1.into(), &false.into()));
    assert_eq!(again["is_champion_already"], true);
    assert!(again["decision"].is_null());
    assert_eq!(verdicts(&place, 1).len(), 1);
    let told = place.run(&[
        "run",
        &config("churn.toml"),
        "--set",
        "ingestion.component=ingest-synthetic",
        "--set",
        "ingestion.rows=1500",
        "--set",
        "training.component=train-logistic",
    ]);
    let told = told.expect(0).stdout;
    assert!(told.contains("the champion already"), "{told}");
    // The champion may be approved again. No verdict can reject it.
    let version = format!("{MODEL}/1");
    let confirmed = json(&place, &["gate", &version, "--policy", "better", "--record"]);
    assert_eq!((&confirmed["passed"], &confirmed["recorded"]), (&true.into(), &false.into()));
    let refused = place.run(&["gate", &version, "--min-auc", "0.9999", "--record"]).expect(2);
    assert!(refused.stderr.contains("is the champion"), "{}", refused.stderr);
    assert_eq!(verdicts(&place, 1).len(), 1);
}

// invariant: A candidate is registered after its training. Training the same model again makes no
// new version.
#[test]
fn a_candidate_is_registered_when_trained_or_when_passed() {
    let place = Place::new();
    let trained = churn(&place, &[&BETTER, &["--until", "training"]]).expect(0).json();
    assert_eq!(trained["model"]["version"], 1);
    assert!(verdicts(&place, 1).is_empty());
    // Without a name, the newest candidate is judged.
    let judged = json(&place, &["gate", "--promote"]);
    assert_eq!((&judged["version"], &judged["promoted"]), (&1.into(), &true.into()));
    assert_eq!(champion(&place), Some(1));

    let only_passed = ["--set", "gates.register=passed"];
    let rejected = churn(&place, &[&WORSE, &only_passed]).expect(4).json();
    assert!(rejected["model"].is_null());
    assert_eq!(json(&place, &["models", "show", MODEL]).as_array().map(Vec::len), Some(1));
    let passed = churn(&place, &[&WORSE, &only_passed, &["--set", "gates.policy=absolute"]]).expect(0).json();
    assert_eq!((&passed["model"]["version"], &passed["model"]["is_new"]), (&2.into(), &true.into()));
}

// invariant: Running the six stages one after the other gives the same result as one run.
#[test]
fn six_stages_one_after_the_other_make_what_one_run_makes() {
    let (whole, parts) = (Place::new(), Place::new());
    let changes = [
        &["--set", "ingestion.component=ingest-synthetic", "--set", "ingestion.rows=1500"],
        &LOW[..],
        &WORSE,
        &["--register-name", "mine", "--seed", "7"],
    ]
    .concat();
    let manifest = config("churn.toml");
    let run = whole.run(&[&["run", &manifest, "--json"], &changes[..]].concat()).expect(0).json();
    let first = [&["stage", "run", "ingestion", "--file", &manifest, "--json"], &changes[..]].concat();
    let mut made = digests(&parts.run(&first).expect(0).json());
    let stages = ["validation", "transformation", "training", "evaluation", "promotion"];
    let mut last = Value::Null;
    for stage in stages {
        last = parts.run(&["stage", "run", stage, "--json"]).expect(0).json();
        made.extend(digests(&last));
    }
    // Reports and decisions name runs and versions. The artifacts of models are equal.
    let of = |digests: Vec<(String, String)>| -> Vec<(String, String)> {
        digests.into_iter().filter(|(name, _)| !name.ends_with(".report")).collect()
    };
    assert_eq!(of(made), of(digests(&run)));
    assert_eq!(last["model"]["name"], "mine");
    assert_eq!(last["model"]["aliases"], serde_json::json!(["champion"]));

    // A model cannot combine one component's training with another component's code.
    let mixed = parts.run(&["stage", "run", "promotion", "--set", "training.component=train-boosted"]).expect(2);
    assert!(mixed.stderr.contains("stage run training"), "{}", mixed.stderr);
}

#[test]
fn data_that_failed_validation_end_the_validation_with_3() {
    let place = Place::new();
    let strict = ["--set", "validation.min_rows=100000"];
    let failed = churn(&place, &[&strict, &["--until", "validation"]]).expect(3).json();
    let stages: Vec<&str> =
        failed["stages"].as_array().expect("stages").iter().filter_map(|stage| stage["name"].as_str()).collect();
    assert_eq!(stages, ["ingestion", "validation"], "the report is kept");
    place.run(&["stage", "run", "validation"]).expect(3);
    place.run(&["artifacts", "export", "validation.report", "--output", "report.html"]).expect(0);
}

// invariant: as `an_evaluation_of_before_promotes_nothing_past_the_champion_that_came_since`
#[test]
fn first_runs_at_once_leave_one_champion_and_none_fails() {
    let place = Place::new();
    let (component, rows) = ("ingestion.component=ingest-synthetic", "ingestion.rows=1500");
    let manifest = config("churn.toml");
    let start = |seed: usize| -> Child {
        let seed = seed.to_string();
        let fixed = ["run", &manifest, "--json", "--workers", "1", "--set", component, "--set", rows, "--seed", &seed];
        let mut command = place.command(&[&fixed[..], &LOW, &BETTER].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts")
    };
    // Four runs with different models and two with the same one.
    let running: Vec<Child> = [1, 2, 3, 4, 5, 5].into_iter().map(start).collect();
    let mut codes = Vec::new();
    for child in running {
        let ended = child.wait_with_output().expect("it ends");
        let code = ended.status.code().expect("an exit code");
        let text = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(code == 0 || code == 4, "{code}: {text}");
        codes.push(code);
    }
    assert!(codes.contains(&0));
    let champion = u32::try_from(champion(&place).expect("a champion")).expect("a number");
    // The champion was judged against the one before it, or against none.
    let last = verdicts(&place, champion).pop().expect("a verdict");
    assert_eq!(last["verdict"], "approved");
    place.run(&["audit", "verify"]).expect(0);
}

// invariant: No champion is compared on rows that it was trained on.
#[test]
fn a_champion_that_learnt_from_the_test_rows_is_compared_on_the_others() {
    let place = Place::new();
    let seed = |seed: &'static str| ["--set", seed];
    churn(&place, &[&BETTER, &seed("split.seed=1")]).expect(0);
    let run = churn(&place, &[&BETTER, &["--set", "training.c=0.01"], &seed("split.seed=2")]);
    assert!(run.code == 0 || run.code == 4, "{}", run.stderr);
    let run = run.json();
    let rows = |name: &str| run["evaluation"][name].as_u64().expect("a count");
    assert_eq!(rows("candidate_overlap_rows"), 0);
    // The champion learnt from four fifths of the rows, and so from about four fifths of the test
    // rows.
    assert!(rows("champion_overlap_rows") > rows("test_rows") / 2, "{}", run["evaluation"]);
    assert_eq!(rows("compared_rows") + rows("champion_overlap_rows"), rows("test_rows"));
    let message = churn(&place, &[&WORSE, &seed("split.seed=3"), &["--set", "gates.champion-overlap=error"]]);
    assert!(message.expect(3).stderr.contains("champion-overlap"));

    // Another seed of the run leaves the test rows unchanged.
    let same = churn(&place, &[&WORSE, &seed("split.seed=1"), &["--seed", "9"]]).expect(4).json();
    let stays = champion(&place) == Some(1);
    let overlap = same["evaluation"]["champion_overlap_rows"].as_u64().expect("a count");
    assert_eq!(overlap == 0, stays, "{same}");
}

// invariant: as `a_champion_that_learnt_from_the_test_rows_is_compared_on_the_others`
#[test]
fn too_few_rows_that_nobody_learnt_from_decide_nothing() {
    let place = Place::new();
    churn(&place, &[&BETTER, &["--set", "split.seed=1"]]).expect(0);
    let more = ["--set", "split.seed=2", "--set", "gates.overlap-rows-per-class=1000"];
    let undecided = churn(&place, &[&BETTER, &["--set", "training.c=0.5"], &more]).expect(4).json();
    assert_eq!(undecided["decision"]["verdict"], "undecided");
    assert_eq!(champion(&place), Some(1));
    place.run(&["models", "promote", &format!("{MODEL}/2")]).expect(4);
}

#[test]
fn a_single_promotion_evaluates_again_where_the_model_or_the_gates_are_others() {
    let place = Place::new();
    churn(&place, &[&BETTER, &["--register-name", "other"]]).expect(0);
    churn(&place, &[&BETTER]).expect(0);
    let run = churn(&place, &[&WORSE, &["--until", "evaluation"]]).expect(0).json();
    let run = run["run_id"].as_str().expect("a run").to_owned();
    let alone = |more: &[&str], code| {
        let arguments = [&["stage", "run", "promotion", "--run", &run, "--json"], more].concat();
        place.run(&arguments).expect(code).json()
    };
    let stages = |run: &Value| run["stages"].as_array().map(Vec::len);
    let unchanged = alone(&[], 4);
    assert_eq!(stages(&unchanged), Some(1), "nothing has changed since the evaluation");
    let other = alone(&["--register-name", "other"], 4);
    assert_eq!(stages(&other), Some(2), "the champion of another model is another one");
    assert_eq!(other["model"]["name"], "other");
    let gates = alone(&["--set", "gates.primary=accuracy"], 4);
    assert_eq!(gates["decision"]["difference"]["metric"], "accuracy");
}

#[test]
fn a_champion_is_itself_also_where_only_what_passes_gets_a_number() {
    let place = Place::new();
    let only_passed = ["--set", "gates.register=passed"];
    churn(&place, &[&BETTER, &only_passed]).expect(0);
    let again = churn(&place, &[&BETTER, &only_passed]).expect(0).json();
    assert_eq!(again["is_champion_already"], true);
    assert_eq!(verdicts(&place, 1).len(), 1);
}

#[test]
fn a_model_that_was_deleted_can_be_trained_again() {
    let place = Place::new();
    churn(&place, &[&BETTER]).expect(0);
    place.run(&["models", "retire", MODEL, "--reason", "moved"]).expect(0);
    place.run(&["models", "delete", MODEL]).expect(0);
    let again = churn(&place, &[&BETTER]).expect(0).json();
    // The production location still has the first version's bytes under that number.
    assert_eq!((&again["model"]["version"], &again["decision"]["verdict"]), (&2.into(), &"approved".into()));
}

#[test]
fn a_stage_that_is_run_alone_may_have_another_component_than_it_had() {
    let place = Place::new();
    churn(&place, &[&WORSE, &["--until", "transformation"]]).expect(0);
    let run = place.run(&[&["stage", "run", "training", "--json"], &BETTER[..]].concat()).expect(0).json();
    assert_eq!(run["stages"][0]["component"], "train-logistic");
    let version = format!("{MODEL}/1");
    let shown = json(&place, &["models", "show", &version]);
    let limits = shown["contents"]["limits"].as_array().expect("limits").clone();
    let stages: Vec<&str> = limits.iter().filter_map(|limits| limits["stage"].as_str()).collect();
    assert_eq!(stages, ["ingestion", "validation", "transformation", "training"]);
}
