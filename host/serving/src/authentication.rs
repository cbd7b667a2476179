//! Who may do what: bearer tokens and their roles.
//!
//! Memory holds SHA-256 of each token and no token. A token that is presented is compared with all
//! of them, byte by byte to the end, so that the time says nothing about how far one agrees.

use std::fmt;
use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, ORIGIN};
use axum::http::{HeaderMap, Method, Uri};
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

/// The fewest characters of a token. A shorter one could be guessed.
const LEAST_LENGTH: usize = 16;

/// The most tokens. Each request is compared with all.
const MOST_TOKENS: usize = 1000;

/// A right of the holder of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Asks for predictions, and reads what is served.
    Predict,
    /// Posts outcomes.
    Outcomes,
    /// Reads metrics.
    Metrics,
    /// Starts, advances and ends deployments.
    Admin,
}

impl Role {
    const ALL: [Self; 4] = [Self::Predict, Self::Outcomes, Self::Metrics, Self::Admin];

    /// Returns the role's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Predict => "predict",
            Self::Outcomes => "outcomes",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Why a text is no list of tokens. It names lines and cites no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokensError {
    /// A line is wrong.
    #[error("line {line}: {problem}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// The problem, with its remedy.
        problem: String,
    },
    /// There is no token.
    #[error("there is no token; write a line `TOKEN predict`")]
    Empty,
    /// There are too many tokens.
    #[error("there are more than {MOST_TOKENS} tokens")]
    TooMany,
}

/// The tokens that the server knows, each with its roles.
#[derive(Clone, PartialEq, Eq)]
pub struct Tokens(Vec<([u8; 32], u8)>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

impl Tokens {
    /// Reads tokens: on each line a token, or `sha256:` with the hash of one in hexadecimal, and
    /// its roles (`predict,outcomes`). Empty lines and lines that begin with `#` say nothing.
    ///
    /// ```
    /// use stagewright_serving::Tokens;
    ///
    /// let tokens = Tokens::parse("# the web shop\n0123456789abcdef0123 predict,outcomes\n")?;
    /// assert_eq!(tokens.len(), 1);
    /// # Ok::<(), stagewright_serving::TokensError>(())
    /// ```
    ///
    /// # Errors
    /// [`TokensError`].
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        let mut tokens = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (digest, roles) = parse_line(line).map_err(|problem| TokensError::Line { line: index + 1, problem })?;
            if tokens.iter().any(|(known, _)| *known == digest) {
                let problem = "the token has a line already; write all of its roles on one".to_owned();
                return Err(TokensError::Line { line: index + 1, problem });
            }
            tokens.push((digest, roles));
        }
        match tokens.len() {
            0 => Err(TokensError::Empty),
            1..=MOST_TOKENS => Ok(Self(tokens)),
            _ => Err(TokensError::TooMany),
        }
    }

    /// Returns the number of tokens.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the roles of a token. The time does not depend on which token it is.
    fn roles(&self, token: &str) -> Option<u8> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let (mut roles, mut is_known) = (0, Choice::from(0));
        for (known, own) in &self.0 {
            let is_equal = known.ct_eq(&digest);
            roles = u8::conditional_select(&roles, own, is_equal);
            is_known |= is_equal;
        }
        bool::from(is_known).then_some(roles)
    }
}

/// Reads a line: the digest of its token, and its roles as bits.
fn parse_line(line: &str) -> Result<([u8; 32], u8), String> {
    let Some((token, roles)) = line.split_once(char::is_whitespace) else {
        return Err("write a token, a space, and its roles: `TOKEN predict,metrics`".to_owned());
    };
    let bits = parse_roles(roles.trim()).map_err(|problem| {
        // A token must not be cited, so the message does not say what stands there.
        if parse_roles(token).is_ok() { "the token comes first, then its roles".to_owned() } else { problem }
    })?;
    if let Some(hexadecimal) = token.strip_prefix("sha256:") {
        let digest = parse_digest(hexadecimal).ok_or("after `sha256:` come 64 hexadecimal digits")?;
        return Ok((digest, bits));
    }
    if token.len() < LEAST_LENGTH {
        return Err(format!("the token is shorter than {LEAST_LENGTH} characters; `openssl rand -hex 32` makes one"));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a token has letters, digits and signs of ASCII alone".to_owned());
    }
    Ok((Sha256::digest(token.as_bytes()).into(), bits))
}

fn parse_roles(text: &str) -> Result<u8, String> {
    let role = |name: &str| Role::ALL.into_iter().find(|role| role.name() == name.trim());
    text.split(',').try_fold(0, |bits, name| match role(name) {
        Some(role) => Ok(bits | role.bit()),
        None => Err("the roles are predict, outcomes, metrics and admin, with commas between them".to_owned()),
    })
}

fn parse_digest(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, digits) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(digest)
}

