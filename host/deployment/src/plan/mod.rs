//! Plans: what a deployment does, from its start to its end.
//!
//! A plan is the `configuration` of a deployment in the registry: a JSON object with the name of
//! its strategy in `strategy`. It never changes after the start. An unknown field is refused,
//! because a bound with a mistyped name would guard nothing.

mod ab;
mod guard;
mod key;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use stagewright_store::{Deployment, DeploymentArm, DeploymentStrategy, NewDeployment};

pub use self::ab::{Ab, Metric, Metrics, Variant, Variants};
pub use self::guard::{Better, DEFAULT_POSITIVE, Guard, OutcomeBound, OutcomeFigure};
pub use self::key::{DEFAULT_KEY_HEADER, Key};
use crate::error::PlanError;
use crate::units::{Rate, Span};

/// The name of the champion's arm, which is the first.
pub const CONTROL: &str = "control";
/// The most steps of a canary.
const MAX_SHARES: usize = 100;
/// The longest step of a schedule: a year.
const MAX_INTERVAL_MS: u128 = 366 * 86_400_000;

/// The way of a deployment from its start to its end.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    /// All requests move to the candidate at once, and back at once if it fails.
    BlueGreen(BlueGreen),
    /// A growing share of the requests moves to the candidate.
    Canary(Canary),
    /// The candidate gets copies of requests. Nobody sees its answers.
    Shadow(Shadow),
    /// Two versions answer fixed shares until their outcomes can be compared.
    Ab(Ab),
}

/// All requests move at once. In step 0 the candidate is loaded and answers nothing; in step 1 it
/// answers everything, and the champion stays loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlueGreen {
    /// The candidate.
    pub version: u32,
    /// Bounds that the candidate must keep after the switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
}

/// A growing share of the requests moves to the candidate. The step is an index of `shares`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// The candidate.
    pub version: u32,
    /// The candidate's shares of the requests in percent, step by step: rising, the last is 100.
    #[serde(default = "default_shares")]
    pub shares: Vec<f64>,
    /// How long a step takes at least; `None`: each step is made by command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Span>,
    /// Bounds that the candidate must keep.
    #[serde(default)]
    pub guard: Guard,
    /// The part of a request that decides which arm answers.
    #[serde(default)]
    pub key: Key,
}

/// The candidate gets copies of requests. Nobody sees its answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shadow {
    /// The candidate.
    pub version: u32,
    /// The share of the requests that is copied.
    #[serde(default = "everything")]
    pub fraction: Rate,
}

impl Plan {
    /// Reads the plan of a deployment.
    ///
    /// # Errors
    /// [`PlanError`] if the configuration is not a plan, for example of a newer release.
    pub fn of(deployment: &Deployment) -> Result<Self, PlanError> {
        Self::parse(&deployment.configuration)
    }

    /// Reads and checks a plan whose versions are numbers.
    ///
    /// ```
    /// use stagewright_deployment::Plan;
    ///
    /// let plan = Plan::parse(&serde_json::json!({"strategy": "canary", "version": 3, "interval": "10 min"}))?;
    /// assert_eq!(plan.candidate(), 3);
    /// let error = Plan::parse(&serde_json::json!({"strategy": "canary", "version": 3, "share": 5})).unwrap_err();
    /// assert!(error.to_string().contains("unknown field `share`"));
    /// # Ok::<(), stagewright_deployment::PlanError>(())
    /// ```
    ///
    /// # Errors
    /// [`PlanError`] naming the first field that cannot be used.
    pub fn parse(json: &Json) -> Result<Self, PlanError> {
        let strategies = "use one of blue_green, canary, shadow, ab";
        let Json::Object(fields) = json else {
            return Err(PlanError::new("strategy", "the plan is no object", "write an object with a `strategy`"));
        };
        let mut fields = fields.clone();
        let strategy = fields.remove("strategy");
        let Some(Json::String(strategy)) = strategy else {
            return Err(PlanError::new("strategy", "it is missing, or no text", strategies));
        };
        let strategy: DeploymentStrategy =
            strategy.parse().map_err(|problem: String| PlanError::new("strategy", problem, strategies))?;
        let fields = Json::Object(fields);
        match strategy {
            DeploymentStrategy::BlueGreen => read::<BlueGreen>(fields)?.checked().map(Self::BlueGreen),
            DeploymentStrategy::Canary => read::<Canary>(fields)?.checked().map(Self::Canary),
            DeploymentStrategy::Shadow => read::<Shadow>(fields)?.checked().map(Self::Shadow),
            DeploymentStrategy::Ab => read::<Ab>(fields)?.checked().map(Self::Ab),
        }
    }

