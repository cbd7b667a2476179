//! Servers on this machine that behave badly: which requests they get, and which answers are
//! accepted.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use stagewright_outgoing::Network;
use ureq::tls::Certificate;

use super::*;

/// Starts a server that answers each connection by `answer(path, head)`, byte for byte.
pub(super) fn serve(answer: impl Fn(&str, &str, &mut std::net::TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            answer(&path, &head, &mut stream);
        }
    });
    port
}

pub(super) fn text(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// Parses `HOST`, `HOST:PORT` or `ADDRESS/PREFIX`.
fn grant(text: &str) -> HostGrant {
    if let Some((address, prefix)) = text.split_once('/') {
        return HostGrant::Network { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() };
    }
    match text.split_once(':') {
        Some((host, port)) => HostGrant::Host { host: host.into(), port: Some(port.parse().unwrap()) },
        None => HostGrant::Host { host: text.into(), port: None },
    }
}

pub(super) fn request(url: String, grants: &[&str]) -> HttpRequest {
    HttpRequest {
        url,
        grants: grants.iter().map(|text| grant(text)).collect(),
        bearer_token: None,
        headers: Vec::new(),
        max_bytes: 1000,
        deadline: Instant::now() + Duration::from_secs(20),
    }
}

fn get(request: &HttpRequest) -> Result<String, DataError> {
    let mut body = Vec::new();
    let bytes = fetch(request, &Interrupt::never(), &mut body)?;
    assert_eq!(bytes, body.len() as u64);
    Ok(String::from_utf8(body).unwrap())
}

#[test]
fn a_granted_host_is_read() {
    let port = serve(|_, _, stream| stream.write_all(text("a,b\n1,2\n").as_bytes()).unwrap());
    let grant = format!("127.0.0.1:{port}");
    assert_eq!(get(&request(format!("http://127.0.0.1:{port}/x.csv"), &[&grant])).unwrap(), "a,b\n1,2\n");
}

#[test]
fn a_host_that_is_not_granted_is_not_even_asked() {
    let port = serve(|_, _, _| panic!("somebody connected"));
    for grants in [&[][..], &["example.org"], &["127.0.0.1"], &["127.0.0.1:1"]] {
        let error = get(&request(format!("http://127.0.0.1:{port}/"), grants)).unwrap_err();
        let DataError::Denied { what, grant } = &error else { panic!("{error}") };
        assert_eq!(what, &format!("the host `127.0.0.1:{port}`"));
        assert_eq!(grant, &format!("127.0.0.1:{port}"));
    }
}

#[test]
fn a_granted_name_that_resolves_to_an_internal_address_is_refused_unless_the_address_is_granted() {
    let port = serve(|_, _, stream| stream.write_all(text("inside").as_bytes()).unwrap());
    let (url, name) = (format!("http://localhost:{port}/"), format!("localhost:{port}"));
    let error = get(&request(url.clone(), &[&name])).unwrap_err();
    let DataError::Denied { what, grant } = &error else { panic!("{error}") };
    assert!(what.contains("not public"), "{what}");
    assert!(["127.0.0.1/32", "::1/128"].contains(&grant.as_str()), "{grant}");
    assert_eq!(get(&request(url, &[&name, "127.0.0.0/8", "::1/128"])).unwrap(), "inside");
}

#[test]
fn a_redirect_is_followed_only_to_what_is_granted() {
    let inside = serve(|_, _, _| panic!("the redirect was followed"));
    let port = serve(move |path, _, stream| {
        let answer = match path {
            "/here" => {
                "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into()
            }
            "/there" => text("found"),
            "/loop" => "HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into(),
            _ => format!(
                "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{inside}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            ),
        };
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let grant = format!("127.0.0.1:{port}");
    let at = |path: &str| get(&request(format!("http://127.0.0.1:{port}{path}"), &[&grant]));
    assert_eq!(at("/here").unwrap(), "found");
    assert!(
        matches!(at("/away").unwrap_err(), DataError::Denied { grant, .. } if grant == format!("127.0.0.1:{inside}"))
    );
    assert!(at("/loop").unwrap_err().to_string().contains("more than 5 redirects"));
}

#[test]
fn a_redirect_never_leaves_https() {
    let from: Uri = "https://a.example/x".parse().unwrap();
    assert!(redirected(&from, "http://a.example/x").unwrap_err().to_string().contains("which is not https any more"));
    assert!(redirected(&from, "file:///etc/passwd").is_err());
    assert_eq!(redirected(&from, "//b.example/y").unwrap().to_string(), "https://b.example/y");
}

#[test]
fn an_endless_body_ends_at_the_cap() {
    let port = serve(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while stream.write_all(b"10\r\n0123456789abcdef\r\n").is_ok() {}
    });
    let error = get(&request(format!("http://127.0.0.1:{port}/"), &[&format!("127.0.0.1:{port}")])).unwrap_err();
    assert!(matches!(error, DataError::TooLarge { used, allowed: 1000 } if used > 1000), "{error}");
}

#[test]
fn endless_headers_end_at_the_cap() {
    let port = serve(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        let mut number = 0;
        while stream.write_all(format!("X-{number}: {}\r\n", "y".repeat(1000)).as_bytes()).is_ok() {
            number += 1;
        }
    });
    let error = get(&request(format!("http://127.0.0.1:{port}/"), &[&format!("127.0.0.1:{port}")])).unwrap_err();
    assert!(matches!(error, DataError::Unreachable { .. }), "{error}");
}

#[test]
fn a_body_that_breaks_off_is_an_error() {
    let port = serve(|_, _, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nConnection: close\r\n\r\na,b\n").unwrap();
    });
    let error = get(&request(format!("http://127.0.0.1:{port}/"), &[&format!("127.0.0.1:{port}")])).unwrap_err();
    assert!(matches!(error, DataError::Unreachable { .. }), "{error}");
}

#[test]
fn a_silent_server_ends_at_the_deadline() {
    let port = serve(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\na");
        thread::sleep(Duration::from_secs(60));
    });
    let mut request = request(format!("http://127.0.0.1:{port}/"), &[&format!("127.0.0.1:{port}")]);
    request.deadline = Instant::now() + Duration::from_millis(300);
    assert!(matches!(get(&request).unwrap_err(), DataError::Interrupted));
}

