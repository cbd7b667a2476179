//! Signatures of components, checked wherever one is about to run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use stagewright_end_to_end::{Ended, Place, binary};

use crate::{WORLDS, alone, cache, change, compiled, pipeline, says, stage};

// invariant: as `the_first_run_pins_files_and_a_changed_one_is_refused_until_it_is_accepted`
#[test]
fn a_pipeline_that_requires_signatures_runs_only_what_a_trusted_key_signed() {
    let place = Place::new();
    let own = place.path().join("own.key").display().to_string();
    let strange = place.path().join("strange.key").display().to_string();
    let public = place.run(&["stage", "keygen", "--output", &own]).expect(0).stdout.trim().to_owned();
    place.run(&["stage", "keygen", "--output", &strange]).expect(0);
    let mode = fs::metadata(&own).expect("the key").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    place.run(&["stage", "keygen", "--output", &own]).expect(2);
    let manifest = pipeline(&place, "[trust]\nrequire-signature = true\ntrusted-keys = [\"own.key.pub\"]\n");

    let unsigned = alone(&place, &["plan", &manifest]).expect(2);
    says(&unsigned.stderr, &["is refused: it is not signed", ".wasm.sig", "stagewright stage sign"]);
    assert_eq!(compiled(&place), Vec::<PathBuf>::new(), "nothing was compiled");

    let files: Vec<String> = WORLDS.iter().map(|world| stage(&place, world).display().to_string()).collect();
    let sign = |key: &str| {
        let files = files.iter().map(String::as_str);
        place.run(&["stage", "sign", "--key", key].into_iter().chain(files).collect::<Vec<_>>()).expect(0)
    };
    sign(&strange);
    let untrusted = alone(&place, &["plan", &manifest]).expect(2);
    says(&untrusted.stderr, &["none of them is trusted", "ed25519:", "`trusted-keys` under [trust]"]);
    sign(&own);
    place.run(&["plan", &manifest]).expect(0);
    for key in [public.as_str(), &format!("{own}.pub")] {
        says(&place.run(&["stage", "verify", &files[0], "--key", key]).expect(0).stdout, &["signed by", &public]);
    }

    change(&stage(&place, "training"));
    let other = place.run(&["plan", &manifest]).expect(2);
    says(&other.stderr, &["`empty-training`", "the signature is for other bytes"]);
    says(
        &place.run(&["stage", "inspect", &files[3]]).expect(0).stdout,
        &["signature  BAD: the signature is for other bytes"],
    );
    place.run(&["stage", "verify", &files[3], "--key", &public]).expect(2);
    sign(&own);
    place.run(&["plan", &manifest]).expect(0);
    says(&place.run(&["stage", "inspect", &files[3]]).expect(0).stdout, &[&format!("signature  sound, by {public}")]);
}

#[test]
fn what_the_operator_wants_signed_no_manifest_and_no_environment_loosens() {
    let place = Place::new();
    let key = |name: &str| {
        let file = place.path().join(name).display().to_string();
        let public = place.run(&["stage", "keygen", "--output", &file]).expect(0).stdout.trim().to_owned();
        (file, public)
    };
    let ((operators, _), (own, own_public)) = (key("operators.key"), key("own.key"));
    let operator =
        place.write("operator.toml", "[trust]\nrequire-signature = true\ntrusted-keys = [\"operators.key.pub\"]\n");
    let under = |arguments: &[&str], more: &[(&str, &Path)]| {
        let mut command = place.command(arguments);
        command.env("STAGEWRIGHT_OPERATOR", &operator).env("STAGEWRIGHT_CACHE", cache(&place));
        command.envs(more.iter().copied());
        Ended::of(command)
    };
    // The manifest trusts its own key or requires no signature. Neither loosens the operator's
    // policy.
    let manifest = pipeline(&place, &format!("[trust]\ntrusted-keys = [\"{own_public}\"]\n"));
    let files: Vec<String> = WORLDS.iter().map(|world| stage(&place, world).display().to_string()).collect();
    let sign = |key: &str, files: &[String]| {
        let files = files.iter().map(String::as_str);
        place.run(&["stage", "sign", "--key", key].into_iter().chain(files).collect::<Vec<_>>()).expect(0);
    };
    says(&under(&["plan", &manifest], &[]).expect(2).stderr, &["is refused: it is not signed"]);
    sign(&own, &files);
    let refused = under(&["plan", &manifest], &[]).expect(2).stderr;
    says(&refused, &["none of them is trusted", &format!("[trust] in {}", operator.display())]);
    says(&under(&["stage", "inspect", &files[0]], &[]).expect(0).stdout, &["not run: component `empty-ingestion`"]);
    let precompile = ["stage", "precompile", &files[0], "--output", "compiled"];
    says(&under(&precompile, &[]).expect(2).stderr, &["none of them is trusted"]);
    assert_eq!(compiled(&place), Vec::<PathBuf>::new(), "nothing was compiled");
    sign(&operators, &files);
    under(&["run", &manifest, "--json"], &[]).expect(0);

    // A manifest may require more.
    let stricter = place.write(
        "stricter.toml",
        fs::read_to_string(&manifest).expect("the manifest").replace("[trust]", "[trust]\nrequire-signature = true"),
    );
    let stricter = stricter.display().to_string();
    under(&["plan", &stricter], &[]).expect(0);
    fs::remove_file(format!("{}.sig", files[0])).expect("the signatures");
    sign(&operators, &files[..1]);
    under(&["plan", &manifest], &[]).expect(0);
    says(
        &under(&["plan", &stricter], &[]).expect(2).stderr,
        &["none of them is trusted", "[trust] in", "stricter.toml"],
    );

    // Built-in stages of the installation need no signature. Replacements from the environment do.
    let elsewhere = binary().with_file_name("stages");
    under(&["stage", "inspect", "promote-gated"], &[]).expect(0);
    let shown = under(&["stage", "inspect", "promote-gated"], &[("STAGEWRIGHT_STAGES", &elsewhere)]).expect(0).stdout;
    says(&shown, &["not run: component `promote-gated`", "is refused: it is not signed"]);
}

