//! A server as a process: its start, one request by hand, and what it uses.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::steps::Result;

/// A kernel's tick, in which it tells CPU time.
const TICK: Duration = Duration::from_millis(10);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server that runs. Dropping it ends it.
pub(super) struct Server {
    child: Child,
    // Kept open: a server whose output is closed may end.
    _output: BufReader<ChildStdout>,
    /// The URL that it printed.
    pub(super) url: String,
}

/// The CPU time of a server so far.
#[derive(Clone, Copy)]
pub(super) struct Cpu {
    /// Of the process that speaks HTTP.
    pub(super) front: Duration,
    /// Of all its children.
    pub(super) children: Duration,
}

/// The resident memory of a server in MiB.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    /// Of the process that speaks HTTP.
    pub(super) front: f64,
    /// The sum over its children.
    pub(super) children: f64,
    /// Of all, pages that they share counted once. `None` if the system does not tell.
    pub(super) proportional: Option<f64>,
}

impl Memory {
    pub(super) fn sum(&self) -> f64 {
        self.front + self.children
    }
}

impl Server {
    /// Starts a command that prints its URL when it serves.
    pub(super) fn start(command: &mut Command) -> Result<Self> {
        let shown = format!("{command:?}");
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.map_err(|error| format!("cannot start {shown}: {error}"))?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut line = String::new();
        let read = output.read_line(&mut line);
        let server = Self { child, _output: output, url: line.trim().to_owned() };
        read.map_err(|error| format!("{shown}: {error}"))?;
        if server.url.starts_with("http://") { Ok(server) } else { Err(format!("{shown} printed no address: {line}")) }
    }

    /// Returns the answer to a request over a connection of its own: its head and its body.
    pub(super) fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<String> {
        let address = self.url.trim_start_matches("http://");
        let failed = |error: std::io::Error| format!("{method} {}{path}: {error}", self.url);
        let mut stream = TcpStream::connect(address).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).map_err(failed)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(failed)?;
        if answer.starts_with("HTTP/1.1 200") { Ok(answer) } else { Err(format!("{method} {path}: {answer}")) }
    }

    /// Returns the CPU time so far.
    pub(super) fn cpu(&self) -> Result<Cpu> {
        let (front, ended) = cpu_of(self.child.id())?;
        // Children that end while this looks are counted at the next look.
        let living: Duration =
            descendants(self.child.id()).into_iter().filter_map(|id| cpu_of(id).ok()).map(|of| of.0).sum();
        Ok(Cpu { front, children: living + ended })
    }

    /// Returns the memory.
    pub(super) fn memory(&self) -> Result<Memory> {
        let children = descendants(self.child.id());
        let mut processes = vec![self.child.id()];
        processes.extend(&children);
        Ok(Memory {
            front: memory_of(self.child.id(), "status", "VmRSS:").ok_or("the system does not tell resident memory")?,
            children: children.iter().filter_map(|id| memory_of(*id, "status", "VmRSS:")).sum(),
            proportional: processes.iter().map(|id| memory_of(*id, "smaps_rollup", "Pss:")).sum(),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that was started by cargo ends with its input.
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the CPU time of a process, and that of its children that have ended.
fn cpu_of(id: u32) -> Result<(Duration, Duration)> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).map_err(|error| error.to_string())?;
    // The second field, the program's name in brackets, may contain anything.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u32>().ok()).unwrap_or_default();
    Ok((TICK * (ticks(11) + ticks(12)), TICK * (ticks(13) + ticks(14))))
}

/// Returns the children of a process, with their children.
fn descendants(id: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let of_thread = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).unwrap_or_default();
    let children: Vec<u32> = threads
        .map(of_thread)
        .flat_map(|text| text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>())
        .collect();
    children.iter().flat_map(|child| [vec![*child], descendants(*child)].concat()).collect()
}

/// Returns an entry in KiB of a file of `/proc`, as MiB.
fn memory_of(id: u32, file: &str, key: &str) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{id}/{file}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}
