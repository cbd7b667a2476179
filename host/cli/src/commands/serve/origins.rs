//! Where `serve` takes versions from.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use stagewright_promotion::Destination;
use stagewright_serving::{LocationOrigin, RegistryOrigin, Selector, VersionOrigin};
use stagewright_store::{ArtifactStore, CHAMPION, Home, OpenMode, Registry, StoreError};

use crate::environment;
use crate::error_code::ErrorCode;
use crate::home::{HomeLocation, actor};
use crate::production;
use crate::usage_error::UsageError;

/// A model as it was asked for: `NAME`, `NAME@ALIAS` or `NAME/VERSION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AskedModel {
    pub(super) name: String,
    pub(super) selector: Selector,
    /// The selector as text, which distinguishes records of last verified versions.
    pub(super) asked: String,
}

impl AskedModel {
    /// Reads an argument.
    ///
    /// # Errors
    /// The text after `/` is not a number.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        if let Some((name, version)) = text.split_once('/') {
            let selector = Selector::Version(version.parse().map_err(|_| {
                UsageError::error(
                    ErrorCode::Argument,
                    format!("`{version}` is not a version"),
                    "versions are numbers: churn-classifier/3",
                )
            })?);
            return Ok(Self { name: name.to_owned(), selector, asked: version.to_owned() });
        }
        let (name, alias) = text.split_once('@').unwrap_or((text, CHAMPION));
        // MLflow's clients have `latest` too, and `v3` for version 3.
        let numbered = alias.strip_prefix('v').and_then(|version| version.parse().ok());
        let selector = match (alias, numbered) {
            ("latest", _) => Selector::Latest,
            (_, Some(version)) => Selector::Version(version),
            _ => Selector::Alias(alias.to_owned()),
        };
        Ok(Self { name: name.to_owned(), selector, asked: alias.to_owned() })
    }
}

/// Returns the origin of a model's versions: the registry, or the location that `from` names.
///
/// # Errors
/// The location is no folder or bucket, or the model is asked for by an alias that it does not
/// have.
pub(super) fn origin(
    location: &HomeLocation,
    artifacts: &ArtifactStore,
    model: &AskedModel,
    from: &str,
) -> anyhow::Result<Box<dyn VersionOrigin>> {
    if from == REGISTRY {
        return Ok(Box::new(of_registry(location, artifacts, model)));
    }
    let version = match &model.selector {
        Selector::Version(version) => Some(*version),
        Selector::Alias(alias) if alias == CHAMPION => None,
        Selector::Alias(_) | Selector::Latest => {
            return Err(UsageError::error(
                ErrorCode::Argument,
                format!("a production location has no alias `{}`", model.asked),
                format!("ask for `{}`, its champion, or for a version: {0}/3", model.name),
            ));
        }
    };
    let destination = Destination::open(from, &production::settings())?;
    let fetched = serving_folder(&location.home).join("fetched");
    let name = model.name.clone();
    let origin = LocationOrigin::new(destination, fetched, artifacts.clone(), name, version);
    Ok(Box::new(match from.starts_with("s3://") {
        true => origin,
        false => origin.in_folder(from.strip_prefix("file:").unwrap_or(from).into()),
    }))
}

/// The origin that is the registry.
const REGISTRY: &str = "registry";

/// Returns the name of an origin, which tells the records of the versions that were verified last
/// from those of other origins.
pub(super) fn place(location: &HomeLocation, from: &str) -> String {
    match &location.registry {
        _ if from != REGISTRY => from.to_owned(),
        Some(registry) => format!("{REGISTRY} {registry}"),
        None => REGISTRY.to_owned(),
    }
}

/// Returns the folder in which a server keeps what it fetched and verified. `home` is that of the
/// home.
pub(super) fn serving_folder(home: &Path) -> PathBuf {
    home.join("serving")
}

/// Opens the store of what a server fetched from a production location.
pub(super) fn serving_artifacts(home: &Path) -> anyhow::Result<ArtifactStore> {
    let folder = serving_folder(home);
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    Ok(ArtifactStore::open(folder.join("artifacts"))?)
}

/// Opens the registry of a home for a server.
///
/// # Errors
/// [`StoreError`].
pub(super) fn open_registry(location: &HomeLocation) -> Result<Registry, StoreError> {
    let password = environment::variable("PGPASSWORD");
    let home = Home::open_as(&location.home, location.registry.as_deref(), password.as_deref(), OpenMode::Serving)?;
    Ok(home.registry.acting_as(&actor()))
}

fn of_registry(location: &HomeLocation, artifacts: &ArtifactStore, model: &AskedModel) -> RegistryOrigin {
    let of_registry = location.clone();
    let open = move || open_registry(&of_registry);
    RegistryOrigin::new(Box::new(open), artifacts.clone(), model.name.clone(), model.selector.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_asked_for_by_name_alias_or_version() {
        let asked = |text: &str| AskedModel::parse(text).map(|asked| (asked.name, asked.selector)).ok();
        let churn = || "churn".to_owned();
        assert_eq!(asked("churn"), Some((churn(), Selector::Alias(CHAMPION.into()))));
        assert_eq!(asked("churn@candidate"), Some((churn(), Selector::Alias("candidate".into()))));
        assert_eq!(asked("churn@latest"), Some((churn(), Selector::Latest)));
        assert_eq!(asked("churn@v3"), Some((churn(), Selector::Version(3))));
        assert_eq!(asked("churn/3"), Some((churn(), Selector::Version(3))));
        assert_eq!(asked("churn/three"), None);
    }
}
