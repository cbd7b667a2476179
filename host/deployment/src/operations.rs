//! The operations of people: start, advance and abort a deployment, on the registry.
//!
//! The command line and the servers call these, so that a deployment is the same whoever runs it.
//! A promotion is left to the caller, which knows the production location.

use serde_json::Value as Json;
use stagewright_store::{
    CHAMPION, Deployment, DeploymentError, DeploymentStatus, JudgedAgainst, Registry, StoreError, Verdict,
};

use crate::decision::{Move, next_move};
use crate::error::OperationError;
use crate::observed::Observed;
use crate::plan::{Ab, Plan};
use crate::request::{VersionName, plan_of_request, unknown};
use crate::view::observe;

/// How often an end is tried again if a server changes the deployment meanwhile.
const MAX_RACES: u32 = 20;

/// A candidate that is to be promoted by the ordinary promotion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The model's name.
    pub model: String,
    /// The version.
    pub version: u32,
    /// The champion that it replaces. If another one is champion, the promotion must fail.
    pub champion: u32,
    /// The number of the deployment.
    pub number: u32,
    /// The reason, for the audit.
    pub reason: String,
}

/// Starts a deployment beside the champion. `request` is a plan as people write it: the keys of
/// [`Plan`] with its `strategy`, where versions may be semantic (`"v1.2.3"`).
///
/// # Errors
/// [`OperationError::Plan`]; [`OperationError::NoChampion`],
/// [`OperationError::CandidateIsChampion`], [`OperationError::ControlIsNotChampion`];
/// [`StoreError::NotApproved`] or [`StoreError::StaleVerdict`] if the candidate could not be
/// promoted; those of [`Registry::start_deployment`].
pub fn start(registry: &Registry, model: &str, request: &Json, reason: &str) -> Result<Deployment, OperationError> {
    let plan = check(registry, model, request)?;
    let champion = approved(registry, model, &plan)?;
    Ok(registry.start_deployment(model, &plan.new_deployment(champion, reason)?)?)
}

/// Reads a request to start a deployment, with the versions that it names.
///
/// # Errors
/// [`OperationError::Plan`]; [`StoreError::NoModel`], [`StoreError::NoVersion`] or another
/// [`StoreError`].
pub fn check(registry: &Registry, model: &str, request: &Json) -> Result<Plan, OperationError> {
    registry.model(model)?;
    let mut plan = plan_of_request(request, &|name, field| find(registry, model, name, field))?;
    let version = registry.version(model, plan.candidate())?;
    let (classes, positive) = classes(&version.contents);
    plan.take_label(&classes, positive)?;
    Ok(plan)
}

/// Returns the classes that a version predicts, and the positive one of a binary task. Empty for a
/// regression.
fn classes(contents: &Json) -> (Vec<&str>, Option<&str>) {
    let task = |name: &str| contents.pointer(&format!("/task/{name}"));
    let (negative, positive) = (task("negative").and_then(Json::as_str), task("positive").and_then(Json::as_str));
    let many = task("classes").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
    (negative.into_iter().chain(positive).chain(many).collect(), positive)
}

/// Checks that the candidate of a plan may be promoted over the present champion, which is
/// returned.
fn approved(registry: &Registry, model: &str, plan: &Plan) -> Result<u32, OperationError> {
    let (model_name, candidate) = (|| model.to_owned(), plan.candidate());
    let version = registry.version(model, candidate)?;
    version.check_runnable()?;
    let Some(champion) = registry.alias(model, CHAMPION)? else {
        return Err(OperationError::NoChampion { model: model_name(), candidate });
    };
    if candidate == champion {
        return Err(OperationError::CandidateIsChampion { model: model_name(), version: candidate });
    }
    if let Plan::Ab(Ab { variants, .. }) = plan
        && variants.control.model_version != champion
    {
        let control = variants.control.model_version;
        return Err(OperationError::ControlIsNotChampion { model: model_name(), control, champion });
    }
    if version.verdict != Some(Verdict::Approved) {
        let state = version.verdict.map_or("not judged", Verdict::name).to_owned();
        let refused =
            StoreError::NotApproved { model: model_name(), version: candidate, alias: CHAMPION.to_owned(), state };
        return Err(refused.into());
    }
    let judged_against = version.judged_against.unwrap_or(JudgedAgainst::Unknown);
    if judged_against != JudgedAgainst::Champion(champion) {
        let (version, champion) = (candidate, Some(champion));
        return Err(StoreError::StaleVerdict { model: model_name(), version, judged_against, champion }.into());
    }
    Ok(champion)
}

