//! Exports the spans of a run over OTLP, if the environment names a collector.
//!
//! Nothing is sent unless `OTEL_EXPORTER_OTLP_ENDPOINT` or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is
//! exported; a file `.env` cannot set them. A thread sends batches, and drops those that it cannot
//! send: no run waits for a collector, except for [`PATIENCE`] at its end, and none fails because
//! of one. A warning at the end says how many spans did not arrive. The variables are those of the
//! OpenTelemetry specification. Headers may hold keys and are shown nowhere.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, ContextGuard, KeyValue};
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor};
use stagewright_lifecycle::spans::TARGET;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::environment;

mod collector;
mod outcome;

use outcome::ExportOutcome;

/// The time that the end of a program waits for a collector.
const PATIENCE: Duration = Duration::from_secs(2);

/// The timeout of a request, unless the environment names one.
const REQUEST: Duration = Duration::from_secs(10);

/// The variable of the endpoint for traces, and that of the endpoint for all signals, to which a
/// path is added.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// The export of this process, if the environment asks for one.
static TRACES: OnceLock<Traces> = OnceLock::new();

/// The export of this process's spans.
struct Traces {
    provider: SdkTracerProvider,
    outcome: Arc<ExportOutcome>,
    /// The collector's address without user and password.
    address: String,
    /// The variable that names the collector.
    variable: &'static str,
}

/// Starts the export, if the environment asks for it.
///
/// # Errors
/// The environment asks for an export that is not possible. The caller warns and goes on.
pub(crate) fn start() -> Result<(), String> {
    let Some((variable, endpoint)) = endpoint() else { return Ok(()) };
    refuse_protocols()?;
    let refused = || {
        format!("traces are not exported: `{variable}` is no URL\nhint: write {variable}=http://HOST:4318, for example")
    };
    let address = address(&endpoint).ok_or_else(refused)?;
    let outcome = Arc::new(ExportOutcome::default());
    let client = collector::Client::new(timeout(), outcome.clone())?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(endpoint)
        .with_timeout(timeout())
        .with_retry_policy(RetryPolicy::default())
        .build()
        // The text of the library's error cites values of the environment.
        .map_err(|_| refused())?;
    let provider = SdkTracerProvider::builder()
        .with_resource(resource())
        .with_span_processor(Count(outcome.clone()))
        .with_span_processor(BatchSpanProcessor::builder(Counted { exporter, outcome: outcome.clone() }).build())
        .build();
    let _ = TRACES.set(Traces { provider, outcome, address, variable });
    Ok(())
}

/// Returns the layer that exports the lifecycle's spans. Log lines are not exported: they contain
/// text of stages.
pub(crate) fn layer<S>() -> Option<impl Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let traces = TRACES.get()?;
    let tracer: SdkTracer = traces.provider.tracer("stagewright");
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false);
    Some(layer.with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET)))
}

/// Attaches the spans of this thread to the trace of the program that started this one, which
/// `TRACEPARENT` names (W3C Trace Context).
pub(crate) fn parent() -> Option<ContextGuard> {
    TRACES.get()?;
    let carried: HashMap<String, String> = ["TRACEPARENT", "TRACESTATE"]
        .into_iter()
        .filter_map(|name| Some((name.to_lowercase(), environment::own(name)?.into_string().ok()?)))
        .collect();
    Some(TraceContextPropagator::new().extract_with_context(&Context::new(), &carried).attach())
}

/// Returns the identifier of the exported trace, in hexadecimal.
pub(crate) fn id() -> Option<String> {
    Some(TRACES.get()?.outcome.trace.get()?.to_string())
}

/// Sends the remaining spans, and warns of those that could not be sent.
pub(crate) fn end() {
    let Some(Traces { provider, outcome, address, variable }) = TRACES.get() else { return };
    if outcome.ended.load(Ordering::Relaxed) == 0 {
        return;
    }
    if provider.shutdown_with_timeout(PATIENCE).is_err() {
        outcome.failed_unless_known(format_args!("it did not answer within {} s", PATIENCE.as_secs()));
    }
    let ended = outcome.ended.load(Ordering::Relaxed);
    let taken = outcome.taken.load(Ordering::Relaxed).saturating_sub(outcome.rejected.load(Ordering::Relaxed));
    if taken >= ended {
        return;
    }
    let fault = outcome.fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let reason = fault.unwrap_or_else(|| "it was too slow".to_owned());
    tracing::warn!(
        "{} of {ended} spans did not reach the collector at {address}: {reason}\nhint: see that it takes OTLP over HTTP there, or unset {variable}",
        ended - taken,
    );
}

/// Returns the variable that names the collector, and the collector's URL for traces.
fn endpoint() -> Option<(&'static str, String)> {
    let is = |name, wanted: &str| environment::non_empty(name).is_some_and(|value| value.eq_ignore_ascii_case(wanted));
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    let [own, all] = ENDPOINTS;
    let whole = environment::non_empty(own).map(|url| (own, url));
    whole.or_else(|| environment::non_empty(all).map(|url| (all, format!("{}/v1/traces", url.trim_end_matches('/')))))
}

/// Refuses a protocol other than HTTP with protobuf.
fn refuse_protocols() -> Result<(), String> {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
    match names.into_iter().find_map(|name| Some((name, environment::non_empty(name)?))) {
        Some((name, wanted)) if wanted != "http/protobuf" => Err(format!(
            "traces are not exported: `{name}` asks for `{wanted}`\nhint: write {name}=http/protobuf, which collectors take on port 4318"
        )),
        _ => Ok(()),
    }
}

/// Returns a URL without user, password and path.
fn address(url: &str) -> Option<String> {
    let url: ureq::http::Uri = url.parse().ok()?;
    let scheme = url.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let port = url.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{scheme}://{}{port}", url.host()?))
}

/// Returns the timeout of a request.
fn timeout() -> Duration {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    names.into_iter().find_map(|name| environment::non_empty(name)?.parse().ok()).map_or(REQUEST, Duration::from_millis)
}

/// Returns the resource of the spans: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, else this
/// program.
fn resource() -> Resource {
    let named = environment::non_empty("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|attributes| {
        attributes.split(',').any(|attribute| attribute.trim_start().starts_with("service.name="))
    });
    let resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if named || environment::non_empty("OTEL_SERVICE_NAME").is_some() {
        return resource.build();
    }
    resource.with_service_name("stagewright").build()
}

/// Counts the spans that ended.
#[derive(Debug)]
struct Count(Arc<ExportOutcome>);

impl SpanProcessor for Count {
    fn on_start(&self, span: &mut Span, _: &Context) {
        let _ = self.0.trace.set(opentelemetry::trace::Span::span_context(span).trace_id());
    }

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.0.ended.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Counts the spans that the collector accepted.
#[derive(Debug)]
struct Counted {
    exporter: SpanExporter,
    outcome: Arc<ExportOutcome>,
}

impl opentelemetry_sdk::trace::SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let sent = self.exporter.export(batch).await;
        match &sent {
            Ok(()) => drop(self.outcome.taken.fetch_add(spans, Ordering::Relaxed)),
            Err(error) => self.outcome.failed_unless_known(error),
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_user_password_and_path() {
        let shown = address("https://user:secret@otel.example:4318/v1/traces?key=secret");
        assert_eq!(shown.as_deref(), Some("https://otel.example:4318"));
        assert_eq!(address("http://[::1]/v1/traces").as_deref(), Some("http://[::1]"));
        for wrong in ["", "otel.example:4318", "ftp://otel.example", "/v1/traces", "http://"] {
            assert_eq!(address(wrong), None, "{wrong}");
        }
    }
}
