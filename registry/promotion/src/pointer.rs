//! The pointer to the champion of a model: the only key of a destination that changes, and only by
//! a conditional write.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stagewright_store::Digest;

use crate::destination::Destination;
use crate::error::PromotionError;
use crate::layout::pointer_key;
use crate::store::{Condition, Etag, Put};

/// The format of pointers that this program writes and reads.
const FORMAT: u32 = 1;
/// How often a pointer or manifest that looks damaged is read before it counts as damaged.
pub(crate) const MAX_READS: u32 = 5;
/// The pause between two reads.
pub(crate) const READ_PAUSE: Duration = Duration::from_millis(50);

/// The version that is champion, and the promotion that made it so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    format: u32,
    /// The model's name.
    pub model: String,
    /// The champion's version.
    pub version: u32,
    /// The digest of the bytes of its manifest.
    pub manifest: Digest,
    /// The promotion that moved the pointer, unique among all.
    pub promotion: String,
    /// The head of the audit chain when the pointer was moved.
    pub audit: String,
    /// When the pointer was moved, in the form of RFC 3339.
    pub moved_at: String,
}

impl Pointer {
    /// Creates a pointer of the current format.
    pub fn new(
        model: impl Into<String>,
        version: u32,
        manifest: Digest,
        promotion: impl Into<String>,
        audit: impl Into<String>,
        moved_at: impl Into<String>,
    ) -> Self {
        Self {
            format: FORMAT,
            model: model.into(),
            version,
            manifest,
            promotion: promotion.into(),
            audit: audit.into(),
            moved_at: moved_at.into(),
        }
    }

    /// Returns the bytes to store.
    ///
    /// # Errors
    /// None for text that JSON can hold.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Parses a pointer to a version of `model`.
    ///
    /// # Errors
    /// A text that says why it is refused.
    pub fn parse(bytes: &[u8], model: &str) -> Result<Self, String> {
        let pointer: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if pointer.format != FORMAT {
            return Err(format!("it has format {}, and this program knows {FORMAT}", pointer.format));
        }
        if pointer.model != model {
            return Err(format!("it is that of model `{}`", pointer.model));
        }
        Ok(pointer)
    }
}

impl Destination {
    /// Returns the pointer to the champion of `model`, and its etag for [`Destination::point`].
    /// Returns `None` if no version was promoted yet.
    ///
    /// # Errors
    /// [`PromotionError::Damaged`] if the content is not a pointer; those of the store.
    pub fn pointer(&self, model: &str) -> Result<Option<(Pointer, Etag)>, PromotionError> {
        let key = pointer_key(model)?;
        let mut reads = 1;
        loop {
            let Some((bytes, etag)) = self.store.get(&key)? else { return Ok(None) };
            match Pointer::parse(&bytes, model) {
                Ok(pointer) => return Ok(Some((pointer, etag))),
                // It may have been damaged in transit, or be about to be repaired by a promotion.
                Err(_) if reads < MAX_READS => std::thread::sleep(READ_PAUSE),
                Err(problem) => return Err(PromotionError::Damaged { uri: self.uri().to_owned(), key, problem }),
            }
            reads += 1;
        }
    }

    /// Replaces the pointer of `model`, whose etag is `expected` (`None`: it does not exist), by
    /// `new`. Atomic. Reads the pointer back. Succeeds if the pointer is already `new`.
    ///
    /// # Errors
    /// [`PromotionError::LostRace`] if another process was faster. After any other error it is
    /// unknown whether the pointer was moved: call it again, or read it.
    pub fn point(&self, model: &str, expected: Option<&Etag>, new: &Pointer) -> Result<(), PromotionError> {
        let key = pointer_key(model)?;
        let bytes = new.to_bytes().map_err(|error| {
            let (model, version, problem) = (model.to_owned(), new.version, error.to_string());
            PromotionError::BadManifest { model, version, problem }
        })?;
        let mut condition = expected.map_or(Condition::Absent, |etag| Condition::Unchanged(etag.clone()));
        for _ in 0..MAX_READS {
            let Put::Written(written) = self.store.put(&key, &bytes, &condition)? else {
                return Err(self.lost_race(model)?);
            };
            match self.store.get(&key)? {
                Some((there, _)) if there == bytes => return Ok(()),
                Some((there, etag)) => {
                    // An intact pointer of another promotion: it was moved on from this one.
                    let other = Pointer::parse(&there, model).ok().filter(|it| it.promotion != new.promotion);
                    if etag != written && other.is_some() {
                        return Ok(());
                    }
                    condition = Condition::Unchanged(etag);
                }
                None => return Err(self.lost_race(model)?),
            }
        }
        let problem = "it was written and does not read back".to_owned();
        Err(PromotionError::UploadDiffers { uri: self.uri().to_owned(), key, problem })
    }

    fn lost_race(&self, model: &str) -> Result<PromotionError, PromotionError> {
        let there = self.pointer(model)?;
        let actual = |(pointer, _): (Pointer, Etag)| {
            let Pointer { version, promotion, moved_at, .. } = pointer;
            format!("version {version} since {moved_at}, by promotion `{promotion}`")
        };
        let actual = there.map_or_else(|| "gone".to_owned(), actual);
        Ok(PromotionError::LostRace { uri: self.uri().to_owned(), model: model.to_owned(), actual })
    }
}
