//! Changes that a page can ask for, and what each would do at this moment.

use serde::Serialize;
use stagewright_store::{CHAMPION, JudgedAgainst, LifecycleStage, Model, ModelVersion, StoreError, Verdict};

use crate::fault::Fault;
use crate::query::Query;
use crate::site::Site;

/// A change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Change {
    Promote,
    Rollback,
    Approve,
    Reject,
    Advance,
    Abort,
    Alias,
    RemoveAlias,
    Stage,
    Tag,
    RemoveTag,
    Describe,
}

impl Change {
    /// Those that need the right to decide, before those that need the right to edit.
    const ALL: [(&'static str, Self); 12] = [
        ("promote", Self::Promote),
        ("rollback", Self::Rollback),
        ("approve", Self::Approve),
        ("reject", Self::Reject),
        ("advance", Self::Advance),
        ("abort", Self::Abort),
        ("alias", Self::Alias),
        ("remove-alias", Self::RemoveAlias),
        ("stage", Self::Stage),
        ("tag", Self::Tag),
        ("remove-tag", Self::RemoveTag),
        ("describe", Self::Describe),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, change)| change)
    }

    /// Returns the name in forms and JSON.
    pub(super) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, change)| *change == self).map_or("", |(name, _)| name)
    }

    /// Returns whether it decides what is in production, or about a version.
    pub(super) const fn is_decision(self) -> bool {
        matches!(self, Self::Promote | Self::Rollback | Self::Approve | Self::Reject | Self::Advance | Self::Abort)
    }

    /// Returns whether a person must say why.
    pub(super) const fn needs_reason(self) -> bool {
        matches!(self, Self::Approve | Self::Reject | Self::Abort)
    }

    /// Returns whether the audit keeps a reason of it.
    pub(super) const fn takes_reason(self) -> bool {
        self.is_decision() || matches!(self, Self::Stage)
    }
}

/// The content of a form.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) change: Change,
    pub(super) version: Option<u32>,
    /// An alias or a tag.
    pub(super) key: String,
    /// The value of a tag, a description or a stage.
    pub(super) value: String,
    /// The state that the page showed, as [`Effects::state`] has it.
    pub(super) state: Option<String>,
    pub(super) reason: String,
}

impl Asked {
    /// # Errors
    /// The change is none of those, or the version is no number.
    pub(super) fn of(fields: &Query, is_decision: bool) -> Result<Self, Fault> {
        let change = fields.get("action").and_then(Change::named).filter(|change| change.is_decision() == is_decision);
        let change = change.ok_or_else(|| Fault::bad("There is no such action here."))?;
        let version = fields.get("version").map(str::parse).transpose();
        let version = version.map_err(|_| Fault::bad("A version is a number, such as 3."))?;
        let text = |name: &str| fields.get(name).unwrap_or_default().to_owned();
        // A reason is one line, as the reasons of gates are.
        let reason = text("reason").split_whitespace().collect::<Vec<_>>().join(" ");
        let reason = reason.chars().take(2_000).collect();
        let state = fields.get("state").map(str::to_owned);
        Ok(Self { change, version, key: text("key"), value: text("value"), state, reason })
    }

    /// Returns the version that it names.
    ///
    /// # Errors
    /// It names none.
    pub(super) fn version(&self) -> Result<u32, Fault> {
        self.version.ok_or_else(|| Fault::bad("Which version?"))
    }
}

/// The effects of a change at this moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Effects {
    /// The change, as a title.
    pub(super) title: String,
    /// Each effect in a sentence.
    pub(super) sentences: Vec<String>,
    /// The state that it starts from. The change is made only from this state.
    pub(super) state: String,
    /// Why it is not possible now.
    pub(super) refusal: Option<String>,
    /// The way out of that.
    pub(super) hint: Option<String>,
}

impl Effects {
    fn new(title: impl Into<String>, sentences: Vec<String>, state: impl Into<String>) -> Self {
        Self { title: title.into(), sentences, state: state.into(), ..Self::default() }
    }

