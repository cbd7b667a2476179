//! The manifests for Kubernetes. `cargo xtask deploy` builds the overlays and checks them by the
//! schemas of Kubernetes; here is what no schema knows.

use std::fs;

use serde_json::Value;

use crate::files::{accepted, documents, drain, repository, strings, understood, yaml};

const FOLDER: &str = "deploy/kubernetes";

fn deployment() -> Value {
    yaml(&format!("{FOLDER}/base/deployment.yaml"))
}

fn pod() -> Value {
    deployment()["spec"]["template"]["spec"].clone()
}

fn container() -> Value {
    let pod = pod();
    let containers = pod["containers"].as_array().expect("containers");
    assert_eq!(containers.len(), 1);
    containers[0].clone()
}

// invariant: A pod runs without rights, without a token of the cluster, and with a root that it
// cannot write.
#[test]
fn a_pod_has_no_rights() {
    let (pod, container) = (pod(), container());
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["automountServiceAccountToken"], false);
    // Variables of a service named `stagewright` would look like the program's own.
    assert_eq!(pod["enableServiceLinks"], false);
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        assert!(pod.get(key).is_none(), "{key}");
    }
    let context = &container["securityContext"];
    assert_eq!(context["readOnlyRootFilesystem"], true);
    assert_eq!(context["allowPrivilegeEscalation"], false);
    assert_eq!(strings(&context["capabilities"]["drop"]), ["ALL"]);
    assert!(context["capabilities"].get("add").is_none());
    for overlay in ["staging", "production"] {
        let namespace = yaml(&format!("{FOLDER}/overlays/{overlay}/namespace.yaml"));
        assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    }
}

#[test]
fn a_pod_has_time_to_drain() {
    let grace = pod()["terminationGracePeriodSeconds"].as_u64().expect("seconds");
    let before = container()["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64().expect("seconds");
    let drain = drain(&format!("{FOLDER}/base/serving.toml"));
    assert!(grace > before + drain, "{grace} s are not more than {before} s and {drain} s");
    let strategy = &deployment()["spec"]["strategy"]["rollingUpdate"];
    assert_eq!((&strategy["maxUnavailable"], &strategy["maxSurge"]), (&0.into(), &1.into()));
}

#[test]
fn probes_ask_for_pages_of_health_at_the_port_of_the_settings() {
    let container = container();
    let settings = crate::files::toml(&format!("{FOLDER}/base/serving.toml"));
    let port = &container["ports"][0];
    assert_eq!(port["containerPort"].as_i64(), settings["server"]["port"].as_i64());
    let encrypted = settings["server"].get("tls-certificate").is_some();
    for (probe, page) in
        [("startupProbe", "/health/live"), ("livenessProbe", "/health/live"), ("readinessProbe", "/health/ready")]
    {
        let get = &container[probe]["httpGet"];
        assert_eq!((get["path"].as_str(), &get["port"]), (Some(page), &port["name"]), "{probe}");
        assert_eq!(get["scheme"] == "HTTPS", encrypted, "{probe}");
    }
    let service = yaml(&format!("{FOLDER}/base/service.yaml"));
    assert_eq!(service["spec"]["ports"][0]["targetPort"], port["name"]);
    let policy = yaml(&format!("{FOLDER}/base/network.yaml"));
    assert_eq!(policy["spec"]["ingress"][0]["ports"][0]["port"], port["containerPort"]);
    assert_eq!(strings(&policy["spec"]["policyTypes"]), ["Ingress", "Egress"]);
    understood(&strings(&container["args"]));
    accepted(&format!("{FOLDER}/base/serving.toml"));
}

#[test]
fn a_pod_finds_its_files_and_can_write_where_the_program_writes() {
    let (pod, container) = (pod(), container());
    let mounts = container["volumeMounts"].as_array().expect("mounts").clone();
    let at = |path: &str| {
        mounts.iter().find(|mount| mount["mountPath"] == path).unwrap_or_else(|| panic!("no mount at {path}"))
    };
    for path in ["/var/lib/stagewright", "/var/cache/stagewright", "/tmp"] {
        let volume = at(path)["name"].clone();
        let volumes = pod["volumes"].as_array().expect("volumes");
        let volume = volumes.iter().find(|found| found["name"] == volume).expect("a volume");
        assert!(volume["emptyDir"]["sizeLimit"].is_string(), "{path} has no bound");
    }
    let settings = crate::files::toml(&format!("{FOLDER}/base/serving.toml"));
    for key in ["tls-certificate", "tls-key", "tokens-file"] {
        let path = settings["server"][key].as_str().expect("a path");
        let (folder, file) = path.rsplit_once('/').expect("an absolute path");
        let mount = at(folder);
        assert_eq!(mount["readOnly"], true, "{key}");
        let volumes = pod["volumes"].as_array().expect("volumes");
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).expect("a volume");
        let secret = volume["secret"]["secretName"].as_str().expect("a secret");
        assert!(example(secret).get(file).is_some(), "secrets.example.yaml shows no `{file}` of `{secret}`");
    }
    for source in container["envFrom"].as_array().expect("variables") {
        if let Some(secret) = source["secretRef"]["name"].as_str() {
            assert!(!example(secret).is_empty());
        }
    }
}