    /// Returns the plan as JSON, which [`Plan::parse`] reads.
    pub fn to_json(&self) -> Json {
        let fields = match self {
            Self::BlueGreen(plan) => serde_json::to_value(plan),
            Self::Canary(plan) => serde_json::to_value(plan),
            Self::Shadow(plan) => serde_json::to_value(plan),
            Self::Ab(plan) => serde_json::to_value(plan),
        };
        // Structs of texts, finite numbers and lists always are JSON.
        let mut json = serde_json::json!({ "strategy": self.strategy().name() });
        if let (Some(object), Ok(Json::Object(fields))) = (json.as_object_mut(), fields) {
            object.extend(fields);
        }
        json
    }

    /// Returns the strategy.
    pub fn strategy(&self) -> DeploymentStrategy {
        match self {
            Self::BlueGreen(_) => DeploymentStrategy::BlueGreen,
            Self::Canary(_) => DeploymentStrategy::Canary,
            Self::Shadow(_) => DeploymentStrategy::Shadow,
            Self::Ab(_) => DeploymentStrategy::Ab,
        }
    }

    /// Returns the version that is tried.
    pub fn candidate(&self) -> u32 {
        match self {
            Self::BlueGreen(plan) => plan.version,
            Self::Canary(plan) => plan.version,
            Self::Shadow(plan) => plan.version,
            Self::Ab(plan) => plan.variants.treatment.model_version,
        }
    }

    /// Returns the name of the candidate's arm, which is the last.
    pub fn candidate_arm(&self) -> &'static str {
        match self {
            Self::BlueGreen(_) => "green",
            Self::Canary(_) => "canary",
            Self::Shadow(_) => "shadow",
            Self::Ab(_) => "treatment",
        }
    }

    /// Returns the part of a request that decides which arm answers; `None` if nothing of a request
    /// decides that.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Self::BlueGreen(_) | Self::Shadow(_) => None,
            Self::Canary(plan) => Some(&plan.key),
            Self::Ab(plan) => Some(&plan.key),
        }
    }

    /// Returns the bounds that the candidate must keep.
    pub fn guard(&self) -> Option<&Guard> {
        match self {
            Self::BlueGreen(plan) => plan.guard.as_ref(),
            Self::Canary(plan) => Some(&plan.guard),
            Self::Shadow(_) => None,
            Self::Ab(plan) => plan.guard.as_ref(),
        }
    }

    /// Returns whether outcomes break a bound of the plan. Otherwise [`decide`](crate::decide) does
    /// the same whatever they are; only its reason may tell of them.
    pub fn judges_outcomes(&self) -> bool {
        self.guard().is_some_and(|guard| guard.outcome.is_some())
    }

    /// Returns the label of a positive outcome, for the registry's tallies.
    pub fn positive_label(&self) -> &str {
        self.named_label().unwrap_or(DEFAULT_POSITIVE)
    }

    /// Takes the label of a positive outcome from the model, if the plan names none.
    ///
    /// # Errors
    /// [`PlanError`] if the plan names a label that is no class of the model: no outcome has it.
    pub(crate) fn take_label(&mut self, classes: &[&str], positive: Option<&str>) -> Result<(), PlanError> {
        if let Some(named) = self.named_label() {
            if classes.is_empty() || classes.contains(&named) {
                return Ok(());
            }
            let field = if matches!(self, Self::Ab(_)) { "positive_label" } else { "guard.outcome.positive_label" };
            let shown = |text: &str| format!("`{}`", stagewright_text::Untrusted::new(text).cut(50));
            let listed: Vec<String> = classes.iter().take(10).map(|class| shown(class)).collect();
            let problem = format!("{} is no class of version {}", shown(named), self.candidate());
            return Err(PlanError::new(field, problem, format!("its classes are {}", listed.join(", "))));
        }
        let label = positive.map(str::to_owned);
        match self {
            Self::Ab(plan) => plan.positive_label = label,
            Self::Canary(Canary { guard, .. }) | Self::BlueGreen(BlueGreen { guard: Some(guard), .. }) => {
                if let Some(bound) = &mut guard.outcome {
                    bound.positive_label = label;
                }
            }
            Self::BlueGreen(_) | Self::Shadow(_) => {}
        }
        Ok(())
    }

    /// Returns the label of a positive outcome that the plan names.
    fn named_label(&self) -> Option<&str> {
        match self {
            Self::Ab(plan) => plan.positive_label.as_deref(),
            _ => self.guard().and_then(|guard| guard.outcome.as_ref()?.positive_label.as_deref()),
        }
    }

    /// Returns the deployment to start, beside the champion.
    ///
    /// # Errors
    /// [`PlanError`] if the candidate is the champion, or the plan names another control.
    pub fn new_deployment(&self, champion: u32, reason: &str) -> Result<NewDeployment, PlanError> {
        if self.candidate() == champion {
            let problem = format!("version {champion} is the champion, and answers every request already");
            return Err(PlanError::new(self.candidate_field(), problem, "name another version"));
        }
        if let Self::Ab(Ab { variants, .. }) = self
            && variants.control.model_version != champion
        {
            let problem = format!("version {} is not the champion", variants.control.model_version);
            let hint = format!("the control is the champion, which is version {champion}");
            return Err(PlanError::new("variants.control.model_version", problem, hint));
        }
        let share = self.first_share();
        let arm = |name: &str, version, share| DeploymentArm { name: name.to_owned(), version, share };
        Ok(NewDeployment {
            strategy: self.strategy(),
            configuration: self.to_json(),
            step: 0,
            arms: vec![arm(CONTROL, champion, 1.0 - share), arm(self.candidate_arm(), self.candidate(), share)],
            state: serde_json::json!({}),
            reason: reason.to_owned(),
        })
    }

    /// Returns the field that names the candidate.
    pub fn candidate_field(&self) -> &'static str {
        if matches!(self, Self::Ab(_)) { "variants.treatment.model_version" } else { "version" }
    }

    /// Returns the candidate's share of the answers in the first step, from 0 to 1.
    fn first_share(&self) -> f64 {
        match self {
            Self::BlueGreen(_) | Self::Shadow(_) => 0.0,
            Self::Canary(plan) => plan.share(0),
            Self::Ab(plan) => plan.variants.treatment.traffic_percentage / 100.0,
        }
    }
}

