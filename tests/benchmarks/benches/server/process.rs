//! Servers as processes: ours and the stock one, over the same kinds of database.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use stagewright_benchmarks::Result;

use crate::http::Client;

/// How long a server may take to answer. The stock one takes a quarter of a minute alone.
const PATIENCE: Duration = Duration::from_secs(180);

/// How often a server that starts is asked whether it is ready.
const PAUSE: Duration = Duration::from_millis(1);

/// A server that runs. Dropping it ends it with its children.
pub(crate) struct Server {
    child: Child,
    // Kept open: a server whose output is closed may end.
    _output: Option<BufReader<ChildStdout>>,
    pub(crate) url: String,
    /// The time until it answered `/health`.
    pub(crate) ready: Duration,
}

impl Server {
    /// Starts `stagewright server` over a home, with the registry in it or at a URL.
    pub(crate) fn ours(binary: &Path, home: &Path, registry: Option<&str>) -> Result<Self> {
        let mut command = Command::new(binary);
        command.arg("--home").arg(home);
        command.args(registry.iter().flat_map(|url| ["--registry", url]));
        command.args(["server", "--port", "0"]).stderr(Stdio::inherit()).stdout(Stdio::piped());
        let began = Instant::now();
        let mut child = command.process_group(0).spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        Self { child, _output: Some(output), url: line.trim().to_owned(), ready: Duration::ZERO }.wait(began)
    }

    /// Starts a stock `mlflow server` with its defaults over a database and a folder of artifacts.
    pub(crate) fn stock(python: &Path, folder: &Path, database: &str) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(python);
        command.args(["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--backend-store-uri", database, "--artifacts-destination"]).arg(folder.join("artifacts"));
        command.current_dir(folder).stdout(Stdio::null()).stderr(fs::File::create(folder.join("stock.log"))?);
        let began = Instant::now();
        let child = command.process_group(0).spawn()?;
        Self { child, _output: None, url: format!("http://127.0.0.1:{port}"), ready: Duration::ZERO }.wait(began)
    }

    fn wait(mut self, began: Instant) -> Result<Self> {
        while began.elapsed() < PATIENCE {
            if Client::connect(&self.url).and_then(|mut client| client.get("/health")).is_ok() {
                self.ready = began.elapsed();
                return Ok(self);
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("a server ended with {status}").into());
            }
            sleep(PAUSE);
        }
        Err("a server does not answer".into())
    }

    pub(crate) fn client(&self) -> Result<Client> {
        Client::connect(&self.url)
    }

    /// Returns the resident memory of the process and its children in MiB: now, and at its peak.
    pub(crate) fn memory(&self) -> Result<(f64, f64)> {
        let mut processes = vec![self.child.id()];
        let mut next = 0;
        while let Some(process) = processes.get(next).copied() {
            processes.extend(children(process));
            next += 1;
        }
        let sum = |key| processes.iter().filter_map(|process| mebibytes(*process, key)).sum();
        Ok((sum("VmRSS:"), sum("VmHWM:")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

fn children(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let of_thread = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).unwrap_or_default();
    threads
        .map(of_thread)
        .flat_map(|text| text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

fn mebibytes(process: u32, key: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}
