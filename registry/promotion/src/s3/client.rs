//! Who we are and where the bucket is: variables, then profiles, as the AWS tools read them.
//!
//! Why not `aws-config`? It adds two more services' clients for roles and single sign-on. Whoever has those has the AWS
//! command line too, which turns them into variables: `aws configure export-credentials --format env`.

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
use aws_types::os_shim_internal::{Env, Fs};

use crate::error::PromotionError;
use crate::settings::{Settings, without_user};

/// The endpoint's variables, the strongest first.
const ENDPOINTS: [&str; 3] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "MLFLOW_S3_ENDPOINT_URL"];
/// What is signed for if nothing names a region: stores that are not AWS take it, and AWS answers with the right one.
const REGION: &str = "us-east-1";
/// What a profile may get its credentials from that is not in the file.
const ELSEWHERE: [&str; 5] =
    ["role_arn", "sso_session", "sso_start_url", "credential_process", "web_identity_token_file"];

pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) region: String,
    /// For people.
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
    let credentials = credentials(&variable, &profiles).map_err(no_credentials)?;
    let endpoint = settings.endpoint.clone().or_else(|| ENDPOINTS.into_iter().find_map(variable));
    let endpoint = endpoint.or_else(|| profiles.get("endpoint_url").map(str::to_owned));
    let region = settings.region.clone().or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"));
    let region = region.or_else(|| profiles.get("region").map(str::to_owned)).unwrap_or_else(|| REGION.to_owned());

    let limits = &settings.limits;
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .credentials_provider(credentials)
        .region(Region::new(region.clone()))
        .timeout_config(TimeoutConfig::builder().connect_timeout(limits.connect).build())
        // Attempts and their limits are ours: see the module above.
        .retry_config(RetryConfig::disabled())
        // Content is compared with a file or a digest; a checksum of the store's would only hide what is to be repaired.
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .force_path_style(settings.path_style.unwrap_or(endpoint.is_some()));
    config.set_endpoint_url(endpoint.clone());
    let endpoint =
        endpoint.map_or_else(|| format!("AWS S3 in region `{region}`"), |it| format!("`{}`", without_user(&it)));
    Ok(Connection { client: Client::from_conf(config.build()), region, endpoint })
}

/// Those of the variables, or else of the profile. The error says what was looked for.
fn credentials(
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
    if let Some(key) = ELSEWHERE.into_iter().find(|key| profiles.get(key).is_some()) {
        return Err(format!("profile `{name}` has them from `{key}`, which this program does not follow"));
    }
    match (variable("AWS_PROFILE"), profiles.get_profile(name)) {
        (Some(_), None) => Err(format!("AWS_PROFILE names `{name}`, which ~/.aws does not have")),
        _ => Err(format!("AWS_ACCESS_KEY_ID is not set, and ~/.aws/credentials has none for profile `{name}`")),
    }
}
