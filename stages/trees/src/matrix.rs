//! The table that trees are grown on: one byte for each value, column by column.

use crate::bins::{FeatureBins, FeatureSketch};
use crate::error::TreesError;

/// The most rows of a table. Sums in histograms have 32 bits, and each row's share keeps at least 6
/// bits.
const MAX_ROWS: usize = 1 << 25;

/// A feature: its name, its bins and the code of each row.
#[derive(Debug, Clone)]
pub(crate) struct BinnedFeature {
    pub(crate) name: String,
    pub(crate) bins: FeatureBins,
    pub(crate) codes: Vec<u8>,
    /// The largest code that occurs.
    highest: u8,
}

/// Binned features with the same number of rows.
#[derive(Debug, Clone, Default)]
pub struct BinnedMatrix {
    rows: usize,
    pub(crate) features: Vec<BinnedFeature>,
}

impl BinnedMatrix {
    /// Creates a table of `rows` rows without features.
    pub fn new(rows: usize) -> Self {
        Self { rows, features: Vec::new() }
    }

    /// Adds a feature. The codes must come from [`FeatureBins::encode`] of the same bins.
    ///
    /// # Errors
    /// [`TreesError::Shape`] if there is not one code for each row, or a code is too large.
    pub fn push(&mut self, name: impl Into<String>, bins: FeatureBins, codes: Vec<u8>) -> Result<(), TreesError> {
        if codes.len() != self.rows {
            return Err(TreesError::Shape { what: "codes of a feature", expected: self.rows, found: codes.len() });
        }
        let highest = codes.iter().copied().max().unwrap_or(0);
        if highest > bins.missing_code() {
            return Err(TreesError::Shape {
                what: "codes that the bins know",
                expected: bins.value_bins() + 1,
                found: usize::from(highest) + 1,
            });
        }
        self.features.push(BinnedFeature { name: name.into(), bins, codes, highest });
        Ok(())
    }

    /// Bins columns.
    ///
    /// # Errors
    /// [`TreesError::Shape`] if the columns differ in length or there is not one name for each
    /// column.
    pub fn from_columns<N: AsRef<str>>(names: &[N], columns: &[&[f64]], max_bins: usize) -> Result<Self, TreesError> {
        if names.len() != columns.len() {
            return Err(TreesError::Shape { what: "feature names", expected: columns.len(), found: names.len() });
        }
        let mut matrix = Self::new(columns.first().map_or(0, |column| column.len()));
        for (name, column) in names.iter().zip(columns) {
            let mut sketch = FeatureSketch::new();
            sketch.push(column);
            let bins = sketch.finish(max_bins);
            let mut codes = Vec::with_capacity(column.len());
            bins.encode(column, &mut codes);
            matrix.push(name.as_ref(), bins, codes)?;
        }
        Ok(matrix)
    }

    /// Encodes other rows of the same features with this table's bins, for validation.
    ///
    /// # Errors
    /// [`TreesError::Shape`] if there is not one column for each feature, or the columns differ in
    /// length.
    pub fn encode(&self, columns: &[&[f64]]) -> Result<Self, TreesError> {
        if columns.len() != self.features.len() {
            return Err(TreesError::Shape { what: "columns", expected: self.features.len(), found: columns.len() });
        }
        let mut matrix = Self::new(columns.first().map_or(0, |column| column.len()));
        for (feature, column) in self.features.iter().zip(columns) {
            let mut codes = Vec::with_capacity(column.len());
            feature.bins.encode(column, &mut codes);
            matrix.push(feature.name.clone(), feature.bins.clone(), codes)?;
        }
        Ok(matrix)
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of features.
    pub fn width(&self) -> usize {
        self.features.len()
    }

    /// Returns the bins of feature `index`.
    pub fn bins(&self, index: usize) -> Option<&FeatureBins> {
        self.features.get(index).map(|feature| &feature.bins)
    }

    /// Returns the codes of feature `index`, one for each row.
    pub fn codes(&self, index: usize) -> Option<&[u8]> {
        self.features.get(index).map(|feature| feature.codes.as_slice())
    }

    /// Returns the names of the features, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.features.iter().map(|feature| feature.name.as_str())
    }
}