#[test]
fn what_the_operator_wants_signed_holds_for_registered_models_too() {
    let place = Place::new();
    let key = place.path().join("operators.key").display().to_string();
    place.run(&["stage", "keygen", "--output", &key]).expect(0);
    let operator =
        place.write("operator.toml", "[trust]\nrequire-signature = true\ntrusted-keys = [\"operators.key.pub\"]\n");
    let under = |home: &Path, arguments: &[&str]| {
        let mut command = place.command_in(home, arguments);
        command.env("STAGEWRIGHT_OPERATOR", &operator);
        Ended::of(command)
    };
    // Where no signature is required, a model may consist of unsigned components.
    let manifest = pipeline(&place, "");
    place.run(&["run", &manifest, "--json"]).expect(0);
    place.run(&["artifacts", "export", "ingestion.table", "--output", "rows.csv"]).expect(0);
    place.run(&["predict", "empty/1", "--input", "rows.csv"]).expect(0);
    let exported = place.path().join("exported").display().to_string();
    place.run(&["models", "export", "empty/1", "--destination", &exported]).expect(0);
    let (home, other) = (place.home(), place.path().join("other"));
    let (predict, promote) = (["predict", "empty/1", "--input", "rows.csv"], ["models", "promote", "empty/1"]);
    let import = ["models", "import", "empty/1", "--destination", &exported];
    for (home, command) in [(&home, &predict[..]), (&home, &promote), (&other, &import)] {
        let refused = under(home, command).expect(2).stderr;
        says(
            &refused,
            &["component `empty-t", "of the model (sha256:", "no signature of it is kept", "hint: have it signed"],
        );
    }
    assert_eq!(
        under(&other, &["models", "list", "--json"]).expect(0).json(),
        serde_json::json!([]),
        "nothing was registered"
    );

    // Signed by a key that the operator does not trust, then by one that they do. The signature is
    // kept when a pipeline admits the components.
    let strange = place.path().join("strange.key").display().to_string();
    place.run(&["stage", "keygen", "--output", &strange]).expect(0);
    let files: Vec<String> = WORLDS.iter().map(|world| stage(&place, world).display().to_string()).collect();
    let sign = |key: &str| {
        let files = files.iter().map(String::as_str);
        place.run(&["stage", "sign", "--key", key].into_iter().chain(files).collect::<Vec<_>>()).expect(0);
    };
    sign(&strange);
    place.run(&["plan", &manifest]).expect(0);
    says(&under(&home, &predict).expect(2).stderr, &["none of them is trusted", "`trusted-keys` under [trust]"]);
    sign(&key);
    under(&home, &["plan", &manifest]).expect(0);
    under(&home, &predict).expect(0);
    under(&home, &promote).expect(0);

    // Signatures that come with an imported model.
    let signature = |world: usize| format!("{}.sig", files[world]);
    let with = |first: &str, second: &str| {
        under(&other, &[&import[..], &["--signatures", first, "--signatures", second]].concat())
    };
    says(&with(&signature(0), &signature(3)).expect(2).stderr, &["which the model does not have"]);
    with(&signature(2), &signature(3)).expect(0);
    under(&other, &predict).expect(0);
    // A kept signature is verified again.
    for entry in fs::read_dir(other.join("signatures")).expect("the signatures").flatten() {
        let text = fs::read_to_string(entry.path()).expect("signatures");
        fs::write(entry.path(), text.replace("ed25519:", "ed25519:0")).expect("written");
    }
    says(&under(&other, &predict).expect(2).stderr, &["is refused"]);
}