/// Who may ask for a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody: probes, which tell nothing but whether the server is ready, and the empty page.
    Everybody,
    /// Whoever has a token.
    AnyToken,
    /// Whoever has a token with this role.
    Role(Role),
}

impl Access {
    /// Returns who may ask for a path. What is not listed is for those who predict.
    pub(crate) fn of(method: &Method, path: &str) -> Self {
        let is_read = method == Method::GET || method == Method::HEAD;
        match path {
            "/health/live" | "/health/ready" | "/ping" | "/v2/health/live" | "/v2/health/ready" => Self::Everybody,
            // The page says nothing about a model; it asks for a token itself.
            "/docs" | "/docs/page.js" | "/docs/page.css" if is_read => Self::Everybody,
            "/" | "/health" if is_read => Self::AnyToken,
            _ => Self::Role(role(path)),
        }
    }
}

/// Returns the role that a path needs. It goes by whole segments, so that the name of a model,
/// which may be any word, opens or closes nothing.
fn role(path: &str) -> Role {
    let mut segments = path.split('/').skip(1);
    match [(); 4].map(|()| segments.next()) {
        [Some("metrics"), None, ..] => Role::Metrics,
        [Some("outcomes"), None, ..] | [Some("models"), Some(_), Some("outcomes"), None] => Role::Outcomes,
        [Some("deployments"), ..] | [Some("models"), Some(_), Some("deployment"), _] => Role::Admin,
        _ => Role::Predict,
    }
}

/// Why a request is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    /// It has no token.
    NoToken,
    /// Its token is unknown.
    UnknownToken,
    /// Its token has not this role.
    NoRole(Role),
    /// It changes something, needs no token, and a page of a site with a name sends it.
    NamedSite,
}

/// Decides whether a request is admitted. Without tokens, everybody is who is no page of a foreign
/// site.
pub(crate) fn admit(tokens: Option<&Tokens>, access: Access, headers: &HeaderMap) -> Result<(), Denial> {
    let Some(tokens) = tokens else {
        let is_change = matches!(access, Access::Role(Role::Admin | Role::Outcomes));
        return if is_change && is_of_named_site(headers) { Err(Denial::NamedSite) } else { Ok(()) };
    };
    if access == Access::Everybody {
        return Ok(());
    }
    let value = headers.get(AUTHORIZATION).ok_or(Denial::NoToken)?;
    let text = value.to_str().map_err(|_| Denial::UnknownToken)?;
    let (scheme, token) = text.split_once(' ').ok_or(Denial::UnknownToken)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Denial::UnknownToken);
    }
    let roles = tokens.roles(token.trim()).ok_or(Denial::UnknownToken)?;
    match access {
        Access::Role(role) if roles & role.bit() == 0 => Err(Denial::NoRole(role)),
        _ => Ok(()),
    }
}

