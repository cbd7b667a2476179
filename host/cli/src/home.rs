//! The home of a command: the folder, the registry, and the place where machines share artifacts.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use stagewright_promotion::ArtifactObjects;
use stagewright_store::{Home, SharedArtifacts};

use crate::environment;
use crate::error_code::ErrorCode;
use crate::production;
use crate::usage_error::UsageError;

/// The home that a command was told to use.
#[derive(Clone, Debug)]
pub(crate) struct HomeLocation {
    pub(crate) home: PathBuf,
    pub(crate) registry: Option<String>,
    pub(crate) artifacts: Option<String>,
}

impl HomeLocation {
    /// Opens the home, and creates it if it does not exist.
    pub(crate) fn open(&self) -> anyhow::Result<Home> {
        let password = environment::variable("PGPASSWORD");
        let home = Home::open_with(&self.home, self.registry.as_deref(), password.as_deref());
        let shared = self.shared()?.map(|place| Arc::new(place) as Arc<dyn SharedArtifacts>);
        let home = home.and_then(|home| home.sharing(shared));
        let mut home = home.with_context(|| format!("cannot open the home {}", self.home.display()))?;
        home.registry = home.registry.acting_as(&actor());
        Ok(home)
    }

    /// Returns the place where machines share artifacts, if one is named. Makes no request.
    pub(crate) fn shared(&self) -> anyhow::Result<Option<ArtifactObjects>> {
        let open = |uri: &String| ArtifactObjects::open(uri, &production::settings());
        Ok(self.artifacts.as_ref().map(open).transpose()?)
    }

    /// Opens a home that exists. Commands that only read use this, so that they create none.
    ///
    /// # Errors
    /// There is no home.
    pub(crate) fn existing(&self) -> anyhow::Result<Home> {
        // A home that cannot be inspected fails in `open`, with the reason.
        let absent = self.home.metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound);
        if absent && self.registry.is_none() {
            return Err(UsageError::error(
                ErrorCode::NoHome,
                format!("there is no home at {}", self.home.display()),
                "run a pipeline first, or name the home with --home or STAGEWRIGHT_HOME",
            ));
        }
        self.open()
    }
}

/// Returns the actor that the audit names: `STAGEWRIGHT_ACTOR`, else the user of this session. It
/// is a statement, not a proof.
pub(crate) fn actor() -> String {
    let named = ["STAGEWRIGHT_ACTOR", "USER", "LOGNAME"].into_iter().find_map(environment::own);
    let named = named.and_then(|name| name.into_string().ok()).filter(|name| !name.is_empty());
    named.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}
