//! `deploy/Dockerfile`.

use std::collections::BTreeSet;
use std::fs;

use crate::files::{repository, text, toml, understood};

const FILE: &str = "deploy/Dockerfile";

/// Returns the instructions, each as its name and the rest, with continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let text: String =
        text(FILE).lines().filter(|line| !line.starts_with('#')).map(|line| line.to_owned() + "\n").collect();
    let lines = text.replace("\\\n", " ");
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| line.split_once(' ').map(|(name, rest)| (name.into(), rest.trim().into())).expect("an instruction"))
        .collect()
}

/// Returns the arguments of the last instruction with this name, which must be in the form of a
/// list: any other needs a shell.
fn list(name: &str) -> Vec<String> {
    let instructions = instructions();
    let (_, rest) = instructions.iter().rfind(|(found, _)| found == name).unwrap_or_else(|| panic!("no {name}"));
    let json = rest.get(rest.find('[').unwrap_or_else(|| panic!("{name} needs a shell"))..).expect("a list");
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn the_image_starts_the_server_and_asks_it_for_its_health_without_a_shell() {
    let program = "/usr/local/bin/stagewright";
    assert_eq!(list("ENTRYPOINT"), [program]);
    understood(&list("CMD"));
    let check = list("HEALTHCHECK");
    assert_eq!(check[0], program);
    understood(&check[1..]);
}

// invariant: A container of the image runs as a user without rights, and can write to its volumes
// alone.
#[test]
fn the_image_has_a_user_by_number_and_nothing_to_start_but_the_program() {
    let instructions = instructions();
    let user = instructions.iter().rfind(|(name, _)| name == "USER").expect("a user");
    let ids: Vec<u32> = user.1.split(':').map(|id| id.parse().expect("a number")).collect();
    assert!(ids.len() == 2 && ids.iter().all(|id| *id >= 1000), "{ids:?}");
    // The stages that images are made of copy from others and run nothing.
    let at =
        instructions.iter().position(|(name, rest)| name == "FROM" && rest.contains("distroless")).expect("a base");
    for (name, rest) in &instructions[at..] {
        assert!(!["RUN", "ADD"].contains(&name.as_str()), "{name} {rest}");
        if name == "FROM" {
            assert!(rest.contains("distroless") || rest.starts_with("base AS "), "{rest}");
        }
        if name == "COPY" {
            assert!(rest.starts_with("--from=build"), "{rest}");
            let owned = rest.contains("--chown=65532:65532");
            assert_eq!(owned, rest.ends_with(" /var"), "the program's files are not its own: {rest}");
        }
    }
}

#[test]
fn every_base_has_a_version_and_the_compiler_is_that_of_the_repository() {
    let stages: BTreeSet<String> = instructions()
        .iter()
        .filter_map(|(name, rest)| (name == "FROM").then(|| rest.split(" AS ").nth(1)?.to_owned().into())?)
        .collect();
    for (_, rest) in instructions().iter().filter(|(name, _)| name == "FROM") {
        let base = rest.split_whitespace().next().expect("a base");
        let tagged = base.split_once(':').is_some_and(|(_, tag)| tag != "latest");
        assert!(stages.contains(base) || tagged, "{rest}");
    }
    let channel = toml("rust-toolchain.toml")["toolchain"]["channel"].clone();
    assert!(text(FILE).contains(&format!("FROM rust:{}-", channel.as_str().expect("a version"))));
}

#[test]
fn the_features_of_the_build_exist() {
    let text = text(FILE).replace("\\\n", " ");
    let features = |package: &str| toml(&format!("host/{package}/Cargo.toml"))["features"].clone();
    let known = [features("cli"), features("stage")];
    let words: Vec<&str> = text.split_whitespace().collect();
    let named = words.windows(2).filter(|pair| pair[0] == "--features").flat_map(|pair| pair[1].split(','));
    let named: Vec<&str> = named.collect();
    assert!(!named.is_empty());
    for feature in named {
        assert!(known.iter().any(|features| features.get(feature).is_some()), "no feature `{feature}`");
    }
}

/// Whether the file of ignored paths lets a path into the context. As docker does: the last rule
/// that matches decides.
fn in_context(path: &str) -> bool {
    let mut within = true;
    for line in text("deploy/Dockerfile.dockerignore").lines().filter(|line| !line.starts_with('#') && !line.is_empty())
    {
        let (kept, pattern) = line.strip_prefix('!').map_or((false, line), |pattern| (true, pattern));
        let matches = match pattern.strip_prefix("**/") {
            Some(name) => path.split('/').any(|part| match name.strip_prefix('*') {
                Some(end) => part.ends_with(end),
                None => part == name,
            }),
            None => pattern == "*" || path == pattern || path.starts_with(&format!("{pattern}/")),
        };
        if matches {
            within = kept;
        }
    }
    within
}

#[test]
fn the_build_gets_every_crate_and_no_secret() {
    let workspace = toml("Cargo.toml");
    let members = workspace["workspace"]["members"].as_array().expect("members").clone();
    let members = members.iter().map(|member| member.as_str().expect("a path").trim_end_matches("/*").to_owned());
    let needed = ["Cargo.toml", "Cargo.lock", ".cargo/config.toml", "rust-toolchain.toml", "wit", "docs/errors"];
    for path in members.chain(needed.map(String::from)) {
        assert!(repository().join(&path).exists(), "{path}");
        assert!(in_context(&path), "{path} is not in the context of the build");
    }
    for path in [
        ".git/config",
        ".stagewright/host.key",
        "config/.env",
        "deploy/secrets/tokens.toml",
        "host/cli/target/release/stagewright",
        "host.key",
        "target/release/stagewright",
        "tests/signing.key",
    ] {
        assert!(!in_context(path), "{path} is in the context of the build");
    }
    // Sources that are compiled in are found by their relative paths.
    for entry in fs::read_dir(repository().join("docs/errors")).expect("the pages of errors").flatten() {
        assert!(in_context(&format!("docs/errors/{}", entry.file_name().to_string_lossy())));
    }
}