/// Returns the number of a version that is named by a text.
fn find(registry: &Registry, model: &str, name: &VersionName, field: &str) -> Result<u32, OperationError> {
    let found = match name {
        VersionName::Number(number) => Some(registry.version(model, *number)?.version),
        VersionName::Semantic(text) => {
            let versions = registry.versions(model)?;
            versions.iter().find(|it| it.semantic_version.as_deref() == Some(text)).map(|it| it.version)
        }
        VersionName::Alias(alias) => registry.alias(model, alias)?,
    };
    found.ok_or_else(|| unknown(field, model, name).into())
}

/// Makes the next step of the active deployment: the next share, the switch, or the end. Where the
/// end is a promotion, `promote` carries it out. An empty `reason` gets a text.
///
/// # Errors
/// Those of [`next_move`], of `promote`, and of the registry: [`DeploymentError::NoneActive`],
/// [`DeploymentError::Changed`].
pub fn advance<E: From<OperationError>>(
    registry: &Registry,
    model: &str,
    reason: &str,
    now_ms: i64,
    promote: impl FnOnce(&Candidate) -> Result<(), E>,
) -> Result<Deployment, E> {
    let store = |error: StoreError| E::from(error.into());
    registry.model(model).map_err(store)?;
    let active = registry.active_deployment(model).map_err(store)?;
    let Some(deployment) = active else {
        return Err(store(DeploymentError::NoneActive { model: model.to_owned() }.into()));
    };
    let plan = Plan::of(&deployment).map_err(|error| E::from(error.into()))?;
    let (counts, outcomes) = observe(registry, &deployment, &plan).map_err(store)?;
    let champion = registry.alias(model, CHAMPION).map_err(store)?;
    let observed = Observed { champion, counts: &counts, outcomes: &outcomes, now_ms };
    match next_move(&deployment, &plan, &observed, reason).map_err(E::from)? {
        Move::Step(step) => registry.advance_deployment(model, deployment.at(), &step).map_err(store),
        Move::Finish { reason } => finish_promoted(registry, model, deployment.number, &reason).map_err(store),
        Move::Promote { reason } => {
            if let Err(error) = promote(&candidate(&deployment, &plan, reason.clone())) {
                // A server that promotes it at the same time may have been faster.
                let champion = registry.alias(model, CHAMPION).map_err(store)?;
                if champion != Some(plan.candidate()) {
                    return Err(error);
                }
            }
            finish_promoted(registry, model, deployment.number, &reason).map_err(store)
        }
    }
}

/// Returns the candidate of a deployment, to promote it.
pub fn candidate(deployment: &Deployment, plan: &Plan, reason: String) -> Candidate {
    Candidate {
        model: deployment.model.clone(),
        version: plan.candidate(),
        champion: deployment.arms.first().map_or(0, |arm| arm.version),
        number: deployment.number,
        reason,
    }
}

/// Finishes a deployment that has reached its end, whatever a server notes in it meanwhile. Whoever
/// sees the end first does it, so that it may have ended already.
///
/// # Errors
/// [`StoreError`] of the registry.
pub fn finish_promoted(registry: &Registry, model: &str, number: u32, reason: &str) -> Result<Deployment, StoreError> {
    let mut races = 0;
    loop {
        let deployment = registry.deployment(model, number)?;
        if deployment.status != DeploymentStatus::Active {
            return Ok(deployment);
        }
        match registry.finish_deployment(model, Some(deployment.at()), reason) {
            Err(StoreError::Deployment(DeploymentError::Changed { .. } | DeploymentError::Ended { .. }))
                if races < MAX_RACES =>
            {
                races += 1;
            }
            finished => return finished,
        }
    }
}

/// Ends the active deployment: the champion answers everything again. If the candidate is champion
/// already, there is nothing to give up, and the deployment is finished.
///
/// # Errors
/// [`DeploymentError::NoneActive`], or another [`StoreError`].
pub fn abort(registry: &Registry, model: &str, reason: &str) -> Result<Deployment, StoreError> {
    if let Some(deployment) = registry.active_deployment(model)?
        && let Some(candidate) = deployment.arms.last().map(|arm| arm.version)
        && registry.alias(model, CHAMPION)? == Some(candidate)
    {
        let reason = format!("version {candidate} is champion");
        return finish_promoted(registry, model, deployment.number, &reason);
    }
    registry.abort_deployment(model, None, reason)
}
