//! The errors of what clients of the tracking server ask for.

/// The reason why the registry refuses a request of a client of the tracking server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrackingError {
    /// A client tries to end a run that a process of Stagewright carries out, or to log to it.
    #[error(
        "run `{run}` belongs to the pipeline `{pipeline}`, whose process alone ends it and logs to it\nhint: change its name and its tags, or log to a run of your own"
    )]
    RunOfPipeline {
        /// The run.
        run: String,
        /// The pipeline.
        pipeline: String,
    },
    /// The text is not the path of a file.
    #[error(
        "`{path}` is not the path of a file\nhint: use names separated by `/`, without `..`, `.`, `\\`, empty names and control characters, 1024 bytes at most"
    )]
    BadFilePath {
        /// The text, cut.
        path: String,
    },
    /// A file and a folder cannot have the same path.
    #[error("`{path}` is a {there}, so that no {wanted} can be there\nhint: use another path, or delete the {there}")]
    PathTaken {
        /// The path.
        path: String,
        /// `file` or `folder`.
        there: &'static str,
        /// `folder` or `file`.
        wanted: &'static str,
    },
    /// Files at this path would pass for those of a version that a pipeline registered.
    #[error(
        "`{path}` is kept for the versions of pipelines\nhint: use a path that begins with another name than `stagewright`"
    )]
    ReservedPath {
        /// The path.
        path: String,
    },
    /// No client uploaded a file to this path.
    #[error("there is no file `{path}`")]
    NoFile {
        /// The path.
        path: String,
    },
    /// There is no such logged model, or it was deleted.
    #[error("no logged model `{model_id}`")]
    NoLoggedModel {
        /// The identifier.
        model_id: String,
    },
    /// The source of a version looks like a reference to a model and is none.
    #[error(
        "`{source_uri}` names no version\nhint: use `models:/NAME/VERSION` with a number, `models:/NAME@ALIAS` or `models:/MODEL_ID`"
    )]
    BadSource {
        /// The source, cut.
        source_uri: String,
    },
    /// The name of a logged model is empty, too long or a path.
    #[error(
        "`{name}` cannot name a logged model\nhint: use 1 to 500 bytes without `/`, `:`, `.`, `%`, quotes and control characters"
    )]
    BadLoggedModelName {
        /// The name, cut.
        name: String,
    },
    /// The text cannot name a model that a client registers.
    #[error("`{name}` cannot name a model\nhint: use 1 to 256 bytes without `/`, `:` and control characters")]
    BadModelName {
        /// The text, cut.
        name: String,
    },
    /// A version that a client registered can be neither run nor promoted.
    #[error(
        "version {version} of model `{model}` was registered by an MLflow client: Stagewright keeps it, but neither runs, judges, deploys nor promotes it\nhint: load it with `mlflow.pyfunc.load_model(\"models:/{model}/{version}\")`, or train the model by a pipeline under another name"
    )]
    Foreign {
        /// The model's name.
        model: String,
        /// The version.
        version: u32,
    },
    /// A pipeline cannot register a version of a model whose versions clients registered.
    #[error(
        "the versions of model `{model}` were registered by MLflow clients, so that no pipeline can add one\nhint: give the pipeline's model another name"
    )]
    ForeignModel {
        /// The model's name.
        model: String,
    },
    /// A client cannot register a version of a pipeline's model.
    #[error(
        "the versions of model `{model}` are registered by its pipeline, so that no client can add one\nhint: register yours under another name"
    )]
    PipelineModel {
        /// The model's name.
        model: String,
    },
    /// A file in parts cannot be as it was asked for.
    #[error("{problem}")]
    BadParts {
        /// The fault, as a sentence.
        problem: String,
    },
    /// The parts of a file are too many bytes together.
    #[error("an artifact has at most {most} bytes")]
    PartsTooLarge {
        /// The most bytes.
        most: u64,
    },
    /// Too many uploads in parts are open.
    #[error("{most} uploads in parts are open")]
    TooManyUploads {
        /// The most that may be.
        most: usize,
    },
    /// There is no such upload in parts: it was completed, aborted or abandoned, or is another's.
    #[error("there is no upload in parts of this identifier and path")]
    NoUpload,
    /// The parts of a file are put together just now.
    #[error("another request completes this upload just now")]
    UploadBusy,
    /// There is no such webhook.
    #[error("Webhook with ID {id} not found.\nhint: stagewright webhooks list")]
    NoWebhook {
        /// The identifier, cut.
        id: String,
    },
    /// A webhook cannot be told of this.
    #[error(
        "`{event}` is no event of webhooks\nhint: docs/webhooks.md lists them: `model_version.created`, `run.finished`, ..."
    )]
    NoWebhookEvent {
        /// The text, cut.
        event: String,
    },
    /// A webhook cannot be as it was asked for.
    #[error("{problem}\nhint: stagewright webhooks create NAME --url https://HOST/PATH --event run.failed")]
    BadWebhook {
        /// The fault, as a sentence.
        problem: String,
    },
    /// A pipeline's version moves between stages by other rules than a client's.
    #[error(
        "version {version} of model `{model}` was registered by its pipeline\nhint: stagewright models promote {model}/{version}"
    )]
    NotForeign {
        /// The model's name.
        model: String,
        /// The version.
        version: u32,
    },
}