/// Returns whether a page of a site with a name sends a request.
///
/// A browser asks before it sends JSON to a foreign server, but not if the name of the page's own
/// site has come to mean the address of this server, which that site can arrange. A browser names
/// the site with every request that is not a mere read. A page at an address, or at `localhost`, is
/// foreign, or this server's own.
fn is_of_named_site(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let site = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
    let is_address = |host: &str| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok()
    };
    !site.as_ref().and_then(Uri::host).is_some_and(is_address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = "web-0123456789abcdef";
    const OPS: &str = "ops-0123456789abcdef";

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().expect("a value"))])
    }

    // invariant: A page of a foreign site cannot change a deployment, or post outcomes, by giving
    // its own name the address of a server that asks nobody for a token.
    #[test]
    fn a_site_that_takes_the_address_of_the_server_is_refused() {
        let of = |origin: &str| HeaderMap::from_iter([(ORIGIN, origin.parse().expect("a value"))]);
        for role in [Role::Admin, Role::Outcomes] {
            let ask = |headers: &HeaderMap| admit(None, Access::Role(role), headers);
            for named in ["http://evil.example:8000", "https://localhost.evil.example", "null", "", "http://", "a b"] {
                assert_eq!(ask(&of(named)), Err(Denial::NamedSite), "{named}");
                // The page can write this header too.
                let with_token =
                    of(named).into_iter().chain(headers("Bearer x")).filter_map(|(name, value)| Some((name?, value)));
                assert_eq!(ask(&HeaderMap::from_iter(with_token)), Err(Denial::NamedSite), "{named}");
            }
            for own in ["http://127.0.0.1:8000", "http://[::1]:8000", "http://localhost:8000", "https://LOCALHOST"] {
                assert_eq!(ask(&of(own)), Ok(()), "{own}");
            }
            assert_eq!(ask(&HeaderMap::new()), Ok(()), "a program");
        }
        assert_eq!(admit(None, Access::Role(Role::Predict), &of("http://evil.example")), Ok(()));
        let mut console = headers(&format!("Bearer {OPS}"));
        console.insert(ORIGIN, "https://console.example".parse().expect("a value"));
        assert_eq!(admit(Some(&tokens()), Access::Role(Role::Admin), &console), Ok(()), "it has a token");
    }

    fn tokens() -> Tokens {
        let hash: String = Sha256::digest(OPS.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        Tokens::parse(&format!("# who\n\n{WEB} predict,outcomes\nsha256:{hash}\tmetrics, admin\n")).expect("tokens")
    }

    // invariant: A token opens what its roles say, and nothing else; a server with tokens tells
    // nothing to a request without one but whether it is ready.
    #[test]
    fn a_token_opens_what_its_roles_say() {
        let tokens = tokens();
        let ask = |access, value: &str| admit(Some(&tokens), access, &headers(value));
        let (web, ops) = (format!("Bearer {WEB}"), format!("bearer {OPS}"));
        assert_eq!(ask(Access::Role(Role::Predict), &web), Ok(()));
        assert_eq!(ask(Access::Role(Role::Outcomes), &web), Ok(()));
        assert_eq!(ask(Access::Role(Role::Metrics), &web), Err(Denial::NoRole(Role::Metrics)));
        assert_eq!(ask(Access::Role(Role::Admin), &ops), Ok(()));
        assert_eq!(ask(Access::Role(Role::Predict), &ops), Err(Denial::NoRole(Role::Predict)));
        assert_eq!(ask(Access::AnyToken, &ops), Ok(()));
        let cut = &web[..web.len() - 1];
        for wrong in [cut, "Bearer", "Bearer ", "Basic d2ViOndlYg==", &format!("Bearer {web}"), &format!("{web}0")] {
            assert_eq!(ask(Access::AnyToken, wrong), Err(Denial::UnknownToken), "{wrong}");
        }
        assert_eq!(admit(Some(&tokens), Access::AnyToken, &HeaderMap::new()), Err(Denial::NoToken));
        assert_eq!(admit(Some(&tokens), Access::Everybody, &HeaderMap::new()), Ok(()));
        assert_eq!(admit(None, Access::Role(Role::Admin), &HeaderMap::new()), Ok(()));
    }

    #[test]
    fn a_path_that_nobody_listed_is_for_those_who_predict() {
        let access = |path| Access::of(&Method::POST, path);
        assert_eq!(access("/health/ready"), Access::Everybody);
        assert_eq!(access("/health/ready/"), Access::Role(Role::Predict));
        assert_eq!(access("/metrics"), Access::Role(Role::Metrics));
        assert_eq!(access("/models/churn/predict"), Access::Role(Role::Predict));
        for path in ["/outcomes", "/models/churn/outcomes"] {
            assert_eq!(access(path), Access::Role(Role::Outcomes), "{path}");
        }
        for path in
            ["/deployments", "/deployments/churn", "/models/churn/deployment", "/models/churn/deployment/advance"]
        {
            assert_eq!(access(path), Access::Role(Role::Admin), "{path}");
        }
        for path in ["/metrics/", "/outcomes/", "/models/churn/outcomes/", "/models/churn/deployments", "//outcomes"] {
            assert_eq!(access(path), Access::Role(Role::Predict), "{path}");
        }
        assert_eq!(access("/whatever"), Access::Role(Role::Predict));
    }

    #[test]
    fn the_name_of_a_model_says_nothing_about_who_may_ask() {
        for model in
            ["deployment-risk", "deployment", "deployments", "outcomes", "metrics", "admin", "ping", "docs", "health"]
        {
            for path in ["/models/M", "/models/M/predict", "/v2/models/M", "/v2/models/M/infer"] {
                let path = path.replace('M', model);
                for method in [Method::GET, Method::POST] {
                    assert_eq!(Access::of(&method, &path), Access::Role(Role::Predict), "{path}");
                }
            }
        }
    }

    #[test]
    fn a_list_that_is_wrong_is_refused_with_its_line_and_without_its_tokens() {
        let secret = "s3cr3t-s3cr3t-s3cr3t";
        for (text, part) in [
            (format!("\n{secret}\n"), "line 2: write a token"),
            (format!("{secret} reader\n"), "line 1: the roles are"),
            (format!("predict {secret}\n"), "the token comes first"),
            ("short predict\n".to_owned(), "shorter than 16"),
            (format!("{secret}é predict\n"), "of ASCII alone"),
            (format!("sha256:{secret} predict\n"), "64 hexadecimal digits"),
            (format!("{secret} predict\n{secret} admin\n"), "line 2: the token has a line already"),
            ("# nobody\n".to_owned(), "there is no token"),
        ] {
            let error = Tokens::parse(&text).expect_err(&text).to_string();
            assert!(error.contains(part), "{error}");
            assert!(!error.contains(secret), "{error}");
        }
        assert!(!format!("{:?}", tokens()).contains("web"));
    }
}
