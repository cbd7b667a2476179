//! The workflow that deploys: staging comes before production, and both get the same image.

use serde_json::Value;

use crate::files::{repository, strings, text, yaml};

fn job(name: &str) -> Value {
    yaml(".github/workflows/deploy.yml")["jobs"][name].clone()
}

fn needs(name: &str) -> Vec<String> {
    match &job(name)["needs"] {
        Value::String(one) => vec![one.clone()],
        list => strings(list),
    }
}

// invariant: Production gets an image only from main, and only after staging has answered with it.
#[test]
fn production_comes_after_a_staging_that_answers() {
    for (job, before) in [
        ("image", "test"),
        ("deploy-staging", "image"),
        ("smoke-test", "deploy-staging"),
        ("deploy-production", "smoke-test"),
    ] {
        assert!(needs(job).contains(&before.to_owned()), "{job} does not wait for {before}");
    }
    let production = job("deploy-production");
    assert_eq!(production["if"], "github.ref == 'refs/heads/main'");
    assert_eq!(production["environment"], "production");
    assert_eq!(job("deploy-staging")["environment"], "staging");
    let image = |name: &str| -> Vec<Value> {
        let steps = job(name)["steps"].as_array().expect("steps").clone();
        steps.iter().filter_map(|step| step["env"].get("IMAGE").cloned()).collect()
    };
    assert_eq!(image("deploy-staging"), image("deploy-production"), "not the image that was tried");
    assert_eq!(image("deploy-staging"), ["${{ needs.image.outputs.image }}"]);
}

#[test]
fn a_job_has_the_rights_that_it_needs_and_ends() {
    let workflow = yaml(".github/workflows/deploy.yml");
    assert_eq!(workflow["permissions"], serde_json::json!({}));
    for (name, job) in workflow["jobs"].as_object().expect("jobs") {
        assert!(job["permissions"].is_object(), "{name}");
        assert!(job.get("uses").is_some() || job["timeout-minutes"].is_u64(), "{name}");
        for step in job["steps"].as_array().into_iter().flatten() {
            if let Some(action) = step["uses"].as_str() {
                let (_, version) = action.split_once('@').expect("a version");
                assert!(
                    version.len() == 40 && version.chars().all(|letter| letter.is_ascii_hexdigit()),
                    "{name}: {action}"
                );
                assert_eq!(step["with"]["persist-credentials"], false, "{name}");
            }
            // A value that is put into a script is code.
            let script = step["run"].as_str().unwrap_or_default();
            assert!(!script.contains("${{"), "{name}: {script}");
        }
    }
}

#[test]
fn the_workflow_calls_scripts_and_workflows_that_exist() {
    let workflow = text(".github/workflows/deploy.yml");
    for word in workflow.split_whitespace().filter(|word| word.starts_with("deploy/") || word.starts_with("./")) {
        assert!(repository().join(word).exists(), "{word}");
    }
    let called = yaml(".github/workflows/ci.yml");
    assert!(called["on"].get("workflow_call").is_some(), "ci.yml cannot be called");
    let apply = text("deploy/kubernetes/apply.sh");
    for overlay in ["staging", "production"] {
        let namespace = yaml(&format!("deploy/kubernetes/overlays/{overlay}/kustomization.yaml"))["namespace"].clone();
        let line = format!("{overlay}) namespace={} ;;", namespace.as_str().expect("a name"));
        assert!(apply.contains(&line), "apply.sh waits in another namespace than {namespace}");
        assert!(workflow.contains(&format!("deploy/kubernetes/apply.sh {overlay}")));
    }
}
