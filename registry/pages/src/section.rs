//! The places in the navigation.

/// A place in the navigation, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The state of production.
    Overview,
    /// Runs.
    Runs,
    /// Registered models.
    Models,
    /// Experiments.
    Experiments,
    /// Deployments.
    Deployments,
    /// Changes of models.
    Audit,
    /// A page that is in none of them.
    Elsewhere,
}

impl Section {
    /// Those that the navigation shows, each of which has a page.
    pub(crate) const ALL: [Self; 6] =
        [Self::Overview, Self::Runs, Self::Models, Self::Experiments, Self::Deployments, Self::Audit];

    /// Returns the text of its link.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Runs => "Runs",
            Self::Models => "Models",
            Self::Experiments => "Experiments",
            Self::Deployments => "Deployments",
            Self::Audit => "Audit",
            Self::Elsewhere => "",
        }
    }

    /// Returns the path of its page.
    pub(crate) const fn path(self) -> &'static str {
        match self {
            Self::Overview | Self::Elsewhere => "/",
            Self::Runs => "/runs",
            Self::Models => "/models",
            Self::Experiments => "/experiments",
            Self::Deployments => "/deployments",
            Self::Audit => "/audit",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_has_a_page() {
        let routes = crate::routes();
        for section in Section::ALL {
            assert!(routes.iter().any(|route| route.path == section.path()), "{} leads nowhere", section.path());
        }
    }
}
