//! Each page of `docs/errors` is provoked: the binary ends with its code, its exit code, and a
//! message of the shape that its example shows.
//!
//! A module holds the conditions of one or two ranges of codes. [`ELSEWHERE`] names the tests of
//! those that only another test can provoke.

mod components;
mod data;
mod data_versions;
mod exchange;
mod host;
mod manifest;
mod production;
mod registry;
mod serving;
mod stages;
mod usage;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use stagewright_end_to_end::{Ended, Place};

/// A code, and how the binary is brought to end with it.
type Case = (&'static str, fn() -> Ended);

/// The model of [`trained`].
const MODEL: &str = "churn-classifier";

/// Codes whose conditions other tests provoke: the file and the test.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "SW0212",
        "host/manifest/tests/manifest/parameters.rs",
        "a_schema_that_would_harm_the_host_is_the_components_fault",
    ),
    ("SW0406", "tests/end-to-end/tests/walls.rs", "a_process_of_a_stage_that_is_killed_or_stopped_is_the_stages_fault"),
    (
        "SW0407",
        "tests/end-to-end/tests/contracts.rs",
        "a_model_of_contract_0_1_0_that_is_used_says_how_to_train_it_again",
    ),
    ("SW0607", "host/runtime/tests/compiling.rs", "a_host_without_a_compiler_runs_what_another_compiled_for_its_key"),
    (
        "SW0612",
        "host/runtime/src/walls.rs",
        "what_is_required_and_cannot_be_built_is_an_error_that_names_it_and_the_fix",
    ),
    ("SW0713", "registry/store/tests/conformance/promotions.rs", "garbage_is_not_collected_where_somebody_promotes_to"),
    (
        "SW0733",
        "registry/store/tests/conformance/deployments.rs",
        "a_step_is_made_only_from_the_revision_that_was_looked_at",
    ),
    (
        "SW0738",
        "registry/store/tests/conformance/foreign.rs",
        "a_version_of_a_client_is_neither_judged_nor_deployed_nor_promoted_nor_run",
    ),
    ("SW0804", "registry/promotion/tests/refusals.rs", "a_bucket_that_may_only_be_read_is_refused"),
    ("SW0806", "registry/promotion/tests/refusals.rs", "a_store_without_conditional_writes_is_refused"),
    ("SW0808", "registry/promotion/tests/refusals.rs", "a_lost_race_and_a_taken_version_are_reported"),
    ("SW0810", "registry/promotion/tests/registry.rs", "a_version_that_nobody_judged_has_no_manifest_yet"),
    (
        "SW0812",
        "registry/promotion/tests/registry.rs",
        "a_registry_that_fails_after_the_champion_moved_is_reported_as_an_outdated_pointer",
    ),
    (
        "SW0813",
        "registry/promotion/tests/registry.rs",
        "a_promotion_that_can_neither_be_completed_nor_undone_is_reported_as_in_doubt",
    ),
    (
        "SW0814",
        "tests/end-to-end/tests/production.rs",
        "machines_that_share_a_postgresql_registry_and_artifacts_need_no_shared_folder",
    ),
    ("SW0906", "registry/promotion/tests/artifacts.rs", "a_place_that_refuses_is_detected_before_it_is_needed"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the workspace")
}

fn pages() -> BTreeSet<String> {
    let entries = fs::read_dir(root().join("docs/errors")).expect("the pages").flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter_map(|name| Some(name.strip_suffix(".md")?.to_owned())).filter(|name| name != "README").collect()
}

/// Leaves the names and figures that a message cites out of it.
fn shape(message: &str) -> String {
    let outside_of_backticks = message.split('`').enumerate();
    let text: String = outside_of_backticks.map(|(index, part)| if index % 2 == 0 { part } else { "`_`" }).collect();
    let word = |word: &str| {
        let end = word.trim_end_matches([':', ',', ';', ')']).len();
        let (word, punctuation) = word.split_at(end);
        // A figure, a path, a digest.
        if word.contains(|letter: char| letter.is_ascii_digit() || matches!(letter, '/' | '.')) && word != "..." {
            format!("_{punctuation}")
        } else {
            format!("{word}{punctuation}")
        }
    };
    text.split_whitespace().map(word).collect::<Vec<_>>().join(" ")
}

/// Whether a message has the shape of an example, in which `...` stands for any text.
fn fits(message: &str, example: &str) -> bool {
    let (message, example) = (shape(message), shape(example));
    let mut parts = example.split("...").map(str::trim);
    let Some(mut rest) = message.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    example.ends_with("...") || rest.is_empty()
}

