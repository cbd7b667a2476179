//! The errors of users, tokens and permissions.

/// Why an account or a permission cannot be what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The text names no permission.
    #[error("`{text}` is no permission\nhint: give one of NO_PERMISSIONS, READ, EDIT, MANAGE")]
    UnknownPermission {
        /// The text, cut.
        text: String,
    },
    /// The text cannot be the name of a user.
    #[error(
        "`{name}` cannot be the name of a user\nhint: use 1 to 100 letters, digits, `.`, `_`, `-`, `@` and `+`, such as `ada@example.com`"
    )]
    BadUserName {
        /// The text, cut.
        name: String,
    },
    /// The password is too short or too long.
    #[error("a password has {least} to {most} bytes\nhint: let a password manager make one")]
    BadPassword {
        /// The fewest bytes.
        least: usize,
        /// The most bytes.
        most: usize,
    },
    /// There is such a user already.
    #[error("user `{name}` exists already\nhint: `stagewright users password {name}` gives the user another password")]
    UserExists {
        /// The name.
        name: String,
    },
    /// There is no such user.
    #[error("there is no user `{name}`\nhint: `stagewright users list` shows those that there are")]
    NoUser {
        /// The name, cut.
        name: String,
    },
    /// The user is the last administrator.
    #[error(
        "`{name}` is the last administrator\nhint: `stagewright users admin NAME` makes another one first; `stagewright users delete {name} --switch-off` deletes all users, and servers ask nobody who they are"
    )]
    LastAdmin {
        /// The name.
        name: String,
    },
    /// The first user must be an administrator.
    #[error("the first user must be an administrator\nhint: `stagewright users create {name} --admin`")]
    FirstIsNoAdmin {
        /// The name.
        name: String,
    },
    /// There is no such token.
    #[error("there is no token {id}\nhint: `stagewright tokens list` shows those that there are")]
    NoToken {
        /// Its number.
        id: i64,
    },
    /// The label of a token is too long, or has control characters.
    #[error("a label of a token has 1 to 100 characters on one line")]
    BadLabel,
    /// The user has as many tokens as a user may have.
    #[error("user `{name}` has {most} tokens\nhint: `stagewright tokens revoke ID` makes room")]
    TooManyTokens {
        /// The user.
        name: String,
        /// The most tokens of a user.
        most: usize,
    },
    /// The hash of a password cannot be computed.
    #[error("cannot compute the hash of a password: {reason}")]
    Hash {
        /// The reason.
        reason: String,
    },
}
