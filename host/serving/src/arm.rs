//! The arm of a deployment that answered a request.

/// The arm of a deployment that answered a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Arm {
    /// The only version that is served of its model.
    #[default]
    Only,
    /// The version that a deployment compares others with.
    Control,
    /// The version that an experiment tries.
    Treatment,
    /// The version that gets a share of the requests before it gets them all.
    Canary,
    /// The version to which all requests move at once.
    Green,
    /// The version that gets copies of requests, and whose answers nobody sees.
    Shadow,
}

impl Arm {
    /// All arms.
    pub const ALL: [Self; 6] = [Self::Only, Self::Control, Self::Treatment, Self::Canary, Self::Green, Self::Shadow];

    /// Returns the name of the arm; `None` if there is one version alone.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Only => None,
            Self::Control => Some("control"),
            Self::Treatment => Some("treatment"),
            Self::Canary => Some("canary"),
            Self::Green => Some("green"),
            Self::Shadow => Some("shadow"),
        }
    }

    /// Returns the arm of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|arm| arm.name() == Some(name))
    }
}