#[test]
fn a_token_goes_to_its_own_host_only() {
    let other = serve(|_, head, stream| {
        let told = if head.to_ascii_lowercase().contains("authorization") { "leaked" } else { "nothing" };
        stream.write_all(text(told).as_bytes()).unwrap();
    });
    let port = serve(move |path, head, stream| {
        let answer = if path == "/away" {
            format!(
                "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{other}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
        } else {
            let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("authorization"));
            text(line.unwrap_or_default())
        };
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let grants = [format!("127.0.0.1:{port}"), format!("127.0.0.1:{other}")];
    let grants: Vec<&str> = grants.iter().map(String::as_str).collect();
    let with_token = |path: &str| HttpRequest {
        bearer_token: Some("secret".into()),
        ..request(format!("http://127.0.0.1:{port}{path}"), &grants)
    };
    assert!(get(&with_token("/own")).unwrap().to_ascii_lowercase().ends_with("bearer secret"));
    assert_eq!(get(&with_token("/away")).unwrap(), "nothing");
}

/// A certificate for `localhost`, valid from 2020 to the year 9999, with a P-256 key. Made with
/// `openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes` and
/// `openssl ca -selfsign -startdate 20200101000000Z -enddate 99991231235959Z`, with the extensions
/// `basicConstraints = critical,CA:FALSE` and `subjectAltName = DNS:localhost`.
pub(super) const CERTIFICATE: &[u8] = include_bytes!("tests/self-signed.der");
const CERTIFICATE_KEY: &[u8] = include_bytes!("tests/self-signed.key.der");

/// Starts a server under that certificate, and returns the head of each request that gets through.
fn serve_tls() -> (u16, Receiver<String>) {
    serve_tls_with(|_| text("a,b\n1,2\n"))
}

/// As [`serve_tls`], with an answer for each path.
pub(super) fn serve_tls_with(answer: impl Fn(&str) -> String + Send + 'static) -> (u16, Receiver<String>) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|config| {
            let key = PrivatePkcs8KeyDer::from(CERTIFICATE_KEY).into();
            config.with_no_client_auth().with_single_cert(vec![CertificateDer::from(CERTIFICATE)], key)
        })
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    let (tell, heads) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut reader = BufReader::new(rustls::StreamOwned::new(connection, stream.unwrap()));
            let mut head = String::new();
            while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
            if !head.is_empty() {
                let stream = reader.get_mut();
                stream.write_all(answer(head.split(' ').nth(1).unwrap_or_default()).as_bytes()).unwrap();
                stream.conn.send_close_notify();
                stream.flush().unwrap();
                tell.send(head).unwrap();
            }
        }
    });
    (port, heads)
}

/// Returns a request to the server under its name or its address.
pub(super) fn over_tls(host: &str, port: u16) -> HttpRequest {
    request(format!("https://{host}:{port}/x.csv"), &[&format!("{host}:{port}"), "127.0.0.0/8", "::1/128"])
}

#[test]
fn a_server_with_a_trusted_certificate_is_read_over_tls() {
    let (port, heads) = serve_tls();
    let roots = RootCerts::new_with_certs(&[Certificate::from_der(CERTIFICATE)]);
    let mut body = Vec::new();
    let request = HttpRequest { bearer_token: Some("secret".into()), ..over_tls("localhost", port) };
    fetch_trusting(&roots, &request, &Interrupt::never(), &mut body).unwrap();
    assert_eq!(body, b"a,b\n1,2\n");
    let head = heads.recv().unwrap();
    assert!(head.starts_with("GET /x.csv ") && head.contains("Bearer secret"), "{head}");

    let error = fetch_trusting(&roots, &over_tls("127.0.0.1", port), &Interrupt::never(), &mut body).unwrap_err();
    assert!(error.to_string().contains("not trusted: certificate not valid for name \"127.0.0.1\""), "{error}");
    assert!(heads.try_recv().is_err(), "nothing was asked of a server with another name");
}

