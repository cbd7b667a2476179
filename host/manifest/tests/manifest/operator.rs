//! The bounds that the operator's file sets for manifests.

use std::time::Duration;

use stagewright_manifest::{
    HookTarget, InstanceLimits, MachineLimits, Manifest, Operator, Overrides, SecretSource, TrustedKey, WallPolicy,
    World,
};
use stagewright_store::ChampionChangeKind;

fn operator(text: &str) -> Operator {
    Operator::parse("operator.toml", text.to_owned()).unwrap_or_else(|error| panic!("{error}"))
}

fn manifest(more: &[&str]) -> Manifest {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/churn.toml");
    let overrides = Overrides { set: more.iter().map(|it| (*it).to_owned()).collect(), ..Overrides::default() };
    Manifest::load(file.as_ref(), &overrides).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn without_a_file_only_the_bounds_of_every_manifest_hold() {
    let operator = operator("");
    assert_eq!(operator, Operator::default());
    assert_eq!(
        manifest(&[]).within(&operator).unwrap().stage(World::Training).limits,
        World::Training.default_limits()
    );
}

#[test]
fn a_default_above_its_ceiling_is_lowered() {
    let operator =
        operator("[ceilings]\nmemory = \"256 MiB\"\n[ceilings.training]\nmemory = \"512 MiB\"\ncpu = \"60 s\"\n");
    let bounded = manifest(&[]).within(&operator).unwrap();
    assert_eq!(bounded.stage(World::Ingestion).limits.memory, 256 << 20);
    assert_eq!(bounded.stage(World::Promotion).limits.memory, 64 << 20);
    let training = bounded.stage(World::Training).limits;
    assert_eq!((training.memory, training.cpu), (512 << 20, Duration::from_secs(60)));
}

// invariant: as `the_operators_ceilings_bind_every_manifest`
#[test]
fn a_limit_that_is_written_above_its_ceiling_is_an_error_that_names_both() {
    let operator = operator("[ceilings]\nmemory = \"256 MiB\"\nwall = \"1 min\"\n");
    let asks = ["training.limits.memory=1 GiB", "training.limits.wall=2 min", "ingestion.limits.memory=128 MiB"];
    let error = manifest(&asks).within(&operator).unwrap_err().render();
    assert!(error.contains("`memory` is above the operator's ceiling: `1 GiB`"), "{error}");
    assert!(error.contains("choose at most `256 MiB`") && error.contains("choose at most `1 min`"), "{error}");
    assert!(!error.contains("128 MiB"), "{error}");
}

#[test]
fn a_grant_that_the_operator_does_not_allow_is_refused() {
    let operator = operator("[http]\nhosts = [\"data.example.org\", \"10.0.0.0/8\"]\n");
    assert!(manifest(&["ingestion.http=[\"data.example.org\"]"]).within(&operator).is_ok());
    let error = manifest(&["ingestion.http=[\"data.example.org\", \"evil.example\"]"]).within(&operator).unwrap_err();
    assert!(error.render().contains("does not allow `evil.example`"), "{}", error.render());
}

/// Returns the shipped pipeline with its source on a server.
fn fetching(source: &str) -> Manifest {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/churn.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.trim_start().starts_with("uri")).expect("a source");
    lines[at] = source;
    Manifest::parse("churn.toml", lines.join("\n"), "config".into(), &Overrides::default())
        .unwrap_or_else(|error| panic!("{}", error.render()))
}

#[test]
fn a_manifest_sends_only_variables_that_are_meant_as_tokens() {
    let source = |name: &str| fetching(&format!("uri = \"https://theirs.example/x.csv\"\ntoken-env = \"{name}\""));
    assert!(source("STAGEWRIGHT_TOKEN_PARTNER").within(&Operator::default()).is_ok());
    for name in ["AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "GITHUB_TOKEN", "STAGEWRIGHT_TOKE", "stagewright_token_x"] {
        let error = source(name).within(&Operator::default()).unwrap_err().render();
        assert!(error.contains("churn.toml:") && error.contains(&format!("`{name}` is not a variable")), "{error}");
        assert!(error.contains("STAGEWRIGHT_TOKEN_...") && error.contains("`token-env` under [http]"), "{error}");
    }
    let listed = operator("[http]\ntoken-env = [\"GITHUB_TOKEN\"]\n");
    assert!(source("GITHUB_TOKEN").within(&listed).is_ok());
    assert!(source("PGPASSWORD").within(&listed).is_err());
    let names: Vec<String> = source("GITHUB_TOKEN").token_variables().map(|(_, name)| name.to_owned()).collect();
    assert_eq!(names, ["GITHUB_TOKEN"]);
}

