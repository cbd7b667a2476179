//! Promotion from end to end, between the registry and a destination.
//!
//! [`carry_out`] reads as the steps of `stagewright_store`'s promotions. A process that dies
//! between two of them leaves either an intent, which the next process to open the registry undoes,
//! or an outdated pointer, which [`repair`] derives again from the registry. All the while, the old
//! champion is complete at the destination.

use stagewright_store::{
    ArtifactStore, Home, ModelVersion, Promotion, Registry, StoreError, VersionManifest, VersionObject,
};

use crate::destination::Destination;
use crate::error::PromotionError;
use crate::layout::pointer_key;
use crate::local_object::LocalObject;
use crate::pointer::Pointer;
use crate::store::Etag;
use crate::upload::{UploadReport, VersionUpload};

/// How often a pointer is derived again if others move it at the same time.
const MAX_RACES: u32 = 20;

/// An error of a promotion.
#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    /// The destination failed.
    #[error(transparent)]
    Destination(#[from] PromotionError),
    /// The registry, or an artifact, failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The version is champion, but the destination does not point to it yet.
    #[error(
        "version {version} of model `{model}` is champion, but `{destination}` does not point to it yet: {source}\nhint: the next run or promotion to there repairs it, or: stagewright models promote {model}@champion"
    )]
    Pointer {
        /// The model's name.
        model: String,
        /// The version.
        version: u32,
        /// The destination.
        destination: String,
        /// The error.
        source: Box<PromoteError>,
    },
    /// The version is champion and the destination points to it, but the registry has not recorded
    /// that.
    #[error(
        "version {version} of model `{model}` is champion and `{destination}` points to it, but the registry could not note that: {source}\nhint: the next run or promotion to there notes it, or: stagewright models promote {model}@champion"
    )]
    Unnoted {
        /// The model's name.
        model: String,
        /// The version.
        version: u32,
        /// The destination.
        destination: String,
        /// The error.
        source: Box<StoreError>,
    },
    /// The registry failed, so that it is unknown whether it made the version champion.
    #[error(
        "it is not known whether version {version} of model `{model}` became champion: {source}\nhint: `stagewright models show {model}` tells when the registry answers again; if it did not, promote it again"
    )]
    InDoubt {
        /// The model's name.
        model: String,
        /// The version.
        version: u32,
        /// The registry's error.
        source: Box<StoreError>,
    },
    /// The model is retired, but the destination still points to its version.
    #[error(
        "model `{model}` is retired, but `{destination}` still points to version {version}: {source}\nhint: the next run or promotion to there removes that pointer, or: stagewright models retire {model}"
    )]
    Withdrawal {
        /// The model's name.
        model: String,
        /// The version that was champion.
        version: u32,
        /// The destination.
        destination: String,
        /// The error.
        source: Box<PromoteError>,
    },
}

impl PromoteError {
    /// Returns whether the version is champion in spite of the error, with only its destination or
    /// a record of the registry outdated.
    pub fn is_champion(&self) -> bool {
        matches!(self, Self::Pointer { .. } | Self::Unnoted { .. })
    }
}

/// Carries out an intended promotion: uploads and verifies the version, makes it champion, moves
/// the pointer. `progress` is called with the bytes that have been sent and the total.
///
/// # Errors
/// If [`PromoteError::is_champion`] returns true, the version is champion. After
/// [`PromoteError::InDoubt`], that is unknown. After every other error, the champion has not
/// changed and the promotion is undone.
pub fn carry_out(
    home: &Home,
    destination: &Destination,
    promotion: &Promotion,
    progress: &dyn Fn(u64, u64),
) -> Result<UploadReport, PromoteError> {
    let uploaded = upload(home, destination, promotion, progress).inspect_err(|error| {
        // The first error is the one to return. If the registry fails too, the next process to open
        // it undoes the promotion.
        let _ = home.registry.undo_promotion(&promotion.id, &error.to_string());
    })?;
    complete(&home.registry, promotion)?;
    let (model, version, uri) = (promotion.model.clone(), promotion.version, destination.uri().to_owned());
    match point(&home.registry, &home.artifacts, destination, &promotion.model) {
        Ok(()) => {}
        Err(source) => {
            return Err(PromoteError::Pointer { model, version, destination: uri, source: Box::new(source) });
        }
    }
    home.registry.finish_promotion(&promotion.id).map_err(|source| {
        let source = Box::new(source);
        PromoteError::Unnoted { model, version, destination: uri, source }
    })?;
    Ok(uploaded)
}

