//! Text that is written piece by piece: to standard output, or to a file that appears when it is
//! whole.

use std::fmt::Write as _;
use std::io::Write as _;

use stagewright_store::ExportFile;

/// The place that text goes to.
pub(super) enum TextOutput {
    Stdout,
    File(ExportFile),
}

impl TextOutput {
    /// Returns the output to a file, or to standard output.
    pub(super) fn of(file: Option<ExportFile>) -> Self {
        file.map_or(Self::Stdout, Self::File)
    }

    /// Writes text.
    ///
    /// # Errors
    /// [`ReaderGone`](crate::output::ReaderGone); the place cannot be written to.
    pub(super) fn write(&mut self, text: &str) -> anyhow::Result<()> {
        match self {
            Self::Stdout => crate::output::part(text),
            Self::File(file) => match file.file().write_all(text.as_bytes()) {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(crate::output::ReaderGone.into()),
                written => Ok(written.map_err(|error| file.failed(error))?),
            },
        }
    }

    /// Gives a file its name.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stdout => Ok(()),
            Self::File(file) => Ok(file.finish()?),
        }
    }
}

/// Appends a number as the shortest text that reads back to it, without an exponent: as long as
/// that of [`ToString::to_string`], in a third of the time for usual numbers.
pub(super) fn append_number(text: &mut String, number: f64) {
    let size = number.abs();
    if (1e-5..1e15).contains(&size) {
        let mut buffer = zmij::Buffer::new();
        let digits = buffer.format_finite(number);
        if !digits.contains('e') {
            text.push_str(digits.strip_suffix(".0").unwrap_or(digits));
            return;
        }
    }
    // Writing to a `String` cannot fail.
    let _ = write!(text, "{number}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(number: f64) -> String {
        let mut text = String::new();
        append_number(&mut text, number);
        text
    }

    #[test]
    fn numbers_have_no_exponent_and_no_empty_fraction() {
        for number in [0.0, -0.0, 1.0, -1.5, 0.1, 1e-5, 1e-6, 123_456_789.0, 1e15, 1e16, 1e300, f64::MIN_POSITIVE] {
            assert_eq!(text(number), number.to_string());
        }
    }

    proptest! {
        #[test]
        fn a_number_is_written_as_short_as_by_the_standard_library(number: f64, share in 0.0..1.0) {
            for number in [number, share] {
                // Of two shortest texts that are equally near, either may be written.
                let (own, others) = (text(number), number.to_string());
                prop_assert_eq!(own.len(), others.len(), "{} and {}", own, others);
                let read: f64 = own.parse().expect("a number");
                prop_assert!(read.to_bits() == number.to_bits() || number.is_nan(), "{} is read as {}", own, read);
            }
        }
    }
}
