//! The names of files: `2026-11-29T11-7f3a9c21-0.parquet`.
//!
//! A name has the hour of its requests in UTC, the writer, and a running number of the writer. A
//! file with one more number, `2026-11-29T11-7f3a9c21-0.5.parquet`, is a piece: its rows are in the
//! file of the same name without that number, once there is one.

use std::fmt;

/// Milliseconds of an hour.
pub(super) const HOUR_MS: i64 = 3_600_000;

/// The name of a file. The order is that of hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LogName {
    /// Hours since the epoch.
    pub(super) hour: i64,
    /// A random number of the thread that wrote it: several may write to a folder.
    pub(super) writer: u32,
    /// Counts the files of the writer.
    pub(super) number: u32,
    /// Counts the pieces of a file that is not finished.
    pub(super) piece: Option<u32>,
}

impl LogName {
    /// Reads a name; `None` for every other one.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".parquet")?;
        let (hour, rest) = stem.split_at_checked(13)?;
        let hour: jiff::civil::DateTime = format!("{hour}:00:00").parse().ok()?;
        let hour = hour.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond() / HOUR_MS;
        let (writer, rest) = rest.strip_prefix('-')?.split_once('-')?;
        let (number, piece) = match rest.split_once('.') {
            Some((number, piece)) => (number, Some(piece.parse().ok()?)),
            None => (rest, None),
        };
        let writer = u32::from_str_radix(writer, 16).ok()?;
        let parsed = Self { hour, writer, number: number.parse().ok()?, piece };
        // Each file has one name.
        (parsed.to_string() == name).then_some(parsed)
    }

    /// Returns the name of the file that a piece is of.
    pub(super) fn whole(self) -> Self {
        Self { piece: None, ..self }
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hour = jiff::Timestamp::from_second(self.hour.saturating_mul(3600)).unwrap_or_default();
        write!(f, "{}-{:08x}-{}", hour.strftime("%Y-%m-%dT%H"), self.writer, self.number)?;
        if let Some(piece) = self.piece {
            write!(f, ".{piece}")?;
        }
        f.write_str(".parquet")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written_and_no_other_is() {
        let name = LogName { hour: 494_075, writer: 0x7f3a_9c21, number: 0, piece: None };
        assert_eq!(name.to_string(), "2026-05-13T11-7f3a9c21-0.parquet");
        for name in [name, LogName { piece: Some(12), ..name }, LogName { writer: 5, number: 70, ..name }] {
            assert_eq!(LogName::parse(&name.to_string()), Some(name));
        }
        for other in [
            "2026-05-13T11-7f3a9c21-0.parquet.part",
            "2026-05-13T11-7f3a9c21-00.parquet",
            "2026-05-13T25-7f3a9c21-0.parquet",
            "2026-05-13T11-7F3A9C21-0.parquet",
            "2026-05-13T11-7f3a9c21-0.1.2.parquet",
            "2026-05-13T1é-7f3a9c21-0.parquet",
            "notes.parquet",
            ".parquet",
            "",
        ] {
            assert_eq!(LogName::parse(other), None, "{other}");
        }
    }
    proptest! {
        #[test]
        fn whatever_is_in_a_folder_has_one_reading(name in "[0-9T.-]{0,20}[0-9a-f-]{0,14}[.0-9]{0,6}(\\.parquet)?|.*") {
            if let Some(read) = LogName::parse(&name) {
                prop_assert_eq!(read.to_string(), name);
            }
        }
    }
}
