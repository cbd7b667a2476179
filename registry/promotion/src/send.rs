//! Objects under keys of the caller's own layout, as versions of data have them.

use crate::destination::Destination;
use crate::error::PromotionError;
use crate::local_object::LocalObject;
use crate::store::ObjectStore;
use crate::verify::differing;

impl Destination {
    /// Returns the objects, for a layout of the caller's own.
    pub fn objects(&self) -> &dyn ObjectStore {
        self.store.as_ref()
    }

    /// Sends a local file to a key whose content never changes, and compares every byte that
    /// arrived with the file. If the key exists with the same length, it is left as it is; with
    /// `verify` its bytes are compared too, and it is sent again if they differ. Returns whether it
    /// was sent.
    ///
    /// # Errors
    /// [`PromotionError::UploadDiffers`]; those of the file and of the store.
    pub fn send_object(&self, key: &str, object: &LocalObject, verify: bool) -> Result<bool, PromotionError> {
        let is_same = || Ok(differing(self.objects(), &self.limits, &[(key, object)])?.is_empty());
        let was_there = self.store.head(key)?.is_some_and(|entry| entry.size == object.size);
        if was_there && (!verify || is_same()?) {
            return Ok(false);
        }
        self.store.put_file(key, &object.path, object.size, &|_| ())?;
        if is_same()? {
            return Ok(true);
        }
        // Unless it was there before, nothing refers to it yet.
        let problem = match was_there {
            true => "it was there before, was sent anew, and still differs",
            false => match self.store.delete(key) {
                Ok(()) => "it was removed",
                Err(_) => "it could not be removed",
            },
        };
        let (uri, key) = (self.uri().to_owned(), key.to_owned());
        Err(PromotionError::UploadDiffers { uri, key, problem: problem.to_owned() })
    }
}
