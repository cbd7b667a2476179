//! Registered models, their versions and aliases.
//!
//! They are foreign here, and follow MLflow's rules. A version is pinned to the digest of its files
//! when it is registered, so that its files come first.

use stagewright_mlflow_client::artifacts::Folder;
use stagewright_mlflow_client::records::{ModelVersion, RegisteredModel};
use stagewright_mlflow_client::{ClientError, quoted};
use stagewright_store::{ImportedKind, ImportedVersion, LifecycleStage, Model, NewModel, StoreError, proxied_path};

use super::files::Into;
use super::importer::{ImportError, Importer, PAGE, digest_of, missing, pairs};

impl Importer<'_> {
    /// Imports the registered models.
    pub(super) fn models(&mut self) -> Result<(), ImportError> {
        let mut all = Vec::new();
        let server = self.server;
        server.each_page(
            "registered-models/search",
            |token| server.registered_models(PAGE, token),
            |page| {
                all.extend(page);
                Ok::<_, ClientError>(())
            },
        )?;
        let wanted = &self.options.models;
        if let Some(name) = wanted.iter().find(|name| all.iter().all(|model| model.name != **name)) {
            return Err(self.nothing("model", name));
        }
        for there in all.iter().filter(|model| wanted.is_empty() || wanted.contains(&model.name)) {
            self.go_on()?;
            let about = format!("model {}", there.name);
            let before = self.outcome.conflict_count;
            let done = self.model_of(there, &about);
            self.stopped(&about, done)?;
            if before == self.outcome.conflict_count {
                let digest = digest_of(there, !self.options.without_artifacts);
                self.registry.finish_import(self.remote(ImportedKind::Model, &there.name), digest)?;
            }
        }
        Ok(())
    }

    fn model_of(&mut self, there: &RegisteredModel, about: &str) -> Result<(), ImportError> {
        let name = self.options.renamed.get(&there.name).unwrap_or(&there.name).clone();
        let known = self.known(ImportedKind::Model, &there.name)?;
        let is_here = self.model_if_there(known.as_ref().map_or(&name, |known| &known.local))?;
        let (here, mut changed) = match (known, is_here) {
            (Some(_), Some(here)) => (here, false),
            (Some(known), None) if known.digest.is_some() => {
                let what = format!("it was imported as `{}`, which is renamed or deleted here", known.local);
                self.outcome.note(about, &what, "nothing is to be done: what was removed here does not come back");
                self.outcome.models.unchanged += 1;
                return Ok(());
            }
            (None, Some(_)) if self.is_own_model(&there.name)? => {
                self.outcome.models.unchanged += 1;
                return Ok(());
            }
            (None, Some(_)) => {
                let what = format!("there is a model `{name}` here already, which was not imported from this server");
                let hint = format!("import it under another name: --rename '{}=NAME'", there.name);
                self.outcome.conflict(about, &what, &hint);
                return Ok(());
            }
            (_, None) => {
                self.registry.reserve_import(self.remote(ImportedKind::Model, &there.name), &name)?;
                let new = NewModel { description: there.description.clone(), tags: pairs(&there.tags) };
                let times = (there.creation_timestamp, there.last_updated_timestamp);
                self.registry.import_foreign_model(&name, &new, times, &self.source)?;
                self.outcome.models.added += 1;
                (self.registry.model(&name)?, true)
            }
        };
        let is_new = changed;
        for (tag, value) in missing(&there.tags, &here.tags) {
            self.registry.tag_model(&here.name, &tag, Some(&value))?;
            changed = true;
        }
        changed |= self.versions_of(there, &here.name)?;
        changed |= self.aliases_of(there, &here.name, about)?;
        if is_new {
            self.registry.end_imported_registered_model(&here.name, there.last_updated_timestamp)?;
        } else {
            self.outcome.models.count(false, changed);
        }
        Ok(())
    }

    fn model_if_there(&self, name: &str) -> Result<Option<Model>, ImportError> {
        match self.registry.model(name) {
            Ok(model) => Ok(Some(model)),
            Err(StoreError::NoModel { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Imports the versions of a model. Returns whether one is new.
    fn versions_of(&mut self, model: &RegisteredModel, here: &str) -> Result<bool, ImportError> {
        let Some(quoted) = quoted(&model.name) else {
            let what = "its versions cannot be asked for: its name has both kinds of quotes";
            self.outcome.conflict(&format!("model {}", model.name), what, "rename it there, and import again");
            return Ok(false);
        };
        let versions = self.versions_there(&model.name, &quoted)?;
        let mut changed = false;
        for version in &versions {
            self.go_on()?;
            let about = format!("version {}/{}", version.name, version.version);
            match self.version_of(version, here, &about) {
                Ok(is_new) => changed |= is_new,
                Err(error) => self.stopped(&about, Err(error))?,
            }
        }
        Ok(changed)
    }

    /// Returns the versions of a model there, the first one first.
    fn versions_there(&self, name: &str, quoted: &str) -> Result<Vec<ModelVersion>, ImportError> {
        let (server, filter) = (self.server, format!("name = {quoted}"));
        let mut versions = Vec::new();
        server.each_page(
            "model-versions/search",
            |token| server.model_versions(&filter, PAGE, token),
            |page| {
                versions.extend(page);
                Ok::<_, ClientError>(())
            },
        )?;
        // Servers list the latest first.
        versions.sort_by_key(|version| version.version.parse::<u32>().unwrap_or(u32::MAX));
        versions.retain(|version: &ModelVersion| version.name == name);
        Ok(versions)
    }

    /// Returns whether a model there has versions of runs of this registry alone, which
    /// [`crate::export`] sent there.
    fn is_own_model(&self, name: &str) -> Result<bool, ImportError> {
        let Some(quoted) = quoted(name) else { return Ok(false) };
        let versions = self.versions_there(name, &quoted)?;
        for version in &versions {
            if !self.is_copy(&version.tags)? {
                return Ok(false);
            }
        }
        Ok(!versions.is_empty())
    }

    /// Imports a version. Returns whether it is new.
    fn version_of(&mut self, there: &ModelVersion, model: &str, about: &str) -> Result<bool, ImportError> {
        let id = format!("{}/{}", there.name, there.version);
        let digest = digest_of(there, !self.options.without_artifacts);
        let known = self.known(ImportedKind::Version, &id)?;
        if known.as_ref().is_some_and(|known| known.digest == Some(digest)) && !self.options.recheck {
            self.outcome.versions.unchanged += 1;
            return Ok(false);
        }
        let Ok(number) = there.version.parse::<u32>() else {
            self.outcome.conflict(about, "its number is none", "see that the server is one of MLflow");
            return Ok(false);
        };
        if known.is_some_and(|known| known.digest.is_some()) {
            self.follow_version(there, (model, number), about)?;
            self.registry.finish_import(self.remote(ImportedKind::Version, &id), digest)?;
            return Ok(false);
        }
        self.registry.reserve_import(self.remote(ImportedKind::Version, &id), &format!("{model}/{number}"))?;
        let location = self.location_of(there, (model, number), about)?;
        let logged = self.known(ImportedKind::LoggedModel, &there.model_id)?;
        let version = ImportedVersion {
            number,
            // A path at the other server's proxy would name another file here.
            source: if self.server.proxied_path(&there.source).is_some() {
                location.clone()
            } else {
                there.source.clone()
            },
            location,
            run_id: self.run_here(&there.run_id)?,
            run_link: Some(there.run_link.clone()).filter(|link| !link.is_empty()),
            model_id: logged.map(|known| known.local),
            description: there.description.clone(),
            tags: pairs(&there.tags),
            user: there.user_id.clone(),
            stage: there.current_stage.parse().unwrap_or(LifecycleStage::None),
            created_ms: there.creation_timestamp,
            updated_ms: there.last_updated_timestamp,
        };
        let is_new = self.registry.import_foreign_version(model, &version, &self.source)?;
        let here = self.registry.version(model, number)?;
        if here.created_ms != there.creation_timestamp {
            let what = format!("`{model}` has another version {number} here");
            let hint = format!("import the model under another name: --rename '{}=NAME'", there.name);
            self.outcome.conflict(about, &what, &hint);
            return Ok(false);
        }
        if here.foreign.as_ref().is_none_or(|foreign| !foreign.is_verified()) {
            self.outcome.unverified += 1;
        }
        self.outcome.versions.count(is_new, false);
        self.registry.finish_import(self.remote(ImportedKind::Version, &id), digest)?;
        Ok(is_new)
    }

    /// Adds the new tags of a version that was whole, and tells what else changed there.
    fn follow_version(
        &mut self,
        there: &ModelVersion,
        (model, number): (&str, u32),
        about: &str,
    ) -> Result<(), ImportError> {
        let here = match self.registry.version(model, number) {
            Ok(here) => here,
            Err(StoreError::NoModel { .. } | StoreError::NoVersion { .. }) => {
                // Who deleted it here does not want it back.
                self.outcome.versions.unchanged += 1;
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let mut changed = false;
        for (tag, value) in missing(&there.tags, &here.tags) {
            self.registry.tag_version(model, number, &tag, Some(&value))?;
            changed = true;
        }
        if there.current_stage.parse::<LifecycleStage>().is_ok_and(|stage| stage != here.stage) {
            let what = format!("it is in the stage {} there and {} here", there.current_stage, here.stage);
            self.outcome.note(about, &what, "move it here as it is there, if that is meant");
        }
        if here.foreign.as_ref().is_some_and(|foreign| !foreign.is_verified()) && !self.options.without_artifacts {
            self.location_of(there, (model, number), about)?;
            let pinned = self.registry.pin_foreign_version(model, number)?;
            changed |= pinned.foreign.is_some_and(|foreign| foreign.is_verified());
        }
        let counted = &mut self.outcome.versions;
        *(if changed { &mut counted.updated } else { &mut counted.unchanged }) += 1;
        Ok(())
    }

    /// Returns the folder with the files of a version here, and brings them if no run and no logged
    /// model has them.
    fn location_of(
        &mut self,
        there: &ModelVersion,
        (model, number): (&str, u32),
        about: &str,
    ) -> Result<String, ImportError> {
        let uri = match self.server.download_uri(&there.name, &there.version) {
            Ok(uri) => uri,
            Err(ClientError::Refused { .. }) => there.source.clone(),
            Err(error) => return Err(error.into()),
        };
        let of_owner = self.of_owner(&uri)?;
        if let Some(path) = of_owner.as_deref().and_then(proxied_path)
            && (self.options.without_artifacts || !self.registry.client_files(&path, None, 1)?.is_empty())
        {
            return Ok(format!("mlflow-artifacts:/{path}"));
        }
        let Some(from) = self.server.proxied_path(&uri) else { return Ok(uri) };
        // Beneath the experiment whose number is 0, so that its permissions hold.
        let path = format!("0/imported/{model}/{number}");
        if !self.options.without_artifacts {
            self.copy_files(&Folder::Proxied(from), &Into { about, path: &path, may_replace: true })?;
        }
        Ok(format!("mlflow-artifacts:/{path}"))
    }

    /// Returns the URI here of a folder of an imported run or logged model:
    /// `.../ID/artifacts/PATH`, `runs:/ID/PATH` or `models:/ID`.
    fn of_owner(&self, uri: &str) -> Result<Option<String>, ImportError> {
        let by_id = |rest: &str| {
            let (id, path) = rest.split_once('/').unwrap_or((rest, ""));
            format!("{id}/artifacts/{path}")
        };
        let followed = uri.strip_prefix("runs:/").or_else(|| uri.strip_prefix("models:/")).map(by_id);
        let uri = followed.as_deref().unwrap_or(uri);
        let parts: Vec<&str> = uri.trim_end_matches('/').split('/').collect();
        for (index, id) in parts.iter().enumerate() {
            if id.is_empty() || id.len() > 250 || parts.get(index + 1) != Some(&"artifacts") {
                continue;
            }
            let root = if let Some(known) = self.known(ImportedKind::Run, id)? {
                self.registry.run(&known.local).ok().map(|run| run.artifact_uri)
            } else if let Some(known) = self.known(ImportedKind::LoggedModel, id)? {
                self.registry.logged_model(&known.local).ok().map(|model| model.artifact_uri)
            } else {
                None
            };
            if let Some(root) = root {
                let rest = parts[index + 2..].iter().map(|part| format!("/{part}")).collect::<String>();
                return Ok(Some(format!("{}{rest}", root.trim_end_matches('/'))));
            }
        }
        Ok(None)
    }

    /// Sets the aliases that the model has not here. Returns whether there was one.
    fn aliases_of(&mut self, there: &RegisteredModel, model: &str, about: &str) -> Result<bool, ImportError> {
        let mut changed = false;
        for alias in &there.aliases {
            let Ok(number) = alias.version.parse::<u32>() else { continue };
            match self.registry.alias(model, &alias.alias)? {
                None => match self.registry.set_alias(model, &alias.alias, None, Some(number)) {
                    Ok(()) => {
                        self.outcome.aliases += 1;
                        changed = true;
                    }
                    Err(error) => self.refused(&format!("alias {}@{}", there.name, alias.alias), error)?,
                },
                Some(here) if here == number => {}
                Some(here) => {
                    let what = format!("the alias `{}` points to version {number} there and {here} here", alias.alias);
                    self.outcome.note(about, &what, "move it here as it is there, if that is meant");
                }
            }
        }
        Ok(changed)
    }
}
