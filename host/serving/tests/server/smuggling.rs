//! Messages that a proxy in front may read in another way, to smuggle a request past it; and bodies
//! in encodings.

use std::io::{Read as _, Write as _};

use crate::bed::{Reply, Running, read_reply};

/// A request that must not be answered when it stands inside another one.
const SMUGGLED: &str = "GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n";

const BODY: &str = "{\"x\": 0.5}";

/// Sends bytes over a connection of their own. Returns the answers until the connection ends or
/// `most` have come.
fn answers(server: &Running, bytes: &str, most: usize) -> Vec<Reply> {
    let mut stream = server.connect();
    stream.write_all(bytes.as_bytes()).expect("a request");
    std::iter::from_fn(|| read_reply(&mut stream).ok()).take(most).collect()
}

fn post(head: &str, body: &str) -> String {
    format!("POST /predict HTTP/1.1\r\nHost: test\r\n{head}\r\n\r\n{body}")
}

/// Checks that a message is refused, and that nothing after it is read as a request.
#[track_caller]
fn expect_refused(server: &Running, bytes: &str) {
    let statuses: Vec<u16> = answers(server, bytes, 3).iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [400], "{bytes:?}");
}

// invariant: A message whose end two readers may see at different places is refused, or ends its
// connection; nothing inside it is answered as a request.
#[test]
fn a_message_with_two_lengths_is_refused() {
    let server = Running::start();
    for head in [
        "Content-Length: 10\r\nContent-Length: 11",
        "Content-Length: 10\r\nContent-Length: 0",
        "Content-Length: 10, 10",
        "Content-Length: +10",
        "Content-Length: -1",
        "Content-Length: 0x0a",
        "Content-Length: 10 10",
        "Content-Length: 99999999999999999999999999",
        "Content-Length : 10",
    ] {
        expect_refused(&server, &post(head, &format!("{BODY}{SMUGGLED}")));
    }
    assert_eq!(server.predict(0.5).status, 200);
}

#[test]
fn an_encoding_of_the_transfer_that_is_not_chunked_is_refused() {
    let server = Running::start();
    for head in [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding : chunked",
    ] {
        expect_refused(&server, &post(head, &format!("0\r\n\r\n{SMUGGLED}")));
    }
    assert_eq!(server.predict(0.5).status, 200);
}

// Both lengths: the chunks count, and nothing that follows them is a request.
#[test]
fn a_message_with_a_length_and_chunks_ends_its_connection() {
    let server = Running::start();
    let chunks = format!("a\r\n{BODY}\r\n0\r\n\r\n");
    for length in [chunks.len() + SMUGGLED.len(), 0, 3] {
        for head in [
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"),
            format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"),
        ] {
            let replies = answers(&server, &post(&head, &format!("{chunks}{SMUGGLED}")), 3);
            let seen: Vec<_> = replies.iter().map(|reply| (reply.status, reply.header("connection"))).collect();
            assert_eq!(seen, [(200, Some("close"))], "{head}");
        }
    }
}

#[test]
fn folded_lines_and_broken_heads_are_refused() {
    let server = Running::start();
    for head in [
        // A line that goes on, as HTTP allowed once.
        "X: y\r\n z",
        "Content-Length: 1\r\n 0",
        "X: y\r\n\tTransfer-Encoding: chunked",
        "X: y\r\n : z",
        // Neither a line's end nor a part of a value.
        "X: y\rContent-Length: 10",
        "X: y\0",
        "X y",
        ": y",
    ] {
        expect_refused(&server, &post(head, &format!("{BODY}{SMUGGLED}")));
    }
    for head in [" GET / HTTP/1.1\r\nHost: test\r\n\r\n", "GET /  HTTP/1.1\r\n\r\n", "GET / HTTP/1.1 \r\n\r\n"] {
        let statuses: Vec<u16> = answers(&server, head, 2).iter().map(|reply| reply.status).collect();
        assert_eq!(statuses, [400], "{head:?}");
    }
    assert_eq!(server.predict(0.5).status, 200);
}

