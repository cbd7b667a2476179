"""Requests that both servers get, by subject."""

from . import artifacts, experiments, frame, logged_models, logging, metrics, models, runs, searches, variants, versions

SUBJECTS = [
    frame.ask_all,
    experiments.ask_all,
    runs.ask_all,
    logging.ask_all,
    metrics.ask_all,
    searches.ask_all,
    artifacts.ask_all,
    models.ask_all,
    versions.ask_all,
    logged_models.ask_all,
    variants.ask_all,
]
