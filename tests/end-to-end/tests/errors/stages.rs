//! Faults of stages, and limits: SW04 and SW05.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use stagewright_end_to_end::{Ended, Place, config, least_pipeline};

use crate::{Case, provoke};

pub(crate) const CASES: &[Case] = &[
    ("SW0401", || misbehaves("long-internal-fault", "train", &[])),
    ("SW0402", || misbehaves("panic", "train", &[])),
    ("SW0403", || misbehaves("predict-nan", "predict", &[])),
    ("SW0404", server_without_grant),
    ("SW0405", interrupted),
    ("SW0501", || misbehaves("memory-bomb", "train", &["training.limits.memory=32 MiB"])),
    ("SW0502", || misbehaves("loop", "train", &["training.limits.cpu=200 ms"])),
    ("SW0503", || misbehaves("loop", "train", &["training.limits.wall=300 ms", "training.limits.cpu=60 s"])),
    ("SW0504", || misbehaves("endless-blob", "train", &["training.limits.output=1 MiB"])),
    ("SW0505", response_without_end),
    ("SW0506", || misbehaves("recursion", "train", &[])),
    ("SW0507", compiled_within_too_little),
];

#[test]
fn faults_of_stages_and_limits() {
    provoke(CASES);
}

/// A run whose training commits a misdeed in an export.
fn misbehaves(misdeed: &str, export: &str, set: &[&str]) -> Ended {
    Ended::of(misbehaving(&Place::new(), misdeed, export, set, "--json"))
}

fn misbehaving(place: &Place, misdeed: &str, export: &str, set: &[&str], more: &str) -> Command {
    place.write("pipeline.toml", least_pipeline("misbehave-training"));
    let (misdeed, export) = (format!("training.misdeed={misdeed}"), format!("training.export={export}"));
    let set = [misdeed.as_str(), export.as_str()].into_iter().chain(set.iter().copied());
    let set: Vec<&str> = set.flat_map(|change| ["--set", change]).collect();
    place.command(&[&["run", "pipeline.toml", more][..], &set].concat())
}

fn server_without_grant() -> Ended {
    let source = "customers=http://127.0.0.1:9/customers.csv";
    Place::new().run(&["run", &config("churn.toml"), "--json", "--source", source])
}

/// Stops a run while its training works.
fn interrupted() -> Ended {
    let place = Place::new();
    let set = ["training.limits.cpu=5 min", "training.limits.wall=5 min"];
    let mut command = misbehaving(&place, "loop", "train", &set, "--log-format=json");
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary");
    let mut lines = BufReader::new(run.stdout.take().expect("its output")).lines();
    let begins = |line: &str| line.contains("step-started") && line.contains("\"training\"");
    let begun = lines.by_ref().map_while(Result::ok).any(|line| begins(&line));
    assert!(begun, "the training did not begin");
    let sent = Command::new("kill").args(["-INT", &run.id().to_string()]).status().expect("kill");
    assert!(sent.success(), "no signal was sent");
    let stdout = lines.map_while(Result::ok).last().unwrap_or_default();
    let mut stderr = String::new();
    run.stderr.take().expect("its errors").read_to_string(&mut stderr).expect("UTF-8");
    let code = run.wait().expect("it ends").code().expect("an exit code");
    assert!(stdout.contains("\"error_code\":\"SW0405\""), "{stdout}");
    Ended { code, stdout, stderr }
}

/// A server whose answer is longer than the source may be.
fn response_without_end() -> Ended {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut lines = BufReader::new(stream.try_clone().expect("the same connection")).lines();
        while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let body = "1,2\n".repeat(100_000);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        // The other side hangs up when it has seen enough.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    });
    let source = format!("customers=http://127.0.0.1:{port}/customers.csv");
    let grant = format!("ingestion.http=[\"127.0.0.1:{port}\"]");
    let limit = "sources.customers.max-bytes=100 KiB";
    let arguments = ["run", &config("churn.toml"), "--json", "--source", &source, "--set", &grant, "--set", limit];
    let ended = Place::new().run(&arguments);
    server.join().expect("the server ends");
    ended
}

fn compiled_within_too_little() -> Ended {
    let place = Place::new();
    let operator = place.write("operator.toml", "[compilation]\nsize = \"64 KiB\"\n");
    place.write("pipeline.toml", least_pipeline("misbehave-training"));
    let mut command = place.command(&["plan", "pipeline.toml"]);
    command.env("STAGEWRIGHT_OPERATOR", operator).env("STAGEWRIGHT_CACHE", place.path().join("cache"));
    Ended::of(command)
}
