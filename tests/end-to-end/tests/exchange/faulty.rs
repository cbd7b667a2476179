//! A server that stands before another one, or before none, and misbehaves as it is told.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A way to treat a request.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The server behind answers it.
    Pass,
    /// The server behind does it, and its answer is lost.
    Lose,
    /// The connection is closed at once.
    Cut,
    /// This is the answer: a status and a body.
    Answer(u16, Vec<u8>),
    /// This is the answer, with another header.
    Redirect(String),
    /// No answer comes for a long time.
    Hang,
    /// The answer says that it has this many bytes, sends some, and goes on without an end.
    Endless,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// `POST /api/2.0/mlflow/runs/create`.
    pub(super) line: String,
    /// The whole head.
    pub(super) head: String,
}

/// The server.
pub(super) struct Faulty {
    pub(super) address: String,
    pub(super) asked: Arc<Mutex<Vec<Asked>>>,
}

impl Faulty {
    /// Starts a server. `judge` says what happens to each request: its number from 0 on, and its
    /// first line.
    pub(super) fn before(behind: Option<&str>, judge: impl Fn(usize, &str) -> Fault + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let behind = behind.map(|address| address.trim_start_matches("http://").to_owned());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (judge, seen) = (Arc::new(judge), asked.clone());
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (judge, seen, behind) = (judge.clone(), seen.clone(), behind.clone());
                // A client that is gone is none of its concern.
                thread::spawn(move || drop(answer(connection, behind.as_deref(), &*judge, &seen)));
            }
        });
        Self { address, asked }
    }

    /// The first lines of the requests so far.
    pub(super) fn lines(&self) -> Vec<String> {
        self.asked.lock().expect("the lock").iter().map(|asked| asked.line.clone()).collect()
    }
}

/// Answers one request and closes the connection.
fn answer(
    mut client: TcpStream,
    behind: Option<&str>,
    judge: &(dyn Fn(usize, &str) -> Fault + Send + Sync),
    seen: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    let (head, body) = read(&mut client)?;
    let line = head.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let number = {
        let mut seen = seen.lock().expect("the lock");
        seen.push(Asked { line: line.clone(), head: head.clone() });
        seen.len() - 1
    };
    let respond = |client: &mut TcpStream, status: u16, more: &str, body: &[u8]| {
        let head =
            format!("HTTP/1.1 {status} Told\r\nconnection: close\r\ncontent-length: {}\r\n{more}\r\n", body.len());
        client.write_all(head.as_bytes())?;
        client.write_all(body)
    };
    match judge(number, &line) {
        Fault::Cut => Ok(()),
        Fault::Answer(status, body) => respond(&mut client, status, "", &body),
        Fault::Redirect(to) => respond(&mut client, 302, &format!("location: {to}\r\n"), b""),
        Fault::Hang => {
            thread::sleep(Duration::from_secs(600));
            Ok(())
        }
        Fault::Endless => {
            client.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n{\"experiments\": [")?;
            loop {
                client.write_all(&[b' '; 65_536])?;
            }
        }
        fault @ (Fault::Pass | Fault::Lose) => {
            let mut server = TcpStream::connect(behind.expect("a server behind"))?;
            let lines = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
            let head: String = lines.filter(|line| !line.is_empty()).map(|line| format!("{line}\r\n")).collect();
            server.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())?;
            server.write_all(&body)?;
            if matches!(fault, Fault::Lose) {
                std::io::copy(&mut server, &mut std::io::sink())?;
                return Ok(());
            }
            std::io::copy(&mut server, &mut client)?;
            Ok(())
        }
    }
}

/// Reads a request: its head, and its body of known length.
fn read(client: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    client.read_exact(&mut body)?;
    Ok((head, body))
}
