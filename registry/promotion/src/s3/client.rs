//! Credentials, region and endpoint of a bucket: from variables, then profiles, as the AWS tools
//! read them.
//!
//! Why not `aws-config`? It adds the clients of two more services, for roles and single sign-on.
//! Users of those have the AWS command line too, which exports them as variables: `aws configure
//! export-credentials --format env`.

use std::fmt;
use std::sync::Arc;

use aws_runtime::env_config::file::EnvConfigFiles;
use aws_runtime::env_config::section::EnvConfigSections;
use aws_runtime::env_config::source;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Config, Credentials, Region, ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use aws_types::os_shim_internal::{Env, Fs};

use crate::error::PromotionError;
use crate::settings::{Addresses, Settings, unfit_setting, without_user};

/// The variables for the endpoint, by precedence.
const ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL"];
/// The region if none is set. Stores other than AWS accept it, and AWS answers with the right one.
const REGION: &str = "us-east-1";
/// The keys of a profile that refer to credentials outside of the file.
const EXTERNAL_CREDENTIALS: [&str; 5] =
    ["role_arn", "sso_session", "sso_start_url", "credential_process", "web_identity_token_file"];

/// Resolves names as the settings say.
#[derive(Clone)]
struct Resolver(Arc<Addresses>);

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        let (addresses, name) = (Arc::clone(&self.0), name.to_owned());
        DnsFuture::new(async move {
            let found = tokio::task::spawn_blocking(move || addresses(&name)).await;
            found.map_err(ResolveDnsError::new)?.map_err(ResolveDnsError::new)
        })
    }
}

pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) region: String,
    /// For messages.
    pub(super) endpoint: String,
}

/// Reads variables and profiles. Makes no request.
pub(super) async fn connect(uri: &str, settings: &Settings) -> Result<Connection, PromotionError> {
    let no_credentials = |problem: String| PromotionError::NoCredentials { uri: uri.to_owned(), problem };
    let environment = Env::from(
        settings.variables.iter().map(|(k, v)| (k.clone(), v.clone())).collect::<std::collections::HashMap<_, _>>(),
    );
    let profiles = async {
        let files = source::load(&environment, &Fs::real(), &EnvConfigFiles::default()).await.ok()?;
        EnvConfigSections::parse(files).ok()
    };
    let profiles = profiles.await.ok_or_else(|| no_credentials("the files in ~/.aws cannot be read".to_owned()))?;

    let variable = |name: &str| settings.variables.get(name).filter(|it| !it.is_empty()).cloned();
    if let Some(profile) = variable("AWS_PROFILE") {
        check("AWS_PROFILE", &profile)?;
    }
    let credentials = credentials(&variable, &profiles)?.map_err(no_credentials)?;
    let named = |name: &'static str| variable(name).map(|value| (name.to_owned(), value));
    let of_profile = |key: &str| profiles.get(key).map(|value| (in_profile(key, &profiles), value.to_owned()));
    let given =
        |key: &str, value: &Option<String>| value.clone().map(|value| (format!("`{key}` of the destination"), value));
    let endpoint = given("endpoint", &settings.endpoint).or_else(|| ENDPOINTS.into_iter().find_map(named));
    let endpoint = endpoint.or_else(|| of_profile("endpoint_url"));
    if let Some((name, value)) = &endpoint {
        check(name, value)?;
        check_endpoint(name, value)?;
    }
    let endpoint = endpoint.map(|(_, value)| value);
    let region = given("region", &settings.region).or_else(|| named("AWS_REGION"));
    let region = region.or_else(|| named("AWS_DEFAULT_REGION")).or_else(|| of_profile("region"));
    let region = match region {
        Some((name, value)) => {
            check(&name, &value)?;
            // It becomes a part of a host name.
            if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                return Err(bad(&name, "is not the name of a region"));
            }
            value
        }
        None => REGION.to_owned(),
    };

    let limits = &settings.limits;
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    let http = match &settings.addresses {
        Some(addresses) => http.build_with_resolver(Resolver(Arc::clone(addresses))),
        None => http.build_https(),
    };
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .credentials_provider(credentials)
        .region(Region::new(region.clone()))
        .timeout_config(TimeoutConfig::builder().connect_timeout(limits.connect).build())
        // [`super::bucket`] counts attempts and limits them.
        .retry_config(RetryConfig::disabled())
        // Content is compared with a file or a digest. The store's checksum would only hide what
        // has to be repaired.
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .force_path_style(settings.path_style.unwrap_or(endpoint.is_some()));
    config.set_endpoint_url(endpoint.clone());
    let endpoint =
        endpoint.map_or_else(|| format!("AWS S3 in region `{region}`"), |it| format!("`{}`", without_user(&it)));
    Ok(Connection { client: Client::from_conf(config.build()), region, endpoint })
}

