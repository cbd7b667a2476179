//! Telling a server over TLS.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::place::{Place, reason};

/// A file of tests. The certificate is that of host/data's tests: for `localhost`, valid from 2020
/// to the year 9999, with a P-256 key.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hooks/fixtures").join(name)
}

/// Starts a server under that certificate, which takes events. Returns its port, and the first line
/// of each request that gets through.
fn serve() -> (u16, Receiver<String>) {
    let certificate = CertificateDer::from_pem_file(fixture("localhost.crt.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(fixture("localhost.key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.and_then(|config| config.with_no_client_auth().with_single_cert(vec![certificate], key));
    let config = Arc::new(config.expect("a server"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(config.clone()).expect("a connection");
            let mut reader = BufReader::new(rustls::StreamOwned::new(connection, stream.expect("a client")));
            let (mut first, mut length, mut line) = (String::new(), 0, String::new());
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                    length = value.trim().parse().expect("a length");
                }
                if first.is_empty() {
                    first.clone_from(&line);
                }
                line.clear();
            }
            let mut body = vec![0; length];
            if !first.is_empty() && reader.read_exact(&mut body).is_ok() {
                let stream = reader.get_mut();
                stream.write_all(b"HTTP/1.1 204 Taken\r\nConnection: close\r\n\r\n").expect("a client");
                stream.conn.send_close_notify();
                stream.flush().expect("a client");
                tell.send(first.trim_end().to_owned()).expect("the test");
            }
        }
    });
    (port, told)
}

fn hook(host: &str, port: u16, more: &str) -> String {
    format!("[hooks.ci]\nurl = \"https://{host}:{port}/events\"\nsecret-env = \"SECRET\"\n{more}\n")
}

// invariant: An event is sent only to a server whose certificate the operator's authorities vouch
// for.
#[test]
fn a_server_is_told_over_tls_if_the_operators_authorities_vouch_for_it() {
    let place = Place::new();
    let (port, told) = serve();
    let authorities = format!("authorities = \"{}\"", fixture("localhost.crt.pem").display());
    place.promote("churn");
    for (host, more) in [("localhost", ""), ("127.0.0.1", &*authorities)] {
        let hooks = place.hooks(&hook(host, port, more));
        let report = place.deliver(&hooks, 0).remove(0);
        assert!(reason(&report).contains("certificate"), "{report:?}");
        assert!(told.try_recv().is_err(), "an event was sent to a server that nobody vouches for");
    }
    let hooks = place.hooks(&hook("localhost", port, &authorities));
    assert_eq!(place.deliver(&hooks, 0)[0].delivered, ["promoted churn/1"]);
    assert_eq!(told.recv().expect("a request"), "POST /events HTTP/1.1");
}
