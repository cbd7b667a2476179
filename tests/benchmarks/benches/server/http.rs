//! A client of HTTP/1.1 that sends what the stock client of MLflow sends, over one connection.
//!
//! It does little, because it shares the processors with what it measures.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use stagewright_benchmarks::Result;

/// How long an answer may take. A stock server needs half a minute to search many runs.
const PATIENCE: Duration = Duration::from_secs(300);

/// Bytes of a file that are sent or read at once.
const PIECE: usize = 1 << 20;

/// A connection that is used again.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    address: String,
}

impl Client {
    /// Connects to `http://ADDRESS`.
    pub(crate) fn connect(url: &str) -> Result<Self> {
        let address = url.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::with_capacity(64 << 10, stream), address })
    }

    /// Posts JSON to a path below `/api/2.0/mlflow`. Returns the body of the answer.
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Result<Vec<u8>> {
        self.ask("POST", &format!("/api/2.0/mlflow/{path}"), body.to_string().as_bytes())
    }

    /// As [`Client::post`]. Returns the JSON of the answer.
    pub(crate) fn posted(&mut self, path: &str, body: &Value) -> Result<Value> {
        Ok(serde_json::from_slice(&self.post(path, body)?)?)
    }

    /// Returns the body of an answer to `GET`.
    pub(crate) fn get(&mut self, path: &str) -> Result<Vec<u8>> {
        self.ask("GET", path, b"")
    }

    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>> {
        let request = [self.head(method, path, body.len() as u64).as_bytes(), body].concat();
        self.stream.get_mut().write_all(&request)?;
        let mut answer = Vec::new();
        self.answer(path, |piece| answer.extend_from_slice(piece))?;
        Ok(answer)
    }

    /// Sends a file as the client uploads an artifact. Returns when it is answered.
    pub(crate) fn put(&mut self, path: &str, file: &mut impl Read, bytes: u64) -> Result<()> {
        let head = self.head("PUT", path, bytes);
        self.stream.get_mut().write_all(head.as_bytes())?;
        let mut piece = vec![0; PIECE];
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            self.stream.get_mut().write_all(&piece[..read])?;
        }
        self.answer(path, |_| {})
    }

    /// Reads a file as the client downloads an artifact, and writes it. Returns its bytes.
    pub(crate) fn download(&mut self, path: &str, to: &mut impl Write) -> Result<u64> {
        let head = self.head("GET", path, 0);
        self.stream.get_mut().write_all(head.as_bytes())?;
        let (mut bytes, mut failed) = (0, None);
        self.answer(path, |piece| {
            bytes += piece.len() as u64;
            if let Err(error) = to.write_all(piece) {
                failed = Some(error);
            }
        })?;
        failed.map_or(Ok(bytes), |error| Err(error.into()))
    }

    fn head(&self, method: &str, path: &str, bytes: u64) -> String {
        let kind = if method == "PUT" { "application/octet-stream" } else { "application/json" };
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: mlflow-python-client/3.17.2\r\nAccept-Encoding: identity\r\n\
             Accept: */*\r\nConnection: keep-alive\r\nContent-Type: {kind}\r\nContent-Length: {bytes}\r\n\r\n",
            self.address
        )
    }

    /// Reads an answer, whose body it gives to `take` in pieces.
    fn answer(&mut self, path: &str, mut take: impl FnMut(&[u8])) -> Result<()> {
        let status = self.line()?;
        let (mut length, mut is_chunked) = (0, false);
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse()?,
                "transfer-encoding" => is_chunked = value.trim() == "chunked",
                _ => {}
            }
        }
        let mut refusal = Vec::new();
        let is_done = status.starts_with("HTTP/1.1 200");
        let mut take = |piece: &[u8]| if is_done { take(piece) } else { refusal.extend_from_slice(piece) };
        if is_chunked {
            loop {
                let length = u64::from_str_radix(&self.line()?, 16)?;
                self.body(length, &mut take)?;
                self.line()?;
                if length == 0 {
                    break;
                }
            }
        } else {
            self.body(length, &mut take)?;
        }
        if is_done {
            return Ok(());
        }
        Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&refusal)).into())
    }

    fn body(&mut self, mut left: u64, take: &mut impl FnMut(&[u8])) -> Result<()> {
        // Beside the buffer of lines, which is small.
        let mut piece = vec![0; left.min(PIECE as u64) as usize];
        while left > 0 {
            let most = left.min(piece.len() as u64) as usize;
            let read = self.stream.read(&mut piece[..most])?;
            if read == 0 {
                return Err("the answer ended early".into());
            }
            take(&piece[..read]);
            left -= read as u64;
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err("the connection ended".into());
        }
        line.truncate(line.trim_end().len());
        Ok(line)
    }
}
