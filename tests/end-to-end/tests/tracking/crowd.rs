//! Many clients at once, and clients that are slow: they take little, and others are answered.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use stagewright_end_to_end::Place;

use super::server::Server;

/// How many connections are tried, if the descriptors of a process allow it.
const CONNECTIONS: u64 = 10_000;

/// The most memory that the server takes more for each of them. It is 36 KiB: the buffer for a
/// head, the state of the connection, and what the allocator adds. One that kept a body for each
/// would take more than twice as much.
const BYTES_EACH: u64 = 64 << 10;

/// The most memory that it takes more for its threads and the registry.
const BYTES_BESIDE: u64 = 16 << 20;

/// Raises the limit of this process for descriptors. Returns how many connections can be made: a
/// server has two descriptors for each, and leaves some for its files and for other clients.
fn room() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, ..limit };
    setrlimit(Resource::Nofile, wanted).expect("a limit up to the hard one");
    let room = limit.maximum.map_or(CONNECTIONS, |most| most.saturating_sub(400) / 2);
    usize::try_from(room.min(CONNECTIONS)).expect("a number")
}

/// Returns the bytes of memory that a process has now.
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

// invariant: as `bodies_beyond_the_limits_are_refused`
#[test]
#[cfg(target_os = "linux")]
fn a_crowd_takes_bounded_memory_and_others_are_answered() {
    let place = Place::new();
    let server = Server::start(&place);
    let room = room();
    assert!(room > 300, "a hard limit of 1,024 descriptors is needed; there is room for {room} connections");
    server.post("experiments/create", &json!({ "name": "before" })).done();
    let before = resident(server.process());
    let address = server.address.trim_start_matches("http://");
    // A third are idle, a third stop in a head, a third in a body.
    let head = format!("POST /api/2.0/mlflow/experiments/create HTTP/1.1\r\nhost: {address}\r\n");
    let body = format!("{head}content-type: application/json\r\ncontent-length: 1000\r\n\r\n{{\"name\": \"");
    let crowd: Vec<TcpStream> = (0..room)
        .map(|number| {
            let mut stream = TcpStream::connect(address).expect("a connection");
            stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
            let sent = [&b""[..], head.as_bytes(), body.as_bytes()][number % 3];
            stream.write_all(sent).expect("a beginning");
            stream
        })
        .collect();
    for number in 0..20 {
        server.post("experiments/create", &json!({ "name": format!("during {number}") })).done();
    }
    let taken = resident(server.process()).saturating_sub(before);
    assert!(taken < BYTES_BESIDE + BYTES_EACH * room as u64, "{taken} bytes for {room} connections");
    drop(crowd);
    server.post("experiments/create", &json!({ "name": "after" })).done();
}

// A client that never reads its answers fills the buffers of its connection, and no more.
//
// invariant: as `bodies_beyond_the_limits_are_refused`
#[test]
#[cfg(target_os = "linux")]
fn answers_that_nobody_reads_are_not_gathered() {
    let place = Place::new();
    let server = Server::start(&place);
    let run = server.post("runs/create", &json!({ "experiment_id": "0" })).done();
    let run = run["run"]["info"]["run_id"].as_str().expect("a run").to_owned();
    let metric = |at: usize| json!({ "key": "a", "value": at, "timestamp": 1, "step": at });
    for batch in 0..10 {
        let metrics: Vec<_> = (batch * 1_000..(batch + 1) * 1_000).map(metric).collect();
        server.post("runs/log-batch", &json!({ "run_id": run, "metrics": metrics })).done();
    }
    let path = format!("/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=a");
    let answer = server.get(&path).body.len();
    assert!(answer > 300_000, "{answer}");
    let address = server.address.trim_start_matches("http://");
    let ask = |last: &str, times: usize| -> Vec<TcpStream> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n{last}\r\n");
        let connect = |_| {
            let mut stream = TcpStream::connect(address).expect("a connection");
            stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
            stream.set_write_timeout(Some(Duration::from_secs(60))).expect("a timeout");
            stream.write_all(request.repeat(times).as_bytes()).expect("requests");
            stream
        };
        (0..64).map(connect).collect()
    };
    // Threads that make answers keep what making one takes, whoever reads it.
    for mut stream in ask("connection: close\r\n", 1) {
        assert!(stream.read_to_end(&mut Vec::new()).expect("an answer") > answer);
    }
    let before = resident(server.process());
    // Many answers are asked for at once; one at a time is made.
    let mut crowd = ask("", 50);
    // Each has its first answer before its socket, so that all have been asked.
    for stream in &mut crowd {
        stream.read_exact(&mut [0; 100]).expect("an answer begins");
    }
    server.post("experiments/create", &json!({ "name": "meanwhile" })).done();
    let taken = resident(server.process()).saturating_sub(before);
    // Each has one, and what a thread more keeps. All 50 of each client would take far more.
    let bound = 64 * 4 * answer as u64;
    assert!(taken < bound, "{taken} bytes for 64 clients that read nothing; {bound} are allowed");
}
