//! A server that receives events, and answers as a test says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use stagewright_hooks::signature;

use crate::place::SECRET;

/// An answer of the server.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// This text.
    Text(&'static str),
    /// The connection is closed after the request was read.
    Cut,
    /// Nothing comes, and the connection stays.
    Silence,
    /// A body without an end.
    Endless,
}

pub(crate) const TAKEN: Answer = Answer::Text("HTTP/1.1 204 No Content\r\n\r\n");
pub(crate) const BUSY: Answer = Answer::Text("HTTP/1.1 503 Busy\r\nContent-Length: 11\r\n\r\ncome\x1b[2Jing");

/// A request that came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) head: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.head.iter().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        });
        found.unwrap_or_else(|| panic!("no `{name}` in {:?}", self.head))
    }

    pub(crate) fn event(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Returns whether the signature is that of the body and the time.
    pub(crate) fn is_signed(&self) -> bool {
        let seconds = self.header("X-Stagewright-Timestamp").parse().expect("seconds");
        self.header("X-Stagewright-Signature") == signature(SECRET.as_bytes(), seconds, &self.body)
    }
}

/// A server on a port of its own. It ends with the test's process.
pub(crate) struct Receiver {
    pub(crate) url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// Starts a server. `answer` is given how many requests came before.
    pub(crate) fn start(answer: impl Fn(usize) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/events?secret=path", listener.local_addr().expect("an address"));
        let received = Arc::new(Mutex::new(Vec::new()));
        let seen = received.clone();
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                let request = read(&stream);
                let before = seen.lock().expect("no panic").len();
                let answer = answer(before);
                seen.lock().expect("no panic").push(request);
                send(stream, &answer, &mut silent);
            }
        });
        Self { url, received }
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().expect("no panic").clone()
    }

    /// Returns the versions of which it was told, in order.
    pub(crate) fn versions(&self) -> Vec<u64> {
        self.received().iter().map(|request| request.event()["version"].as_u64().expect("a version")).collect()
    }

    /// Returns a section of the operator's file.
    pub(crate) fn hook(&self, name: &str, more: &str) -> String {
        format!("[hooks.{name}]\nurl = \"{}\"\nsecret-env = \"SECRET\"\n{more}\n", self.url)
    }
}

fn read(stream: &TcpStream) -> Received {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a head");
        let line = line.trim_end().to_owned();
        if line.is_empty() {
            break;
        }
        head.push(line);
    }
    let mut request = Received { head, body: Vec::new() };
    let length = request.header("Content-Length").parse().expect("a length");
    request.body = vec![0; length];
    reader.read_exact(&mut request.body).expect("a body");
    request
}

fn send(mut stream: TcpStream, answer: &Answer, silent: &mut Vec<TcpStream>) {
    match answer {
        Answer::Text(text) => {
            let closed = text.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
            let _ = stream.write_all(closed.as_bytes());
        }
        Answer::Cut => {}
        Answer::Silence => silent.push(stream),
        Answer::Endless => drop(std::thread::spawn(move || {
            let _ = stream.write_all(b"HTTP/1.1 500 Broken\r\n\r\n");
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        })),
    }
}