/// The problem with how a command ended, if it is not what the page of the code says.
fn judge(code: &str, ended: &Ended) -> Result<(), String> {
    let page = fs::read_to_string(root().join("docs/errors").join(format!("{code}.md"))).expect("a page");
    let exit = page.lines().find_map(|line| line.strip_prefix("Exit code ")?.strip_suffix('.')).expect("an exit code");
    let begin = format!("error[{code}]: ");
    let example = page.lines().find_map(|line| line.strip_prefix(&begin)).expect("an example");
    let told = || format!("{code}, exit code {}:\n{}{}", ended.code, ended.stdout, ended.stderr);
    let hint = |text: &str| {
        let after = text.lines().skip_while(|line| !line.starts_with(&begin)).skip(1);
        // A message of several lines goes on with a mark.
        let mut after = after.skip_while(|line| line.starts_with("  | "));
        after.next().and_then(|line| Some(line.trim_start().strip_prefix("hint: ")?.to_owned()))
    };
    let Some(message) = ended.stderr.lines().find_map(|line| line.strip_prefix(&begin)) else {
        return Err(format!("another error than {}", told()));
    };
    if ended.code.to_string() != exit {
        return Err(format!("another exit code than {exit}: {}", told()));
    }
    if !fits(message, example) {
        return Err(format!("another message than on the page of {code}:\n  {message}\n  {example}"));
    }
    let (given, shown) = (hint(&ended.stderr), hint(&page));
    if !fits(given.as_deref().unwrap_or_default(), shown.as_deref().unwrap_or_default()) {
        return Err(format!("another hint than on the page of {code}:\n  {given:?}\n  {shown:?}"));
    }
    // With `--json`, a run that began says the same to programs.
    match serde_json::from_str::<serde_json::Value>(&ended.stdout) {
        Ok(object) if object["error"].is_object() && object["error"]["code"] != code => {
            Err(format!("another code in JSON: {}", told()))
        }
        _ => Ok(()),
    }
}

/// Provokes all errors of a module.
#[track_caller]
fn provoke(cases: &[Case]) {
    let wrong: Vec<String> = cases.iter().filter_map(|(code, provoke)| judge(code, &provoke()).err()).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Copies a folder with everything in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// A home with two versions of [`MODEL`]: the champion, and one that was rejected. It is made once
/// and copied.
fn trained() -> Place {
    static HOME: OnceLock<Place> = OnceLock::new();
    let first = HOME.get_or_init(|| {
        let place = Place::new();
        let low = ["--set", "gates.minimum.roc_auc=0.5", "--set", "gates.minimum.accuracy=0.5"];
        place.churn(1500, &[&low[..], &["--set", "training.component=train-logistic"]].concat()).expect(0);
        place.churn(1500, &["--set", "gates.minimum.roc_auc=0.999", "--set", "training.n_estimators=20"]).expect(4);
        place
    });
    let place = Place::new();
    copy(&first.home(), &place.home());
    place
}

/// Makes a file or folder one that everybody may write.
fn open_to_all(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
}

/// Flips the lowest bit of a byte of a file that nobody may write.
fn flip(path: &Path) {
    let mut bytes = fs::read(path).expect("a stored file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(path).expect("a stored file");
    fs::write(path, bytes).expect("room");
}

/// All files of a folder whose names have this ending.
fn files(folder: PathBuf, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

#[test]
fn every_page_is_provoked() {
    let modules = [
        components::CASES,
        data::CASES,
        data_versions::CASES,
        exchange::CASES,
        host::CASES,
        manifest::CASES,
        production::CASES,
        registry::CASES,
        serving::CASES,
        stages::CASES,
        usage::CASES,
    ];
    let here = modules.iter().flat_map(|cases| cases.iter().map(|(code, _)| (*code).to_owned()));
    let elsewhere = ELSEWHERE.iter().map(|(code, ..)| (*code).to_owned());
    let provoked: BTreeSet<String> = here.chain(elsewhere).collect();
    assert_eq!(provoked, pages());
    let is_missing = |(_, file, test): &&(&str, &str, &str)| {
        let source = fs::read_to_string(root().join(file)).unwrap_or_default();
        !source.contains(&format!("fn {test}("))
    };
    let missing: Vec<_> = ELSEWHERE.iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "these tests are not there: {missing:?}");
}

#[test]
fn a_shape_leaves_out_names_and_figures_alone() {
    assert!(fits("cannot write `/a/b`: No space (os error 28)", "cannot write `x`: No space (os error 1)"));
    assert!(fits("p.toml:3: unknown key `a`", "pipeline.toml:12: unknown key `sead`"));
    assert!(fits("it has a, b and c left", "it has ... left"));
    assert!(!fits("unknown key `a` in `b`", "unknown key `a`"));
    assert!(!fits("no model `a`", "no run `a`"));
}

#[test]
fn explain_prints_pages_lists_codes_and_finds_the_nearest() {
    let place = Place::new();
    for code in pages() {
        let page = fs::read_to_string(root().join("docs/errors").join(format!("{code}.md"))).expect("a page");
        assert_eq!(place.run(&["explain", &code]).expect(0).stdout, page);
    }
    let list = place.run(&["explain"]).expect(0).stdout;
    let codes: BTreeSet<String> = list.lines().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect();
    assert_eq!(codes, pages());
    let unknown = place.run(&["explain", "SW0190"]).expect(2).stderr;
    assert!(unknown.contains("did you mean `SW01"), "{unknown}");
    assert!(!place.home().exists(), "it needs no home");
}
