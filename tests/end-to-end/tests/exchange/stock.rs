//! A stock server of MLflow.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A stock server that runs until it is dropped.
pub(super) struct Stock {
    child: Child,
    pub(super) address: String,
}

impl Stock {
    /// Starts a server of the MLflow that a Python has.
    pub(super) fn start(python: &Path) -> Self {
        // It ends when this process closes its standard input, however this process ends.
        let program = "import sys, stock\n\
            with stock.stock_server() as address:\n    print('http://' + address, flush=True)\n    sys.stdin.read()\n";
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mlflow");
        let mut command = Command::new(python);
        command.args(["-c", program]).env("PYTHONPATH", folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the Python starts");
        let mut address = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut address).expect("a line");
        assert!(address.starts_with("http://"), "the stock server says {address:?}");
        Self { child, address: address.trim().to_owned() }
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
