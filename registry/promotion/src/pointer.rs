//! The pointer to the champion of a model: the one key of a destination that changes, and only under a condition.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use stagewright_store::Digest;

use crate::destination::Destination;
use crate::error::PromotionError;
use crate::layout::pointer_key;
use crate::store::{Condition, Etag, Put};

/// The format of pointers that this program writes and reads.
const FORMAT: u32 = 1;
/// How often something small is read that looks damaged, before it counts as damaged.
pub(crate) const LOOKS: u32 = 5;
/// Between two looks.
pub(crate) const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Which version is the champion, and by which promotion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    format: u32,
    /// The model's name.
    pub model: String,
    /// The champion's version.
    pub version: u32,
    /// The digest of the bytes of its manifest.
    pub manifest: Digest,
    /// The promotion that moved it, unique among all.
    pub promotion: String,
    /// The head of the chain of audit records when it was moved.
    pub audit: String,
    /// When, in the form of RFC 3339.
    pub moved_at: String,
}

impl Pointer {
    /// Returns a pointer of the current format.
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

    /// As it is stored.
    ///
    /// # Errors
    /// Never, for text that JSON can hold.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads a pointer to a version of `model`.
    ///
    /// # Errors
    /// A text for people: why it is refused.
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
    /// Returns the pointer to the champion of `model`, and what names its content for
    /// [`Destination::point`]. None if nothing was promoted yet.
    ///
    /// # Errors
    /// [`PromotionError::Damaged`] if what is there is no pointer; others if the store does not
    /// answer.
    pub fn pointer(&self, model: &str) -> Result<Option<(Pointer, Etag)>, PromotionError> {
        let key = pointer_key(model)?;
        let mut looks = 1;
        loop {
            let Some((bytes, etag)) = self.store.get(&key)? else { return Ok(None) };
            match Pointer::parse(&bytes, model) {
                Ok(pointer) => return Ok(Some((pointer, etag))),
                // Damaged on its way, or about to be repaired by whoever writes it.
                Err(_) if looks < LOOKS => std::thread::sleep(BETWEEN_LOOKS),
                Err(problem) => return Err(PromotionError::Damaged { uri: self.uri().to_owned(), key, problem }),
            }
            looks += 1;
        }
    }

    /// Moves the pointer of `model` from the content named by `expected` (nothing, if none) to `new`, in one step that
    /// readers see whole or not at all. Reads it back. Pointing to what it points to already succeeds.
    ///
    /// # Errors
    /// [`PromotionError::LostRace`] if someone else was faster. After any other error it is not known whether it was
    /// moved: call it again, or read it.
    pub fn point(&self, model: &str, expected: Option<&Etag>, new: &Pointer) -> Result<(), PromotionError> {
        let key = pointer_key(model)?;
        let bytes = new.to_bytes().map_err(|error| {
            let (model, version, problem) = (model.to_owned(), new.version, error.to_string());
            PromotionError::BadManifest { model, version, problem }
        })?;
        let mut condition = expected.map_or(Condition::Absent, |etag| Condition::Unchanged(etag.clone()));
        for _ in 0..LOOKS {
            let Put::Written(written) = self.store.put(&key, &bytes, &condition)? else {
                return Err(self.lost_race(model)?);
            };
            match self.store.get(&key)? {
                Some((there, _)) if there == bytes => return Ok(()),
                Some((there, etag)) => {
                    // Another's whole pointer: it was moved on, from ours.
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
