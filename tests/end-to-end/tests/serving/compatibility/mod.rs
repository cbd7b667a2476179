//! The interface as others speak it: OpenAPI, a browser, the Open Inference Protocol, MLflow.

mod documents;
mod inference;
mod mlflow;
mod server;