    fn refused(self, refusal: Option<(String, String)>) -> Self {
        let (refusal, hint) = refusal.unzip();
        Self { refusal, hint: hint.filter(|hint| !hint.is_empty()), ..self }
    }
}

/// Returns the champion as a state: its number, or `none`.
pub(super) fn champion_state(champion: Option<u32>) -> String {
    champion.map_or_else(|| "none".to_owned(), |version| version.to_string())
}

/// Returns what a change of a model would do.
///
/// # Errors
/// It names what does not exist.
pub(super) fn effects(site: &Site<'_>, model: &Model, asked: &Asked) -> Result<Effects, Fault> {
    let name = model.name.as_str();
    let version = || -> Result<ModelVersion, Fault> { Ok(site.registry.version(name, asked.version()?)?) };
    match asked.change {
        Change::Promote => promotion(site, model, &version()?),
        Change::Rollback => rollback(site, model),
        Change::Approve => Ok(verdict(model, &version()?, Verdict::Approved)),
        Change::Reject => Ok(verdict(model, &version()?, Verdict::Rejected)),
        Change::Advance | Change::Abort => deployment(site, name, asked),
        Change::Alias => Ok(alias(model, &version()?, &asked.key)),
        Change::RemoveAlias => removed_alias(model, &asked.key),
        Change::Stage => stage(&version()?, &asked.value),
        Change::Tag | Change::RemoveTag => match asked.version {
            None => tag(name, &model.tags, asked),
            Some(number) => tag(&format!("version {number} of {name}"), &version()?.tags, asked),
        },
        Change::Describe => match asked.version {
            None => Ok(description(name, &model.description)),
            Some(number) => Ok(description(&format!("version {number} of {name}"), &version()?.description)),
        },
    }
}

fn of_client(model: &Model) -> Option<(String, String)> {
    model.is_foreign.then(|| {
        let text = "An MLflow client registered this model. Stagewright neither judges nor promotes it.";
        (text.to_owned(), "Move its versions to a stage, or point an alias to them.".to_owned())
    })
}

fn promotion(site: &Site<'_>, model: &Model, version: &ModelVersion) -> Result<Effects, Fault> {
    let (name, number) = (model.name.as_str(), version.version);
    let champion = super::parts::champion_of(model);
    let mut sentences = vec![format!("Version {number} becomes the champion of {name}: it is in production.")];
    sentences.extend(champion.map(|old| format!("Version {old}, which is in production now, is archived.")));
    let last = match champion {
        Some(champion) => site.registry.promotion_of(name, champion)?,
        None => site.registry.last_promotion(name)?,
    };
    // The name under which promotions to the home are recorded.
    let is_in_home = |place: &String| place.is_empty() || place == "home:production";
    let place = last.map(|promotion| promotion.destination).filter(|place| !is_in_home(place));
    let place = place.unwrap_or_else(|| "the production folder of the home".to_owned());
    sentences.push(format!("Its files are copied to {place} and compared there, and then the pointer moves to it."));
    sentences.push("Servers that follow the champion load it.".to_owned());
    let effects = Effects::new(format!("Promote version {number} of {name}"), sentences, champion_state(champion));
    Ok(effects.refused(of_client(model).or_else(|| unapproved(version, champion))))
}

/// Returns why a version may not become champion, and the way out of that; `None` if it may.
pub(super) fn unapproved(version: &ModelVersion, champion: Option<u32>) -> Option<(String, String)> {
    let number = version.version;
    if champion == Some(number) {
        return Some((format!("Version {number} is the champion already."), String::new()));
    }
    let reason = version.reason.as_deref().unwrap_or("no reason was given");
    match version.verdict {
        None => Some((
            format!("Version {number} was not judged yet."),
            "Run its gates with `stagewright gate`, or approve it with a reason.".to_owned(),
        )),
        Some(verdict) if verdict != Verdict::Approved => Some((
            format!("Version {number} is {verdict}: {reason}."),
            "Only an approved version is promoted. A person may approve it, by name and with a reason.".to_owned(),
        )),
        Some(_) => {
            let against = version.judged_against.unwrap_or(JudgedAgainst::Unknown);
            (against != JudgedAgainst::from(champion)).then(|| {
                let now = champion.map_or_else(
                    || "there is no champion now".to_owned(),
                    |it| format!("version {it} is the champion now"),
                );
                (
                    format!("Version {number} was approved against {against}, and {now}."),
                    format!(
                        "Judge it again: `stagewright gate {}/{number} --promote`, or approve it with a reason.",
                        version.model
                    ),
                )
            })
        }
    }
}

