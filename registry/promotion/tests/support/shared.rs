//! Fixtures of shared artifacts: a place, and machines that publish there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use stagewright_promotion::{ArtifactObjects, Settings};
use stagewright_services::s3::Server;
use stagewright_store::{ArtifactKind, ArtifactStore, DataType, Digest, Field, Schema, StoreError};

use super::{BUCKET, bytes, server, settings};

/// A place that machines share, and what keeps it alive.
pub(crate) struct Place {
    pub(crate) uri: String,
    pub(crate) settings: Settings,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) server: Option<Server>,
}

pub(crate) fn directory() -> Place {
    let folder = tempfile::tempdir().expect("a folder");
    let uri = folder.path().join("shared").to_string_lossy().into_owned();
    Place { uri, settings: settings(Vec::new()), folder, server: None }
}

pub(crate) fn bucket() -> Place {
    let server = server();
    let settings = settings(server.variables());
    let folder = tempfile::tempdir().expect("a folder");
    Place { uri: BUCKET.to_owned(), settings, folder, server: Some(server) }
}

impl Place {
    pub(crate) fn open(&self) -> ArtifactObjects {
        ArtifactObjects::open(&self.uri, &self.settings).expect("a place")
    }

    /// Returns the store of a machine of this name, whose directory is a cache of the place.
    pub(crate) fn machine(&self, name: &str) -> ArtifactStore {
        let store = ArtifactStore::open(self.folder.path().join(name)).expect("a store");
        store.shared_at(Arc::new(self.open()))
    }

    /// Changes the bytes of an artifact past its machines.
    pub(crate) fn overwrite(&self, kind: ArtifactKind, digest: &Digest, bytes: &[u8]) {
        let key = format!("artifacts/{}.{kind}", digest.to_hex());
        match &self.server {
            Some(server) => server.write(&format!("team/churn/{key}"), bytes),
            None => std::fs::write(Path::new(&self.uri).join(key), bytes).expect("written"),
        }
    }

    /// Makes everything at the place older.
    pub(crate) fn age(&self, by: Duration) {
        match &self.server {
            Some(server) => server.age(by),
            None => {
                let then = std::time::SystemTime::now() - by;
                for entry in std::fs::read_dir(Path::new(&self.uri).join("artifacts")).expect("a folder") {
                    let file = std::fs::File::open(entry.expect("an entry").path()).expect("a file");
                    file.set_modified(then).expect("aged");
                }
            }
        }
    }
}

/// Publishes a table, a blob of several parts, and a document.
pub(crate) fn publish(store: &ArtifactStore) -> Result<[(ArtifactKind, Digest); 3], StoreError> {
    let staging = store.stage();
    let schema = Schema::new(vec![Field::new("x", DataType::Float64)]).expect("a schema");
    let column: ArrayRef = Arc::new(Float64Array::from_iter_values((0..1000).map(f64::from)));
    let mut table = staging.create_table(&schema)?;
    table.write(&RecordBatch::try_new(schema.to_arrow(), vec![column]).expect("a batch"))?;
    let table = table.finish()?;
    let mut blob = staging.create_blob()?;
    blob.write(&bytes(7, 100_000))?;
    let blob = blob.finish()?;
    let document = staging.put_document("text/plain", *b"report")?;
    staging.publish()?;
    Ok([
        (ArtifactKind::Table, table.digest()),
        (ArtifactKind::Blob, blob.digest()),
        (ArtifactKind::Document, document.digest()),
    ])
}
