//! Semantic versions of models: how much the user of a model is affected by a change.
//!
//! The scheme is Semantic Versioning 2.0.0 (semver.org), with the rows that a model reads and the
//! values that it predicts as its interface. A change of these, or of the kind of model, is major.
//! New features and other decisions, such as a hyper-parameter, are minor. A change that comes only
//! from other rows or another seed is a patch. The registry's own version numbers count
//! registrations.
//!
//! Whether a feature may be null is not compared: without a declared signature, that comes from the
//! rows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use stagewright_store::Schema;

use crate::model::{ModelComponent, RegisteredModel};

/// A version as `MAJOR.MINOR.PATCH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SemanticVersion {
    /// Raised when the rows, the predictions or the kind of model changed.
    pub major: u64,
    /// Raised when features were added, or another decision changed.
    pub minor: u64,
    /// Raised when the model was trained again.
    pub patch: u64,
}

/// The error for a text that is not a semantic version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a semantic version\nhint: write MAJOR.MINOR.PATCH, as in 1.0.0")]
pub struct SemanticVersionError {
    /// The text, cut after 100 characters.
    pub text: String,
}

/// The size of a change, the smallest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Other rows or another seed.
    Patch,
    /// New features, other hyper-parameters, or another build of a component.
    Minor,
    /// Other rows are read, other values are predicted, or another kind of model predicts them.
    Major,
}

impl SemanticVersion {
    /// The version of a first model.
    pub const FIRST: Self = Self { major: 1, minor: 0, patch: 0 };

    /// Returns the version after a change.
    #[must_use]
    pub fn after(self, change: Change) -> Self {
        let Self { major, minor, patch } = self;
        match change {
            Change::Major => Self { major: major + 1, minor: 0, patch: 0 },
            Change::Minor => Self { major, minor: minor + 1, patch: 0 },
            Change::Patch => Self { major, minor, patch: patch + 1 },
        }
    }
}

impl fmt::Display for SemanticVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}.{}", self.major, self.minor, self.patch))
    }
}

impl FromStr for SemanticVersion {
    type Err = SemanticVersionError;

    /// Parses three numbers without leading zeros (Semantic Versioning 2.0.0, section 2). Nothing
    /// may follow them.
    fn from_str(text: &str) -> Result<Self, SemanticVersionError> {
        let refuse = || SemanticVersionError { text: text.chars().take(100).collect() };
        let number = |part: &str| {
            let number = part.parse::<u64>().ok().filter(|number| number.to_string() == part);
            number.ok_or_else(refuse)
        };
        let parts: Vec<&str> = text.split('.').collect();
        let [major, minor, patch] = parts[..] else { return Err(refuse()) };
        Ok(Self { major: number(major)?, minor: number(minor)?, patch: number(patch)? })
    }
}

