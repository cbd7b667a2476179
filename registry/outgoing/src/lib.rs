//! Requests that this program makes to addresses that others named: hooks of the operator, and
//! webhooks of users.
//!
//! - [`Network`], [`is_public`], [`AllowedAddresses`]: which addresses a connection may go to;
//!   [`check_url`]: which URLs a user may name
//! - [`Poster`]: one POST whose time and answer are bounded; [`Answer`], [`PostError`],
//!   [`Authorities`]
//! - [`mac`]: HMAC-SHA-256, by which a receiver knows who sent a body
//! - [`pause`], [`left`]: the time between attempts
//!
//! It knows neither events nor the registry. Whoever uses it decides what an answer means.

mod addresses;
mod allowed;
mod mac;
mod pauses;
mod post;
mod url;

pub use addresses::{Network, NetworkParseError, canonical, is_public};
pub use allowed::AllowedAddresses;
pub use mac::mac;
pub use pauses::{LONGEST_PAUSE, left, pause};
pub use post::{Answer, Authorities, PostError, Poster, PosterOptions};
pub use url::check_url;
