//! `[gates]`: policies, champions that cannot be compared, and metrics under all their names.

use stagewright_manifest::{ChampionOverlap, GatesSection, Overrides, Policy, RegisterPolicy};

use crate::{WHOLE, changed, parse, said};

/// Returns the gates of the whole example with lines added to the section.
fn gates(lines: &str) -> GatesSection {
    changed("[gates]\n", &format!("[gates]\n{lines}\n")).unwrap_or_else(|error| panic!("{}", error.render())).gates
}

#[test]
fn a_policy_is_better_unless_the_file_says_otherwise() {
    assert_eq!(gates("").policy, Policy::Better);
    for (name, policy) in Policy::ALL {
        assert_eq!(gates(&format!("policy = \"{name}\"")).policy, policy);
    }
    let set = Overrides { set: vec!["gates.policy=absolute".to_owned()], ..Overrides::default() };
    assert_eq!(parse(WHOLE, &set).unwrap().gates.policy, Policy::Absolute);
    let text = said("[gates]\n", "[gates]\npolicy = \"no-worst\"\n");
    assert!(text.contains("`no-worst` is not a value of `gates.policy`") && text.contains("`no-worse`"), "{text}");
}

#[test]
fn a_confidence_is_at_least_one_half_and_below_one() {
    assert_eq!(gates("").confidence, None);
    assert_eq!(gates("confidence = 0.95").confidence, Some(0.95));
    assert_eq!(gates("confidence = 0.5").confidence, Some(0.5));
    for wrong in ["0.49", "1", "95", "-0.95"] {
        let text = said("[gates]\n", &format!("[gates]\nconfidence = {wrong}\n"));
        assert!(text.contains("`gates.confidence` is out of range") && text.contains("such as 0.95"), "{text}");
    }
    assert!(said("[gates]\n", "[gates]\nconfidence = nan\n").contains("must be finite"));
}

#[test]
fn a_margin_is_not_negative() {
    let set = |value: &str| Overrides { set: vec![format!("gates.margin={value}")], ..Overrides::default() };
    assert_eq!(parse(WHOLE, &set("0")).unwrap().gates.margin, 0.0);
    let text = parse(WHOLE, &set("-0.001")).unwrap_err().render();
    assert!(text.contains("`gates.margin` is out of range: `-0.001`"), "{text}");
}

#[test]
fn overlap_with_the_champion_is_excluded_or_an_error() {
    let silent = gates("");
    assert_eq!((silent.champion_overlap, silent.overlap_rows_per_class), (ChampionOverlap::Exclude, 10));
    let told = gates("champion-overlap = \"error\"\noverlap-rows-per-class = 50");
    assert_eq!((told.champion_overlap, told.overlap_rows_per_class), (ChampionOverlap::Error, 50));
    let text = said("[gates]\n", "[gates]\noverlap-rows-per-class = 0\n");
    assert!(text.contains("`gates.overlap-rows-per-class` is out of range: `0`"), "{text}");
}

#[test]
fn a_key_of_earlier_versions_is_refused_with_its_replacement() {
    assert_eq!(gates("").register, RegisterPolicy::Always);
    assert_eq!(gates("register = \"passed\"").register, RegisterPolicy::Passed);
    for (before, now) in [("true", "always"), ("false", "passed")] {
        let error = changed("[gates]\n", &format!("[gates]\nregister-rejected = {before}\n")).unwrap_err();
        let text = error.render();
        assert!(text.contains("`gates.register-rejected` is called `register` now"), "{text}");
        assert!(text.contains(&format!("write `register = \"{now}\"`")), "{text}");
        assert_eq!((error.total(), error.problems()[0].line().is_some()), (1, true));
    }
}

#[test]
fn a_metric_may_go_by_any_of_its_names() {
    for name in ["auc", "auc_roc", "roc_auc", "AUC"] {
        let manifest = changed("minimum = { roc_auc = 0.82", &format!("minimum = {{ {name} = 0.82")).unwrap();
        assert_eq!(manifest.gates.minimum["roc_auc"], 0.82, "{name}");
    }
    let manifest = changed("primary = \"roc_auc\"", "primary = \"auc\"").unwrap();
    assert_eq!(manifest.gates.primary, "roc_auc");
    let manifest = changed("maximum = { log_loss = 0.6 }", "maximum = { logloss = 0.6, acc = 0.99 }").unwrap();
    assert_eq!(manifest.gates.maximum, [("accuracy".to_owned(), 0.99), ("log_loss".to_owned(), 0.6)].into());
    // The same bounds hold under every name of a metric.
    assert!(said("maximum = { log_loss = 0.6 }", "maximum = { auc = 0.5 }").contains("lies below the minimum"));
    assert!(said("maximum = { log_loss = 0.6 }", "maximum = { auc = 1.5 }").contains("out of range"));
    let text = said("primary = \"roc_auc\"", "primary = \"logloss\"");
    assert!(text.contains("needs a metric where more is better, not `log_loss`"), "{text}");
}

#[test]
fn one_metric_under_two_names_is_an_error() {
    let text = said("minimum = { roc_auc = 0.82", "minimum = { roc_auc = 0.82, auc = 0.9");
    assert!(text.contains("`gates.minimum.auc` names a metric that is there already"), "{text}");
    assert!(text.contains("the host calls it `roc_auc`"), "{text}");
}

#[test]
fn an_argument_replaces_the_files_threshold_under_any_name() {
    for name in ["auc", "roc_auc", "auc_roc"] {
        let set = Overrides { set: vec![format!("gates.minimum.{name}=0.9")], ..Overrides::default() };
        let gates = parse(WHOLE, &set).unwrap_or_else(|error| panic!("{}", error.render())).gates;
        assert_eq!(gates.minimum, [("accuracy".to_owned(), 0.78), ("roc_auc".to_owned(), 0.9)].into(), "{name}");
    }
}

#[test]
fn a_metric_of_another_task_suggests_the_one_of_this_task() {
    let multi = WHOLE.replace("positive = \"Yes\"\n", "").replace("kind = \"binary\"", "kind = \"multi-class\"");
    let text = parse(&multi, &Overrides::default()).unwrap_err().render();
    assert!(text.contains("`roc_auc` is not a metric of this task"), "{text}");
    assert!(text.contains("did you mean `roc_auc_ovr`?"), "{text}");
}