// HTTP lets a recipient take a line feed alone for a line's end. Then it is one everywhere in the
// head, and the length that such a line names counts.
#[test]
fn a_line_feed_alone_ends_a_line_of_the_head_everywhere_or_nowhere() {
    let server = Running::start();
    let both = format!("POST /predict HTTP/1.1\nHost: test\nContent-Length: {}\n\n{BODY}{SMUGGLED}", BODY.len());
    let statuses: Vec<u16> = answers(&server, &both, 2).iter().map(|reply| reply.status).collect();
    assert!(matches!(statuses[..], [200, 200] | [400]), "{statuses:?}");
    // A proxy that takes the line feed for a part of a value sees one length, and this server two.
    let two = format!("X: y\nContent-Length: 3\r\nContent-Length: {}", BODY.len());
    expect_refused(&server, &post(&two, BODY));
    // The same with chunks that a proxy does not see: the connection ends.
    let hidden = format!("X: y\nTransfer-Encoding: chunked\r\nContent-Length: {}", SMUGGLED.len() + 5);
    let replies = answers(&server, &post(&hidden, &format!("0\r\n\r\n{SMUGGLED}")), 3);
    assert!(replies.len() == 1 && (replies[0].status == 400 || replies[0].header("connection") == Some("close")));
}

#[test]
fn chunks_are_read_strictly_and_their_extensions_are_bounded() {
    let server = Running::start();
    let chunked = |chunks: &str| answers(&server, &post("Transfer-Encoding: chunked", chunks), 3);
    let statuses = |chunks: &str| chunked(chunks).iter().map(|reply| reply.status).collect::<Vec<_>>();
    let rest = format!("\r\n{BODY}\r\n0\r\n\r\n");
    assert_eq!(statuses(&format!("a;name=value;other=\"quoted\"{rest}")), [200]);
    assert_eq!(statuses(&format!("00000a{rest}")), [200]);
    for wrong in [
        // Ends of lines that are none, also in an extension.
        format!("a\n{BODY}\r\n0\r\n\r\n"),
        format!("a;x\n{BODY}\r\n0\r\n\r\n"),
        format!("a\r{BODY}\r\n0\r\n\r\n"),
        // Lengths that are none, or too long.
        format!("0xa{rest}"),
        format!("-a{rest}"),
        format!("g{rest}"),
        format!("fffffffffffffffff{rest}"),
        // A chunk that is longer or shorter than it says.
        format!("9{rest}"),
        format!("5\r\n{BODY}\r\n0\r\n\r\n"),
    ] {
        assert_eq!(statuses(&format!("{wrong}{SMUGGLED}")), [400], "{wrong:?}");
    }
    // Extensions without an end take no memory, and lose their request.
    let mut stream = server.connect();
    stream.write_all(post("Transfer-Encoding: chunked", "a;").as_bytes()).expect("a request");
    let piece = [b'x'; 1 << 12];
    let mut sent = 0_usize;
    while sent < 64 << 20 && stream.write_all(&piece).is_ok() {
        sent += piece.len();
    }
    assert!(sent < 64 << 20, "an extension had no end");
    // What the server has answered may be lost with the connection.
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(server.predict(0.5).status, 200);
}

// invariant: No body is unpacked, so that none becomes longer than it was sent.
#[test]
fn packed_bodies_are_refused_however_they_say_so() {
    // A row, packed by `gzip`.
    const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xabV\xaaP\xb2R0\xd03\xad\x05\0\x1fI\xeeL\x0a\0\0\0";
    let server = Running::start();
    for encoding in [
        "Content-Encoding: gzip",
        "Content-Encoding: GZIP",
        "Content-Encoding: x-gzip",
        "Content-Encoding: deflate",
        "Content-Encoding: br",
        "Content-Encoding: zstd",
        "Content-Encoding: identity, gzip",
        "Content-Encoding: identity\r\nContent-Encoding: gzip",
        "Content-Encoding: ",
    ] {
        let headers = ["Content-Type: application/json", encoding];
        server.ask("POST", "/predict", &headers, GZIP).expect_error(415, "unsupported_encoding");
        for path in ["/invocations", "/v2/models/numbers/infer"] {
            assert_eq!(server.ask("POST", path, &headers, GZIP).status, 415, "{path} {encoding}");
        }
    }
    let plain = ["Content-Type: application/json", "Content-Encoding: Identity"];
    assert_eq!(server.ask("POST", "/predict", &plain, BODY.as_bytes()).status, 200);
    // Nobody looks for an encoding that is not named.
    assert_eq!(server.ask("POST", "/predict", &["Content-Type: application/json"], GZIP).status, 400);
    // The transfer's own encodings but chunks are refused, or not undone.
    let head = "Content-Type: application/json\r\nTransfer-Encoding: gzip, chunked";
    let mut stream = server.connect();
    let chunk = [format!("{:x}\r\n", GZIP.len()).as_bytes(), GZIP, b"\r\n0\r\n\r\n"].concat();
    stream.write_all(&[post(head, "").as_bytes(), &chunk].concat()).expect("a request");
    assert_eq!(read_reply(&mut stream).expect("an answer").status, 400);
}