fn rollback(site: &Site<'_>, model: &Model) -> Result<Effects, Fault> {
    let name = model.name.as_str();
    let champion = super::parts::champion_of(model);
    let target = match site.registry.rollback_target(name) {
        Ok(target) => target,
        Err(StoreError::NoArchivedVersion { .. }) => {
            let refusal =
                ("There is no version to go back to: no other version was champion.".to_owned(), String::new());
            return Ok(Effects::new(format!("Roll back {name}"), Vec::new(), "none").refused(Some(refusal)));
        }
        Err(error) => return Err(error.into()),
    };
    let mut sentences = vec![format!("Version {target} is in production again.")];
    if let Some(old) = champion {
        sentences
            .push(format!("Version {old}, which is in production now, is archived and marked as rolled back from."));
        sentences.push(format!("Version {old} has to be judged again before it can be promoted."));
    }
    let effects = Effects::new(format!("Roll back {name} to version {target}"), sentences, target.to_string());
    Ok(effects.refused(of_client(model)))
}

fn verdict(model: &Model, version: &ModelVersion, verdict: Verdict) -> Effects {
    let (name, number) = (model.name.as_str(), version.version);
    let champion = super::parts::champion_of(model);
    let against = JudgedAgainst::from(champion);
    let mut sentences = vec![format!(
        "A person's verdict is recorded: version {number} is {verdict}, against {against}, in your name."
    )];
    match version.verdict {
        Some(old) => sentences.push(format!(
            "It counts instead of the last one ({old}: {}), which stays on record.",
            version.reason.as_deref().unwrap_or("no reason")
        )),
        None => sentences.push("It is the first verdict about this version.".to_owned()),
    }
    if verdict == Verdict::Approved {
        sentences.push("The version can then be promoted, whatever the gates said. The model card says so.".to_owned());
    }
    let title = if verdict == Verdict::Approved { "Approve" } else { "Reject" };
    let effects = Effects::new(format!("{title} version {number} of {name}"), sentences, champion_state(champion));
    let is_champion = || {
        (champion == Some(number)).then(|| {
            let hint = "Promote another version, or roll back.".to_owned();
            (format!("Version {number} is the champion, and is not judged against itself."), hint)
        })
    };
    effects.refused(of_client(model).or_else(is_champion))
}

fn deployment(site: &Site<'_>, name: &str, asked: &Asked) -> Result<Effects, Fault> {
    let is_abort = asked.change == Change::Abort;
    let title = if is_abort { "Give up the deployment of" } else { "Advance the deployment of" };
    let title = format!("{title} {name}");
    let Some(active) = site.registry.active_deployment(name)? else {
        let refusal = ("No deployment of this model is under way.".to_owned(), String::new());
        return Ok(Effects::new(title, Vec::new(), "none").refused(Some(refusal)));
    };
    let view = stagewright_deployment::status(site.registry, &active, super::parts::now_ms())?;
    let arms = view
        .arms
        .iter()
        .map(|arm| format!("{} (version {}) {}", arm.name, arm.version, stagewright_deployment::percent(arm.share)));
    let arms = arms.collect::<Vec<_>>().join(", ");
    let mut sentences = vec![format!("Deployment {} is {} at step {}: {arms}.", view.number, view.strategy, view.step)];
    if is_abort {
        sentences.push("It ends now, and the champion answers everything again.".to_owned());
    } else {
        sentences.push(
            "It makes its next step now, whether or not its time has come. The last step is a promotion.".to_owned(),
        );
        sentences.extend(view.next.map(|next| format!("What its plan says now: {}: {}.", next.action, next.reason)));
    }
    Ok(Effects::new(title, sentences, format!("{}.{}", active.number, active.step)))
}