/// Returns the keys of a secret of the example, none of which has a real value.
fn example(name: &str) -> serde_json::Map<String, Value> {
    let secrets = documents(&format!("{FOLDER}/secrets.example.yaml"));
    let secret = secrets.iter().find(|secret| secret["metadata"]["name"] == name);
    let data = secret.unwrap_or_else(|| panic!("secrets.example.yaml has no `{name}`"))["stringData"].as_object();
    let data = data.expect("keys").clone();
    assert!(data.values().all(|value| value == "replace-me"), "an example with a value: {name}");
    data
}

// invariant: Nothing that is deployed from the repository contains a secret.
#[test]
fn no_overlay_contains_a_secret() {
    let mut folders = vec![repository().join(FOLDER)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() {
                folders.push(path);
            } else if name != "secrets.example.yaml" {
                let text = fs::read_to_string(&path).expect("text");
                let holds = |line: &str| line.trim() == "kind: Secret" || line.contains("secretGenerator");
                assert!(!text.lines().any(holds), "{}", path.display());
                assert!(!text.contains("secrets.example"), "{}", path.display());
            }
        }
    }
}

#[test]
fn staging_and_production_differ_in_size_and_in_nothing_that_protects() {
    let overlay = |name: &str| yaml(&format!("{FOLDER}/overlays/{name}/kustomization.yaml"));
    for name in ["staging", "production"] {
        let overlay = overlay(name);
        for resource in strings(&overlay["resources"]) {
            let path = repository().join(FOLDER).join("overlays").join(name).join(&resource);
            assert!(path.exists(), "{name}: {resource}");
        }
        let settings = strings(&overlay["configMapGenerator"][0]["literals"]);
        assert!(
            settings
                .iter()
                .any(|setting| setting.starts_with("STAGEWRIGHT_REGISTRY=") && setting.contains("sslmode=require"))
        );
        let patches = overlay["patches"].as_array().cloned().unwrap_or_default();
        let protects = |patch: &Value| patch["patch"].as_str().is_some_and(|text| text.contains("securityContext"));
        assert!(!patches.iter().any(protects), "{name}");
    }
    assert_ne!(overlay("staging")["namespace"], overlay("production")["namespace"]);
    let registry = |name: &str| strings(&overlay(name)["configMapGenerator"][0]["literals"])[0].clone();
    assert_ne!(registry("staging"), registry("production"), "staging promotes into production");
    let scaling = yaml(&format!("{FOLDER}/overlays/production/scaling.yaml"));
    assert!(scaling["spec"]["minReplicas"].as_u64() >= Some(2), "a drained node must not end the service");
}
