//! Decisions after training: a person's verdict, a verdict under another champion, retirement.

use serde_json::{Value, json};
use stagewright_end_to_end::Place;

const MODEL: &str = "churn-classifier";

/// Gates that models of few rows pass.
const LOW: [&str; 4] = ["--set", "gates.minimum.roc_auc=0.5", "--set", "gates.minimum.accuracy=0.5"];

/// Returns a champion and a rejected version.
fn two_versions() -> Place {
    let place = Place::new();
    place.churn(1500, &[&LOW[..], &["--set", "training.component=train-logistic"]].concat()).expect(0);
    place.churn(1500, &["--set", "gates.minimum.roc_auc=0.999"]).expect(4);
    place
}

fn shown(place: &Place, model: &str) -> Value {
    place.run(&["models", "show", model, "--json"]).expect(0).json()
}

fn champion(place: &Place) -> Value {
    place.run(&["models", "list", "--json"]).expect(0).json()[0]["champion"].clone()
}

#[test]
fn a_persons_decision_is_shown_as_such_and_ages_as_any_other() {
    let place = two_versions();
    let (first, second) = (format!("{MODEL}/1"), format!("{MODEL}/2"));
    let rejected = place.run(&["models", "promote", &second]).expect(4);
    assert!(rejected.stderr.contains("it is rejected"), "{}", rejected.stderr);

    let why = "the segment is closed in March";
    let approved = place.run(&["models", "approve", &second, "--reason", why]).expect(0).stdout;
    assert!(approved.contains("is approved by a person's decision, against version 1"), "{approved}");
    let verdicts = shown(&place, &second)["verdicts"].clone();
    assert_eq!(verdicts.as_array().map(Vec::len), Some(2), "{verdicts}");
    let told = |index: usize| {
        let verdict = &verdicts[index];
        json!([verdict["verdict"], verdict["policy"], verdict["judged_against"], verdict["override"]])
    };
    assert_eq!([told(0), told(1)], [json!(["rejected", "better", 1, false]), json!(["approved", "person", 1, true])]);
    assert_eq!(verdicts[1]["reasons"], json!([{"gate": "person", "passed": true, "message": why}]));
    assert!(verdicts[0]["reasons"].as_array().is_some_and(|reasons| !reasons.is_empty()), "{verdicts}");
    assert!(verdicts[1]["at"].as_str().is_some_and(|at| at.contains('T') && at.ends_with('Z')), "{verdicts}");
    assert!(verdicts[1]["by"].as_str().is_some_and(|by| !by.is_empty()), "{verdicts}");
    // The list of versions has the same verdicts.
    assert_eq!(shown(&place, MODEL)[1]["verdicts"], verdicts);
    for (command, expected) in
        [("show", "a person's decision"), ("history", "version.judged-by-person"), ("card", "a person's decision")]
    {
        let text = place.run(&["models", command, &second]).expect(0).stdout;
        assert!(text.contains(expected) && text.contains("March"), "{command}: {text}");
    }

    place.run(&["models", "promote", &second]).expect(0);
    assert_eq!(champion(&place), 2);
    // The first version was approved while there was no champion.
    let stale = place.run(&["models", "promote", &first]).expect(4).stderr;
    assert!(stale.contains("was approved against no champion, and version 2 is champion now"), "{stale}");
    assert!(stale.contains(&format!("hint: `stagewright gate {first} --promote` judges it again")), "{stale}");
    place.run(&["models", "approve", &first, "--reason", "we know it"]).expect(0);
    place.run(&["models", "promote", &first]).expect(0);
    assert_eq!(champion(&place), 1);
}

#[test]
fn a_decision_that_means_nothing_is_refused() {
    let place = two_versions();
    let reason = ["--reason", "because"];
    for (model, expected) in [
        (format!("{MODEL}/1"), "version 1 of `churn-classifier` is the champion already"),
        (format!("{MODEL}@champion"), "version 1 of `churn-classifier` is the champion already"),
        (format!("{MODEL}/9"), "has no version 9"),
        ("nothing/1".to_owned(), "no model `nothing`"),
        (MODEL.to_owned(), "which version?"),
    ] {
        let refused = place.run(&[&["models", "approve", &model][..], &reason].concat()).expect(2).stderr;
        assert!(refused.contains(expected), "{model}: {refused}");
    }
    let second = format!("{MODEL}@latest");
    let unreasoned = place.run(&["models", "reject", &second, "--reason", " "]).expect(2).stderr;
    assert!(unreasoned.contains("a decision needs a reason"), "{unreasoned}");
    let missing = place.run(&["models", "reject", &second]).expect(2).stderr;
    assert!(missing.contains("--reason"), "{missing}");
    let champion = place.run(&[&["models", "reject", &format!("{MODEL}/1")][..], &reason].concat()).expect(2).stderr;
    assert!(champion.contains("is the champion and cannot be judged"), "{champion}");
    assert_eq!(shown(&place, &second)["verdicts"].as_array().map(Vec::len), Some(1), "nothing was recorded");
}

#[test]
fn a_model_that_had_a_champion_retires_and_is_deleted() {
    let place = two_versions();
    let pointer = place.home().join("production/models").join(MODEL).join("champion.json");
    assert!(pointer.exists());
    let refused = place.run(&["models", "delete", MODEL]).expect(2).stderr;
    assert!(refused.contains(&format!("stagewright models retire {MODEL}")), "{refused}");
    let retired = place.run(&["models", "retire", MODEL, "--reason", "the product ends", "--json"]).expect(0).json();
    assert_eq!(retired, json!({"model": MODEL, "retired": 1, "destinations": ["home:production"]}));
    assert!(!pointer.exists());
    assert!(champion(&place).is_null());
    let again = place.run(&["models", "retire", MODEL]).expect(2).stderr;
    assert!(again.contains("has no champion"), "{again}");
    let history = place.run(&["models", "history", MODEL]).expect(0).stdout;
    assert!(history.contains("model.retired") && history.contains("the product ends"), "{history}");
    // A rollback restores it.
    place.run(&["models", "rollback", MODEL]).expect(0);
    assert!(pointer.exists());
    assert_eq!(champion(&place), 1);
    place.run(&["models", "retire", MODEL]).expect(0);
    place.run(&["models", "delete", MODEL]).expect(0);
    place.run(&["audit", "verify"]).expect(0);
}
