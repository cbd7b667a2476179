//! The hyperparameters of boosting.

use crate::error::TreesError;
use crate::growth::Extent;
use crate::split::Regularisation;

/// The loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Log loss, for binary classification. Targets are 0 and 1; the model predicts the probability
    /// of class 1.
    Logistic,
    /// Half the squared error, for regression. Targets are finite; the model predicts the value.
    SquaredError,
}

/// The order in which leaves are split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// All leaves, down to `max_depth`.
    DepthWise,
    /// The leaf with the largest gain, until there are `max_leaves`.
    LeafWise,
}

/// Unchecked hyperparameters of boosting. The defaults are those of XGBoost where it has the
/// parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct BoostedOptions {
    /// The loss (logistic).
    pub loss: Loss,
    /// The number of trees, at least 1 (300).
    pub n_estimators: u32,
    /// The factor by which the values of each tree are multiplied, in (0, 1] (0.1).
    pub learning_rate: f64,
    /// The order in which leaves are split (depth-wise).
    pub growth: Growth,
    /// The most splits between the root and a leaf; `None` for no limit, with leaf-wise growth only
    /// (6).
    pub max_depth: Option<u32>,
    /// The most leaves of a tree grown leaf-wise, at least 2 (31).
    pub max_leaves: u32,
    /// The least number of rows of a leaf, at least 1; estimated from hessians as LightGBM does
    /// (1).
    pub min_samples_leaf: u32,
    /// The least sum of hessians of a leaf, at least 0 (1).
    pub min_child_weight: f64,
    /// L2 regularisation of leaf values, at least 0 (1).
    pub lambda: f64,
    /// L1 regularisation of leaf values, at least 0 (0).
    pub alpha: f64,
    /// The least gain of a split, at least 0 (0).
    pub min_split_gain: f64,
    /// The share of the rows that each tree is grown on, in (0, 1] (1).
    pub subsample: f64,
    /// The share of the features that each tree may use, in (0, 1] (1).
    pub colsample: f64,
    /// The factor by which the weights of class 1 are multiplied, above 0 (1).
    pub scale_pos_weight: f64,
    /// The number of rounds without an improvement of the validation loss after which training
    /// stops, at least 1; `None` for never. Needs a validation set.
    pub early_stopping_rounds: Option<u32>,
    /// The seed of `subsample` and `colsample` (0).
    pub seed: u64,
}

impl Default for BoostedOptions {
    fn default() -> Self {
        Self {
            loss: Loss::Logistic,
            n_estimators: 300,
            learning_rate: 0.1,
            growth: Growth::DepthWise,
            max_depth: Some(6),
            max_leaves: 31,
            min_samples_leaf: 1,
            min_child_weight: 1.0,
            lambda: 1.0,
            alpha: 0.0,
            min_split_gain: 0.0,
            subsample: 1.0,
            colsample: 1.0,
            scale_pos_weight: 1.0,
            early_stopping_rounds: None,
            seed: 0,
        }
    }
}

/// Checked hyperparameters of boosting.
#[derive(Debug, Clone, PartialEq)]
pub struct BoostedValidParams(pub(crate) BoostedOptions);

impl std::ops::Deref for BoostedValidParams {
    type Target = BoostedOptions;

    fn deref(&self) -> &BoostedOptions {
        &self.0
    }
}

impl BoostedOptions {
    /// Checks every value.
    ///
    /// # Errors
    /// [`TreesError::Parameter`] with the first that is out of range.
    pub fn check(self) -> Result<BoostedValidParams, TreesError> {
        self.verify()?;
        Ok(BoostedValidParams(self))
    }

    pub(crate) fn verify(&self) -> Result<(), TreesError> {
        let wrong = |parameter, value: &dyn ToString, expected| {
            Err(TreesError::Parameter { parameter, value: value.to_string(), expected })
        };
        let share = "must be above 0 and at most 1";
        let positive = "must be a finite number of at least 0";
        for (parameter, value) in
            [("learning_rate", self.learning_rate), ("subsample", self.subsample), ("colsample", self.colsample)]
        {
            if !(value > 0.0 && value <= 1.0) {
                return wrong(parameter, &value, share);
            }
        }
        for (parameter, value) in [
            ("min_child_weight", self.min_child_weight),
            ("lambda", self.lambda),
            ("alpha", self.alpha),
            ("min_split_gain", self.min_split_gain),
        ] {
            if !(value >= 0.0 && value.is_finite()) {
                return wrong(parameter, &value, positive);
            }
        }
        for (parameter, value) in [("n_estimators", self.n_estimators), ("min_samples_leaf", self.min_samples_leaf)] {
            if value == 0 {
                return wrong(parameter, &value, "must be at least 1");
            }
        }
        match (self.growth, self.max_depth) {
            (_, Some(0)) => return wrong("max_depth", &0, "must be at least 1"),
            (Growth::DepthWise, Some(depth)) if depth > 30 => {
                return wrong("max_depth", &depth, "must be at most 30 for depth-wise growth");
            }
            (Growth::DepthWise, None) => return wrong("max_depth", &"none", "depth-wise growth needs a limit, e.g. 6"),
            (Growth::LeafWise, _) if self.max_leaves < 2 => {
                return wrong("max_leaves", &self.max_leaves, "must be at least 2");
            }
            _ => {}
        }
        if !(self.scale_pos_weight > 0.0 && self.scale_pos_weight.is_finite()) {
            return wrong("scale_pos_weight", &self.scale_pos_weight, "must be a finite number above 0");
        }
        if self.early_stopping_rounds == Some(0) {
            return wrong("early_stopping_rounds", &0, "must be at least 1");
        }
        Ok(())
    }

    pub(super) fn extent(&self) -> Extent {
        let max_leaves = (self.growth == Growth::LeafWise).then_some(self.max_leaves as usize);
        Extent { max_depth: self.max_depth.map_or(usize::MAX, |depth| depth as usize), max_leaves }
    }

    pub(super) fn rules(&self) -> Regularisation {
        Regularisation {
            lambda: self.lambda,
            alpha: self.alpha,
            min_split_gain: self.min_split_gain,
            min_child_weight: self.min_child_weight,
            min_samples_leaf: self.min_samples_leaf as usize,
        }
    }
}
