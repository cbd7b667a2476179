//! A tracking server, and a client without MLflow.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use stagewright_end_to_end::Place;

/// A server that runs until it is dropped, which ends it with `SIGKILL`.
pub(super) struct Server {
    child: Child,
    pub(super) address: String,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: ureq::http::HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// Asserts that the request was carried out, and returns the JSON of the answer.
    #[track_caller]
    pub(super) fn done(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }

    /// Asserts that the request was refused with a status and a code. Returns the message.
    #[track_caller]
    pub(super) fn refused(&self, status: u16, code: &str) -> String {
        let body = self.json();
        assert_eq!((self.status, body["error_code"].as_str()), (status, Some(code)), "{body}");
        body["message"].as_str().expect("a message").to_owned()
    }
}

impl Server {
    /// Starts a server over the home of a place.
    pub(super) fn start(place: &Place) -> Self {
        Self::start_with(place, &[])
    }

    /// Starts a server with more arguments.
    pub(super) fn start_with(place: &Place, more: &[&str]) -> Self {
        Self::launch(place, &[more, &["server", "--port", "0"]].concat())
    }

    /// Starts a server with more arguments of its own.
    pub(super) fn start_more(place: &Place, more: &[&str]) -> Self {
        Self::start_with_more(place, &[], more)
    }

    /// Starts a server with more arguments, and more of its own.
    pub(super) fn start_with_more(place: &Place, more: &[&str], own: &[&str]) -> Self {
        Self::launch(place, &[more, &["server", "--port", "0"], own].concat())
    }

    /// Starts a server that other machines reach.
    pub(super) fn start_open(place: &Place) -> Self {
        Self::launch(place, &["server", "--port", "0", "--host", "0.0.0.0", "--insecure"])
    }

    /// Starts a server that has a name.
    pub(super) fn start_as(place: &Place, host: &str) -> Self {
        Self::launch(place, &["server", "--port", "0", "--allowed-host", host])
    }

    /// Starts a server whose log is written to a file. Returns the file.
    pub(super) fn start_logged(place: &Place, more: &[&str]) -> (Self, PathBuf) {
        let log = place.path().join("server.log");
        let file = std::fs::File::create(&log).expect("a file");
        let mut command = place.command(&[more, &["server", "--port", "0"]].concat());
        command.stderr(file);
        (Self::run(command, "http"), log)
    }

    /// Starts a server that speaks TLS, with more arguments of its own.
    pub(super) fn start_secure(place: &Place, own: &[&str]) -> Self {
        Self::run(place.command(&[&["server", "--port", "0"], own].concat()), "https")
    }

    /// Starts a server whose artifacts are at a place that machines share, with the variables that
    /// lead there.
    pub(super) fn start_sharing(place: &Place, artifacts: &str, variables: Vec<(String, String)>) -> Self {
        let mut command = place.command(&["--artifacts", artifacts, "server", "--port", "0"]);
        command.envs(variables);
        Self::run(command, "http")
    }

    fn launch(place: &Place, arguments: &[&str]) -> Self {
        Self::run(place.command(arguments), "http")
    }

    fn run(mut command: Command, scheme: &str) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the binary starts");
        let mut address = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut address).expect("a line");
        let address = address.trim().replace("//0.0.0.0:", "//127.0.0.1:");
        assert!(address.starts_with(&format!("{scheme}://127.0.0.1:")), "the server says {address:?}");
        Self { child, address }
    }

    /// The process.
    pub(super) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], &[])
    }

    /// Posts JSON to a path below `/api/2.0/mlflow`.
    pub(super) fn post(&self, path: &str, body: &Value) -> Answer {
        let path = format!("/api/2.0/mlflow/{path}");
        self.ask("POST", &path, &[("content-type", "application/json")], body.to_string().as_bytes())
    }

    pub(super) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_to_ask(method, path, headers, body).expect("an answer")
    }

    /// Asks, and follows no way to another page.
    pub(super) fn ask_once(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
        self.ask_by(&agent.max_redirects_will_error(false).build().into(), method, path, headers, body)
            .expect("an answer")
    }

    /// Asks over TLS for `localhost`, and trusts one certificate alone. Returns the status.
    pub(super) fn ask_trusting(&self, certificate: &[u8], path: &str) -> Result<u16, ureq::Error> {
        use ureq::tls::{Certificate, RootCerts, TlsConfig};
        let root = Certificate::from_pem(certificate)?;
        let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&[root])).build();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).tls_config(tls).build();
        let address = self.address.replace("127.0.0.1", "localhost");
        let answer = ureq::Agent::from(agent).get(format!("{address}{path}")).call()?;
        Ok(answer.status().as_u16())
    }

    /// Has the server read its files again.
    pub(super) fn hang_up(&self) {
        let done = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status().expect("kill");
        assert!(done.success());
    }

    /// Asks, where the server may be gone.
    pub(super) fn try_to_ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .into();
        self.ask_by(&agent, method, path, headers, body)
    }

    fn ask_by(
        &self,
        agent: &ureq::Agent,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, ureq::Error> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = agent.run(request.body(body.to_vec()).expect("a request"))?;
        let headers = answer.headers().clone();
        let body = answer.body_mut().with_config().limit(1 << 30).read_to_vec()?;
        Ok(Answer { status: answer.status().as_u16(), headers, body })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
