//! `deploy/compose.yaml`: the local stack.

use serde_json::Value;

use crate::files::{accepted, drain, repository, seconds, strings, text, understood, yaml};

const FILE: &str = "deploy/compose.yaml";

fn services() -> serde_json::Map<String, Value> {
    yaml(FILE)["services"].as_object().expect("services").clone()
}

/// Jobs that end, which nobody asks for their health.
const JOBS: [&str; 1] = ["train"];

#[test]
fn the_stack_has_registry_store_server_metrics_and_dashboards_with_a_check_of_each() {
    let services = services();
    for (name, port) in [
        ("serve", Some(8000)),
        ("s3", Some(9000)),
        ("prometheus", Some(9090)),
        ("grafana", Some(3000)),
        ("postgres", None),
    ] {
        let published = services[name].get("ports").map(strings).unwrap_or_default();
        let expected: Vec<String> = port.iter().map(|port| format!("127.0.0.1:{port}:{port}")).collect();
        assert_eq!(published, expected, "{name}: a port is published on loopback alone");
    }
    for (name, service) in services.iter().filter(|(name, _)| !JOBS.contains(&name.as_str())) {
        let test = strings(&service["healthcheck"]["test"]);
        assert_eq!(test[0], "CMD", "{name}: a check that needs no shell");
        for key in ["interval", "timeout"] {
            seconds(service["healthcheck"][key].as_str().expect("a duration"));
        }
    }
}

// invariant: No container of the local stack has a capability that it could do without, or may gain
// one.
#[test]
fn every_container_gives_up_what_it_does_not_need() {
    for (name, service) in services() {
        assert_eq!(strings(&service["cap_drop"]), ["ALL"], "{name}");
        assert!(strings(&service["security_opt"]).contains(&"no-new-privileges:true".to_owned()), "{name}");
        assert!(service["pids_limit"].as_u64().is_some_and(|most| most <= 512), "{name}");
        assert!(service["mem_limit"].is_string(), "{name}");
        assert!(service.get("privileged").is_none() && service.get("network_mode").is_none(), "{name}");
        let image = service["image"].as_str().expect("an image");
        assert!(image.contains(':') && !image.ends_with(":latest"), "{name}: {image}");
    }
    for name in ["serve", "train"] {
        assert_eq!(services()[name]["read_only"], Value::Bool(true), "{name}");
        assert_eq!(services()[name]["user"], "65532:65532", "{name}");
        assert!(services()[name].get("cap_add").is_none(), "{name}");
    }
}

#[test]
fn the_program_understands_what_the_stack_tells_it() {
    let services = services();
    understood(&strings(&services["serve"]["command"]));
    understood(&strings(&services["train"]["command"]));
    let check = strings(&services["serve"]["healthcheck"]["test"]);
    assert_eq!(check[1], "/usr/local/bin/stagewright");
    understood(&check[2..]);
    let file = "deploy/compose/serving.toml";
    accepted(file);
    let waits = seconds(services["serve"]["stop_grace_period"].as_str().expect("a duration"));
    assert!(waits > drain(file), "a server is killed while it drains");
}

#[test]
fn training_and_serving_share_no_home() {
    let volumes = |name: &str| strings(&services()[name]["volumes"]);
    let (serving, training) = (volumes("serve"), volumes("train"));
    for volume in &training {
        let name = volume.split(':').next().expect("a name");
        assert!(!serving.iter().any(|other| other.split(':').next() == Some(name)), "{volume}");
    }
    let variables = |name: &str| services()[name]["environment"].as_object().expect("variables").clone();
    assert_eq!(variables("serve"), variables("train"), "one registry and one place of artifacts");
}

#[test]
fn every_file_that_the_stack_mounts_is_there_or_made_by_the_script() {
    let stack = yaml(FILE);
    let script = text("deploy/new-secrets.sh");
    let names = |list: &Value| -> Vec<String> {
        let list = list.as_array().cloned().unwrap_or_default();
        list.iter().map(|item| item.as_str().or(item["source"].as_str()).expect("a name").to_owned()).collect()
    };
    for (name, service) in services() {
        for kind in ["configs", "secrets"] {
            for used in names(&service[kind]) {
                assert!(stack[kind][&used]["file"].is_string(), "{name}: {kind} has no `{used}`");
            }
        }
        for volume in service.get("volumes").map(strings).unwrap_or_default() {
            let from = volume.split(':').next().expect("a source").to_owned();
            let known = if from.starts_with('.') {
                repository().join("deploy").join(&from).exists()
            } else {
                stack["volumes"].get(&from).is_some()
            };
            assert!(known, "{name}: {volume}");
        }
    }
    for (name, config) in stack["configs"].as_object().expect("configs") {
        let path = repository().join("deploy").join(config["file"].as_str().expect("a path"));
        assert!(path.is_file(), "{name}: {}", path.display());
    }
    for (name, secret) in stack["secrets"].as_object().expect("secrets") {
        let path = secret["file"].as_str().expect("a path").trim_start_matches("./secrets/");
        assert!(script.contains(&format!("keep {path}")), "{name}: the script makes no `{path}`");
    }
    for line in text(FILE).lines().filter(|line| line.contains("${") && line.contains(":?")) {
        let variable = line.split("${").nth(1).and_then(|rest| rest.split(':').next()).expect("a variable");
        assert!(script.contains(&format!("{variable}=")), "the script does not set {variable}");
    }
    let ignored = text("deploy/.gitignore");
    assert!(ignored.contains("/secrets/") && ignored.contains("/.env"), "git ignores no secrets");
}
