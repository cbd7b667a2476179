//! TLS: a certificate and a key from files, which can be read anew while the server runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::secret_file::{self, SecretFileError};

/// The files of a certificate and its key, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those that lead to its root.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Why TLS cannot be set up. Keys are never cited.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// A file has not what it should have.
    #[error("{} has no {what} in PEM", file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// The thing that it should have.
        what: &'static str,
    },
    /// Certificate and key cannot be used.
    #[error("the certificate {} cannot be used with the key {}: {reason}", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The reason.
        reason: String,
    },
}

/// The server's side of TLS.
pub(crate) struct Tls {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let config = ArcSwap::new(configuration(&files)?);
        Ok(Self { files, config })
    }

    /// Reads the files again, for [`Tls::replace`].
    pub(crate) fn read_again(&self) -> Result<Arc<ServerConfig>, TlsError> {
        configuration(&self.files)
    }

    /// Lets the next connections use another certificate and key.
    pub(crate) fn replace(&self, config: Arc<ServerConfig>) {
        self.config.store(config);
    }

    /// Returns what the next connection is accepted with.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }
}

fn configuration(TlsFiles { certificate, key }: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let content = |file: &Path, what| TlsError::Content { file: file.to_owned(), what };
    let text = secret_file::read_public(certificate)?;
    let chain = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| content(certificate, "certificate"))?;
    let text = secret_file::read(key)?;
    let private = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| content(key, "private key"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable = |error: rustls::Error| TlsError::Unusable {
        certificate: certificate.clone(),
        key: key.clone(),
        reason: error.to_string(),
    };
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(unusable)?.with_no_client_auth();
    let mut config = builder.with_single_cert(chain, private).map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
