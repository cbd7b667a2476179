//! The hyperparameters of forests.

use crate::error::TreesError;

/// The number of features that each split considers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxFeatures {
    /// The square root of the number of features.
    SquareRoot,
    /// The base-2 logarithm of the number of features.
    Logarithm,
    /// This number, at most all.
    Number(u32),
    /// This share of the features, in (0, 1].
    Share(f64),
    /// All features.
    All,
}

impl MaxFeatures {
    /// Returns the number out of `total` features, at least 1.
    pub(super) fn of(self, total: usize) -> usize {
        let number = match self {
            Self::SquareRoot => (total as f64).sqrt() as usize,
            Self::Logarithm => total.checked_ilog2().unwrap_or(0) as usize,
            Self::Number(number) => number as usize,
            Self::Share(share) => (total as f64 * share) as usize,
            Self::All => total,
        };
        number.clamp(1, total.max(1))
    }
}

/// Unchecked hyperparameters of a forest. The defaults are those of scikit-learn, except for 200
/// trees.
#[derive(Debug, Clone, PartialEq)]
pub struct ForestOptions {
    /// The number of trees, at least 1 (200).
    pub n_estimators: u32,
    /// The most splits between the root and a leaf, at least 1; `None` for no limit.
    pub max_depth: Option<u32>,
    /// The least number of distinct rows of a node that is split, at least 2 (2).
    pub min_samples_split: u32,
    /// The least number of distinct rows of a leaf, at least 1 (1).
    pub min_samples_leaf: u32,
    /// The number of features that each split considers (the square root).
    pub max_features: MaxFeatures,
    /// Whether each tree draws its rows with replacement (true).
    pub bootstrap: bool,
    /// The seed of the drawn rows and features (0).
    pub seed: u64,
}

impl Default for ForestOptions {
    fn default() -> Self {
        Self {
            n_estimators: 200,
            max_depth: None,
            min_samples_split: 2,
            min_samples_leaf: 1,
            max_features: MaxFeatures::SquareRoot,
            bootstrap: true,
            seed: 0,
        }
    }
}

/// Checked hyperparameters of a forest.
#[derive(Debug, Clone, PartialEq)]
pub struct ForestValidParams(pub(crate) ForestOptions);

impl std::ops::Deref for ForestValidParams {
    type Target = ForestOptions;

    fn deref(&self) -> &ForestOptions {
        &self.0
    }
}

impl ForestOptions {
    /// Checks all values.
    ///
    /// # Errors
    /// [`TreesError::Parameter`] with the first parameter that is out of range.
    pub fn check(self) -> Result<ForestValidParams, TreesError> {
        self.verify()?;
        Ok(ForestValidParams(self))
    }

    pub(crate) fn verify(&self) -> Result<(), TreesError> {
        let wrong = |parameter, value: &dyn ToString, expected| {
            Err(TreesError::Parameter { parameter, value: value.to_string(), expected })
        };
        if !(1..=1 << 20).contains(&self.n_estimators) {
            return wrong("n_estimators", &self.n_estimators, "must be at least 1 and at most 1048576");
        }
        if self.max_depth == Some(0) {
            return wrong("max_depth", &0, "must be at least 1");
        }
        if self.min_samples_split < 2 {
            return wrong("min_samples_split", &self.min_samples_split, "must be at least 2");
        }
        if self.min_samples_leaf < 1 {
            return wrong("min_samples_leaf", &self.min_samples_leaf, "must be at least 1");
        }
        match self.max_features {
            MaxFeatures::Number(0) => wrong("max_features", &0, "must be at least 1"),
            MaxFeatures::Share(share) if !(share > 0.0 && share <= 1.0) => {
                wrong("max_features", &share, "a share must be above 0 and at most 1")
            }
            _ => Ok(()),
        }
    }
}