fn bad(name: &str, problem: &'static str) -> PromotionError {
    PromotionError::BadSetting { name: name.to_owned(), problem }
}

/// Checks a value for headers and signatures: the SDK panics at a line break in some of them, and
/// signs others wrongly.
fn check(name: &str, value: &str) -> Result<(), PromotionError> {
    unfit_setting(value).map_or(Ok(()), |problem| Err(bad(name, problem)))
}

fn check_endpoint(name: &str, value: &str) -> Result<(), PromotionError> {
    let rest = value.strip_prefix("https://").or_else(|| value.strip_prefix("http://"));
    match rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default()) {
        None => Err(bad(name, "does not begin with `https://` or `http://`")),
        Some("") => Err(bad(name, "names no host")),
        Some(_) => Ok(()),
    }
}

/// Returns the name of a profile's key for errors.
fn in_profile(key: &str, profiles: &EnvConfigSections) -> String {
    format!("`{key}` of profile `{}`", profiles.selected_profile())
}

/// Returns the credentials of the variables, or else of the profile. The inner error says what was
/// looked for.
fn credentials(
    variable: &impl Fn(&str) -> Option<String>,
    profiles: &EnvConfigSections,
) -> Result<Result<Credentials, String>, PromotionError> {
    const KEYS: [(&str, &str); 3] = [
        ("AWS_ACCESS_KEY_ID", "aws_access_key_id"),
        ("AWS_SECRET_ACCESS_KEY", "aws_secret_access_key"),
        ("AWS_SESSION_TOKEN", "aws_session_token"),
    ];
    let is_by_variables = KEYS[..2].iter().any(|(name, _)| variable(name).is_some());
    for (name, key) in KEYS {
        if is_by_variables {
            variable(name).map_or(Ok(()), |value| check(name, &value))?;
        } else {
            profiles.get(key).map_or(Ok(()), |value| check(&in_profile(key, profiles), value))?;
        }
    }
    Ok(found_credentials(variable, profiles))
}

fn found_credentials(
    variable: &impl Fn(&str) -> Option<String>,
    profiles: &EnvConfigSections,
) -> Result<Credentials, String> {
    let new =
        |key: String, secret: String, token: Option<String>| Credentials::new(key, secret, token, None, "stagewright");
    match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
        (Some(key), Some(secret)) => return Ok(new(key, secret, variable("AWS_SESSION_TOKEN"))),
        (Some(_), None) => return Err("AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is not".to_owned()),
        (None, Some(_)) => return Err("AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not".to_owned()),
        (None, None) => {}
    }
    let name = profiles.selected_profile();
    let get = |key: &str| profiles.get(key).map(str::to_owned);
    match (get("aws_access_key_id"), get("aws_secret_access_key")) {
        (Some(key), Some(secret)) => return Ok(new(key, secret, get("aws_session_token"))),
        (None, None) => {}
        _ => return Err(format!("profile `{name}` has one of `aws_access_key_id` and `aws_secret_access_key`")),
    }
    if let Some(key) = EXTERNAL_CREDENTIALS.into_iter().find(|key| profiles.get(key).is_some()) {
        return Err(format!("profile `{name}` has them from `{key}`, which this program does not follow"));
    }
    match (variable("AWS_PROFILE"), profiles.get_profile(name)) {
        (Some(_), None) => Err(format!("AWS_PROFILE names `{name}`, which ~/.aws does not have")),
        _ => Err(format!("AWS_ACCESS_KEY_ID is not set, and ~/.aws/credentials has none for profile `{name}`")),
    }
}
