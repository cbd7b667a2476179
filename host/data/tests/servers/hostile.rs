//! A server that speaks the protocol of PostgreSQL and means harm.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use stagewright_data::{
    DataError, HostGrant, Interrupt, Password, PostgresAddress, PostgresRequest, PostgresRows, Secret, TableName,
    fetch_postgres,
};

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[tag][..], &u32::try_from(body.len() + 4).unwrap().to_be_bytes(), body].concat()
}

fn authentication(code: u32, body: &[u8]) -> Vec<u8> {
    message(b'R', &[&code.to_be_bytes(), body].concat())
}

/// Reads the rows of a server that answers by `answer` once it knows the user. Returns the error,
/// and what the server was sent.
fn asked(answer: impl FnOnce(&mut TcpStream) + Send) -> (DataError, Vec<u8>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::scope(|scope| {
        let served = scope.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // The client wants TLS first, which this server does not have.
            let mut request = [0; 8];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(b"N").unwrap();
            let mut length = [0; 4];
            stream.read_exact(&mut length).unwrap();
            let mut startup = vec![0; u32::from_be_bytes(length) as usize - 4];
            stream.read_exact(&mut startup).unwrap();
            answer(&mut stream);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut sent = Vec::new();
            let _ = stream.read_to_end(&mut sent);
            sent
        });
        let request = PostgresRequest {
            address: PostgresAddress::parse(&format!("postgresql://ada@127.0.0.1:{port}/db")).unwrap(),
            rows: PostgresRows::Table(TableName::parse("t").unwrap()),
            password: Some(Password::Shared(Secret("correct-horse".to_owned()))),
            grants: vec![HostGrant::Host { host: "127.0.0.1".to_owned(), port: Some(port) }],
            max_bytes: 1 << 20,
            deadline: Instant::now() + Duration::from_secs(60),
        };
        let error = fetch_postgres(&request, &Interrupt::never(), &mut Vec::new()).unwrap_err();
        (error, served.join().unwrap())
    })
}

/// Returns the messages of a server that is ready for statements.
fn ready() -> Vec<u8> {
    [authentication(0, b""), message(b'K', &[0; 8]), message(b'Z', b"I")].concat()
}

fn write(stream: &mut TcpStream, bytes: &[u8]) {
    // The client ends the connection as soon as it has seen enough.
    let _ = stream.write_all(bytes);
}

// invariant: A PGPASSWORD is never sent to the server of a source, only proven by SCRAM.
#[test]
fn a_server_that_asks_for_the_password_does_not_get_it() {
    for code in [3, 5] {
        let (error, sent) = asked(|stream| write(stream, &authentication(code, b"salt")));
        assert!(error.to_string().contains("asks for the password itself"), "{error}");
        assert_eq!(sent, b"", "nothing is sent after the name of the user");
    }
    let scram = |stream: &mut TcpStream, rounds: &str| {
        write(stream, &authentication(10, b"SCRAM-SHA-256\0\0"));
        let mut first = [0; 512];
        let read = stream.read(&mut first).unwrap();
        let text = String::from_utf8_lossy(&first[..read]).into_owned();
        let nonce = text.split("r=").nth(1).unwrap().to_owned();
        write(stream, &authentication(11, format!("r={nonce}x,s=c2FsdA==,i={rounds}").as_bytes()));
    };
    for rounds in ["1", "4294967295"] {
        let (error, sent) = asked(|stream| scram(stream, rounds));
        assert!(error.to_string().contains(&format!("{rounds} rounds of SCRAM")), "{error}");
        assert_eq!(sent, b"", "no proof is sent");
    }
}

#[test]
fn endless_and_malformed_answers_are_errors() {
    let huge = [&[b'D'][..], &0x7fff_ffff_u32.to_be_bytes()].concat();
    let settings = message(b'S', b"application_name\0stagewright\0").repeat(10_000);
    for (answer, said) in [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), ""),
        (vec![], ""),
        (authentication(99, b""), ""),
        (huge.clone(), "a row has more than"),
        ([ready(), huge].concat(), "a row has more than"),
        ([ready(), settings].concat(), "settings without end"),
        ([ready(), message(b'T', &[255; 40])].concat(), ""),
        (
            [ready(), message(b'C', b"BEGIN\0"), message(b'Z', b"T"), message(b'1', b""), message(b't', &[255, 255])]
                .concat(),
            "",
        ),
    ] {
        let shown: Vec<u8> = answer.iter().copied().take(40).collect();
        let (error, _) = asked(move |stream| write(stream, &answer));
        let is_of_server = matches!(error, DataError::Unreachable { .. } | DataError::Unreadable { .. });
        assert!(is_of_server && error.to_string().contains(said), "{shown:?}: {error}");
    }
}

#[test]
fn notices_without_end_are_an_error() {
    let (error, _) = asked(|stream| {
        write(stream, &ready());
        let text = "x".repeat(1 << 20);
        let notices = message(b'N', format!("SNOTICE\0C00000\0M{text}\0\0").as_bytes());
        while stream.write_all(&notices).is_ok() {}
    });
    assert!(error.to_string().contains("messages without end"), "{error}");
}
