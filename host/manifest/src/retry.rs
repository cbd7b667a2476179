//! `[stages.NAME.retry]`: how often a stage is tried when a server or a disk fails.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::reader::Section;
use crate::units::duration_text;

/// More than ten attempts do not help against a brief failure.
const ATTEMPTS: RangeInclusive<u64> = 1..=10;
/// The longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(5 * 60);

/// How often a stage is tried. Faults of a component or of the data, and exceeded limits, are not
/// retried: the outcome would be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Retry {
    /// Attempts in all.
    pub attempts: u32,
    /// The pause before the second attempt. Each further pause is twice as long, up to five
    /// minutes.
    #[serde(serialize_with = "duration")]
    pub pause: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 1, pause: Duration::from_secs(1) }
    }
}

fn duration<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&duration_text(*duration))
}

impl Retry {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the section; `None` if something is wrong, which is reported.
    pub(crate) fn read(section: Section<'_>) -> Option<Self> {
        let default = Self::default();
        let attempts = section.get("attempts");
        let attempts =
            attempts.map_or(Some(u64::from(default.attempts)), |item| item.integer(*ATTEMPTS.start(), *ATTEMPTS.end()));
        let pause = section.get("pause").map_or(Some(default.pause), |item| {
            let pause = item.duration()?;
            if pause > LONGEST {
                item.report_value("a pause is at most 5 min".to_owned(), Some("write \"1 s\"".to_owned()));
                return None;
            }
            Some(pause)
        });
        section.finish();
        Some(Self { attempts: u32::try_from(attempts?).ok()?, pause: pause? })
    }

    /// Returns the pause before an attempt, counted from 1; `None` if there is no such attempt.
    pub fn before(&self, attempt: u32) -> Option<Duration> {
        match attempt {
            1 => Some(Duration::ZERO),
            attempt if attempt <= self.attempts => {
                Some(self.pause.saturating_mul(1 << (attempt - 2).min(16)).min(LONGEST))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes_and_end_with_the_tries() {
        let retry = Retry { attempts: 4, pause: Duration::from_secs(2) };
        let pauses: Vec<_> = (1..=5).map(|attempt| retry.before(attempt).map(|pause| pause.as_secs())).collect();
        assert_eq!(pauses, [Some(0), Some(2), Some(4), Some(8), None]);
        let slow = Retry { attempts: 10, pause: Duration::from_secs(200) };
        assert_eq!(slow.before(3), Some(LONGEST));
        assert_eq!(Retry::default().before(2), None);
    }
}
