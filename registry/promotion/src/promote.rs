//! Promotion from end to end: what the database intends, the destination gets; what the database says, the destination
//! points to.
//!
//! [`carry_out`] reads as the steps of `stagewright_store`'s promotions. A process that dies between two of them leaves
//! either an intent that the next one to open the registry undoes, or a pointer that [`repair`] derives anew. The old
//! champion is complete at the destination all the while.

use stagewright_store::{ArtifactKind, ArtifactStore, Home, ModelVersion, Promotion, Registry, StoreError};

use crate::destination::Destination;
use crate::error::PromotionError;
use crate::layout::pointer_key;
use crate::local_object::LocalObject;
use crate::pointer::Pointer;
use crate::store::Etag;
use crate::upload::{UploadReport, VersionUpload};

/// How often a pointer is derived anew when others move it at the same time.
const RACES: u32 = 20;

/// Why a promotion came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    /// The destination.
    #[error(transparent)]
    Destination(#[from] PromotionError),
    /// The registry, or an artifact.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The version is champion, and the destination does not know it yet.
    #[error(
        "version {version} of model `{model}` is champion, but `{destination}` does not point to it yet: {source}\nhint: the next run or promotion to there repairs it, or: stagewright models promote {model}@champion"
    )]
    Pointer {
        /// The model's name.
        model: String,
        /// The version.
        version: u32,
        /// Where it is not pointed to.
        destination: String,
        /// Why.
        source: Box<PromoteError>,
    },
    /// The version is champion and the destination knows it, but the registry does not know that.
    #[error(
        "version {version} of model `{model}` is champion and `{destination}` points to it, but the registry could not note that: {source}\nhint: the next run or promotion to there notes it, or: stagewright models promote {model}@champion"
    )]
    Unnoted {
        /// The model's name.
        model: String,
        /// The version.
        version: u32,
        /// Where it is pointed to.
        destination: String,
        /// Why.
        source: Box<StoreError>,
    },
    /// The registry failed so that nobody knows whether it made the version champion.
    #[error(
        "it is not known whether version {version} of model `{model}` became champion: {source}\nhint: `stagewright models show {model}` tells when the registry answers again; if it did not, promote it again"
    )]
    InDoubt {
        /// The model's name.
        model: String,
        /// The version.
        version: u32,
        /// What the registry said.
        source: Box<StoreError>,
    },
    /// The model is out of production, and the destination does not know it yet.
    #[error(
        "model `{model}` is retired, but `{destination}` still points to version {version}: {source}\nhint: the next run or promotion to there removes that pointer, or: stagewright models retire {model}"
    )]
    Withdrawal {
        /// The model's name.
        model: String,
        /// The version that was champion.
        version: u32,
        /// Where it is still pointed to.
        destination: String,
        /// Why.
        source: Box<PromoteError>,
    },
}

impl PromoteError {
    /// Returns whether the version is champion all the same, and only its destination or a note of
    /// the registry is late.
    pub fn is_champion(&self) -> bool {
        matches!(self, Self::Pointer { .. } | Self::Unnoted { .. })
    }
}

/// Carries an intended promotion out: uploads and verifies, makes the version champion, moves the pointer. `progress` is told
/// how many bytes of how many are there.
///
/// # Errors
/// See [`PromoteError`]. Where [`PromoteError::is_champion`] says so, the version is champion; after
/// [`PromoteError::InDoubt`] nobody knows; after every other error the champion is as it was, and the promotion undone.
pub fn carry_out(
    home: &Home,
    destination: &Destination,
    promotion: &Promotion,
    progress: &dyn Fn(u64, u64),
) -> Result<UploadReport, PromoteError> {
    let uploaded = upload(home, destination, promotion, progress).inspect_err(|error| {
        // What is told is why it failed; a registry that fails too undoes it when it is opened next.
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
/// [`PromoteError::Store`]: the champion is as it was. [`PromoteError::InDoubt`]: nobody knows.
fn complete(registry: &Registry, promotion: &Promotion) -> Result<(), PromoteError> {
    let Err(error) = registry.complete_promotion(&promotion.id) else { return Ok(()) };
    match registry.undo_promotion(&promotion.id, &error.to_string()) {
        // The change was made; what was lost is the word of it.
        Err(StoreError::PromotionEnded { state: "current" | "finished", .. }) => Ok(()),
        // Nothing has changed: it is undone now, or was already.
        Ok(()) | Err(StoreError::PromotionEnded { .. } | StoreError::NoPromotion { .. }) => Err(error.into()),
        Err(_) => {
            let (model, version) = (promotion.model.clone(), promotion.version);
            Err(PromoteError::InDoubt { model, version, source: Box::new(error) })
        }
    }
}

/// Removes the pointer of a model that is retired ([`Registry::retire_model`]).
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

/// Moves the pointers of promotions to this destination that were never finished: after a crash, or where the store did not
/// answer. The models whose pointers were derived anew.
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
    // Told before anything is sent, while the champion is as it was.
    if let Some((Some(pointer), _)) = standing(destination, &promotion.model)? {
        refuse_foreign(&home.registry, destination, &pointer)?;
    }
    let version = home.registry.version(&promotion.model, promotion.version)?;
    Ok(destination.upload(&version_upload(&home.artifacts, &version)?, progress)?)
}

/// Makes the destination point to whoever is champion now, or to nobody if the model is retired.
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
            // Somebody else moved it: to the champion of that moment, or of this one.
            Err(PromoteError::Destination(PromotionError::LostRace { .. })) if races < RACES => races += 1,
            // It may have become another's turn while ours was on its way.
            Ok(true) if self::champion(registry, model)? != Some(champion) && races < RACES => races += 1,
            pointed => return pointed.map(drop),
        }
    }
}

