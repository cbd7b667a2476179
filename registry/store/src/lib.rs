//! What lasts: artifacts, runs, models.