/// Makes the version of an intended promotion champion, or undoes the promotion.
///
/// # Errors
/// [`PromoteError::Store`]: the champion has not changed. [`PromoteError::InDoubt`]: that is
/// unknown.
fn complete(registry: &Registry, promotion: &Promotion) -> Result<(), PromoteError> {
    let Err(error) = registry.complete_promotion(&promotion.id) else { return Ok(()) };
    match registry.undo_promotion(&promotion.id, &error.to_string()) {
        // The change was made and only its reply was lost.
        Err(StoreError::PromotionEnded { state: "current" | "finished", .. }) => Ok(()),
        // Nothing has changed: it is undone now, or was before.
        Ok(()) | Err(StoreError::PromotionEnded { .. } | StoreError::NoPromotion { .. }) => Err(error.into()),
        Err(_) => {
            let (model, version) = (promotion.model.clone(), promotion.version);
            Err(PromoteError::InDoubt { model, version, source: Box::new(error) })
        }
    }
}

/// Removes the pointer of a retired model ([`Registry::retire_model`]).
///
/// # Errors
/// [`PromoteError::Withdrawal`]; the model is retired all the same.
pub fn withdraw(home: &Home, destination: &Destination, retirement: &Promotion) -> Result<(), PromoteError> {
    let work = || {
        point(&home.registry, &home.artifacts, destination, &retirement.model)?;
        Ok(home.registry.finish_promotion(&retirement.id)?)
    };
    work().map_err(|source| PromoteError::Withdrawal {
        model: retirement.model.clone(),
        version: retirement.version,
        destination: destination.uri().to_owned(),
        source: Box::new(source),
    })
}

/// Moves the pointers of unfinished promotions to this destination, after a crash or a failure of
/// the store. Returns the models whose pointers were derived again.
///
/// # Errors
/// The first that occurs.
pub fn repair(home: &Home, destination: &Destination) -> Result<Vec<String>, PromoteError> {
    destination.store.sweep()?;
    let mut repaired = Vec::new();
    for promotion in home.registry.unfinished_promotions()? {
        if promotion.destination == destination.uri() && !repaired.contains(&promotion.model) {
            point(&home.registry, &home.artifacts, destination, &promotion.model)?;
            home.registry.finish_promotion(&promotion.id)?;
            repaired.push(promotion.model);
        }
    }
    Ok(repaired)
}

fn upload(
    home: &Home,
    destination: &Destination,
    promotion: &Promotion,
    progress: &dyn Fn(u64, u64),
) -> Result<UploadReport, PromoteError> {
    // Checked before anything is sent, while the champion has not changed.
    if let Some((Some(pointer), _)) = current_pointer(destination, &promotion.model)? {
        refuse_foreign(&home.registry, destination, &pointer)?;
    }
    let version = home.registry.version(&promotion.model, promotion.version)?;
    Ok(destination.upload(&version_upload(&home.artifacts, &version)?, progress)?)
}

/// Makes the destination point to the current champion, or to none if the model is retired.
fn point(
    registry: &Registry,
    artifacts: &ArtifactStore,
    destination: &Destination,
    model: &str,
) -> Result<(), PromoteError> {
    let mut races = 0;
    loop {
        let Some(champion) = champion(registry, model)? else { return Ok(()) };
        match point_to(registry, artifacts, destination, model, champion) {
            // Another process moved it: to the champion of that time, or to the current one.
            Err(PromoteError::Destination(PromotionError::LostRace { .. })) if races < MAX_RACES => races += 1,
            // Another version may have become champion while this pointer was written.
            Ok(true) if self::champion(registry, model)? != Some(champion) && races < MAX_RACES => races += 1,
            pointed => return pointed.map(drop),
        }
    }
}