/// Who is champion of a model, if anybody is; `None` of a model that was deleted or renamed meanwhile.
fn champion(registry: &Registry, model: &str) -> Result<Option<Option<u32>>, StoreError> {
    match registry.model(model) {
        Ok(model) => Ok(Some(model.champion)),
        Err(StoreError::NoModel { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Points to this version, or to none; whether that changed anything.
fn point_to(
    registry: &Registry,
    artifacts: &ArtifactStore,
    destination: &Destination,
    model: &str,
    champion: Option<u32>,
) -> Result<bool, PromoteError> {
    let there = standing(destination, model)?;
    let refuse_foreign = || match &there {
        Some((Some(pointer), _)) => refuse_foreign(registry, destination, pointer),
        _ => Ok(()),
    };
    let Some(champion) = champion else {
        if there.is_some() {
            refuse_foreign()?;
            // Stores know no conditional removal: whoever points there meanwhile is found by the look at the champion after it.
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

/// Returns a pointer names the head of the audit of the registry that moved it: one that is not in
/// our chain is another's.
fn refuse_foreign(registry: &Registry, destination: &Destination, pointer: &Pointer) -> Result<(), PromoteError> {
    if registry.audit_contains(&pointer.audit)? {
        return Ok(());
    }
    let (uri, model) = (destination.uri().to_owned(), pointer.model.clone());
    Err(PromotionError::OtherRegistry { uri, model, version: pointer.version }.into())
}

/// Returns the pointer as it stands, and what names its content. One that is damaged is none, and
/// is written over.
fn standing(destination: &Destination, model: &str) -> Result<Option<(Option<Pointer>, Etag)>, PromotionError> {
    match destination.pointer(model) {
        Ok(there) => Ok(there.map(|(pointer, etag)| (Some(pointer), etag))),
        Err(PromotionError::Damaged { .. }) => {
            Ok(destination.store.get(&pointer_key(model)?)?.map(|(_, etag)| (None, etag)))
        }
        Err(error) => Err(error),
    }
}

/// What a version is made of at a destination. Its manifest holds nothing that changes once it can be written, so that writing
/// it again writes the same bytes: its metrics are those of the first verdict, whatever later ones say.
///
/// # Errors
/// [`PromotionError::Unmeasured`] of a version that nobody judged yet, [`PromotionError::BadManifest`] of one that lists
/// nothing that predictions need or that JSON cannot hold, [`StoreError::Missing`] if an artifact
/// is missing.
pub fn version_upload(artifacts: &ArtifactStore, version: &ModelVersion) -> Result<VersionUpload, PromoteError> {
    let refuse =
        |problem| PromotionError::BadManifest { model: version.model.clone(), version: version.version, problem };
    if !version.references.iter().any(|reference| reference.needed) {
        return Err(refuse("it lists nothing that predictions need".to_owned()).into());
    }
    let Some(metrics) = &version.published_metrics else {
        let (model, version) = (version.model.clone(), version.version);
        return Err(PromotionError::Unmeasured { model, version }.into());
    };
    let mut objects: Vec<LocalObject> = Vec::new();
    let mut listed = Vec::new();
    for reference in version.references.iter().filter(|reference| reference.needed) {
        let path = artifacts.bring(reference.kind, &reference.digest)?;
        let metadata = std::fs::metadata(&path);
        let size = metadata.map_err(|source| StoreError::Io { action: "look at", path: path.clone(), source })?.len();
        let media_type =
            if reference.kind == ArtifactKind::Document { "application/json" } else { "application/octet-stream" };
        listed.push(serde_json::json!({
            "role": reference.role, "digest": reference.digest, "size": size, "media_type": media_type,
        }));
        if !objects.iter().any(|object| object.digest == reference.digest) {
            objects.push(LocalObject { digest: reference.digest, path, size });
        }
    }
    let manifest = serde_json::json!({
        "format": 1,
        "model": version.model,
        "version": version.version,
        "semantic_version": version.semantic_version,
        "run_id": version.run_id,
        "created_ms": version.created_ms,
        "metrics": metrics.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "parameters": version.parameters.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "contents": version.contents,
        "objects": listed,
    });
    let mut manifest = serde_json::to_vec_pretty(&manifest).map_err(|error| refuse(error.to_string()))?;
    manifest.push(b'\n');
    Ok(VersionUpload { model: version.model.clone(), version: version.version, objects, manifest })
}
