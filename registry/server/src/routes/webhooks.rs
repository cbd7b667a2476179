//! Webhooks: the addresses that are told of events. Administrators alone see them: an address may
//! be a secret, and events of all experiments and models are sent there.

use serde::Serialize;
use stagewright_store::{NewWebhook, Visible, Webhook, WebhookChange, WebhookDelivery, WebhookEvent, WebhookSecret};
use stagewright_text::Untrusted;
use stagewright_webhooks::try_webhook;

use crate::access::Needs;
use crate::context::Context;
use crate::mlflow_error::MlflowError;
use crate::operation::{Reply, Route, reply};
use crate::paging::Asked;
use crate::request::Fields;
use crate::wire::Empty;

/// The most webhooks of a page, and how many there are without a number.
const MOST: usize = 1_000;
const PAGE: usize = 100;

/// The most deliveries of a page, and how many there are without a number.
const MOST_DELIVERIES: usize = 500;
const PAGE_OF_DELIVERIES: usize = 100;

pub(super) fn routes() -> Vec<Route> {
    use axum::http::Method;
    const ONE: &str = "/mlflow/webhooks/{webhook_id}";
    vec![
        Route::post("/mlflow/webhooks", Needs::Admin, create),
        Route::get("/mlflow/webhooks", Needs::Admin, list),
        Route::get(ONE, Needs::Admin, get),
        Route::new(Method::PATCH, ONE, Needs::Admin, update),
        Route::new(Method::DELETE, ONE, Needs::Admin, delete),
        Route::post("/mlflow/webhooks/{webhook_id}/test", Needs::Admin, test),
        // Ours.
        Route::get("/mlflow/webhooks/{webhook_id}/deliveries", Needs::Admin, deliveries),
    ]
}

#[derive(Serialize)]
struct One<'a> {
    webhook: WireWebhook<'a>,
}

#[derive(Serialize)]
struct Listed<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    webhooks: Vec<WireWebhook<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

#[derive(Serialize)]
struct WireWebhook<'a> {
    webhook_id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    url: &'a str,
    /// Those that MLflow knows: its client fails with others.
    events: Vec<WireEvent>,
    status: &'static str,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
    stagewright: Own<'a>,
}

/// Members that MLflow does not have.
#[derive(Serialize)]
struct Own<'a> {
    /// All events.
    events: &'a [WebhookEvent],
    is_signed: bool,
    actor: &'a str,
    queued: u64,
    failures: u32,
    next_ms: i64,
    dropped: u64,
}

#[derive(Serialize)]
struct WireEvent {
    entity: String,
    action: String,
}

#[derive(Serialize)]
struct Deliveries {
    deliveries: Vec<WebhookDelivery>,
}

#[derive(Serialize)]
struct Tested {
    result: TestResult,
}

#[derive(Serialize)]
struct TestResult {
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
}

impl<'a> WireWebhook<'a> {
    fn of(webhook: &'a Webhook) -> Self {
        let Webhook { events, is_signed, actor, queued, failures, next_ms, dropped, .. } = webhook;
        let event = |event: &WebhookEvent| WireEvent {
            entity: event.entity().to_ascii_uppercase(),
            action: event.action().to_ascii_uppercase(),
        };
        Self {
            webhook_id: &webhook.webhook_id,
            name: &webhook.name,
            description: &webhook.description,
            url: &webhook.url,
            events: events.iter().filter(|event| event.is_of_mlflow()).map(event).collect(),
            status: if webhook.is_active { "ACTIVE" } else { "DISABLED" },
            creation_timestamp: webhook.created_ms,
            last_updated_timestamp: webhook.updated_ms,
            stagewright: Own {
                events,
                is_signed: *is_signed,
                actor,
                queued: *queued,
                failures: *failures,
                next_ms: *next_ms,
                dropped: *dropped,
            },
        }
    }
}

fn answer(webhook: &Webhook) -> Result<Reply, MlflowError> {
    reply(&One { webhook: WireWebhook::of(webhook) })
}

fn create(context: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let new = NewWebhook {
        name: fields.required("name")?.to_owned(),
        description: fields.text("description")?.unwrap_or_default().to_owned(),
        url: url(context, fields.required("url")?)?,
        events: events(fields)?.ok_or_else(|| fields.missing("events"))?,
        secret: fields.filled("secret")?.map(WebhookSecret::new).transpose()?,
        is_active: is_active(fields)?.unwrap_or(true),
    };
    answer(&context.registry.create_webhook(&new)?)
}

