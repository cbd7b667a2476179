//! The texts of numbers, references and names.

use std::str::FromStr;

use stagewright_text::Untrusted;

use crate::registry::data_versions::error::DataVersionError;
use crate::registry::data_versions::number::{DataReference, DataRequirement, DataVersion};

/// The most bytes in the name of data.
pub const MAX_DATA_NAME_BYTES: usize = 64;

impl FromStr for DataVersion {
    type Err = DataVersionError;

    fn from_str(text: &str) -> Result<Self, DataVersionError> {
        match parts(text).as_deref() {
            Some(&[major, minor, patch]) => Ok(Self { major, minor, patch }),
            _ => Err(DataVersionError::BadVersion { text: shortened(text) }),
        }
    }
}

impl TryFrom<String> for DataVersion {
    type Error = DataVersionError;

    fn try_from(text: String) -> Result<Self, DataVersionError> {
        text.parse()
    }
}

impl FromStr for DataReference {
    type Err = DataVersionError;

    fn from_str(text: &str) -> Result<Self, DataVersionError> {
        let bad = || DataVersionError::BadReference { text: shortened(text) };
        let (name, requirement) = match text.split_once('@') {
            None => (text, DataRequirement::Latest),
            Some((name, versions)) => {
                let requirement = match parts(versions).as_deref() {
                    Some(&[major]) => DataRequirement::Major(major),
                    Some(&[major, minor]) => DataRequirement::Minor(major, minor),
                    Some(&[major, minor, patch]) => DataRequirement::Exact(DataVersion { major, minor, patch }),
                    _ => return Err(bad()),
                };
                (name, requirement)
            }
        };
        check_data_name(name)?;
        Ok(Self { name: name.to_owned(), requirement })
    }
}

/// Checks a name of data. It is part of paths, keys and URIs.
///
/// # Errors
/// [`DataVersionError::BadName`].
pub fn check_data_name(name: &str) -> Result<(), DataVersionError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && name.len() <= MAX_DATA_NAME_BYTES && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(DataVersionError::BadName { name: shortened(name) })
}

/// Returns up to three whole numbers between points. Each has one spelling.
fn parts(text: &str) -> Option<Vec<u32>> {
    let number = |part: &str| {
        let number: u32 = part.parse().ok()?;
        (number.to_string() == part).then_some(number)
    };
    let parts: Vec<u32> = text.splitn(4, '.').map(number).collect::<Option<_>>()?;
    (parts.len() <= 3).then_some(parts)
}

/// Returns a text as errors quote it.
fn shortened(text: &str) -> String {
    Untrusted::new(text).cut(200).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_written_as_they_were_read() {
        for text in ["customers", "customers@1", "customers@1.2", "customers@1.2.3", "a.b_c-d@0.0.1"] {
            assert_eq!(text.parse::<DataReference>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn a_text_that_names_no_data_is_refused() {
        let bad = [
            "",
            "@1",
            "a@",
            "a@1.",
            "a@01",
            "a@1.2.3.4",
            "a@-1",
            "a@+1",
            "a@x",
            "a b",
            "a/b",
            "../a",
            ".a",
            "a@latest",
        ];
        for text in bad {
            assert!(text.parse::<DataReference>().is_err(), "{text}");
        }
        assert!("x".repeat(MAX_DATA_NAME_BYTES + 1).parse::<DataReference>().is_err());
        for text in ["1", "1.2", "1.2.03", "1.2.3.4", "1.2.4294967296"] {
            assert!(text.parse::<DataVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_requirement_admits_the_versions_that_it_begins() {
        let admits = |reference: &str, version: &str| {
            let reference: DataReference = reference.parse().expect("a reference");
            reference.requirement.admits(version.parse().expect("a version"))
        };
        assert!(admits("a", "3.0.0"));
        assert!(admits("a@1", "1.9.0") && !admits("a@1", "10.0.0"));
        assert!(admits("a@1.2", "1.2.7") && !admits("a@1.2", "1.20.0"));
        assert!(admits("a@1.2.0", "1.2.0") && !admits("a@1.2.0", "1.2.1"));
    }

    #[test]
    fn versions_are_ordered_by_number_and_not_by_text() {
        let mut versions: Vec<DataVersion> =
            ["1.10.0", "1.9.9", "2.0.0", "1.9.10"].iter().map(|text| text.parse().expect("a version")).collect();
        versions.sort();
        assert_eq!(
            versions.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["1.9.9", "1.9.10", "1.10.0", "2.0.0"]
        );
    }
}