fn alias(model: &Model, version: &ModelVersion, alias: &str) -> Effects {
    let (name, number) = (model.name.as_str(), version.version);
    let now = model.aliases.iter().find(|(known, _)| known == alias).map(|(_, version)| *version);
    let sentence = match now {
        Some(old) => {
            format!("The alias “{alias}” of {name} points to version {old} now. It will point to version {number}.")
        }
        None => format!("The alias “{alias}” of {name} is new. It will point to version {number}."),
    };
    let effects = Effects::new(format!("Point “{alias}” to version {number}"), vec![sentence], champion_state(now));
    let refusal = if alias == CHAMPION && !model.is_foreign {
        let text = "The champion is the version in production.".to_owned();
        Some((text, "Promote the version instead.".to_owned()))
    } else if version.verdict == Some(Verdict::Rejected) {
        let reason = version.reason.as_deref().unwrap_or_default();
        Some((format!("Version {number} was rejected: {reason}. No alias is pointed to it."), String::new()))
    } else {
        None
    };
    effects.refused(refusal)
}

fn removed_alias(model: &Model, alias: &str) -> Result<Effects, Fault> {
    let now = model.aliases.iter().find(|(known, _)| known == alias).map(|(_, version)| *version);
    let Some(now) = now else { return Err(Fault::missing("The model has no such alias.")) };
    let sentence = format!("The alias “{alias}”, which points to version {now} of {}, is removed.", model.name);
    Ok(Effects::new(format!("Remove “{alias}”"), vec![sentence], now.to_string()))
}

fn stage(version: &ModelVersion, to: &str) -> Result<Effects, Fault> {
    let (name, number) = (&version.model, version.version);
    let to: LifecycleStage = to.parse().map_err(|_: StoreError| Fault::bad("There is no such stage."))?;
    let sentence = format!("Version {number} of {name} moves from {} to {to}.", version.stage);
    let effects =
        Effects::new(format!("Move version {number} of {name} to {to}"), vec![sentence], version.stage.to_string());
    let refusal = match (&version.foreign, version.stage, to) {
        (None, _, LifecycleStage::Production) => {
            Some(("A pipeline's version comes to production by a promotion.".to_owned(), "Promote it.".to_owned()))
        }
        (None, LifecycleStage::Production, _) => Some((
            format!("Version {number} is in production, and leaves it when another is promoted."),
            "Promote another version, or roll back.".to_owned(),
        )),
        _ => None,
    };
    Ok(effects.refused(refusal))
}

fn tag(of: &str, tags: &[(String, String)], asked: &Asked) -> Result<Effects, Fault> {
    let Asked { key, value, .. } = asked;
    let old = tags.iter().find(|(known, _)| known == key).map(|(_, old)| old.as_str());
    let is_removal = asked.change == Change::RemoveTag;
    let sentence = match (old, is_removal) {
        (Some(old), true) => format!("The tag “{key}” = “{old}” of {of} is removed."),
        (None, true) => return Err(Fault::missing("There is no such tag.")),
        (Some(old), false) => format!("The tag “{key}” of {of} is “{old}” now. It will be “{value}”."),
        (None, false) => format!("The tag “{key}” of {of} is new. It will be “{value}”."),
    };
    let title = if is_removal { format!("Remove the tag “{key}”") } else { format!("Set the tag “{key}”") };
    Ok(Effects::new(title, vec![sentence], old.map_or_else(|| "none".to_owned(), |old| format!("={old}"))))
}

fn description(of: &str, old: &str) -> Effects {
    let sentence = if old.is_empty() {
        format!("The description of {of} is empty now.")
    } else {
        format!("The description of {of} is replaced. It is now: {old}")
    };
    Effects::new(format!("Describe {of}"), vec![sentence], format!("={old}"))
}
