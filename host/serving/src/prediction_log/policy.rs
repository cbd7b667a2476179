//! The operator's policy: which of a model's predictions are logged, and which columns.

use std::time::Duration;

use stagewright_data::Signature;
use stagewright_manifest::{LoggedFeatures, PredictionLogSection};
use stagewright_store::{Field, Role};

/// The predictions of a model that are logged, and the columns of them.
///
/// The roles of the signature decide what may be: features are, unless the operator leaves them
/// out. Identifiers, times and groups are not, unless the operator names them. The target and
/// weights never are.
#[derive(Debug, Clone, PartialEq)]
pub struct LogPolicy {
    /// The share of requests that are logged, from 0 to 1. Those that fail are logged always.
    pub rate: f64,
    /// The features that are logged.
    pub features: LoggedFeatures,
    /// Columns that are no features and are logged all the same.
    pub identifiers: Vec<String>,
    /// Columns of which keyed hashes are logged.
    pub mask: Vec<String>,
    /// The most bytes of the model's files; the oldest are removed.
    pub most_bytes: u64,
    /// The time after which files are removed.
    pub keep: Duration,
}

impl Default for LogPolicy {
    fn default() -> Self {
        Self {
            rate: 1.0,
            features: LoggedFeatures::All,
            identifiers: Vec::new(),
            mask: Vec::new(),
            most_bytes: 1 << 30,
            keep: Duration::from_secs(720 * 3600),
        }
    }
}

impl From<&PredictionLogSection> for LogPolicy {
    fn from(section: &PredictionLogSection) -> Self {
        let default = Self::default();
        Self {
            rate: section.rate.unwrap_or(default.rate),
            features: section.features.clone(),
            identifiers: section.identifiers.clone(),
            mask: section.mask.clone(),
            most_bytes: section.max_size.unwrap_or(default.most_bytes),
            keep: section.keep.unwrap_or(default.keep),
        }
    }
}

impl LogPolicy {
    /// Returns the first name that a signature has not, or not in the role that it needs, with what
    /// to do: a name that is misspelt in `mask` would let through what it should hide.
    pub fn problem(&self, signature: &Signature) -> Option<String> {
        let of_role = |allowed: fn(&Field) -> bool| {
            move |name: &&String| !signature.fields.fields().iter().any(|field| field.name == **name && allowed(field))
        };
        let named: &[String] = match &self.features {
            LoggedFeatures::Named(names) => names,
            LoggedFeatures::All | LoggedFeatures::None => &[],
        };
        let problem = |key: &str, name: &String, kind: &str| {
            format!("`log.{key}` names `{name}`, and the model's signature has no such {kind}")
        };
        let feature = named.iter().find(of_role(is_feature)).map(|name| problem("features", name, "feature"));
        let kind = "identifier, time or group";
        let identifier =
            || self.identifiers.iter().find(of_role(may_be_allowed)).map(|name| problem("identifiers", name, kind));
        let masked = || self.mask.iter().find(of_role(|_| true)).map(|name| problem("mask", name, "column"));
        feature.or_else(identifier).or_else(masked)
    }

    /// Returns whether a signature has all columns that are masked. Where one is missing, nobody
    /// knows under which name its values come: no column of such a version is logged.
    pub fn covers(&self, signature: &Signature) -> bool {
        let has = |name: &String| signature.fields.fields().iter().any(|field| field.name == *name);
        self.mask.iter().all(has)
    }

    /// Returns the columns that are no features and that the operator allows, in their order.
    pub fn allowed<'a>(&'a self, signature: &'a Signature) -> Vec<&'a Field> {
        let fields = signature.fields.fields().iter();
        fields.filter(|field| may_be_allowed(field) && self.identifiers.contains(&field.name)).collect()
    }

    /// Returns whether a feature is logged.
    pub(super) fn logs(&self, feature: &str) -> bool {
        match &self.features {
            LoggedFeatures::All => true,
            LoggedFeatures::None => false,
            LoggedFeatures::Named(names) => names.iter().any(|name| name == feature),
        }
    }

    /// Returns whether the values of a column are hashed.
    pub(super) fn masks(&self, column: &str) -> bool {
        self.mask.iter().any(|name| name == column)
    }
}

pub(super) fn is_feature(field: &Field) -> bool {
    field.role == Role::Feature
}

/// Returns whether an operator may have a column logged that is no feature.
fn may_be_allowed(field: &Field) -> bool {
    matches!(field.role, Role::Identifier | Role::Time | Role::Group)
}
