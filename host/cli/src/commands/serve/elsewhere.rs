//! Deployments of a server that promotes nothing, because its build has no such command: it plays
//! its part in them, and another server or `stagewright deploy` promotes.

use stagewright_deployment::Candidate;
use stagewright_serving::{Operations, Production, PromotionFault};

use super::origins::open_registry;
use crate::home::HomeLocation;

/// Returns what operators and the server itself do with deployments.
pub(super) fn operations(location: &HomeLocation) -> Operations {
    let location = location.clone();
    Operations::new(Box::new(move || open_registry(&location)), Box::new(Elsewhere))
}

/// Production, into which only other programs bring a version.
struct Elsewhere;

impl Production for Elsewhere {
    fn admit(&self, _: &str, _: u32) -> Result<(), PromotionFault> {
        Err(fault())
    }

    fn promote(&self, _: &Candidate) -> Result<(), PromotionFault> {
        Err(fault())
    }
}

/// Not final: another program may promote at any time.
fn fault() -> PromotionFault {
    let reason = "this build of the program serves alone, and promotes nothing: use `stagewright deploy` of a full one";
    PromotionFault { reason: reason.to_owned(), is_final: false }
}
