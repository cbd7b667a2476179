//! The end of a server: what has come is answered, what comes is refused.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::bed::{Running, ask, predict, read_reply, send};

// invariant: A server that is told to stop answers the requests that have come, refuses those that
// come over kept connections, accepts no connection, and ends within its time.
#[test]
fn requests_that_have_come_are_answered_and_others_are_refused() {
    let mut server = Running::start();
    let mut kept = server.connect();
    assert_eq!(predict(&mut kept, 0.5).status, 200);
    let mut probe = server.connect();
    assert_eq!(ask(&mut probe, "GET", "/health/ready", &[], b"").status, 200);
    let mut slow = server.connect();
    send(&mut slow, "POST", "/predict", &[], b"{\"x\": -1500}").expect("a request");
    std::thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    server.stop();
    std::thread::sleep(Duration::from_millis(200));
    let refused = predict(&mut kept, 0.5);
    refused.expect_error(503, "draining");
    assert_eq!((refused.header("connection"), refused.header("retry-after")), (Some("close"), Some("1")));
    ask(&mut probe, "GET", "/health/ready", &[], b"").expect_error(503, "draining");
    assert!(TcpStream::connect(server.address).is_err(), "a connection was accepted");
    let answered = read_reply(&mut slow).expect("an answer");
    assert_eq!((answered.status, answered.header("connection")), (200, Some("close")));
    assert_eq!(server.end(), 0);
    assert!(began.elapsed() < Duration::from_secs(5), "the end took {:?}", began.elapsed());
}

#[test]
fn a_server_whose_time_has_passed_cuts_off_what_is_left() {
    let mut server = Running::with(|options| options.drain = Duration::from_millis(300));
    let mut slow = server.connect();
    send(&mut slow, "POST", "/predict", &[], b"{\"x\": -2000}").expect("a request");
    std::thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    server.stop();
    assert!(read_reply(&mut slow).is_err(), "it was answered");
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    assert_eq!(server.end(), 1);
}

#[test]
fn idle_connections_do_not_keep_a_server_from_ending() {
    let server = Running::start();
    let mut idle: Vec<_> = (0..100).map(|_| server.connect()).collect();
    assert_eq!(predict(&mut idle[0], 0.5).status, 200);
    let began = Instant::now();
    assert_eq!(server.end(), 0);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

// A client that keeps asking, over new connections and kept ones, while servers end: each request
// gets an answer or is one that no server has read.
#[test]
fn no_request_that_was_read_is_lost() {
    for _ in 0..5 {
        let mut server = Running::start();
        let mut streams: Vec<_> = (0..20).map(|_| server.connect()).collect();
        for stream in &mut streams {
            send(stream, "POST", "/predict", &[], b"{\"x\": -30}").expect("a request");
        }
        server.stop();
        for stream in &mut streams {
            let status = read_reply(stream).expect("an answer").status;
            assert!([200, 503].contains(&status), "{status}");
        }
        assert_eq!(server.end(), 0);
    }
}
