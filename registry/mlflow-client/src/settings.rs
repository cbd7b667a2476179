//! The variables of MLflow that say how a server is reached.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use ureq::tls::{ClientCert, PemItem, RootCerts, TlsConfig, parse_pem};

use crate::address::Address;

/// The variables that are read, besides `MLFLOW_TRACKING_URI`.
pub const VARIABLES: [&str; 6] = [USERNAME, PASSWORD, TOKEN, INSECURE, AUTHORITIES, CERTIFICATE];

const USERNAME: &str = "MLFLOW_TRACKING_USERNAME";
const PASSWORD: &str = "MLFLOW_TRACKING_PASSWORD";
const TOKEN: &str = "MLFLOW_TRACKING_TOKEN";
const INSECURE: &str = "MLFLOW_TRACKING_INSECURE_TLS";
const AUTHORITIES: &str = "MLFLOW_TRACKING_SERVER_CERT_PATH";
const CERTIFICATE: &str = "MLFLOW_TRACKING_CLIENT_CERT_PATH";

/// The most bytes of a file of certificates.
const MOST_PEM: u64 = 1 << 20;

/// The reason why a variable cannot be used. Its value is not cited, since it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable} cannot be used: {problem}\nhint: correct or unset {variable}")]
pub struct SettingError {
    /// The variable.
    pub variable: &'static str,
    /// The problem.
    pub problem: String,
}

/// Credentials and TLS.
#[derive(Clone, Default)]
pub struct Settings {
    /// The value of `Authorization`.
    pub(crate) authorization: Option<String>,
    pub(crate) tls: TlsConfig,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("authorization", &self.authorization.as_ref().map(|_| "...")).finish()
    }
}

impl Settings {
    /// Reads what `variable` knows. User and password go before a token, and both before those of
    /// the address, as in MLflow.
    ///
    /// # Errors
    /// A variable has a value that cannot be used.
    pub fn read(address: &Address, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let authorization = match (set(USERNAME), set(PASSWORD), set(TOKEN), address.credentials()) {
            (Some(user), Some(password), _, _) => Some(basic(&user, &password)),
            (_, _, Some(token), _) => Some(format!("Bearer {token}")),
            (_, _, None, Some((user, password))) => Some(basic(user, password)),
            _ => None,
        };
        if authorization.as_ref().is_some_and(|text| text.contains(|letter: char| letter.is_ascii_control())) {
            return Err(SettingError { variable: TOKEN, problem: "it has a control character".to_owned() });
        }
        let mut tls = TlsConfig::builder();
        if set(INSECURE).is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "1")) {
            tls = tls.disable_verification(true);
        }
        if let Some(file) = set(AUTHORITIES) {
            let items = pem(AUTHORITIES, &file)?;
            let certificates: Vec<_> = items.into_iter().filter_map(certificate).collect();
            if certificates.is_empty() {
                return Err(SettingError { variable: AUTHORITIES, problem: "its file has no certificate".to_owned() });
            }
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates));
        }
        if let Some(file) = set(CERTIFICATE) {
            let (mut chain, mut key) = (Vec::new(), None);
            for item in pem(CERTIFICATE, &file)? {
                match item {
                    PemItem::Certificate(certificate) => chain.push(certificate),
                    PemItem::PrivateKey(found) => key = Some(found),
                    _ => {}
                }
            }
            let Some(key) = key.filter(|_| !chain.is_empty()) else {
                let problem = "its file has to have a certificate and its private key".to_owned();
                return Err(SettingError { variable: CERTIFICATE, problem });
            };
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
        }
        Ok(Self { authorization, tls: tls.build() })
    }
}

fn certificate(item: PemItem<'static>) -> Option<ureq::tls::Certificate<'static>> {
    if let PemItem::Certificate(certificate) = item { Some(certificate) } else { None }
}

fn basic(user: &str, password: &str) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {pair}")
}

fn pem(variable: &'static str, file: &str) -> Result<Vec<PemItem<'static>>, SettingError> {
    let failed = |problem: String| SettingError { variable, problem };
    let text = read_bounded(Path::new(file)).map_err(|error| failed(format!("its file cannot be read: {error}")))?;
    Ok(parse_pem(&text).filter_map(Result::ok).collect())
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(MOST_PEM).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(address: &str, variables: &[(&str, &str)]) -> Result<Settings, SettingError> {
        let address = Address::parse(address).expect("an address");
        let value = |name: &str| variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned());
        Settings::read(&address, &value)
    }

    #[test]
    fn user_and_password_go_before_a_token_and_both_before_the_address() {
        let of = |address: &str, variables: &[(&str, &str)]| read(address, variables).expect("settings").authorization;
        let both = [(USERNAME, "me"), (PASSWORD, "pass"), (TOKEN, "t")];
        assert_eq!(of("http://a:b@h", &both).as_deref(), Some("Basic bWU6cGFzcw=="));
        assert_eq!(of("http://a:b@h", &both[2..]).as_deref(), Some("Bearer t"));
        assert_eq!(of("http://a:b@h", &[]).as_deref(), Some("Basic YTpi"));
        assert_eq!(of("http://h", &both[..1]), None);
    }

    #[test]
    fn what_cannot_be_used_is_named_by_its_variable_and_not_by_its_value() {
        let error = read("http://h", &[(TOKEN, "sec\nret")]).expect_err("a line break").to_string();
        assert!(error.contains(TOKEN) && !error.contains("ret\n"), "{error}");
        for variable in [AUTHORITIES, CERTIFICATE] {
            let error = read("https://h", &[(variable, "/nowhere/file.pem")]).expect_err("no file");
            assert_eq!(error.variable, variable);
        }
    }

    #[test]
    fn settings_show_no_credentials() {
        let settings = read("http://h", &[(TOKEN, "secret")]).expect("settings");
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
