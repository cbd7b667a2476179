//! TLS, and the addresses that a server listens on.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use stagewright_serving::{Server, ServerError, ServerOptions, Service, TlsFiles, TokenSource};

use crate::bed::{Running, ask, read_reply, send};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/server/fixtures").join(name)
}

/// Predicts over TLS, and trusts one certificate.
fn predict_trusting(server: &Running, certificate: &str) -> Result<u16, std::io::Error> {
    predict_with(server, certificate, &[])
}

/// Predicts over TLS with headers, and trusts one certificate.
fn predict_with(server: &Running, certificate: &str, headers: &[&str]) -> Result<u16, std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture(certificate)).expect("a certificate")).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let connection = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut stream = StreamOwned::new(connection, server.connect());
    stream.conn.complete_io(&mut stream.sock)?;
    Ok(ask(&mut stream, "POST", "/predict", headers, b"{\"x\": 0.5}").status)
}

#[test]
fn a_certificate_that_changed_is_used_after_a_reload() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = TlsFiles { certificate: folder.path().join("server.crt"), key: folder.path().join("server.key") };
    let put = |name: &str| {
        fs::copy(fixture(&format!("{name}.crt.pem")), &files.certificate).expect("a certificate");
        fs::copy(fixture(&format!("{name}.key.pem")), &files.key).expect("a key");
    };
    put("first");
    let server = Running::with(|options| options.tls = Some(files.clone()));
    assert_eq!(predict_trusting(&server, "first.crt.pem").expect("an answer"), 200);
    assert!(predict_trusting(&server, "second.crt.pem").is_err());
    // A client that speaks without TLS gets nothing.
    let mut stream = server.connect();
    send(&mut stream, "GET", "/health", &[], b"").expect("a request");
    assert!(read_reply(&mut stream).is_err());
    put("second");
    assert_eq!(predict_trusting(&server, "first.crt.pem").expect("an answer"), 200);
    server.reload.reload().expect("files that can be used");
    assert_eq!(predict_trusting(&server, "second.crt.pem").expect("an answer"), 200);
    // A key that does not belong to the certificate changes nothing.
    fs::copy(fixture("first.key.pem"), &files.key).expect("a key");
    let error = server.reload.reload().expect_err("files that cannot be used").to_string();
    assert!(error.contains("server.crt") && !error.contains("BEGIN"), "{error}");
    assert_eq!(predict_trusting(&server, "second.crt.pem").expect("an answer"), 200);
}

#[test]
fn tokens_that_changed_are_used_after_a_reload() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("tokens");
    fs::write(&file, "first-0123456789 predict\n").expect("tokens");
    let server = Running::with(|options| options.tokens = Some(TokenSource::File(file.clone())));
    let ask = |token: &str| {
        let header = format!("Authorization: Bearer {token}");
        server.ask("POST", "/predict", &[&header], b"{\"x\": 0.5}").status
    };
    fs::write(&file, "second-012345678 predict\n").expect("tokens");
    assert_eq!((ask("first-0123456789"), ask("second-012345678")), (200, 401));
    server.reload.reload().expect("tokens");
    assert_eq!((ask("first-0123456789"), ask("second-012345678")), (401, 200));
    fs::write(&file, "\n").expect("tokens");
    server.reload.reload().expect_err("no tokens");
    assert_eq!(ask("second-012345678"), 200);
}

#[test]
fn a_reload_changes_certificate_and_tokens_or_neither() {
    const FIRST: &str = "Authorization: Bearer first-0123456789";
    const SECOND: &str = "Authorization: Bearer second-012345678";
    let folder = tempfile::tempdir().expect("a folder");
    let files = TlsFiles { certificate: folder.path().join("server.crt"), key: folder.path().join("server.key") };
    let tokens = folder.path().join("tokens");
    let put = |certificate: &str, key: &str, text: &str| {
        fs::copy(fixture(&format!("{certificate}.crt.pem")), &files.certificate).expect("a certificate");
        fs::copy(fixture(&format!("{key}.key.pem")), &files.key).expect("a key");
        fs::write(&tokens, text).expect("tokens");
    };
    put("first", "first", "first-0123456789 predict\n");
    let server = Running::with(|options| {
        options.tls = Some(files.clone());
        options.tokens = Some(TokenSource::File(tokens.clone()));
    });
    let is_as_before = || {
        assert_eq!(predict_with(&server, "first.crt.pem", &[FIRST]).expect("an answer"), 200);
        assert_eq!(predict_with(&server, "first.crt.pem", &[SECOND]).expect("an answer"), 401);
        assert!(predict_with(&server, "second.crt.pem", &[FIRST]).is_err());
    };
    is_as_before();
    put("second", "second", "second predict\n");
    let error = server.reload.reload().expect_err("a token that is too short").to_string();
    assert!(error.contains("tokens"), "{error}");
    is_as_before();
    put("second", "first", "second-012345678 predict\n");
    let error = server.reload.reload().expect_err("a key of another certificate").to_string();
    assert!(error.contains("server.crt"), "{error}");
    is_as_before();
    put("second", "second", "second-012345678 predict\n");
    server.reload.reload().expect("files that can be used");
    assert_eq!(predict_with(&server, "second.crt.pem", &[SECOND]).expect("an answer"), 200);
    assert_eq!(predict_with(&server, "second.crt.pem", &[FIRST]).expect("an answer"), 401);
}

// invariant: A server on an address that other machines reach needs tokens, unless its operator
// says that everybody may ask.
#[test]
fn an_address_that_others_reach_needs_tokens() {
    let bind = |change: fn(&mut ServerOptions)| {
        let mut options = ServerOptions::at(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
        change(&mut options);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(Server::bind(Arc::new(Service::default()), options)).map(|_| ())
    };
    assert!(matches!(bind(|_| {}), Err(ServerError::Open { .. })));
    assert!(bind(|options| options.is_insecure = true).is_ok());
    let tokens = |options: &mut ServerOptions| {
        options.tokens = Some(TokenSource::Text("0123456789abcdef predict".to_owned(), "a test"));
    };
    assert!(bind(tokens).is_ok());
    assert!(matches!(
        bind(|options| options.address.set_ip(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)))),
        Err(ServerError::Open { .. })
    ));
    assert!(bind(|options| options.address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST))).is_ok());
}
