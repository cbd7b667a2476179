//! The HTTP client of the exporter, which also reads how many spans the collector rejected.

use std::fmt;
use std::future::{Future, ready};
use std::io::Read as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use stagewright_text::Untrusted;
use ureq::tls::{RootCerts, TlsConfig, parse_pem};

use super::outcome::ExportOutcome;
use crate::environment;

/// The longest answer that is read, in bytes. An answer has a count of spans and at most a
/// sentence.
const MAX_ANSWER: u64 = 64 << 10;

/// The characters of a collector's message that are shown.
const SHOWN: usize = 200;

/// A client of one collector. It follows no redirect and uses no proxy: headers with keys go only
/// to the address in the environment.
#[derive(Debug)]
pub(super) struct Client {
    agent: ureq::Agent,
    outcome: Arc<ExportOutcome>,
}

impl Client {
    /// Creates a client with a timeout for requests.
    ///
    /// # Errors
    /// The file of certificate authorities contains none.
    pub(super) fn new(timeout: Duration, outcome: Arc<ExportOutcome>) -> Result<Self, String> {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .tls_config(TlsConfig::builder().root_certs(authorities()?).build())
            .timeout_global(Some(timeout));
        Ok(Self { agent: config.build().into(), outcome })
    }

    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let failed = |reason: &dyn fmt::Display| self.outcome.failed(reason);
        // The error names no more than the address.
        let sent = self.agent.run(request.map(|body| body.to_vec())).inspect_err(|error| failed(error));
        let mut answer = sent?;
        let mut body = Vec::new();
        answer.body_mut().as_reader().take(MAX_ANSWER).read_to_end(&mut body).inspect_err(|error| failed(error))?;
        let status = answer.status();
        if !status.is_success() {
            failed(&format_args!("it answers with status {status}"));
        } else if let Err(reason) = self.accepted(&body) {
            failed(&reason);
            return Err(reason.into());
        }
        Ok(answer.map(|_| body.into()))
    }

    /// Reads the number of rejected spans.
    fn accepted(&self, answer: &[u8]) -> Result<(), String> {
        let answer = ExportTraceServiceResponse::decode(answer)
            .map_err(|_| "what it answers is no OTLP: is it a collector?".to_owned())?;
        let Some(partial) = answer.partial_success.filter(|partial| partial.rejected_spans > 0) else { return Ok(()) };
        let rejected = partial.rejected_spans.unsigned_abs();
        self.outcome.rejected.fetch_add(rejected, Ordering::Relaxed);
        self.outcome.failed(format_args!("it says: {}", Untrusted::new(&partial.error_message).cut(SHOWN)));
        Ok(())
    }
}

impl HttpClient for Client {
    // Written without a macro, as it is one method. It blocks the exporter's thread, which has no
    // other work.
    fn send_bytes<'client, 'sent>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sent>>
    where
        'client: 'sent,
        Self: 'sent,
    {
        Box::pin(ready(self.send(request)))
    }
}

/// Returns the certificate authorities: those of the file that the environment names, else
/// Mozilla's list.
fn authorities() -> Result<RootCerts, String> {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"];
    let Some((name, file)) = names.into_iter().find_map(|name| Some((name, environment::non_empty(name)?))) else {
        return Ok(RootCerts::WebPki);
    };
    let bytes = std::fs::read(&file).map_err(|error| error.to_string());
    let certificates = bytes.map(|bytes| {
        let items = parse_pem(&bytes).filter_map(Result::ok);
        items
            .filter_map(|item| match item {
                ureq::tls::PemItem::Certificate(certificate) => Some(certificate),
                _ => None,
            })
            .collect::<Vec<_>>()
    });
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(RootCerts::new_with_certs(&certificates)),
        Ok(_) => Err(unusable(name, "the file holds no certificate")),
        Err(reason) => Err(unusable(name, &reason)),
    }
}

fn unusable(name: &str, reason: &str) -> String {
    format!("traces are not exported: the authorities of `{name}` cannot be read: {reason}\nhint: name a file in PEM")
}
