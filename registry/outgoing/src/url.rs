//! URLs that others named, checked before any request.

use std::net::IpAddr;

use ureq::http::Uri;

use crate::allowed::AllowedAddresses;

/// Checks a URL that a user named. Its name is not looked up: where that leads is checked whenever
/// a connection is made.
///
/// # Errors
/// The reason, in words for the user.
pub fn check_url(text: &str, allowed: &AllowedAddresses) -> Result<(), String> {
    let wrong = || "it is no URL; write `https://HOST/PATH`".to_owned();
    // The parser takes some characters that no URL has, and no fragment.
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains(['#', '\\']) {
        return Err(wrong());
    }
    let url: Uri = text.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else { return Err(wrong()) };
    let is_https = scheme == "https";
    if !is_https && (scheme != "http" || !allowed.has_networks()) {
        return Err(format!("its scheme is `{scheme}`; `https` is asked for"));
    }
    if authority.as_str().contains('@') {
        return Err("it carries a user or a password, which everybody who reads it would see".to_owned());
    }
    let host = authority.host();
    if host.is_empty() {
        return Err("it has no host".to_owned());
    }
    let address: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    match address {
        Some(address) if !allowed.allows(address, is_https) => {
            Err(format!("its address {address} is not allowed: it is not public, or the scheme is not `https`"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_of_https_and_of_a_place_that_may_be_reached() {
        let none = AllowedAddresses::default();
        let local = AllowedAddresses::and(vec!["127.0.0.1".parse().expect("a network")]);
        for right in
            ["https://example.org", "https://example.org:8443/a?b=c", "https://1.1.1.1/x", "https://[2606:4700::1]/"]
        {
            assert_eq!(check_url(right, &none), Ok(()), "{right}");
        }
        for wrong in [
            "",
            "example.org",
            "/path",
            "ftp://example.org",
            "file:///etc/passwd",
            "http://example.org",
            "https://",
            "https://user:word@example.org",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://169.254.169.254/latest/meta-data",
            "https://exa mple.org",
            "https://example.org/\r\nX: y",
            "https://example.org\\@127.0.0.1/",
        ] {
            assert!(check_url(wrong, &none).is_err(), "{wrong}");
        }
        assert_eq!(check_url("http://127.0.0.1:8080/hook", &local), Ok(()));
        assert_eq!(check_url("http://localhost:8080/hook", &local), Ok(()), "it is checked when it is connected to");
        assert!(check_url("http://127.0.0.2/", &local).is_err());
    }
}
