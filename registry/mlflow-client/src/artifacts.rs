//! Files of runs and models.
//!
//! A server that keeps the files itself passes them on at `mlflow-artifacts`, by their paths. Files
//! at other places, such as a bucket, are listed and sent by the run that they belong to.

use std::fs::File;
use std::io::{Read as _, Seek as _};
use std::time::Duration;

use serde::Deserialize;

use crate::error::ClientError;
use crate::records::FileInfo;
use crate::requests::{Call, Server, encoded};

/// The bytes that are read or written at a time.
const PIECE: usize = 256 << 10;
/// A file that comes more slowly, in bytes a second, is given up.
const SLOWEST: u64 = 64 << 10;
/// The deepest folder.
const MOST_DEPTH: usize = 64;
/// How much a file may grow after it was listed, in bytes.
const GROWTH: u64 = 64 << 20;

/// A folder of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Folder {
    /// A path at the server's proxy.
    Proxied(String),
    /// The files of a run, wherever they are.
    OfRun(String),
}

/// A file in a folder or its folders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Its path from the folder on.
    pub path: String,
    /// The number of its bytes, if the server tells it.
    pub bytes: Option<u64>,
}

/// The bytes of a file to send.
#[derive(Debug)]
pub enum Content<'a> {
    /// These.
    Bytes(&'a [u8]),
    /// All of a file.
    File(&'a File),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Listing {
    files: Vec<FileInfo>,
    next_page_token: String,
}

impl Server {
    /// Returns the path at this server's proxy that a URI names, if it names one.
    pub fn proxied_path(&self, uri: &str) -> Option<String> {
        let rest = uri.strip_prefix("mlflow-artifacts:")?;
        let path = match rest.strip_prefix("//") {
            Some(with_host) => {
                let (host, path) = with_host.split_once('/')?;
                Some(path).filter(|_| self.address().is_of(host))?
            }
            None => rest,
        };
        let path = path.trim_matches('/');
        path.split('/').all(is_name).then(|| path.to_owned())
    }

    /// Returns all files in a folder and its folders, by path.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::NotMlflow`] if a name leads elsewhere, or there are too
    /// many.
    pub fn files(&self, folder: &Folder) -> Result<Vec<RemoteFile>, ClientError> {
        const OPERATION: &str = "artifacts/list";
        let (mut files, mut left, mut folders) = (Vec::new(), vec![String::new()], 0);
        while let Some(inside) = left.pop() {
            folders += 1;
            for entry in self.entries(folder, &inside)? {
                // Listings by run have whole paths, others have names.
                let name = entry.path.rsplit('/').next().unwrap_or_default().to_owned();
                if !is_name(&name) {
                    return Err(self.not_mlflow(OPERATION, "a file has a name that leads elsewhere".to_owned()));
                }
                let path = if inside.is_empty() { name } else { format!("{inside}/{name}") };
                if entry.is_dir {
                    left.push(path);
                } else {
                    files.push(RemoteFile { path, bytes: entry.file_size });
                }
            }
            let is_deep = inside.split('/').count() > MOST_DEPTH;
            if is_deep || files.len() + left.len() + folders > self.limits().files {
                return Err(self.not_mlflow(OPERATION, "a run or a model has too many files or folders".to_owned()));
            }
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(files)
    }

    fn entries(&self, folder: &Folder, inside: &str) -> Result<Vec<FileInfo>, ClientError> {
        let mut all = Vec::new();
        let listed = |token: Option<&str>| {
            let (path, name, of) = match folder {
                Folder::Proxied(root) => {
                    let path = if inside.is_empty() { root.clone() } else { format!("{root}/{inside}") };
                    ("/api/2.0/mlflow-artifacts/artifacts", "path", (path, None))
                }
                Folder::OfRun(run_id) => ("/api/2.0/mlflow/artifacts/list", "path", (inside.to_owned(), Some(run_id))),
            };
            let mut query = vec![(name, of.0.as_str())];
            query.extend(of.1.map(|run_id| ("run_id", run_id.as_str())));
            query.extend(token.map(|token| ("page_token", token)));
            let operation = "artifacts/list";
            let call = Call { operation, method: "GET", path, query: &query, body: None, is_repeatable: true };
            let found: Listing = match self.ask(&call) {
                Ok(found) => found,
                Err(error) if error.is_missing() => Listing::default(),
                Err(error) => return Err(error),
            };
            let next = Some(found.next_page_token).filter(|token| !token.is_empty());
            Ok(crate::Page { items: found.files, next })
        };
        self.each_page("artifacts/list", listed, |files| {
            all.extend(files);
            Ok::<_, ClientError>(())
        })?;
        Ok(all)
    }

    /// Reads a file of a folder from its beginning to its end, once. `write` gets its pieces.
    ///
    /// # Errors
    /// [`ClientError`], or that of `write`.
    pub fn download<E: From<ClientError>>(
        &self,
        folder: &Folder,
        file: &RemoteFile,
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        const OPERATION: &str = "artifacts/download";
        let request = match folder {
            Folder::Proxied(root) => self.request("GET", &proxy(&format!("{root}/{}", file.path)), &[]),
            Folder::OfRun(run) => self.request("GET", "/get-artifact", &[("run_uuid", run), ("path", &file.path)]),
        };
        let most = file.bytes.map_or(self.limits().file_bytes, |bytes| 2 * bytes.min(u64::MAX / 4) + GROWTH);
        let time = self.limits().request + Duration::from_secs(most.div_ceil(SLOWEST));
        let mut answer = self.once(OPERATION, request, (), time)?;
        let mut reader = answer.body_mut().with_config().limit(u64::MAX).reader();
        let (mut buffer, mut sum) = (vec![0; PIECE], 0);
        loop {
            let read =
                reader.read(&mut buffer).map_err(|error| self.unreachable(&format!("a file broke off: {error}")))?;
            if read == 0 {
                return Ok(());
            }
            sum += read as u64;
            if sum > most {
                return Err(self.too_large(OPERATION, most).into());
            }
            write(&buffer[..read])?;
        }
    }

    /// Puts a file at a path of the server's proxy, in place of one that is there.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn upload(&self, path: &str, content: &Content<'_>) -> Result<(), ClientError> {
        const OPERATION: &str = "artifacts/upload";
        let failed = |error: std::io::Error| ClientError::File(format!("a file cannot be read: {error}"));
        let bytes = match content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File(file) => file.metadata().map_err(failed)?.len(),
        };
        let time = self.limits().request + Duration::from_secs(bytes.div_ceil(SLOWEST));
        let request = || self.request("PUT", &proxy(path), &[]).header("content-type", "application/octet-stream");
        match content {
            Content::Bytes(bytes) => self.repeatedly(OPERATION, time, || Ok((request(), *bytes)))?,
            Content::File(file) => self.repeatedly(OPERATION, time, || {
                let mut again: &File = file;
                again.rewind().map_err(failed)?;
                Ok((request(), *file))
            })?,
        };
        Ok(())
    }
}

/// Returns the path of the proxy for a path of a file.
fn proxy(path: &str) -> String {
    let encoded: Vec<String> = path.split('/').map(encoded).collect();
    format!("/api/2.0/mlflow-artifacts/artifacts/{}", encoded.join("/"))
}

fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(|letter: char| letter.is_control() || letter == '\\')
}
