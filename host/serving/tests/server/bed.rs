//! A server over a model whose sessions are made up, and a client that speaks HTTP by hand.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Float64Type;
use serde_json::{Value, json};
use stagewright_data::{RequestOptions, Signature};
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::model::RegisteredModel;
use stagewright_lifecycle::sandbox::{CallLimits, ModelSession};
use stagewright_serving::{
    HttpLimits, PoolOptions, Reload, ServedModel, ServedVersion, Server, ServerOptions, Service,
};
use stagewright_store::{DataType, Digest, Field};
use tokio::sync::oneshot;

/// Predicts the column `x` itself. A negative value takes so many milliseconds; a value above 1 is
/// a fault, after which the session is of no use.
struct Session {
    has_failed: bool,
}

impl ModelSession for Session {
    fn predict(&mut self, rows: &[RecordBatch]) -> Result<Vec<f64>, StageFault> {
        let mut predicted = Vec::new();
        for batch in rows {
            let column = batch.column(0).as_primitive::<Float64Type>();
            for row in 0..column.len() {
                match column.value(row) {
                    x if x < 0.0 => {
                        std::thread::sleep(Duration::from_millis(-x as u64));
                        predicted.push(0.5);
                    }
                    x if x > 1.0 => {
                        self.has_failed = true;
                        return Err(StageFault::host(io::Error::other("the secret reason")));
                    }
                    x => predicted.push(x),
                }
            }
        }
        Ok(predicted)
    }

    fn is_alive(&self) -> bool {
        !self.has_failed
    }
}

/// A version of the model `numbers` with these settings of its pool.
pub(crate) fn version(number: u32, options: PoolOptions, deadline: Duration) -> Arc<ServedVersion> {
    version_of(number, &["x"], options, deadline, || Box::new(Session { has_failed: false }))
}

/// A version of the model `numbers` with these features, and sessions that the caller makes.
pub(crate) fn version_of(
    number: u32,
    features: &[&str],
    options: PoolOptions,
    deadline: Duration,
    session: impl Fn() -> Box<dyn ModelSession> + Send + Sync + 'static,
) -> Arc<ServedVersion> {
    let fields = features.iter().map(|name| Field::new(*name, DataType::Float64)).collect();
    version_with(number, fields, options, deadline, session)
}

/// As [`version_of`], with features of any types.
pub(crate) fn version_with(
    number: u32,
    fields: Vec<Field>,
    options: PoolOptions,
    deadline: Duration,
    session: impl Fn() -> Box<dyn ModelSession> + Send + Sync + 'static,
) -> Arc<ServedVersion> {
    let signature = Signature::new(fields).expect("a signature");
    let digest = Digest::of(b"numbers").to_string();
    let component = json!({ "name": "made-up", "digest": digest, "stubs": [], "parameters": {} });
    let contents: RegisteredModel = serde_json::from_value(json!({
        "format": 3, "transformation": component, "state": digest, "training": component, "model": digest,
        "task": { "kind": "binary", "negative": "no", "positive": "yes" },
        "signature": serde_json::to_value(&signature).expect("JSON"), "target": "y", "importance": [],
        "test_digest": digest, "data_digest": digest, "run_id": "r", "seed": 1, "as_of": 0,
    }))
    .expect("a model");
    let request = RequestOptions::default();
    let open = Box::new(move || Ok(session()));
    let version =
        ServedVersion::with_sessions("numbers", number, contents, open, CallLimits::default(), options, request);
    let mut version = version.expect("a version");
    version.deadline = deadline;
    Arc::new(version)
}

/// A server that runs on threads of its own.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) reload: Reload,
    pub(crate) model: Arc<ServedModel>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<usize>>,
}

impl Running {
    /// Starts a server with default settings.
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// Starts a server with other limits.
    pub(crate) fn limited(change: impl FnOnce(&mut HttpLimits)) -> Self {
        Self::with(|options| change(&mut options.limits))
    }

    /// Starts a server with other settings.
    pub(crate) fn with(change: impl FnOnce(&mut ServerOptions)) -> Self {
        Self::serving(version(3, PoolOptions::default(), Duration::from_secs(5)), change)
    }

    /// Starts a server of a version.
    pub(crate) fn serving(version: Arc<ServedVersion>, change: impl FnOnce(&mut ServerOptions)) -> Self {
        Self::with_service(version, change, |service| service)
    }

    /// Starts a server of a version, whose service has more parts.
    pub(crate) fn with_service(
        version: Arc<ServedVersion>,
        change: impl FnOnce(&mut ServerOptions),
        complete: impl FnOnce(Service) -> Service,
    ) -> Self {
        let mut options = ServerOptions::at(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0));
        change(&mut options);
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, address) = std::sync::mpsc::channel();
        let model = Arc::new(ServedModel::new("numbers"));
        model.replace(version);
        let service = Arc::new(complete(Service::new([model.clone()])));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let server = Server::bind(service, options).await.expect("a server");
                ready.send((server.address(), server.reload())).expect("a listener");
                server.run(async { drop(stopped.await) }).await
            })
        });
        let (address, reload) = address.recv().expect("an address");
        Self { address, reload, model, stop: Some(stop), thread: Some(thread) }
    }

    /// Tells the server to stop, and does not wait.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits for the end of the server. Returns how many connections were cut off.
    pub(crate) fn end(mut self) -> usize {
        self.stop();
        self.thread.take().expect("a thread").join().expect("no panic")
    }

    /// Opens a connection.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        stream
    }

    /// Sends a request over a connection of its own.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Reply {
        ask(&mut self.connect(), method, path, headers, body)
    }

    /// Predicts one value.
    pub(crate) fn predict(&self, x: f64) -> Reply {
        predict(&mut self.connect(), x)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Returns a header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text()))
    }

    /// Asserts that this is an error of our form.
    #[track_caller]
    pub(crate) fn expect_error(&self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.json()["error"]["code"].as_str()), (status, Some(code)), "{}", self.text());
        let body = self.json();
        assert!(body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
        assert_eq!(body["request_id"].as_str(), self.header("x-request-id"), "{body}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        body
    }
}

/// Sends a request.
pub(crate) fn send(stream: &mut impl Write, method: &str, path: &str, headers: &[&str], body: &[u8]) -> io::Result<()> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\n");
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    headers.iter().for_each(|header| head.push_str(&format!("{header}\r\n")));
    head.push_str("\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())
}

/// Sends a request and reads the answer.
pub(crate) fn ask(stream: &mut (impl Read + Write), method: &str, path: &str, headers: &[&str], body: &[u8]) -> Reply {
    send(stream, method, path, headers, body).expect("a request");
    read_reply(stream).expect("an answer")
}

/// Predicts one value.
pub(crate) fn predict(stream: &mut (impl Read + Write), x: f64) -> Reply {
    ask(stream, "POST", "/predict", &["Content-Type: application/json"], format!("{{\"x\": {x:?}}}").as_bytes())
}

/// Reads an answer.
pub(crate) fn read_reply(stream: &mut impl Read) -> io::Result<Reply> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).expect("a head");
    let mut lines = text.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let mut reply = Reply { status: status.expect("a status"), headers, body: Vec::new() };
    let length = reply.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    reply.body = vec![0; length];
    stream.read_exact(&mut reply.body)?;
    Ok(reply)
}

/// Returns whether the server closes a connection within a time.
pub(crate) fn closes_within(stream: &mut TcpStream, time: Duration) -> bool {
    stream.set_read_timeout(Some(time)).expect("a timeout");
    let end = Instant::now() + time;
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) if Instant::now() < end => {}
            Ok(_) => return false,
            Err(error) => return error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}