#[test]
fn an_untrusted_certificate_is_refused_with_a_clear_message() {
    let (port, heads) = serve_tls();
    let request = HttpRequest { bearer_token: Some("secret".into()), ..over_tls("localhost", port) };
    let error = get(&request).unwrap_err();
    let DataError::Unreachable { message, hint, .. } = &error else { panic!("{error}") };
    assert_eq!(
        message,
        "the server's certificate is not trusted: none of the authorities that stagewright knows vouches for it"
    );
    assert!(hint.contains("Mozilla's authorities are compiled in"), "{hint}");
    assert!(heads.try_recv().is_err(), "the token was sent");
}

#[test]
fn a_url_with_a_password_is_refused_and_not_repeated() {
    let error = get(&request("https://me:secret@example.org/".into(), &["example.org"])).unwrap_err().to_string();
    assert!(error.contains("password") && !error.contains("secret"), "{error}");
}

#[test]
fn an_address_is_granted_at_its_port_alone() {
    let allows = |grants: &[&str], to: &str, url: &str| {
        let grants: Vec<HostGrant> = grants.iter().map(|text| grant(text)).collect();
        HostGrant::reach(&grants, to.parse().unwrap(), default_port(&url.parse().unwrap()))
    };
    assert!(allows(&["10.0.0.1:8080"], "10.0.0.1:8080", "http://inside:8080/"));
    assert!(!allows(&["10.0.0.1:8080"], "10.0.0.1:9090", "http://inside:9090/"));
    assert!(!allows(&["10.0.0.1:8080"], "10.0.0.1:80", "http://inside/"));
    // A grant without a port means the port of the scheme.
    assert!(allows(&["10.0.0.1"], "10.0.0.1:443", "https://inside/"));
    assert!(allows(&["10.0.0.1"], "10.0.0.1:80", "http://inside/"));
    assert!(!allows(&["10.0.0.1"], "10.0.0.1:443", "http://inside:443/"));
    assert!(!allows(&["10.0.0.1"], "10.0.0.1:8080", "http://inside:8080/"));
    assert!(allows(&["10.0.0.0/8"], "10.0.0.1:8080", "http://inside:8080/"));
    assert!(allows(&["10.0.0.1:80"], "[::ffff:10.0.0.1]:80", "http://inside/"));
}

#[test]
fn a_granted_address_does_not_open_another_port_to_a_name() {
    let granted = serve(|_, _, stream| stream.write_all(text("granted").as_bytes()).unwrap());
    let other = serve(|_, _, _| panic!("somebody connected"));
    let grants = [format!("127.0.0.1:{granted}"), format!("[::1]:{granted}"), format!("localhost:{other}")];
    let grants: Vec<HostGrant> = grants
        .iter()
        .map(|text| {
            let (host, port) = text.rsplit_once(':').unwrap();
            HostGrant::Host { host: host.into(), port: port.parse().ok() }
        })
        .collect();
    let request = HttpRequest { grants, ..request(format!("http://localhost:{other}/"), &[]) };
    let error = get(&request).unwrap_err();
    assert!(matches!(&error, DataError::Denied { what, .. } if what.contains("not public")), "{error}");
}

#[test]
fn the_query_of_a_url_is_not_shown_in_errors() {
    let port = serve(|path, _, stream| {
        let answer = if path.starts_with("/away") {
            "HTTP/1.1 302 Found\r\nLocation: ftp://x/?key=hush\r\nContent-Length: 0\r\n\r\n"
        } else {
            "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        };
        stream.write_all(answer.as_bytes()).unwrap();
    });
    for path in ["x.csv?api_key=hush", "away?api_key=hush"] {
        let error = get(&request(format!("http://127.0.0.1:{port}/{path}"), &[&format!("127.0.0.1:{port}")]))
            .unwrap_err()
            .to_string();
        assert!(error.contains("?…") && !error.contains("hush"), "{error}");
    }
}

#[test]
fn a_network_contains_the_addresses_with_its_prefix() {
    let holds = |network: &str, address: &str| {
        let HostGrant::Network { address: base, prefix } = grant(network) else { panic!("{network}") };
        Network::new(base, prefix).contains(address.parse().unwrap())
    };
    assert!(holds("10.1.0.0/16", "10.1.255.255") && !holds("10.1.0.0/16", "10.2.0.0"));
    assert!(holds("0.0.0.0/0", "8.8.8.8") && !holds("0.0.0.0/0", "2001::"));
    assert!(holds("fd00::/8", "fdff::1") && !holds("fd00::/8", "fe80::1"));
    assert!(holds("10.0.0.0/8", "::ffff:10.9.9.9"));
}
