//! Histogram trees: forests and gradient boosting.
