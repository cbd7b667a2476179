//! What the host computes about a model: metrics, gates, figures, reports.
