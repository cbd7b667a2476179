//! Webhooks: addresses of users that are told of changes of models and of the ends of runs.
//!
//! A change adds its event to the queue of each webhook that wants it, in its own transaction
//! ([`occurrence`]). So an event is queued if and only if its change happened, whichever program
//! made it. A server takes a webhook, sends the events of its queue in order, and removes each when
//! it was taken ([`queue`]). If the server dies in between, another sends the event again: at least
//! once, and in order. The queue and the log of deliveries have ends.
//!
//! - [`event`]: the kinds of events; [`record`]: webhooks; [`secret`]: keys of signatures
//! - [`attempt`]: events on their way; [`log`]: what became of attempts

mod attempt;
mod event;
mod log;
pub(in crate::registry) mod occurrence;
mod queue;
mod record;
mod secret;

pub use attempt::{QueuedEvent, WebhookAttempt, WebhookOutcome};
pub use event::WebhookEvent;
pub use log::WebhookDelivery;
pub use queue::HeldWebhook;
pub use record::{NewWebhook, Webhook, WebhookChange};
pub use secret::WebhookSecret;