#[test]
fn the_query_of_a_url_is_not_recorded() {
    for written in [
        "\"https://h.example/x.csv?api_key=hush#more\"",
        "'https://h.example/x.csv?api_key=hush'",
        "\"https://h.example/x.csv\\u003Fapi_key=hush\"",
    ] {
        let manifest = fetching(&format!("uri = {written} # a comment"));
        let recorded = manifest.recorded_text();
        assert!(recorded.contains("uri = \"https://h.example/x.csv?…\" # a comment"), "{recorded}");
        let config = serde_json::to_string(&manifest).unwrap();
        assert!(config.contains("https://h.example/x.csv?…"), "{config}");
        assert!(!recorded.contains("hush") && !config.contains("hush"));
    }
    let plain = fetching("uri = \"csv:a?b#c.csv\"");
    assert!(plain.recorded_text().contains("uri = \"csv:a?b#c.csv\""));
}

// invariant: as `never_more_work_at_once_than_there_are_permits_and_all_of_it_ends`
#[test]
fn parallelism_is_set_by_the_operator() {
    assert_eq!(operator("").machine, MachineLimits::default());
    let operator = operator("[machine]\npermits = 4\nmemory = \"2 GiB\"\n");
    assert_eq!(operator.machine, MachineLimits { permits: Some(4), memory: Some(2 << 30) });
    for (asked, is_allowed) in [("workers=4", true), ("workers=5", false)] {
        let error = manifest(&[asked]).within(&operator).map_err(|error| error.render());
        assert_eq!(error.is_ok(), is_allowed, "{asked}");
        if let Err(error) = error {
            assert!(error.contains("`workers` is above the operator's `permits`: `5`"), "{error}");
            assert!(error.contains("choose at most `4`") && error.contains("[machine]"), "{error}");
        }
    }
    assert!(manifest(&[]).within(&operator).is_ok(), "who asks for none gets what there is");
    for wrong in ["permits = 0", "permits = 1025", "memory = \"1 MiB\"", "seats = 3"] {
        assert!(Operator::parse("operator.toml", format!("[machine]\n{wrong}\n")).is_err(), "{wrong}");
    }
}

#[test]
fn required_walls_are_set_by_the_operator() {
    assert_eq!(operator("").walls, None);
    for (word, policy) in WallPolicy::ALL {
        assert_eq!(operator(&format!("walls = \"{word}\"\n")).walls, Some(policy));
        assert_eq!(policy.to_string(), word);
        assert_eq!(serde_json::to_value(policy).expect("a word"), word);
    }
    let error = Operator::parse("operator.toml", "walls = \"require\"\n".into()).expect_err("no such policy").render();
    assert!(error.contains("operator.toml:1") && error.contains("did you mean `required`?"), "{error}");
    assert!(error.contains("`require` is not a value of `walls`"), "{error}");
}

#[test]
fn instance_limits_are_set_by_the_operator() {
    let limits = operator("[instances]\nhandles = 500\nrows = 5000\nstack = \"256 KiB\"\n").instances;
    assert_eq!(limits, InstanceLimits { handles: 500, rows: 5000, stack: 256 << 10, ..InstanceLimits::default() });
}

#[test]
fn signatures_are_required_in_the_words_of_a_manifest_and_keys_lie_beside_the_file() {
    let text = "[trust]\nrequire-signature = true\ntrusted-keys = [\"release.pub\"]\n";
    let operator = Operator::parse("/etc/stagewright/operator.toml", text.to_owned()).unwrap();
    assert!(operator.trust.require_signature);
    assert_eq!(operator.trust.trusted_keys, [TrustedKey::File("/etc/stagewright/release.pub".into())]);
    let error = Operator::parse("operator.toml", "[trust]\nrequire-signature = true\n".to_owned()).unwrap_err();
    assert!(error.render().contains("without a trusted key refuses every component"), "{}", error.render());
}

