//! Who asks.

use std::sync::Arc;

use stagewright_store::User;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// The server has no accounts, so that whoever reaches it may do everything.
    Everyone,
    /// Somebody who has not signed in, where the server has accounts.
    Nobody,
    /// A user, and how it signed in.
    User(Arc<User>, Proof),
}

/// How a user signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// With its password or a token, which a program sends with each request.
    Header,
    /// With the cookie of a session, which a browser sends whoever made it send the request. So
    /// whatever changes something must also carry this text, which no other site knows.
    Cookie(Arc<str>),
}

impl Caller {
    /// Returns whether the caller may do everything.
    pub(crate) fn is_admin(&self) -> bool {
        match self {
            Self::Everyone => true,
            Self::Nobody => false,
            Self::User(user, _) => user.is_admin,
        }
    }

    /// Returns the text that a form must carry; `None` if the caller is no browser with a session.
    pub(crate) fn form_token(&self) -> Option<&str> {
        match self {
            Self::User(_, Proof::Cookie(token)) => Some(token),
            _ => None,
        }
    }

    /// Returns the user, if the caller is one.
    pub(crate) fn user(&self) -> Option<&User> {
        match self {
            Self::User(user, _) => Some(user),
            Self::Everyone | Self::Nobody => None,
        }
    }
}
