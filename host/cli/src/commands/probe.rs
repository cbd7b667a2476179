//! `probe`: asks a server whether it is ready. A container without a shell and without curl has its
//! health checked by this command.

use stagewright_text::Untrusted;
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};

use crate::arguments::ProbeArguments;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::usage_error::UsageError;

/// The most bytes of an answer that are read, and the most that are shown.
const MOST_READ: u64 = 64 << 10;
const MOST_SHOWN: usize = 500;

/// Asks for the page and prints one line about the answer. Only an answer with a code of 200 to 299
/// is exit code 0.
///
/// # Errors
/// The URL cannot be asked for.
pub(crate) fn probe(arguments: &ProbeArguments) -> anyhow::Result<ExitCode> {
    let uri = address(&arguments.url)?;
    match ask(&uri, arguments) {
        Ok((code, _)) if (200..300).contains(&code) => {
            println!("ready: {code}");
            Ok(ExitCode::Done)
        }
        Ok((code, text)) => {
            println!("not ready: {code} {}", Untrusted::new(&text).cut(MOST_SHOWN));
            Ok(ExitCode::Host)
        }
        Err(error) => {
            println!("not ready: {}", Untrusted::new(&error.to_string()).cut(MOST_SHOWN));
            Ok(ExitCode::Host)
        }
    }
}

/// Checks that the URL is one of HTTP without a password, which other users could read in the list
/// of processes.
fn address(url: &str) -> anyhow::Result<Uri> {
    let uri = url.parse::<Uri>().ok();
    let is_one = |uri: &Uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    };
    uri.filter(is_one).ok_or_else(|| {
        UsageError::error(
            ErrorCode::Argument,
            "this is no address of a server",
            "write it as `http://127.0.0.1:8000/health/ready`, without user and password",
        )
    })
}

/// Returns the code and the beginning of the answer. Redirects and proxies are not followed: it is
/// this server that is asked.
fn ask(uri: &Uri, arguments: &ProbeArguments) -> Result<(u16, String), ureq::Error> {
    // A server's certificate names the server for its clients, not the loopback address. Nothing
    // secret is sent and nothing but a code is believed, so on loopback any certificate will do.
    let tls = TlsConfig::builder().root_certs(RootCerts::WebPki).disable_verification(is_loopback(uri)).build();
    let config = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(arguments.timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .build();
    let mut response = ureq::Agent::new_with_config(config).get(uri).call()?;
    let code = response.status().as_u16();
    let text = response.body_mut().with_config().limit(MOST_READ).read_to_vec().unwrap_or_default();
    Ok((code, String::from_utf8_lossy(&text).into_owned()))
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{address, is_loopback};

    #[test]
    fn only_servers_of_http_are_asked_and_no_password_is_typed() {
        for url in ["http://127.0.0.1:8000/health/ready", "https://[::1]/", "https://models.example.org"] {
            assert!(address(url).is_ok(), "{url}");
        }
        for url in
            ["", "/health", "file:///etc/passwd", "ftp://a.example/", "http://ada:secret@a.example/", "127.0.0.1:80"]
        {
            let error = address(url).expect_err(url).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn certificates_are_verified_but_on_loopback() {
        let verified = |url: &str| !is_loopback(&url.parse().expect("a URL"));
        for url in ["https://127.0.0.1:8000/", "https://127.8.8.8/", "https://[::1]:9/", "https://localhost/"] {
            assert!(!verified(url), "{url}");
        }
        for url in
            ["https://models.example.org/", "https://10.0.0.1/", "https://localhost.example.org/", "https://[::2]/"]
        {
            assert!(verified(url), "{url}");
        }
    }
}
