//! Clients that are slow, idle, many or endless: they are bounded, and others are served.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::bed::{Running, closes_within, predict, read_reply, send};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(10);

// invariant: A client that is slow, idle or endless loses its connection or its request at a limit,
// and others are served meanwhile.
#[test]
fn a_head_that_arrives_byte_by_byte_ends_at_its_limit() {
    let server = Running::limited(|limits| limits.header_time = SHORT);
    let mut slow: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"POST /predict HTTP/1.1\r\n").expect("a beginning");
    }
    let began = Instant::now();
    while began.elapsed() < 3 * SHORT {
        for stream in &mut slow {
            // Fails once the server has closed it.
            let _ = stream.write_all(b"X: y\r\n");
        }
        assert_eq!(server.predict(0.5).status, 200);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(slow.iter_mut().all(|stream| closes_within(stream, SHORT)));
}

#[test]
fn a_body_that_arrives_byte_by_byte_ends_at_its_limit() {
    let server = Running::limited(|limits| limits.body_time = SHORT);
    let mut stream = server.connect();
    send(&mut stream, "POST", "/predict", &["Content-Length: 1000"], b"").expect("a head");
    let began = Instant::now();
    while began.elapsed() < 2 * SHORT && stream.write_all(b" ").is_ok() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let reply = read_reply(&mut stream).expect("an answer");
    reply.expect_error(408, "slow_body");
    assert!(closes_within(&mut stream, LONG));
}

#[test]
fn a_client_that_does_not_read_its_answer_loses_its_connection() {
    let server = Running::limited(|limits| limits.body_time = SHORT);
    let mut stream = server.connect();
    // Answers of more than the system keeps for a socket that nobody reads.
    let rows = vec!["{\"x\":0.123456789}"; 9000].join(",");
    let body = format!("[{rows}]");
    stream.set_write_timeout(Some(LONG)).expect("a timeout");
    let mut sent = 0;
    while sent < 100 && send(&mut stream, "POST", "/predict", &[], body.as_bytes()).is_ok() {
        sent += 1;
    }
    assert!(sent < 100, "the server took {sent} requests whose answers nobody read");
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let server = Running::limited(|limits| limits.idle_time = SHORT);
    let mut idle = server.connect();
    let mut used = server.connect();
    assert_eq!(predict(&mut used, 0.5).status, 200);
    let mut busy = server.connect();
    send(&mut busy, "POST", "/predict", &[], b"{\"x\": -900}").expect("a request");
    assert!(closes_within(&mut idle, LONG));
    assert!(closes_within(&mut used, LONG));
    assert_eq!(read_reply(&mut busy).expect("an answer").status, 200);
}

#[test]
fn idle_connections_make_room_for_those_that_ask() {
    let server = Running::limited(|limits| limits.connections = 20);
    let idle: Vec<_> = (0..60).map(|_| server.connect()).collect();
    for _ in 0..5 {
        assert_eq!(server.predict(0.5).status, 200);
    }
    drop(idle);
}

#[test]
fn who_asks_is_not_closed_for_others() {
    let server = Running::limited(|limits| limits.connections = 2);
    let mut busy: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for stream in &mut busy {
        send(stream, "POST", "/predict", &[], b"{\"x\": -500}").expect("a request");
    }
    std::thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    assert_eq!(server.predict(0.5).status, 200);
    assert!(began.elapsed() > Duration::from_millis(200), "it did not wait for room");
    for stream in &mut busy {
        assert_eq!(read_reply(stream).expect("an answer").status, 200);
    }
}

/// Returns the resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// The idle connections of a test.
const IDLE: usize = 10_000;

/// The address of the server, for the process that keeps idle connections.
const IDLE_CLIENT: &str = "STAGEWRIGHT_IDLE_CLIENT";

/// The line that this process prints once all its connections are open.
const ALL_ARE_OPEN: &str = "all are open";