impl From<SemanticVersion> for String {
    fn from(version: SemanticVersion) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for SemanticVersion {
    type Error = SemanticVersionError;

    fn try_from(text: String) -> Result<Self, SemanticVersionError> {
        text.parse()
    }
}

/// Returns the version of `new`, which follows `previous`, with all reasons, the largest change
/// first.
#[must_use]
pub fn next(
    previous: Option<(&RegisteredModel, SemanticVersion)>,
    new: &RegisteredModel,
) -> (SemanticVersion, Vec<String>) {
    let Some((previous, version)) = previous else {
        return (SemanticVersion::FIRST, vec!["the first version".to_owned()]);
    };
    let mut changes = changes(previous, new);
    changes.sort_by_key(|(change, _)| std::cmp::Reverse(*change));
    let greatest = changes.first().map_or(Change::Patch, |(change, _)| *change);
    (version.after(greatest), changes.into_iter().map(|(_, reason)| reason).collect())
}

/// Returns every change from one model to another. There is at least one, even if the model was
/// only trained again.
#[must_use]
pub fn changes(previous: &RegisteredModel, new: &RegisteredModel) -> Vec<(Change, String)> {
    let mut changes = target_changes(previous, new);
    changes.extend(feature_changes(&previous.features(), &new.features()));
    if previous.signature.null_values != new.signature.null_values {
        changes.push((Change::Minor, "other texts stand for a missing value".to_owned()));
    }
    changes.extend(component_changes("training", Change::Major, &previous.training, &new.training));
    changes.extend(component_changes("transformation", Change::Minor, &previous.transformation, &new.transformation));
    if previous.data_digest != new.data_digest {
        changes.push((Change::Patch, "trained on other data".to_owned()));
    }
    if previous.seed != new.seed {
        changes.push((Change::Patch, format!("the seed was {} and is {}", previous.seed, new.seed)));
    }
    if changes.is_empty() {
        changes.push((Change::Patch, "trained again, with nothing changed".to_owned()));
    }
    changes
}

fn target_changes(previous: &RegisteredModel, new: &RegisteredModel) -> Vec<(Change, String)> {
    let mut changes = Vec::new();
    if previous.target != new.target {
        changes.push((Change::Major, format!("the target was `{}` and is `{}`", previous.target, new.target)));
    }
    if previous.task != new.task {
        changes.push((Change::Major, "the task or its classes changed".to_owned()));
    }
    changes
}

fn feature_changes(previous: &Schema, new: &Schema) -> Vec<(Change, String)> {
    let kept = previous.fields().iter().filter_map(|old| match new.field(&old.name) {
        None => Some((Change::Major, format!("feature `{}` was removed", old.name))),
        Some(now) if now.data_type != old.data_type => {
            Some((Change::Major, format!("feature `{}` was {} and is {}", old.name, old.data_type, now.data_type)))
        }
        Some(_) => None,
    });
    let added = new.fields().iter().filter(|now| previous.field(&now.name).is_none());
    kept.chain(added.map(|now| (Change::Minor, format!("feature `{}` is new", now.name)))).collect()
}

/// Returns the changes of a stage's component. `another` is the size of a change to a component
/// with another name. The parameters of another component are not compared, because they have
/// another meaning.
fn component_changes(
    stage: &str,
    another: Change,
    previous: &ModelComponent,
    new: &ModelComponent,
) -> Vec<(Change, String)> {
    if previous.name != new.name {
        return vec![(another, format!("{stage} was `{}` and is `{}`", previous.name, new.name))];
    }
    let mut changes = Vec::new();
    if previous.digest != new.digest {
        changes.push((Change::Minor, format!("{stage} is another build of `{}`", new.name)));
    }
    changes.extend(
        parameter_changes(&previous.parameters, &new.parameters)
            .into_iter()
            .map(|change| (Change::Minor, format!("{stage}: {change}"))),
    );
    changes
}

fn parameter_changes(previous: &serde_json::Value, new: &serde_json::Value) -> Vec<String> {
    if previous == new {
        return Vec::new();
    }
    let (Some(old), Some(now)) = (previous.as_object(), new.as_object()) else {
        return vec!["other parameters".to_owned()];
    };
    let changed = old.iter().filter_map(|(name, was)| match now.get(name) {
        None => Some(format!("`{name}` was {was} and is not set")),
        Some(is) if is != was => Some(format!("`{name}` was {was} and is {is}")),
        Some(_) => None,
    });
    let added = now.iter().filter(|(name, _)| !old.contains_key(*name));
    changed.chain(added.map(|(name, is)| format!("`{name}` was not set and is {is}"))).collect()
}

/// Returns the version of `model` as text. `previous` holds the contents and the version of the
/// newest version in the registry; contents that cannot be read count as none.
pub fn numbered(previous: Option<(&serde_json::Value, &str)>, model: &RegisteredModel) -> String {
    let read = |(contents, version): (&serde_json::Value, &str)| {
        let previous: RegisteredModel = serde_json::from_value(contents.clone()).ok()?;
        Some((previous, version.parse().ok()?))
    };
    let previous = previous.and_then(read);
    let previous = previous.as_ref().map(|(model, version)| (model, *version));
    next(previous, model).0.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stagewright_data::{Signature, Task};
    use stagewright_store::{DataType, Digest, Field, Role};

    use super::*;
    use crate::model::Format;

    fn component(name: &str, parameters: serde_json::Value) -> ModelComponent {
        ModelComponent { name: name.to_owned(), digest: Digest::of(name.as_bytes()), stubs: Vec::new(), parameters }
    }

    fn signature(features: &[(&str, DataType)]) -> Signature {
        let target = Field::new("Churn", DataType::Utf8).with_role(Role::Target);
        let features = features.iter().map(|(name, data_type)| Field::new(*name, *data_type));
        Signature::new(features.chain([target]).collect()).expect("the names differ")
    }

    fn model() -> RegisteredModel {
        RegisteredModel {
            format: Format,
            transformation: component("transform-table", json!({})),
            state: Digest::of(b"state"),
            training: component("train-logistic", json!({"c": 1.0, "tolerance": 1e-6})),
            model: Digest::of(b"model"),
            task: Task::Binary { negative: "No".into(), positive: "Yes".into() },
            signature: signature(&[("tenure", DataType::Int64), ("Contract", DataType::Utf8)]),
            target: "Churn".into(),
            importance: Vec::new(),
            metrics: None,
            test_digest: Digest::of(b"test"),
            data_digest: Digest::of(b"january"),
            features_digest: None,
            source: None,
            code: None,
            limits: Vec::new(),
            run_id: "run".into(),
            seed: 42,
            as_of: 0,
        }
    }

    fn after(version: &str, previous: &RegisteredModel, new: &RegisteredModel) -> (String, Vec<String>) {
        let (next, reasons) = next(Some((previous, version.parse().expect("a version"))), new);
        (next.to_string(), reasons)
    }

    #[test]
    fn a_model_lives_from_1_0_0_to_2_0_0() {
        let first = model();
        assert_eq!(next(None, &first), (SemanticVersion::FIRST, vec!["the first version".to_owned()]));
        assert_eq!(SemanticVersion::FIRST.to_string(), "1.0.0");

        let retrained = RegisteredModel { data_digest: Digest::of(b"february"), ..first.clone() };
        let (version, reasons) = after("1.0.0", &first, &retrained);
        assert_eq!((version.as_str(), reasons), ("1.0.1", vec!["trained on other data".to_owned()]));

        let fields = [("tenure", DataType::Int64), ("Contract", DataType::Utf8), ("MonthlyCharges", DataType::Float64)];
        let wider = RegisteredModel { signature: signature(&fields), ..retrained.clone() };
        let (version, reasons) = after("1.0.1", &retrained, &wider);
        assert_eq!((version.as_str(), reasons), ("1.1.0", vec!["feature `MonthlyCharges` is new".to_owned()]));

        let training = component("train-logistic", json!({"c": 0.5, "max_iterations": 200}));
        let tuned = RegisteredModel { training, seed: 7, ..wider.clone() };
        let (version, reasons) = after("1.1.0", &wider, &tuned);
        assert_eq!(version, "1.2.0");
        assert_eq!(
            reasons,
            [
                "training: `c` was 1.0 and is 0.5",
                "training: `tolerance` was 1e-6 and is not set",
                "training: `max_iterations` was not set and is 200",
                "the seed was 42 and is 7",
            ]
        );

        let boosted =
            RegisteredModel { training: component("train-boosted", json!({"max_depth": 3})), ..tuned.clone() };
        let (version, reasons) = after("1.2.0", &tuned, &boosted);
        assert_eq!(version, "2.0.0");
        assert_eq!(reasons, ["training was `train-logistic` and is `train-boosted`"]);
    }

    // invariant: Changed columns or predictions raise the major version, a decision the minor
    // version, and training again the patch version.
    #[test]
    fn other_rows_or_other_predictions_are_a_major_change() {
        let classes = vec!["No".to_owned(), "Maybe".to_owned(), "Yes".to_owned()];
        let others = [
            RegisteredModel { signature: signature(&[("tenure", DataType::Int64)]), ..model() },
            RegisteredModel {
                signature: signature(&[("tenure", DataType::Float64), ("Contract", DataType::Utf8)]),
                ..model()
            },
            RegisteredModel { target: "Left".into(), ..model() },
            RegisteredModel { task: Task::Regression, ..model() },
            RegisteredModel { task: Task::MultiClass { classes }, ..model() },
        ];
        for other in others {
            let (version, reasons) = after("1.4.2", &model(), &other);
            assert_eq!(version, "2.0.0", "{reasons:?}");
        }
        let other = RegisteredModel { signature: signature(&[("tenure", DataType::Float64)]), ..model() };
        let (_, reasons) = after("1.4.2", &model(), &other);
        assert_eq!(reasons, ["feature `tenure` was int64 and is float64", "feature `Contract` was removed"]);
    }

    // invariant: as `other_rows_or_other_predictions_are_a_major_change`
    #[test]
    fn what_someone_decided_is_a_minor_change() {
        let rebuilt = ModelComponent { digest: Digest::of(b"another build"), ..model().training };
        let others = [
            RegisteredModel { training: rebuilt, ..model() },
            RegisteredModel { transformation: component("transform-python", json!({})), ..model() },
            RegisteredModel { transformation: component("transform-table", json!({"smote": true})), ..model() },
            RegisteredModel { signature: model().signature.with_null_values(["", " "]), ..model() },
        ];
        for other in others {
            let (version, reasons) = after("1.4.2", &model(), &other);
            assert_eq!(version, "1.5.0", "{reasons:?}");
        }
    }

    // invariant: as `other_rows_or_other_predictions_are_a_major_change`
    #[test]
    fn training_again_is_a_patch() {
        assert_eq!(after("1.4.2", &model(), &RegisteredModel { seed: 7, ..model() }).0, "1.4.3");
        let (version, reasons) = after("1.4.2", &model(), &RegisteredModel { run_id: "other".into(), ..model() });
        assert_eq!((version.as_str(), reasons.len()), ("1.4.3", 1));
    }

    #[test]
    fn the_greatest_change_decides_and_comes_first() {
        let new = RegisteredModel {
            target: "Left".into(),
            transformation: component("transform-python", json!({})),
            data_digest: Digest::of(b"february"),
            ..model()
        };
        let changes: Vec<Change> = changes(&model(), &new).into_iter().map(|(change, _)| change).collect();
        assert_eq!(changes, [Change::Major, Change::Minor, Change::Patch]);
        assert_eq!(after("1.4.2", &model(), &new).0, "2.0.0");
    }

    #[test]
    fn a_version_is_three_numbers_and_compares_by_them() {
        for text in ["0.0.0", "1.0.0", "10.20.30"] {
            let version: SemanticVersion = text.parse().expect(text);
            assert_eq!(version.to_string(), text);
            assert_eq!(serde_json::to_value(version).expect("a string"), text);
            assert_eq!(serde_json::from_value::<SemanticVersion>(json!(text)).expect("a version"), version);
        }
        for text in ["", "1", "1.0", "1.0.0.0", "01.0.0", "1.0.0-rc1", "v1.0.0", "1.+1.0", "1..0", "1.0.-1", " 1.0.0"] {
            assert!(text.parse::<SemanticVersion>().is_err(), "{text}");
        }
        let versions = ["1.0.9", "1.0.10", "1.2.0", "2.0.0"].map(|text| text.parse::<SemanticVersion>().expect(text));
        assert!(versions.is_sorted());
    }
}