impl BlueGreen {
    fn checked(self) -> Result<Self, PlanError> {
        self.guard.as_ref().map_or(Ok(()), Guard::check)?;
        Ok(self)
    }
}

impl Shadow {
    fn checked(self) -> Result<Self, PlanError> {
        if self.fraction.get() == 0.0 {
            return Err(PlanError::new("fraction", "no request would be copied", "write a number above 0, up to 1"));
        }
        Ok(self)
    }
}

impl Canary {
    /// Returns the candidate's share in a step, from 0 to 1; after the last step, 1.
    pub fn share(&self, step: u32) -> f64 {
        self.shares.get(step as usize).map_or(1.0, |percent| percent / 100.0)
    }

    /// Returns whether a step is the last one, in which the candidate answers everything.
    pub fn is_last(&self, step: u32) -> bool {
        step as usize + 1 >= self.shares.len()
    }

    fn checked(mut self) -> Result<Self, PlanError> {
        let hint = "write rising percents, the last 100, such as [5, 25, 50, 100]";
        if self.shares.len() > MAX_SHARES {
            return Err(PlanError::new("shares", format!("it has more than {MAX_SHARES} steps"), hint));
        }
        let is_share = |share: &f64| *share > 0.0 && *share <= 100.0;
        let rises = self.shares.windows(2).all(|pair| pair[0] < pair[1]);
        if !self.shares.iter().all(is_share) || !rises || self.shares.last() != Some(&100.0) {
            let shares: Vec<String> = self.shares.iter().map(f64::to_string).collect();
            return Err(PlanError::new("shares", format!("[{}] is no schedule", shares.join(", ")), hint));
        }
        if let Some(Span(interval)) = self.interval
            && !(1_000..=MAX_INTERVAL_MS).contains(&interval.as_millis())
        {
            let problem = "a step takes from 1 s to 366 d";
            return Err(PlanError::new("interval", problem, "write a duration such as 10 min"));
        }
        self.guard.check()?;
        self.key = self.key.checked()?;
        Ok(self)
    }
}

/// Reads the fields of a plan. The error names the field.
fn read<T: serde::de::DeserializeOwned>(fields: Json) -> Result<T, PlanError> {
    serde_path_to_error::deserialize(fields).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "configuration" } else { &path };
        let problem = stagewright_text::Untrusted::new(&error.inner().to_string()).cut(400).to_string();
        PlanError::new(field, problem, "docs/deployments.md lists the fields of each strategy")
    })
}

fn default_shares() -> Vec<f64> {
    vec![5.0, 25.0, 50.0, 100.0]
}

fn everything() -> Rate {
    // 1 is a rate.
    Rate::new(1.0).unwrap_or_else(|_| unreachable!("1 is a rate"))
}
