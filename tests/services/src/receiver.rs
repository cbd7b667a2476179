//! A server that receives requests, and answers as a test says.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The time for which tests wait for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer of a receiver.
#[derive(Clone, Debug)]
pub enum Answer {
    /// This text: a status line and headers, and a body.
    Text(String),
    /// The connection is closed after the request was read.
    Cut,
    /// Nothing comes, and the connection stays.
    Silence,
    /// A body without an end, after a status line.
    Endless(&'static str),
}

impl Answer {
    /// The request is taken.
    pub fn taken() -> Self {
        Self::Text("HTTP/1.1 204 No Content\r\n\r\n".to_owned())
    }

    /// The request may come again.
    pub fn busy() -> Self {
        Self::Text("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy".to_owned())
    }

    /// The request is to go elsewhere.
    pub fn redirect(to: &str) -> Self {
        Self::Text(format!("HTTP/1.1 307 Elsewhere\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n"))
    }
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Received {
    /// The request line and the headers.
    pub head: Vec<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Received {
    /// Returns a header, if it came.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// A server on a port of its own. It ends with the test's process.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// Starts a server that listens on 127.0.0.1. `answer` is given how many requests came before.
    ///
    /// # Panics
    /// If there is no port.
    pub fn start(answer: impl Fn(usize) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let received = Arc::new(Mutex::new(Vec::new()));
        let seen = received.clone();
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let Some((stream, request)) = stream.ok().and_then(read) else { continue };
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                let answer = answer(seen.len());
                seen.push(request);
                drop(seen);
                send(stream, &answer, &mut silent);
            }
        });
        Self { address, received }
    }

    /// Returns the URL of a path of the server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the requests that came, in order.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until so many requests have come. Returns them, and those that came beside them.
    ///
    /// # Panics
    /// If they do not come within a minute.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Received> {
        let end = Instant::now() + PATIENCE;
        loop {
            let received = self.received();
            if received.len() >= count {
                return received;
            }
            assert!(Instant::now() < end, "{} of {count} requests came", received.len());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn read(stream: TcpStream) -> Option<(TcpStream, Received)> {
    // A client that breaks off holds up no other.
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let mut reader = BufReader::new(&stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let mut request = Received { head, body: Vec::new() };
    request.body = vec![0; request.header("Content-Length").map_or(Ok(0), str::parse).ok()?];
    reader.read_exact(&mut request.body).ok()?;
    Some((stream, request))
}

fn send(mut stream: TcpStream, answer: &Answer, silent: &mut Vec<TcpStream>) {
    match answer {
        Answer::Text(text) => {
            let closed = text.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1);
            let _ = stream.write_all(closed.as_bytes());
        }
        Answer::Cut => {}
        Answer::Silence => silent.push(stream),
        Answer::Endless(status) => {
            let head = format!("HTTP/1.1 {status}\r\n\r\n");
            drop(std::thread::spawn(move || {
                let _ = stream.write_all(head.as_bytes());
                while stream.write_all(&[b'x'; 4096]).is_ok() {}
            }));
        }
    }
}
