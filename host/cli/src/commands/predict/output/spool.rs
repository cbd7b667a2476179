//! Text that is kept until it is whole: in memory, and from some size on in a file without a name.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// The bytes that are kept in memory.
const IN_MEMORY: usize = 8 << 20;

/// Kept text.
pub(super) struct Spool {
    folder: PathBuf,
    memory: String,
    file: Option<File>,
}

impl Spool {
    /// Returns an empty spool. Its file would be in `folder`, or in the system's folder for
    /// temporary files if `folder` cannot be written to.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), memory: String::new(), file: None }
    }

    /// Appends text.
    ///
    /// # Errors
    /// The file cannot be created or written.
    pub(super) fn write(&mut self, text: &str) -> anyhow::Result<()> {
        self.memory.push_str(text);
        if self.memory.len() < IN_MEMORY {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let file = tempfile::tempfile_in(&self.folder).or_else(|_| tempfile::tempfile());
                none.insert(file.context("cannot make a temporary file")?)
            }
        };
        file.write_all(self.memory.as_bytes()).context("cannot write a temporary file")?;
        self.memory.clear();
        Ok(())
    }

    /// Passes all text on, in parts.
    ///
    /// # Errors
    /// Those of `take`; the file cannot be read.
    pub(super) fn pass_on(self, mut take: impl FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<()> {
        if let Some(mut file) = self.file {
            file.rewind().context("cannot read a temporary file")?;
            let mut file = BufReader::new(file);
            let mut bytes = Vec::new();
            loop {
                let read = (&mut file).take(IN_MEMORY as u64).read_to_end(&mut bytes);
                if read.context("cannot read a temporary file")? == 0 {
                    break;
                }
                // A character may be cut at the end.
                let whole = match std::str::from_utf8(&bytes) {
                    Ok(text) => text.len(),
                    Err(error) => error.valid_up_to(),
                };
                take(std::str::from_utf8(&bytes[..whole])?)?;
                bytes.drain(..whole);
            }
        }
        take(&self.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_comes_back_whatever_its_size() {
        let folder = tempfile::tempdir().unwrap();
        for (times, text) in [(0, "x"), (3, "äöü"), (1_000_003, "äöü€12345\n")] {
            let mut spool = Spool::new(folder.path());
            (0..times).for_each(|_| spool.write(text).unwrap());
            let mut back = String::new();
            let pass_on = spool.pass_on(|part| {
                back.push_str(part);
                Ok(())
            });
            pass_on.unwrap();
            assert!(back == text.repeat(times), "{} bytes of {}", back.len(), times * text.len());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