/// Returns the champion of a model, if it has one; `None` if the model was deleted or renamed
/// meanwhile.
fn champion(registry: &Registry, model: &str) -> Result<Option<Option<u32>>, StoreError> {
    match registry.model(model) {
        Ok(model) => Ok(Some(model.champion)),
        Err(StoreError::NoModel { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Points to this version, or to none. Returns whether that changed anything.
fn point_to(
    registry: &Registry,
    artifacts: &ArtifactStore,
    destination: &Destination,
    model: &str,
    champion: Option<u32>,
) -> Result<bool, PromoteError> {
    let there = current_pointer(destination, model)?;
    let refuse_foreign = || match &there {
        Some((Some(pointer), _)) => refuse_foreign(registry, destination, pointer),
        _ => Ok(()),
    };
    let Some(champion) = champion else {
        if there.is_some() {
            refuse_foreign()?;
            // Stores have no conditional removal. The check of the champion after this finds a
            // pointer that was moved meanwhile.
            destination.store.delete(&pointer_key(model)?)?;
        }
        return Ok(there.is_some());
    };
    let version = registry.version(model, champion)?;
    let manifest = stagewright_store::Digest::of(&version_upload(artifacts, &version)?.manifest);
    let points = |it: &Pointer| it.version == champion && it.manifest == manifest;
    if there.as_ref().is_some_and(|(it, _)| it.as_ref().is_some_and(points)) {
        return Ok(false);
    }
    refuse_foreign()?;
    let promotion = registry.promotion_of(model, champion)?.map_or_else(String::new, |it| it.id);
    let moved_at = jiff::Timestamp::now().to_string();
    let new = Pointer::new(model, champion, manifest, promotion, registry.audit_head()?, moved_at);
    destination.point(model, there.as_ref().map(|(_, etag)| etag), &new)?;
    Ok(true)
}

/// Refuses a pointer that another registry moved. A pointer names the head of its registry's audit,
/// so that a head which is not in this chain is another's.
fn refuse_foreign(registry: &Registry, destination: &Destination, pointer: &Pointer) -> Result<(), PromoteError> {
    if registry.audit_contains(&pointer.audit)? {
        return Ok(());
    }
    let (uri, model) = (destination.uri().to_owned(), pointer.model.clone());
    Err(PromotionError::OtherRegistry { uri, model, version: pointer.version }.into())
}

/// Returns the pointer and its etag. A damaged pointer is returned as none, and will be
/// overwritten.
fn current_pointer(destination: &Destination, model: &str) -> Result<Option<(Option<Pointer>, Etag)>, PromotionError> {
    match destination.pointer(model) {
        Ok(there) => Ok(there.map(|(pointer, etag)| (Some(pointer), etag))),
        Err(PromotionError::Damaged { .. }) => {
            Ok(destination.store.get(&pointer_key(model)?)?.map(|(_, etag)| (None, etag)))
        }
        Err(error) => Err(error),
    }
}

/// Returns the files and the manifest of a version. The manifest holds nothing that can change once
/// it can be written, so that writing it again writes the same bytes: its metrics are those of the
/// first verdict, whatever later ones say.
///
/// # Errors
/// [`PromotionError::Unmeasured`] if the version was not judged yet,
/// [`PromotionError::BadManifest`] if predictions need no artifact of it,
/// [`StoreError::Missing`] if an artifact is missing.
pub fn version_upload(artifacts: &ArtifactStore, version: &ModelVersion) -> Result<VersionUpload, PromoteError> {
    let refuse =
        |problem| PromotionError::BadManifest { model: version.model.clone(), version: version.version, problem };
    if !version.references.iter().any(|reference| reference.needed) {
        return Err(refuse("it lists nothing that predictions need".to_owned()).into());
    }
    if version.published_metrics.is_none() {
        let (model, version) = (version.model.clone(), version.version);
        return Err(PromotionError::Unmeasured { model, version }.into());
    }
    let manifest = VersionManifest::of(artifacts, version)?;
    let mut objects: Vec<LocalObject> = Vec::new();
    for VersionObject { digest, path, size, .. } in manifest.objects {
        if !objects.iter().any(|object| object.digest == digest) {
            objects.push(LocalObject { digest, path, size });
        }
    }
    let manifest = manifest.bytes;
    Ok(VersionUpload { model: version.model.clone(), version: version.version, objects, manifest })
}