/// Converts columns of codes to rows of `stride` bytes, of which the first are the columns' codes.
pub(crate) fn by_rows<'a>(columns: impl Iterator<Item = &'a [u8]>, rows: usize, stride: usize) -> Vec<u8> {
    // A block of rows stays in the cache while one column after the other is written.
    const BLOCK: usize = 512;
    let columns: Vec<&[u8]> = columns.collect();
    let mut table = vec![0; rows * stride];
    for (block, table) in table.chunks_mut(BLOCK * stride.max(1)).enumerate() {
        for (place, column) in columns.iter().enumerate() {
            for (row, &code) in table.chunks_exact_mut(stride).zip(&column[block * BLOCK..]) {
                row[place] = code;
            }
        }
    }
    table
}

/// The training data of a learner.
#[derive(Debug, Clone, Copy)]
pub struct TrainingSet<'a> {
    /// The features.
    pub features: &'a BinnedMatrix,
    /// The target of each row: 0 or 1 for a classifier, any finite number for a regression.
    pub targets: &'a [f64],
    /// The weight of each row, at least 0; `None` for 1 each. A row of weight 0 is ignored.
    pub weights: Option<&'a [f64]>,
}

impl TrainingSet<'_> {
    /// Returns the weight of a row.
    pub(crate) fn weight(&self, row: usize) -> f64 {
        self.weights.map_or(1.0, |weights| weights[row])
    }

    /// Checks everything that a training set must fulfil.
    pub(crate) fn check(&self, classes: bool) -> Result<(), TreesError> {
        self.check_shapes()?;
        // Validation rows may be missing values of features that no training row misses. Histograms
        // have no room for their codes.
        for feature in &self.features.features {
            let (expected, found) = (feature.bins.width(), usize::from(feature.highest) + 1);
            if found > expected {
                return Err(TreesError::Shape { what: "codes of a training feature", expected, found });
            }
        }
        self.check_targets(classes)?;
        if classes {
            let has =
                |class: f64| (0..self.targets.len()).any(|row| self.targets[row] == class && self.weight(row) > 0.0);
            match (has(0.0), has(1.0)) {
                (true, false) => return Err(TreesError::SingleClass { class: 0 }),
                (false, true) => return Err(TreesError::SingleClass { class: 1 }),
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks the numbers of rows and features, and the weights.
    pub(crate) fn check_shapes(&self) -> Result<(), TreesError> {
        let rows = self.features.rows();
        if self.features.width() == 0 {
            return Err(TreesError::NoFeatures);
        }
        if rows == 0 {
            return Err(TreesError::NoRows);
        }
        if rows > MAX_ROWS {
            return Err(TreesError::TooManyRows { rows, limit: MAX_ROWS });
        }
        if self.targets.len() != rows {
            return Err(TreesError::Shape { what: "targets", expected: rows, found: self.targets.len() });
        }
        if let Some(weights) = self.weights {
            if weights.len() != rows {
                return Err(TreesError::Shape { what: "weights", expected: rows, found: weights.len() });
            }
            if let Some(row) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
                return Err(TreesError::Weight { row, value: weights[row] });
            }
            if weights.iter().all(|&w| w == 0.0) {
                return Err(TreesError::NoRows);
            }
        }
        Ok(())
    }

    /// Checks that the objective can use all targets.
    pub(crate) fn check_targets(&self, classes: bool) -> Result<(), TreesError> {
        let fits = |target: f64| if classes { target == 0.0 || target == 1.0 } else { target.is_finite() };
        if let Some(row) = self.targets.iter().position(|&target| !fits(target)) {
            let expected = if classes { "0 or 1" } else { "a finite number" };
            return Err(TreesError::Target { row, value: self.targets[row], expected });
        }
        Ok(())
    }
}
