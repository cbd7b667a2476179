//! Settings for reaching a destination: credentials, endpoint, time-outs.
//!
//! Variables are taken from a copy of the environment, not from the environment itself, because a
//! test, or a server with several destinations, has one copy for each. [`Settings`] prints names of
//! variables, never values.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// How to reach a destination. A setting here takes precedence over the variables, and these over
/// `~/.aws/config`.
#[derive(Clone, Default)]
pub struct Settings {
    /// Environment variables. Those read are `AWS_*`, `MLFLOW_S3_ENDPOINT_URL` and `HOME`.
    pub variables: BTreeMap<String, String>,
    /// The address of a store other than AWS: `https://minio.example:9000`.
    pub endpoint: Option<String>,
    /// The bucket's region.
    pub region: Option<String>,
    /// Whether the bucket is in the path instead of the host name. By default only if there is an
    /// endpoint.
    pub path_style: Option<bool>,
    /// Returns the addresses of a host's name to which requests may go; `None` for all of them.
    pub addresses: Option<Arc<Addresses>>,
    /// Time-outs, attempts and sizes.
    pub limits: TransferLimits,
}

/// Looks a host's name up, and refuses addresses that requests may not go to.
pub type Addresses = dyn Fn(&str) -> std::io::Result<Vec<IpAddr>> + Send + Sync;

/// Limits on the time, the attempts and the memory of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferLimits {
    /// The time to connect. 10 s: more than the distance to any store takes.
    pub connect: Duration,
    /// The time of one attempt of a request, plus a second for each 256 KiB that it carries. 60 s.
    pub attempt: Duration,
    /// The time of a request with all its attempts. 30 minutes.
    pub overall: Duration,
    /// The most attempts of a request that meets passing faults. 5.
    pub attempts: u32,
    /// The pause after the first attempt. Each further one is twice as long. 200 ms.
    pub pause: Duration,
    /// The size above which files are uploaded in parts. 32 MiB.
    pub multipart_from: u64,
    /// The size of a part; S3 requires at least 5 MiB. 16 MiB, or more for files of more than
    /// 10,000 such parts.
    pub part_size: u64,
    /// The most parts in transit at once. Each takes its size of memory. 4.
    pub parallel: usize,
}

impl Default for TransferLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            attempt: Duration::from_secs(60),
            overall: Duration::from_secs(30 * 60),
            attempts: 5,
            pause: Duration::from_millis(200),
            multipart_from: 32 << 20,
            part_size: 16 << 20,
            parallel: 4,
        }
    }
}

impl Settings {
    /// Creates settings from the environment variables that a destination reads.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables = variables.into_iter().filter(|(name, _)| matters(name)).collect();
        Self { variables, ..Self::default() }
    }
}

#[cfg(feature = "s3")]
impl Settings {
    /// Returns the same settings, with the options after a URI's `?` where nothing else was set.
    pub(crate) fn with(&self, query: &str) -> Result<Self, &'static str> {
        let mut settings = self.clone();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("endpoint", value)) => settings.endpoint = settings.endpoint.or_else(|| Some(value.to_owned())),
                Some(("region", value)) => settings.region = settings.region.or_else(|| Some(value.to_owned())),
                Some(("path-style", "true")) => settings.path_style = settings.path_style.or(Some(true)),
                Some(("path-style", "false")) => settings.path_style = settings.path_style.or(Some(false)),
                _ => return Err("behind `?` it may say `endpoint=`, `region=` and `path-style=true`"),
            }
        }
        Ok(settings)
    }

    /// Returns the options of a URI that reach the same place.
    pub(crate) fn query(&self) -> String {
        let endpoint = self.endpoint.as_ref().map(|endpoint| format!("endpoint={}", without_user(endpoint)));
        let region = self.region.as_ref().map(|region| format!("region={region}"));
        let path_style = self.path_style.map(|path_style| format!("path-style={path_style}"));
        let options: Vec<String> = [endpoint, region, path_style].into_iter().flatten().collect();
        if options.is_empty() { String::new() } else { format!("?{}", options.join("&")) }
    }
}

/// Returns why a value, such as a credential or a token, cannot be in a header of a request; `None`
/// if it can.
pub fn unfit_setting(value: &str) -> Option<&'static str> {
    match () {
        () if value.contains(['\n', '\r']) => Some("holds a line break"),
        () if value.contains(char::is_control) => Some("holds a control character"),
        () if value.contains(char::is_whitespace) => Some("holds a space"),
        () if !value.is_ascii() => Some("holds a letter that is not ASCII"),
        () => None,
    }
}

/// Returns whether a variable is one that a destination reads.
fn matters(name: &str) -> bool {
    name.starts_with("AWS_") || matches!(name, "MLFLOW_S3_ENDPOINT_URL" | "HOME" | "USERPROFILE")
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("variables", &self.variables.keys())
            .field("endpoint", &self.endpoint.as_deref().map(without_user))
            .field("region", &self.region)
            .field("path_style", &self.path_style)
            .field("addresses", &self.addresses.as_ref().map(|_| "some"))
            .field("limits", &self.limits)
            .finish()
    }
}

/// Returns a URI without `user:password@`.
pub(crate) fn without_user(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_variables_are_not_printed() {
        let variables = [("AWS_SECRET_ACCESS_KEY".to_owned(), "hush".to_owned())].into();
        let endpoint = Some("http://user:hush@host/".to_owned());
        let text = format!("{:?}", Settings { variables, endpoint, ..Settings::default() });
        assert!(text.contains("AWS_SECRET_ACCESS_KEY") && text.contains("http://host/"), "{text}");
        assert!(!text.contains("hush"), "{text}");
    }

    #[test]
    fn what_no_header_holds_is_named() {
        for (value, problem) in [
            ("a\nb", Some("holds a line break")),
            ("a\r", Some("holds a line break")),
            ("a\u{7f}b", Some("holds a control character")),
            (" a", Some("holds a space")),
            ("ключ", Some("holds a letter that is not ASCII")),
            ("AKIA/+=~a", None),
        ] {
            assert_eq!(unfit_setting(value), problem, "{value:?}");
        }
    }

    #[test]
    fn variables_of_others_are_not_taken() {
        assert!(matters("AWS_PROFILE") && matters("HOME") && !matters("GITHUB_TOKEN"));
    }
}