/// Lists webhooks. The client of MLflow fails with one that has no event that it knows, so that
/// those are left out unless `all` is asked for.
fn list(context: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let asked = Asked::read(fields, PAGE, MOST)?;
    let all = fields.boolean("all")?.unwrap_or(false);
    let webhooks = context.registry.webhooks()?;
    let is_listed = |webhook: &&Webhook| all || webhook.events.iter().any(|event| event.is_of_mlflow());
    let (found, next_page_token) = asked.page(
        |page| Ok(webhooks.iter().filter(is_listed).skip(page.offset).take(page.limit).collect()),
        None::<&Visible<()>>,
        |_, _| true,
    )?;
    reply(&Listed { webhooks: found.into_iter().map(WireWebhook::of).collect(), next_page_token })
}

fn get(context: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    answer(&context.registry.webhook(fields.required("webhook_id")?)?)
}

fn update(context: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let secret = match fields.text("secret")? {
        None => None,
        Some("") => Some(None),
        Some(text) => Some(Some(WebhookSecret::new(text)?)),
    };
    let change = WebhookChange {
        name: fields.filled("name")?.map(ToOwned::to_owned),
        description: fields.text("description")?.map(ToOwned::to_owned),
        url: fields.filled("url")?.map(|text| url(context, text)).transpose()?,
        events: events(fields)?,
        secret,
        is_active: is_active(fields)?,
    };
    answer(&context.registry.update_webhook(fields.required("webhook_id")?, &change)?)
}

fn delete(context: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    context.registry.delete_webhook(fields.required("webhook_id")?)?;
    reply(&Empty {})
}

/// Sends an example now.
fn test(context: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let webhook = context.registry.webhook(fields.required("webhook_id")?)?;
    let asked = fields.object("event")?.map(|event| event_of(&event)).transpose()?;
    let event = asked.or_else(|| webhook.events.first().copied());
    let event = event.ok_or_else(|| MlflowError::invalid("The webhook has no event that this server knows"))?;
    let secret = context.registry.webhook_secret(&webhook.webhook_id)?;
    let trial = || Ok(try_webhook(&context.webhooks, &webhook.url, secret.as_ref(), event)?);
    let trial = context.pool.at_length(trial)?;
    reply(&Tested {
        result: TestResult {
            success: trial.is_success,
            response_status: trial.status,
            response_body: trial.body,
            error_message: trial.error,
        },
    })
}

/// Returns the latest attempts, newest first.
fn deliveries(context: &Context, fields: &Fields) -> Result<Reply, MlflowError> {
    let asked = Asked::read(fields, PAGE_OF_DELIVERIES, MOST_DELIVERIES)?;
    let deliveries = context.registry.webhook_deliveries(fields.required("webhook_id")?, asked.limit)?;
    reply(&Deliveries { deliveries })
}

fn url(context: &Context, text: &str) -> Result<String, MlflowError> {
    let refused = |reason| MlflowError::invalid(format!("Invalid webhook URL: {reason}"));
    context.webhooks.check_url(text).map(|()| text.to_owned()).map_err(refused)
}

/// Reads `events`; `None` if there are none.
fn events(fields: &Fields) -> Result<Option<Vec<WebhookEvent>>, MlflowError> {
    let named = fields.objects("events")?;
    if named.is_empty() {
        return Ok(None);
    }
    named.iter().map(event_of).collect::<Result<_, _>>().map(Some)
}

fn event_of(fields: &Fields) -> Result<WebhookEvent, MlflowError> {
    let lower = |name| Ok::<String, MlflowError>(fields.required(name)?.to_ascii_lowercase());
    let (entity, action) = (lower("entity")?, lower("action")?);
    WebhookEvent::named(&entity, &action).ok_or_else(|| {
        let valid = WebhookEvent::ALL.into_iter().filter(|event| event.entity() == entity);
        let valid: Vec<String> = valid.map(|event| format!("'{}'", event.action())).collect();
        let (entity, action) = (Untrusted::new(&entity).cut(100), Untrusted::new(&action).cut(100));
        MlflowError::invalid(format!(
            "Invalid action '{action}' for entity '{entity}'. Valid actions are: [{}]",
            valid.join(", ")
        ))
    })
}

fn is_active(fields: &Fields) -> Result<Option<bool>, MlflowError> {
    fields.choice("status", &[("ACTIVE", 1, true), ("DISABLED", 2, false)])
}