// The clients are a process of their own: their descriptors and their memory are not the server's.
#[test]
fn ten_thousand_idle_connections_take_little_memory_and_others_are_served() {
    if let Ok(address) = std::env::var(IDLE_CLIENT) {
        return keep_idle(address.parse().expect("an address"));
    }
    let needed = IDLE as u64 + 1000;
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    if most < needed {
        println!("skipped: a process may open {most} files, and {needed} are needed; raise `ulimit -Hn`");
        return;
    }
    let server = Running::limited(|limits| {
        limits.connections = IDLE + 100;
        limits.idle_time = Duration::from_secs(3600);
    });
    assert_eq!(server.predict(0.5).status, 200);
    let before = resident();
    let mut clients = Command::new(std::env::current_exe().expect("this program"))
        .args(["connections::ten_thousand_idle_connections_take_little_memory_and_others_are_served"])
        .args(["--exact", "--nocapture"])
        .env(IDLE_CLIENT, server.address.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process of clients");
    let said = BufReader::new(clients.stdout.take().expect("its output"));
    let mut lines = said.lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(ALL_ARE_OPEN)), "the clients failed: {:?}", clients.wait());
    for _ in 0..100 {
        assert_eq!(server.predict(0.5).status, 200);
    }
    let text = server.ask("GET", "/metrics", &[], b"").text().to_owned();
    assert!(text.contains("\nstagewright_connections_evicted_total 0\n"), "connections were closed");
    let each = resident().saturating_sub(before) / IDLE as u64;
    println!("{IDLE} idle connections take {each} bytes each");
    assert!(each < 30_000, "an idle connection takes {each} bytes");
    // They end when their input does, and fail if a connection was closed before.
    drop(clients.stdin.take());
    lines.for_each(drop);
    assert!(clients.wait().expect("a status").success());
}

/// Opens idle connections, half of which have asked something before, and keeps them until the
/// input ends.
fn keep_idle(address: SocketAddr) {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("more files");
    let connect = |place| {
        let mut stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(LONG)).expect("a timeout");
        if place % 2 == 0 {
            assert_eq!(predict(&mut stream, 0.5).status, 200);
        }
        stream
    };
    let mut idle: Vec<TcpStream> = (0..IDLE).map(connect).collect();
    println!("{ALL_ARE_OPEN}");
    std::io::stdin().read_to_end(&mut Vec::new()).expect("an input");
    for stream in idle.iter_mut().step_by(97) {
        assert_eq!(predict(stream, 0.5).status, 200);
    }
}

#[test]
fn a_long_body_is_refused_before_it_is_read_and_an_endless_one_at_its_limit() {
    let server = Running::limited(|limits| limits.body_bytes = 1 << 20);
    let before = resident();
    // 100 MB, announced.
    let mut stream = server.connect();
    send(&mut stream, "POST", "/predict", &["Content-Length: 100000000"], b"").expect("a head");
    read_reply(&mut stream).expect("an answer").expect_error(413, "too_large");
    // 100 MB, sent whether it is wanted or not.
    let mut stream = server.connect();
    send(&mut stream, "POST", "/predict", &["Content-Length: 100000000"], b"").expect("a head");
    let piece = vec![b' '; 1 << 20];
    for _ in 0..95 {
        if stream.write_all(&piece).is_err() {
            break;
        }
    }
    read_reply(&mut stream).expect("an answer").expect_error(413, "too_large");
    // Chunks without an end, from several clients.
    let floods: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = server.connect();
            std::thread::spawn(move || {
                send(&mut stream, "POST", "/predict", &["Transfer-Encoding: chunked"], b"").expect("a head");
                let chunk = [&b"10000\r\n"[..], &vec![b' '; 1 << 16], b"\r\n"].concat();
                let mut sent = 0_u64;
                while stream.write_all(&chunk).is_ok() && sent < 4 << 30 {
                    sent += chunk.len() as u64;
                }
                sent
            })
        })
        .collect();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(500) {
        assert_eq!(server.predict(0.5).status, 200);
    }
    for flood in floods {
        assert!(flood.join().expect("no panic") < 4 << 30, "a flood had no end");
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "memory grew by {grown} bytes");
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let server = Running::start();
    let long = format!("X-Long: {}", "x".repeat(100_000));
    let mut stream = server.connect();
    let _ = send(&mut stream, "GET", "/health", &[&long], b"");
    assert_eq!(read_reply(&mut stream).expect("an answer").status, 431);
    assert_eq!(server.predict(0.5).status, 200);
}
