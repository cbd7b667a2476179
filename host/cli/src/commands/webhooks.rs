//! `webhooks`: lists, makes and deletes webhooks, and shows what became of deliveries.

use std::path::Path;

use stagewright_outgoing::{AllowedAddresses, check_url};
use stagewright_store::{NewWebhook, Registry, StoreError, TrackingError, Webhook, WebhookSecret};
use stagewright_text::Untrusted;

use crate::arguments::WebhooksCommand;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::output::print_json;
use crate::terminal::{moment, table};
use crate::usage_error::UsageError;

/// The most bytes of a file with a secret.
const MAX_SECRET: u64 = 64 << 10;

pub(crate) fn webhooks(location: &HomeLocation, command: &WebhooksCommand) -> anyhow::Result<ExitCode> {
    let home = location.existing()?;
    let registry = &home.registry;
    match command {
        WebhooksCommand::List(json) => list(registry, json.json),
        WebhooksCommand::Create { name, url, events, description, secret_file, json } => {
            let new = NewWebhook {
                name: name.clone(),
                description: description.clone(),
                url: checked(url)?,
                events: events.clone(),
                secret: secret_file.as_deref().map(secret).transpose()?,
                is_active: true,
            };
            create(registry, &new, json.json)
        }
        WebhooksCommand::Deliveries { id, limit, json } => deliveries(registry, id, *limit, json.json),
        WebhooksCommand::Delete { id } => {
            registry.delete_webhook(id)?;
            println!("webhook {} is deleted", Untrusted::new(id));
            Ok(ExitCode::Done)
        }
    }
}

fn list(registry: &Registry, is_json: bool) -> anyhow::Result<ExitCode> {
    let webhooks = registry.webhooks()?;
    if is_json {
        let shown: Vec<_> =
            webhooks.iter().map(|webhook| Webhook { url: place(&webhook.url), ..webhook.clone() }).collect();
        print_json(&shown)?;
        return Ok(ExitCode::Done);
    }
    if webhooks.is_empty() {
        println!("there are no webhooks");
        return Ok(ExitCode::Done);
    }
    let mut grid = table(&["id", "name", "server", "events", "queued", "state"]);
    for webhook in &webhooks {
        let events: Vec<String> = webhook.events.iter().map(ToString::to_string).collect();
        grid.add_row(vec![
            webhook.webhook_id.clone(),
            webhook.name.clone(),
            place(&webhook.url),
            events.join(", "),
            webhook.queued.to_string(),
            state(webhook),
        ]);
    }
    println!("{grid}");
    Ok(ExitCode::Done)
}

/// Returns the server of a URL. The path is left out: some servers take whoever knows it.
fn place(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let place = format!("{scheme}://{}", rest.split(['/', '?']).next().unwrap_or_default());
    Untrusted::new(&place).cut(200).to_string()
}

fn state(webhook: &Webhook) -> String {
    let dropped = match webhook.dropped {
        0 => String::new(),
        number => format!("; {number} events were dropped"),
    };
    let state = match webhook.failures {
        _ if !webhook.is_active => "disabled".to_owned(),
        0 if webhook.queued == 0 => "told of everything".to_owned(),
        0 => "to be told by a server".to_owned(),
        failures => format!("failed {failures} times, next attempt {} (UTC)", moment(webhook.next_ms)),
    };
    state + &dropped
}

fn create(registry: &Registry, new: &NewWebhook, is_json: bool) -> anyhow::Result<ExitCode> {
    let webhook = registry.create_webhook(new)?;
    if is_json {
        print_json(&webhook)?;
    } else {
        println!("webhook {} is told of events while a tracking server runs", webhook.webhook_id);
    }
    if check_url(&webhook.url, &AllowedAddresses::default()).is_err() {
        tracing::warn!("a server reaches it only with `--allow-webhook-address` (see `stagewright server --help`)");
    }
    Ok(ExitCode::Done)
}

/// Checks that a text is a URL. Which addresses may be reached is the server's matter.
fn checked(url: &str) -> anyhow::Result<String> {
    let all = ["0.0.0.0/0", "::/0"].iter().filter_map(|network| network.parse().ok()).collect();
    let refused =
        |reason| StoreError::from(TrackingError::BadWebhook { problem: format!("the URL is refused: {reason}") });
    check_url(url, &AllowedAddresses::and(all)).map_err(refused)?;
    Ok(url.to_owned())
}

/// Reads a secret. White space around it does not belong to it: editors end files with a line
/// break.
fn secret(file: &Path) -> anyhow::Result<WebhookSecret> {
    let text = stagewright_store::read_regular_text(file, MAX_SECRET).map_err(|error| {
        let hint = "write the key into a file: openssl rand -hex 32 > webhook.secret";
        UsageError::error(
            ErrorCode::BadWebhook,
            format!("the secret cannot be read from {}: {error}", file.display()),
            hint,
        )
    })?;
    Ok(WebhookSecret::new(text.trim())?)
}

fn deliveries(registry: &Registry, id: &str, limit: usize, is_json: bool) -> anyhow::Result<ExitCode> {
    let deliveries = registry.webhook_deliveries(id, limit)?;
    if is_json {
        print_json(&deliveries)?;
        return Ok(ExitCode::Done);
    }
    let mut grid = table(&["at (UTC)", "event", "delivery", "attempt", "outcome", "status", "reason"]);
    for delivery in deliveries {
        let reason = delivery.reason.unwrap_or_default();
        grid.add_row(vec![
            moment(delivery.at_ms),
            delivery.event,
            delivery.delivery_id,
            delivery.attempt.to_string(),
            delivery.outcome.name().to_owned(),
            delivery.status.map(|status| status.to_string()).unwrap_or_default(),
            Untrusted::new(&reason).cut(200).to_string(),
        ]);
    }
    println!("{grid}");
    Ok(ExitCode::Done)
}
