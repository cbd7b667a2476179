//! The interfaces that requests speak.

/// The interface that a request speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Everything that is no prediction.
    #[default]
    Other,
    /// `/predict`.
    Native,
    /// The Open Inference Protocol, version 2.
    V2,
    /// The scoring protocol of MLflow.
    Mlflow,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 4] = [Self::Other, Self::Native, Self::V2, Self::Mlflow];

    /// Returns the name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Native => "native",
            Self::V2 => "v2",
            Self::Mlflow => "mlflow",
        }
    }
}