#[test]
fn all_problems_of_the_operators_file_are_reported_at_once() {
    let text = "[ceilings]\nmemroy = \"1 GiB\"\ncpu = \"soon\"\n[ceilings.trainnig]\n[instances]\nstack = \"1 B\"\n[http]\nhosts = [\"https://x\"]\n";
    let error = Operator::parse("operator.toml", text.to_owned()).unwrap_err().render();
    for part in ["memroy", "`soon`", "trainnig", "`instances.stack` is out of range", "not a server or a network"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_hook_is_a_request_or_a_command() {
    let operator = operator(
        "[hooks.ci]\nurl = \"https://ci.example.org:8443/hooks?to=main\"\nsecret-file = \"ci.secret\"\n\
         [hooks.redeploy]\ncommand = [\"/usr/bin/env\", \"true\"]\nenv = [\"PATH\"]\nevents = [\"promoted\", \"rolled-back\"]\n\
         models = [\"churn\"]\ntimeout = \"5 min\"\n",
    );
    let [ci, redeploy] = &operator.hooks[..] else { panic!("{:?}", operator.hooks) };
    let HookTarget::Request(request) = &ci.target else { panic!("{ci:?}") };
    assert_eq!(request.url, "https://ci.example.org:8443/hooks?to=main");
    assert_eq!(request.secret, SecretSource::File("ci.secret".into()), "beside the operator's file");
    assert_eq!((ci.timeout, ci.events.len(), ci.models.len()), (Duration::from_secs(10), 0, 0));
    let HookTarget::Command(command) = &redeploy.target else { panic!("{redeploy:?}") };
    assert_eq!(command.program.to_str(), Some("/usr/bin/env"));
    assert_eq!((&command.arguments[..], &command.variables[..]), (&["true".to_owned()][..], &["PATH".to_owned()][..]));
    assert_eq!(redeploy.events, [ChampionChangeKind::Promoted, ChampionChangeKind::RolledBack]);
    assert_eq!((redeploy.timeout, &redeploy.models[..]), (Duration::from_secs(300), &["churn".to_owned()][..]));
}

#[test]
fn a_hook_that_could_call_or_run_something_else_is_refused() {
    let secret = "secret-env = \"X\"";
    for (section, message) in [
        (format!("url = \"http://ci.example.org/\"\n{secret}"), "is not encrypted"),
        (format!("url = \"https://ada:secret@ci.example.org/\"\n{secret}"), "is no URL that can be called"),
        (format!("url = \"https://ci.example.org/#x\"\n{secret}"), "is no URL that can be called"),
        (format!("url = \"https://10.0.0.0/8\"\n{secret}\nurl2 = 1"), "unknown key `url2`"),
        (format!("url = \"file:///etc/passwd\"\n{secret}"), "is no URL that can be called"),
        (format!("url = \"https:// ci.example.org\"\n{secret}"), "is no URL that can be called"),
        ("url = \"https://ci.example.org/\"".to_owned(), "`hooks.x` needs a secret"),
        (format!("url = \"https://a/\"\nsecret-file = \"f\"\n{secret}"), "exclude each other"),
        ("url = \"https://a/\"\nsecret-env = \"it's me\"".to_owned(), "is no name of a variable"),
        ("command = [\"redeploy\"]".to_owned(), "names no program"),
        ("command = []".to_owned(), "names no program"),
        (format!("command = [\"/bin/true\"]\nurl = \"https://a/\"\n{secret}"), "needs either `url` or `command`"),
        ("events = [\"promoted\"]".to_owned(), "needs either `url` or `command`"),
        ("command = [\"/bin/true\"]\nevents = [\"deleted\"]".to_owned(), "`deleted` is not a value"),
        ("command = [\"/bin/true\"]\ntimeout = \"2 h\"".to_owned(), "is out of range"),
        ("command = [\"/bin/true\"]\nsecret-env = \"X\"".to_owned(), "unknown key `secret-env`"),
    ] {
        let error = Operator::parse("operator.toml", format!("[hooks.x]\n{section}\n")).expect_err(&section).render();
        assert!(error.contains(message) && error.contains("hint"), "{section}\n{error}");
    }
    for url in ["http://127.0.0.1:9000/x", "http://localhost/x", "http://[::1]:9/"] {
        assert_eq!(operator(&format!("[hooks.x]\nurl = \"{url}\"\n{secret}\n")).hooks.len(), 1);
    }
    let open = "[hooks.x]\nurl = \"http://ci.internal/\"\ninsecure = true\nsecret-env = \"X\"\n";
    assert_eq!(operator(open).hooks.len(), 1);
}

// invariant: Only the operator's file names hooks; a project cannot.
#[test]
fn a_manifest_names_no_hooks() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/churn.toml");
    let text = std::fs::read_to_string(file).unwrap() + "\n[hooks.x]\ncommand = [\"/bin/true\"]\n";
    let error = Manifest::parse("churn.toml", text, "config".into(), &Overrides::default()).unwrap_err().render();
    assert!(error.contains("unknown key `hooks`"), "{error}");
}
