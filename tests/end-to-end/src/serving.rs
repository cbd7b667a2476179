//! The built program as a server, and a client that speaks HTTP by hand.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Place;

/// How long a server may take to load its models, on a machine that does other work.
const START: Duration = Duration::from_secs(120);

/// A server that runs. Dropping it kills it.
pub struct Serving {
    child: Child,
    output: BufReader<ChildStdout>,
    /// Reads standard error all the time, so that a server which logs much does not wait for it.
    errors: Option<JoinHandle<String>>,
    /// The URL that it printed.
    pub url: String,
    /// The address in this URL.
    pub address: SocketAddr,
}

/// How a server ended.
pub struct Stopped {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output after the line with the address.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Serving {
    /// Starts `stagewright serve` on a port that the system chooses, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// It ends before it is ready.
    pub fn start(place: &Place, arguments: &[&str]) -> Self {
        Self::of(place.command(&[&["serve", "--port", "0"], arguments].concat()))
    }

    /// Starts a command that serves, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// It ends before it is ready.
    pub fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        let mut output = BufReader::new(child.stdout.take().expect("standard output"));
        let mut errors = child.stderr.take().expect("standard error");
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            errors.read_to_string(&mut text).expect("UTF-8");
            text
        });
        let mut line = String::new();
        let began = Instant::now();
        output.read_line(&mut line).expect("standard output");
        assert!(began.elapsed() < START, "the server was ready after {:?}", began.elapsed());
        let url = line.trim().to_owned();
        let Some((_, address)) = url.split_once("://") else {
            child.wait().expect("its end");
            panic!("no address but {url:?}: {}", errors.join().expect("standard error"));
        };
        let address = address.parse().expect("an address");
        Self { child, output, errors: Some(errors), url, address }
    }

    /// Returns the identifier of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `TERM`.
    ///
    /// # Panics
    ///
    /// The process has gone.
    pub fn signal(&self, name: &str) {
        let signal = match name {
            "TERM" => rustix::process::Signal::TERM,
            "INT" => rustix::process::Signal::INT,
            "HUP" => rustix::process::Signal::HUP,
            other => panic!("the signal {other}"),
        };
        let id = rustix::process::Pid::from_raw(self.child.id().cast_signed()).expect("a process");
        rustix::process::kill_process(id, signal).expect("a process that runs");
    }

    /// Waits for the end of the server.
    ///
    /// # Panics
    ///
    /// Its output is no text.
    pub fn wait(mut self) -> Stopped {
        let mut stdout = String::new();
        self.output.read_to_string(&mut stdout).expect("UTF-8");
        let code = self.child.wait().expect("its end").code();
        let errors = self.errors.take().expect("a thread");
        Stopped { code, stdout, stderr: errors.join().expect("standard error") }
    }

    /// Tells the server to end, and waits for it.
    pub fn stop(self) -> Stopped {
        self.signal("TERM");
        self.wait()
    }

    /// Opens a connection.
    ///
    /// # Panics
    ///
    /// The server does not accept it.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        stream
    }

    /// Sends a request over a connection of its own.
    ///
    /// # Panics
    ///
    /// There is no answer.
    pub fn ask(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Reply {
        let mut stream = self.connect();
        send(&mut stream, method, path, headers, body).expect("a request");
        read_reply(&mut stream).expect("an answer")
    }

    /// Returns the answer to `GET`.
    ///
    /// # Panics
    ///
    /// There is no answer.
    pub fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], b"")
    }

    /// Returns the answer to `POST` with a body of JSON.
    ///
    /// # Panics
    ///
    /// There is no answer.
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.ask("POST", path, &["Content-Type: application/json"], body.to_string().as_bytes())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// Returns a header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    ///
    /// # Panics
    ///
    /// It is no UTF-8.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    /// Parses the body as JSON.
    ///
    /// # Panics
    ///
    /// It is no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }
}

/// Sends a request.
///
/// # Errors
/// Those of the stream.
pub fn send(stream: &mut impl Write, method: &str, path: &str, headers: &[&str], body: &[u8]) -> io::Result<()> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n");
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    headers.iter().for_each(|header| head.push_str(&format!("{header}\r\n")));
    head.push_str("\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())
}

/// Reads an answer, whose length is in its head.
///
/// # Errors
/// Those of the stream, and [`io::ErrorKind::InvalidData`] for a head that is none.
pub fn read_reply(stream: &mut impl Read) -> io::Result<Reply> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let status = status.ok_or(io::ErrorKind::InvalidData)?;
    let mut reply = Reply { status, headers, body: Vec::new() };
    let length = reply.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    reply.body = vec![0; length];
    stream.read_exact(&mut reply.body)?;
    Ok(reply)
}
