//! `s3` of a stage: the buckets, or places in them, that the host may read on its behalf.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::reader::Item;

/// A grant: a bucket, or the objects below a prefix of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketGrant {
    /// The bucket.
    pub bucket: String,
    /// The key of an object, or of a folder whose objects are granted; empty for the whole bucket.
    pub prefix: String,
}

impl BucketGrant {
    /// Reads a list of grants.
    pub(crate) fn read_all(item: &Item<'_>) -> Option<Vec<Self>> {
        let read = |item: &Item<'_>| {
            let text = item.text()?;
            text.parse()
                .map_err(|hint: &str| {
                    item.report_value(format!("`{text}` is not a bucket or a place in one"), Some(hint.to_owned()));
                })
                .ok()
        };
        item.array()?.iter().map(read).collect::<Vec<_>>().into_iter().collect()
    }

    /// Returns whether an object, or all objects below a prefix that ends in `/`, may be read.
    pub fn allows(&self, bucket: &str, key: &str) -> bool {
        let is_below = |rest: &str| rest.is_empty() || self.prefix.ends_with('/') || rest.starts_with('/');
        self.bucket == bucket && (self.prefix.is_empty() || key.strip_prefix(&self.prefix).is_some_and(is_below))
    }

    /// Returns whether everything that `other` grants is granted.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self == other || self.allows(&other.bucket, &other.prefix)
    }
}

impl FromStr for BucketGrant {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (bucket, prefix) = text.split_once('/').unwrap_or((text, ""));
        if !is_bucket(bucket) || prefix.contains('\0') {
            return Err("write a bucket such as `lake`, or a place in one such as `lake/events/`, without `s3://`");
        }
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

/// Returns whether a text is the name of a bucket, as far as it matters: it becomes part of a
/// host's name.
pub(crate) fn is_bucket(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (3..=63).contains(&text.len()) && text.bytes().all(fits) && text.as_bytes()[0].is_ascii_alphanumeric()
}

impl fmt::Display for BucketGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, prefix } = self;
        if prefix.is_empty() { f.write_str(bucket) } else { write!(f, "{bucket}/{prefix}") }
    }
}

impl Serialize for BucketGrant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_a_bucket_or_a_place_in_one() {
        for text in ["lake", "lake/events", "lake/events/", "my-lake.eu/größe/"] {
            assert_eq!(text.parse::<BucketGrant>().unwrap().to_string(), text);
        }
        for text in ["s3://lake", "", "a", "-lake", "la ke", "/events", "lake@evil/x"] {
            assert!(text.parse::<BucketGrant>().is_err(), "{text}");
        }
    }

    // invariant: A source of S3 reads nothing outside of the buckets and prefixes that its stage is
    // granted.
    #[test]
    fn a_prefix_grants_what_is_below_it_and_nothing_that_only_begins_alike() {
        for (grant, key, allowed) in [
            ("lake", "", true),
            ("lake", "any/key", true),
            ("lake/events", "events", true),
            ("lake/events", "events/", true),
            ("lake/events", "events/a.csv", true),
            ("lake/events", "events-of-others/a.csv", false),
            ("lake/events/", "events", false),
            ("lake/events/", "events/a.csv", true),
            ("lake/events/", "", false),
            ("lake/events/", "even", false),
        ] {
            assert_eq!(grant.parse::<BucketGrant>().unwrap().allows("lake", key), allowed, "{grant} {key}");
        }
        assert!(!"lake".parse::<BucketGrant>().unwrap().allows("lakes", "x"));
    }
}
