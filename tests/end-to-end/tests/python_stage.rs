//! A stage in another language replaces one in Rust.

use stagewright_end_to_end::{Place, WALLS, config, guests};

// invariant: A stage in another language replaces a stage in Rust.
#[test]
#[ignore = "needs the Python stage that `cargo xtask test` builds"]
fn a_python_stage_replaces_the_rust_one() {
    WALLS.into_iter().for_each(replaces);
}

fn replaces(walls: &str) {
    let place = Place::new().with_walls(walls);
    let component = guests().join("transform-python.wasm");
    let manifest = std::fs::read_to_string(config("churn.toml")).expect("the manifest");
    let manifest = manifest.replace("component = \"transform-table\"", "component = \"transform-python\"");
    let python = format!(
        "\n[components.transform-python]\npath = {:?}\nstubs = [\"filesystem\", \"sockets\"]\n",
        component.display().to_string()
    );
    let manifest = place.write("python.toml", format!("{manifest}{python}")).display().to_string();
    let generated = ["--set", "ingestion.component=ingest-synthetic", "--set", "ingestion.rows=4000"];
    let arguments = ["--json", "--set", "training.component=train-logistic", "--set", "gates.minimum.accuracy=0.7"];
    let roc_auc = |manifest: &str, name: &str| {
        let named = ["--register-name", name];
        let run = place.run(&[&["run", manifest], &generated[..], &arguments, &named].concat()).expect(0).json();
        (run["stages"][2]["component"].clone(), run["metrics"]["candidate"]["roc_auc"].as_f64().expect("a figure"))
    };
    let (component, python) = roc_auc(&manifest, "python");
    assert_eq!(component, "transform-python");
    let (_, rust) = roc_auc(&config("churn.toml"), "rust");
    assert!((python - rust).abs() < 0.02, "{python} beside {rust}");
}
