//! The notebooks of `examples`, executed against a server.

use std::path::Path;

use stagewright_end_to_end::{Ended, Place, binary};

use super::server::Server;
use super::session::NEW;

#[test]
#[ignore = "needs MLflow's client: STAGEWRIGHT_MLFLOW_PYTHON names a Python that has it"]
fn every_cell_of_the_quickstart_works() {
    let place = Place::new();
    // The programs that the notebook calls find the same home.
    let server = Server::start(&place);
    let notebook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart.ipynb");
    let mut command = NEW.python("notebook.py", &notebook.display().to_string());
    let programs = [binary().parent().expect("a folder").to_owned()];
    let path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect::<Vec<_>>();
    let path = std::env::join_paths(programs.into_iter().chain(path)).expect("folders");
    command.arg(place.path()).env("PATH", path);
    command.env("MLFLOW_TRACKING_URI", &server.address).env("STAGEWRIGHT_HOME", place.home());
    command.env("STAGEWRIGHT_CACHE", binary().with_file_name("test-cache"));
    let ended = Ended::of(command).expect(0);
    assert!(ended.stdout.contains("cells"), "{}", ended.stdout);
}
