//! Destinations of promotions: opening one, and checking before a training that a promotion there
//! can succeed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::directory::Directory;
use crate::error::PromotionError;
use crate::layout::{MODELS, PROBES, manifest_version};
use crate::settings::{Settings, TransferLimits, without_user};
use crate::store::{Condition, Etag, ObjectStore, Put};

/// A location in production that holds versions of models. docs/formats/production.md describes its
/// layout.
#[derive(Clone, Debug)]
pub struct Destination {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) limits: TransferLimits,
    /// A name to show instead of the URI.
    name: Option<String>,
}

/// A version that is complete at a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVersion {
    /// The model's name.
    pub model: String,
    /// The version.
    pub version: u32,
    /// When it became complete, by the store's clock.
    pub modified: SystemTime,
}

impl Destination {
    /// Opens `s3://bucket/prefix` (optionally followed by
    /// `?endpoint=URL&region=NAME&path-style=true`), `file:PATH`, or the path of a directory. Makes
    /// no request and creates nothing.
    ///
    /// # Errors
    /// [`PromotionError::BadUri`], [`PromotionError::NoCredentials`], and
    /// [`PromotionError::WithoutS3`] in a build without S3.
    pub fn open(uri: &str, settings: &Settings) -> Result<Self, PromotionError> {
        let store: Arc<dyn ObjectStore> = match Address::parse(uri)? {
            Address::Directory(path) => Arc::new(Directory::new(path)),
            #[cfg(feature = "s3")]
            Address::Bucket { bucket, prefix, query } => {
                let refuse = |problem| PromotionError::BadUri { uri: without_user(uri), problem };
                Arc::new(crate::s3::S3::new(&bucket, &prefix, &settings.with(&query).map_err(refuse)?)?)
            }
            #[cfg(not(feature = "s3"))]
            Address::Bucket { .. } => return Err(PromotionError::WithoutS3 { uri: uri.to_owned() }),
        };
        Ok(Self::over(store, settings.limits))
    }

    /// Creates a destination over an open store.
    pub fn over(store: Arc<dyn ObjectStore>, limits: TransferLimits) -> Self {
        Self { store, limits, name: None }
    }

    /// Returns the same destination under another name: that of a folder which may move together
    /// with whatever names it.
    #[must_use]
    pub fn called(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// Returns the name for messages: a URI without secrets, unless another name was given.
    pub fn uri(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| self.store.uri())
    }

    /// Checks whether a promotion to here can succeed: credentials, bucket, permissions,
    /// conditional writes. Writes a key below `probes/` and removes it. Call it before a training,
    /// not after it.
    ///
    /// # Errors
    /// The obstacle, with its fix.
    pub fn check(&self) -> Result<(), PromotionError> {
        self.store.list(PROBES)?;
        self.store.unfinished()?;
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let key = format!("{PROBES}{}-{}", since_epoch.as_nanos(), std::process::id());
        let probed = self.probe(&key);
        // The first error is the one to return. A probe that remains is garbage, and found as such.
        let removed = self.store.delete(&key);
        probed.and(removed)
    }

    fn probe(&self, key: &str) -> Result<(), PromotionError> {
        let lacks = |problem| PromotionError::NoConditionalWrites { uri: self.uri().to_owned(), problem };
        let Put::Written(etag) = self.store.put(key, b"1", &Condition::Absent)? else {
            return Err(lacks("it refused to create a key that did not exist"));
        };
        if self.store.put(key, b"2", &Condition::Absent)? != Put::Refused {
            return Err(lacks("it overwrote a key in spite of If-None-Match"));
        }
        let wrong = Etag("\"0123456789abcdef0123456789abcdef\"".to_owned());
        if self.store.put(key, b"3", &Condition::Unchanged(wrong))? != Put::Refused {
            return Err(lacks("it overwrote a key in spite of If-Match with another etag"));
        }
        if self.store.put(key, b"4", &Condition::Unchanged(etag))? == Put::Refused {
            return Err(lacks("it refused If-Match with the etag that it had given"));
        }
        match self.store.get(key)? {
            Some((bytes, _)) if bytes == b"4" => Ok(()),
            _ => Err(lacks("it does not give back what was written last")),
        }
    }

    /// Returns the versions that are complete here, in order of their keys.
    ///
    /// # Errors
    /// Those of the store.
    pub fn versions(&self) -> Result<Vec<StoredVersion>, PromotionError> {
        let version = |entry: crate::store::StoredObject| {
            let (model, version) = manifest_version(&entry.key)?;
            Some(StoredVersion { model: model.to_owned(), version, modified: entry.modified })
        };
        Ok(self.store.list(MODELS)?.into_iter().filter_map(version).collect())
    }
}

/// The parts of a URI.
#[derive(Debug, PartialEq, Eq)]
enum Address {
    Directory(PathBuf),
    /// The text after `?` says how to reach it.
    Bucket {
        bucket: String,
        prefix: String,
        query: String,
    },
}

impl Address {
    fn parse(uri: &str) -> Result<Self, PromotionError> {
        let refuse = |problem| PromotionError::BadUri { uri: without_user(uri), problem };
        if let Some(rest) = uri.strip_prefix("s3://") {
            let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            let prefix = prefix.trim_end_matches('/');
            return match () {
                () if bucket.contains('@') => Err(refuse("credentials do not belong in it")),
                () if bucket.is_empty() => Err(refuse("it names no bucket")),
                () if !bucket.bytes().all(allowed) => Err(refuse("that is not the name of a bucket")),
                () if !prefix.is_empty() && crate::store::check_key(prefix).is_err() => {
                    Err(refuse("a prefix has letters, digits, `.`, `_`, `-` and single `/`"))
                }
                () => {
                    Ok(Self::Bucket { bucket: bucket.to_owned(), prefix: prefix.to_owned(), query: query.to_owned() })
                }
            };
        }
        let path = match uri.strip_prefix("file:") {
            Some(path) => match path.strip_prefix("//") {
                Some(named) => {
                    let (machine, _) = named.split_once('/').unwrap_or((named, ""));
                    if !machine.is_empty() && machine != "localhost" && machine != crate::directory::machine() {
                        return Err(refuse("it names another machine"));
                    }
                    &named[machine.len()..]
                }
                None => path,
            },
            None if uri.contains("://") => return Err(refuse("this scheme is not known")),
            None => uri,
        };
        if path.is_empty() {
            return Err(refuse("it names no directory"));
        }
        Ok(Self::Directory(path.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_a_bucket_or_a_directory() {
        let parse = |uri: &str| Address::parse(uri).expect(uri);
        let bucket = |bucket: &str, prefix: &str| Address::Bucket {
            bucket: bucket.into(),
            prefix: prefix.into(),
            query: String::new(),
        };
        assert_eq!(parse("s3://models"), bucket("models", ""));
        assert_eq!(parse("s3://models/team/churn/"), bucket("models", "team/churn"));
        for uri in ["file:/srv/models", "file:///srv/models", "/srv/models"] {
            assert_eq!(parse(uri), Address::Directory("/srv/models".into()), "{uri}");
        }
        assert_eq!(parse("production"), Address::Directory("production".into()));
    }

    #[test]
    fn a_uri_that_names_nothing_is_refused_without_its_secrets() {
        for uri in ["", "s3://", "s3:///x", "file:", "file://host/x", "gs://x", "s3://a/../b", "s3://key:hush@b/x"] {
            let text = Address::parse(uri).expect_err(uri).to_string();
            assert!(!text.contains("hush"), "{text}");
        }
    }
}
