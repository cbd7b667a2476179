//! Opens a bucket whose objects are read as a source.

use std::sync::Arc;

#[cfg(not(feature = "s3"))]
use crate::error::PromotionError;
use crate::settings::Settings;
use crate::source_objects::{SourceObjectError, SourceObjects};

/// Creates a client for the objects of a bucket. Makes no request.
///
/// # Errors
/// [`SourceObjectError::Settings`].
pub fn source_objects(bucket: &str, settings: &Settings) -> Result<Arc<dyn SourceObjects>, SourceObjectError> {
    #[cfg(feature = "s3")]
    return Ok(Arc::new(crate::s3::Bucket::new(bucket, settings)?));
    #[cfg(not(feature = "s3"))]
    {
        let _ = settings;
        Err(PromotionError::WithoutS3 { uri: format!("s3://{bucket}") }.into())
    }
}
