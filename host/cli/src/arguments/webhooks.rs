//! The arguments of `webhooks`, and those of `server` that say where webhooks may lead.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use stagewright_outgoing::Network;
use stagewright_store::WebhookEvent;

use super::json::JsonArgument;

/// Where the server's webhooks may lead.
#[derive(Debug, Args)]
pub(crate) struct WebhookArguments {
    /// Lets webhooks reach an address or a network that is not public: `10.1.0.0/16`, `127.0.0.1`.
    /// There, plain `http` is allowed too. Repeatable.
    #[arg(long = "allow-webhook-address", value_name = "NETWORK")]
    pub(crate) addresses: Vec<Network>,
    /// The certificate authorities of webhooks' servers, a PEM file. [default: Mozilla's]
    #[arg(long = "webhook-authorities", value_name = "FILE")]
    pub(crate) authorities: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WebhooksCommand {
    /// Lists webhooks, with the events that each is still to be told of.
    List(JsonArgument),
    /// Makes a webhook: an address that is told of events while a tracking server runs.
    Create {
        /// A name for people.
        name: String,
        /// Where events are sent.
        #[arg(long)]
        url: String,
        /// An event that it is told of: `model_version.created`, `run.failed`. Repeatable.
        #[arg(long = "event", value_name = "EVENT", required = true, value_parser = event)]
        events: Vec<WebhookEvent>,
        /// A text for people.
        #[arg(long, default_value = "")]
        description: String,
        /// The file with the key of the signature. [default: nothing is signed]
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Shows the latest attempts to tell a webhook something, newest first.
    Deliveries {
        /// The identifier of the webhook.
        id: String,
        /// The most attempts.
        #[arg(long, default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        json: JsonArgument,
    },
    /// Deletes a webhook, what it was still to be told of, and its log.
    Delete {
        /// The identifier of the webhook.
        id: String,
    },
}

fn event(text: &str) -> Result<WebhookEvent, String> {
    text.parse().map_err(|_| {
        let all = WebhookEvent::ALL.into_iter().filter(|event| !is_never(*event));
        let all: Vec<String> = all.map(|event| event.to_string()).collect();
        format!("the events are {}", all.join(", "))
    })
}

/// Events that only MLflow's server has. Its clients may ask for them.
fn is_never(event: WebhookEvent) -> bool {
    event.entity().starts_with("prompt") || event.entity() == "budget_policy"
}
