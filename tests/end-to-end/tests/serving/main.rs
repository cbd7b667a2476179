//! The program as a model server.

mod bounds;
mod compatibility;
mod deployments;
mod follow;
mod front;
mod observed;
mod shadows;

use std::path::Path;
use std::sync::OnceLock;

use stagewright_end_to_end::Place;

/// The model of [`trained`].
const MODEL: &str = "churn-classifier";

/// A home whose model has a champion. It is made once and copied.
fn trained() -> Place {
    static HOME: OnceLock<Place> = OnceLock::new();
    let first = HOME.get_or_init(|| {
        let place = Place::new();
        let gates = ["--set", "gates.minimum.roc_auc=0.5", "--set", "gates.minimum.accuracy=0.5"];
        place.churn(1500, &[&gates[..], &["--set", "training.component=train-logistic"]].concat()).expect(0);
        let csv = place.path().join("customers.csv").display().to_string();
        place.run(&["artifacts", "export", "ingestion.table", "--output", &csv]).expect(0);
        place
    });
    let place = Place::new();
    copy(&first.home(), &place.home());
    std::fs::copy(first.path().join("customers.csv"), place.path().join("customers.csv")).expect("a copy");
    place
}

/// Copies a folder with everything in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
