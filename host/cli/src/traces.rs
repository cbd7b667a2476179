//! Spans of a run for a collector, over OTLP, if the environment names one.
//!
//! Nothing is sent unless `OTEL_EXPORTER_OTLP_ENDPOINT` or its sibling for traces is exported; a
//! file `.env` cannot set it. A thread of its own sends, in batches, and what it cannot send it
//! drops: no run waits for a collector, but for [`PATIENCE`] at its end, and none fails by one.
//! That spans did not arrive is outcome once, when all is done. The variables are those of the
//! OpenTelemetry specification; headers, which hold keys, are shown nowhere.

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

/// How long the end of a program waits for a collector.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long one request may take where the environment does not say.
const REQUEST: Duration = Duration::from_secs(10);

/// The endpoint for traces, as it is; and that of all signals, to which a path is added.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// The export of this process, if it has one.
static TRACES: OnceLock<Traces> = OnceLock::new();

/// The export of this process's spans.
struct Traces {
    provider: SdkTracerProvider,
    outcome: Arc<ExportOutcome>,
    /// The collector without user and password.
    address: String,
    /// The variable that names it.
    variable: &'static str,
}

/// Begins to export, if the environment asks for it.
///
/// # Errors
/// The environment asks for something that cannot be done: a warning, and no reason to stop.
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
        // Its text cites values of the environment.
        .map_err(|_| refused())?;
    let provider = SdkTracerProvider::builder()
        .with_resource(resource())
        .with_span_processor(Count(outcome.clone()))
        .with_span_processor(BatchSpanProcessor::builder(Counted { exporter, outcome: outcome.clone() }).build())
        .build();
    let _ = TRACES.set(Traces { provider, outcome, address, variable });
    Ok(())
}

/// The layer that exports the lifecycle's spans. Log lines are no part of them: they hold what
/// stages wrote.
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

/// The program that started this one may have a trace, which the spans of this thread go on with:
/// `TRACEPARENT`, as the W3C's recommendation writes it.
pub(crate) fn parent() -> Option<ContextGuard> {
    TRACES.get()?;
    let carried: HashMap<String, String> = ["TRACEPARENT", "TRACESTATE"]
        .into_iter()
        .filter_map(|name| Some((name.to_lowercase(), environment::own(name)?.into_string().ok()?)))
        .collect();
    Some(TraceContextPropagator::new().extract_with_context(&Context::new(), &carried).attach())
}

/// The identifier of the trace that is exported, in hex digits.
pub(crate) fn id() -> Option<String> {
    Some(TRACES.get()?.outcome.trace.get()?.to_string())
}

/// Sends what is left, and says what could not be sent.
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

/// The variable that names the collector's URL for traces, and that URL.
fn endpoint() -> Option<(&'static str, String)> {
    let is = |name, wanted: &str| environment::non_empty(name).is_some_and(|value| value.eq_ignore_ascii_case(wanted));
    if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
        return None;
    }
    let [own, all] = ENDPOINTS;
    let whole = environment::non_empty(own).map(|url| (own, url));
    whole.or_else(|| environment::non_empty(all).map(|url| (all, format!("{}/v1/traces", url.trim_end_matches('/')))))
}

/// Refuses a protocol that is not spoken here.
fn refuse_protocols() -> Result<(), String> {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
    match names.into_iter().find_map(|name| Some((name, environment::non_empty(name)?))) {
        Some((name, wanted)) if wanted != "http/protobuf" => Err(format!(
            "traces are not exported: `{name}` asks for `{wanted}`\nhint: write {name}=http/protobuf, which collectors take on port 4318"
        )),
        _ => Ok(()),
    }
}

/// Where a URL leads to, without user, password and path.
fn address(url: &str) -> Option<String> {
    let url: ureq::http::Uri = url.parse().ok()?;
    let scheme = url.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let port = url.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{scheme}://{}{port}", url.host()?))
}

/// How long one request may take.
fn timeout() -> Duration {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    names.into_iter().find_map(|name| environment::non_empty(name)?.parse().ok()).map_or(REQUEST, Duration::from_millis)
}

/// Whose spans they are: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, else this program's.
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

/// Counts the spans that are to be sent.
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

/// Counts the spans that were sent.
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
