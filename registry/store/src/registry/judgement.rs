//! The outcome of judging a version: a verdict, and the champion that it was reached against.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};

/// A verdict about a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It may become champion.
    Approved,
    /// It may not.
    Rejected,
    /// There was too little to judge by, so that it may not either.
    Undecided,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Approved, Self::Rejected, Self::Undecided];

    /// Returns the name in JSON and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Undecided => "undecided",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Verdict {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|it| it.name() == name).ok_or_else(|| format!("a verdict is `{name}`"))
    }
}

/// The champion that a verdict was reached against. In JSON: the version's number, null for none,
/// or `"unknown"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JudgedAgainst {
    /// The model had no champion.
    NoChampion,
    /// This version was champion.
    Champion(u32),
    /// It was not recorded: the verdict is older than format 3 of the database.
    Unknown,
}

impl JudgedAgainst {
    /// Returns the champion's version; `None` if there was none or it was not recorded.
    pub const fn champion(self) -> Option<u32> {
        match self {
            Self::Champion(version) => Some(version),
            Self::NoChampion | Self::Unknown => None,
        }
    }

    /// Returns the number in the database: 0 for no champion, since versions count from 1.
    pub(super) fn stored(self) -> Option<u32> {
        match self {
            Self::NoChampion => Some(0),
            Self::Champion(version) => Some(version),
            Self::Unknown => None,
        }
    }

    pub(super) fn from_stored(stored: Option<u32>) -> Self {
        match stored {
            None => Self::Unknown,
            Some(0) => Self::NoChampion,
            Some(version) => Self::Champion(version),
        }
    }
}

impl From<Option<u32>> for JudgedAgainst {
    /// Converts the current champion, as [`Registry::alias`](crate::Registry::alias) returns it.
    fn from(champion: Option<u32>) -> Self {
        champion.map_or(Self::NoChampion, Self::Champion)
    }
}

impl fmt::Display for JudgedAgainst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoChampion => f.pad("no champion"),
            Self::Champion(version) => write!(f, "version {version}"),
            Self::Unknown => f.pad("a champion that was not recorded"),
        }
    }
}

impl Serialize for JudgedAgainst {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::NoChampion => serializer.serialize_none(),
            Self::Champion(version) => serializer.serialize_u32(*version),
            Self::Unknown => serializer.serialize_str("unknown"),
        }
    }
}

/// Returns a verdict as the audit's text: `approved against version 3`.
pub(super) fn audit_text(verdict: Verdict, stored: Option<u32>) -> String {
    match JudgedAgainst::from_stored(stored) {
        JudgedAgainst::Unknown => verdict.name().to_owned(),
        against => format!("{verdict} against {against}"),
    }
}
