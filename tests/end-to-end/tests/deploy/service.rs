//! The unit of systemd. `cargo xtask deploy` verifies it with systemd's own tool.

use crate::files::{accepted, drain, seconds, text, understood};

const UNIT: &str = "deploy/systemd/stagewright-serve.service";

/// Returns all values of a setting.
fn values(setting: &str) -> Vec<String> {
    let text = text(UNIT);
    text.lines().filter_map(|line| Some(line.strip_prefix(setting)?.strip_prefix('=')?.to_owned())).collect()
}

fn value(setting: &str) -> String {
    let values = values(setting);
    assert_eq!(values.len(), 1, "{setting}: {values:?}");
    values[0].clone()
}

// invariant: The service runs as a user without rights, who can write to two folders alone.
#[test]
fn the_service_is_bounded() {
    for (setting, expected) in [
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateDevices", "yes"),
        ("PrivateUsers", "yes"),
        ("RestrictNamespaces", "yes"),
        ("StateDirectory", "stagewright"),
        ("CacheDirectory", "stagewright"),
        ("KillSignal", "SIGTERM"),
    ] {
        assert_eq!(value(setting), expected, "{setting}");
    }
    for setting in ["MemoryMax", "TasksMax", "LimitNOFILE"] {
        assert!(value(setting).starts_with(|letter: char| letter.is_ascii_digit()), "{setting}");
    }
    assert!(values("ReadWritePaths").is_empty());
}

#[test]
fn the_filter_allows_what_the_walls_of_models_are_built_with() {
    let filter = values("SystemCallFilter");
    assert_eq!(filter[0], "@system-service", "an allow list");
    let allowed: Vec<&str> =
        filter.iter().filter(|line| !line.starts_with('~')).flat_map(|line| line.split(' ')).collect();
    for call in ["seccomp", "landlock_create_ruleset", "landlock_restrict_self", "capset"] {
        assert!(allowed.contains(&call), "{call}");
    }
    // Code of components is made executable after it was written.
    assert!(values("MemoryDenyWriteExecute").is_empty());
}

#[test]
fn the_service_has_time_to_drain_and_finds_its_token() {
    let command = value("ExecStart");
    let mut words = command.split(' ');
    assert_eq!(words.next(), Some("/usr/local/bin/stagewright"));
    understood(&words.collect::<Vec<_>>());
    let settings = "deploy/systemd/serving.toml";
    assert!(seconds(&value("TimeoutStopSec")) > drain(settings));
    let credential = value("LoadCredential");
    let (name, file) = credential.split_once(':').expect("a name and a file");
    assert!(file.starts_with("/etc/stagewright/"));
    let tokens = crate::files::toml(settings)["server"]["tokens-file"].clone();
    assert_eq!(tokens.as_str(), Some(&*format!("/run/credentials/stagewright-serve.service/{name}")));
    accepted(settings);
}
