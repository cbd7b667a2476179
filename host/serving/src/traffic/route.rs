//! Who answers a request.

use std::sync::Arc;
use std::time::Instant;

use axum::http::HeaderMap;
use stagewright_data::{DecodedRequest, RequestDecoder};

use super::counter::Counter;
use super::live::{KeySource, Live};
use super::live_arm::LiveArm;
use crate::arm::Arm;
use crate::served_version::ServedVersion;

/// The versions among which the requests of a model are shared.
pub(crate) struct Traffic {
    /// The version that answers where no deployment says otherwise.
    pub(crate) default: Arc<ServedVersion>,
    /// The deployment that is carried out.
    pub(crate) live: Option<Arc<Live>>,
}

/// Who answers a request.
#[derive(Clone)]
pub(crate) struct Route {
    /// The version that answers.
    pub(crate) version: Arc<ServedVersion>,
    /// The deployment that chose it, and the index of the arm.
    chosen: Option<(Arc<Live>, usize)>,
}

impl Traffic {
    /// Returns who answers a request with these headers. The key of some deployments is in the
    /// body: see [`Route::by_field`].
    pub(crate) fn route(&self, headers: &HeaderMap) -> Route {
        match &self.live {
            None => Route { version: self.default.clone(), chosen: None },
            Some(live) => Route::to(live, live.arm_of_head(headers)),
        }
    }

    /// Returns who answers a request that names a version, which is no part of a deployment; `None`
    /// if the version answers nobody.
    pub(crate) fn route_to(&self, version: u32) -> Option<Route> {
        let answering = self.versions().filter(|(_, arm)| *arm != Arm::Shadow);
        let version = answering.map(|(found, _)| found).find(|found| found.version == version)?;
        Some(Route { version: version.clone(), chosen: None })
    }

    /// Returns all versions, each with its arm.
    pub(crate) fn versions(&self) -> impl Iterator<Item = (&Arc<ServedVersion>, Arm)> {
        let arms = self.live.iter().flat_map(|live| &live.arms).map(|arm| (&arm.version, arm.label));
        let alone = self.live.is_none().then_some((&self.default, Arm::Only));
        alone.into_iter().chain(arms)
    }
}

impl Route {
    fn to(live: &Arc<Live>, arm: usize) -> Self {
        Self { version: live.arms[arm].version.clone(), chosen: Some((live.clone(), arm)) }
    }

    fn part(&self) -> Option<&LiveArm> {
        self.chosen.as_ref().map(|(live, arm)| &live.arms[*arm])
    }

    /// Returns who answers these rows if their key decides that, and it is somebody else.
    pub(crate) fn by_field(&self, rows: &DecodedRequest) -> Option<Self> {
        let (live, arm) = self.chosen.as_ref().filter(|(live, _)| matches!(live.key, KeySource::Field))?;
        let chosen = live.arm_of(rows.key(0).map(str::as_bytes));
        (chosen != *arm).then(|| Self::to(live, chosen))
    }

    /// Returns the champion of the deployment, if this is another version that reads requests in
    /// another way.
    pub(crate) fn first_that_reads_otherwise(&self) -> Option<Self> {
        let (live, arm) = self.chosen.as_ref()?;
        (!live.arms[*arm].reads_as_first).then(|| Self::to(live, 0))
    }

    /// Returns the shadow that gets a copy of a request that this answers.
    pub(crate) fn shadow(&self) -> Option<Self> {
        let (live, _) = self.chosen.as_ref()?;
        live.mirror.as_ref().filter(|mirror| mirror.wants_one())?;
        Some(Self::to(live, live.arms.len() - 1))
    }

    /// Returns the deployment that chose it.
    pub(crate) fn live(&self) -> Option<&Arc<Live>> {
        self.chosen.as_ref().map(|(live, _)| live)
    }

    /// Returns the arm.
    pub(crate) fn arm(&self) -> Arm {
        self.part().map_or(Arm::Only, |part| part.label)
    }

    /// Returns the decoder of the request.
    pub(crate) fn decoder(&self) -> &RequestDecoder {
        self.part().map_or(&self.version.decoder, |part| &part.decoder)
    }

    /// Returns when the request began, if its time is counted.
    pub(crate) fn begin(&self) -> Option<Instant> {
        self.chosen.is_some().then(Instant::now)
    }

    /// Returns what counts the request for its arm once it ends, or its client hangs up.
    pub(crate) fn waiting(&self, began: Option<Instant>) -> Waiting<'_> {
        Waiting(self.part().map(|part| &*part.counter).zip(began))
    }

    /// Counts the request for its arm.
    pub(crate) fn count(&self, began: Option<Instant>, rows: usize, is_error: bool) {
        if let (Some(part), Some(began)) = (self.part(), began) {
            part.counter.observe(began.elapsed(), rows as u64, is_error);
        }
    }

    /// Counts the request for its arm as one that the client must change.
    pub(crate) fn count_refused(&self) {
        if let Some(part) = self.part() {
            part.counter.observe_refused();
        }
    }
}

/// A request that its arm is answering. If this is dropped, its client has hung up.
pub(crate) struct Waiting<'a>(Option<(&'a Counter, Instant)>);

impl Waiting<'_> {
    /// Counts the request as answered, or failed.
    pub(crate) fn end(mut self, rows: usize, is_error: bool) {
        if let Some((counter, began)) = self.0.take() {
            counter.observe(began.elapsed(), rows as u64, is_error);
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some((counter, began)) = self.0 {
            counter.observe_given_up(began.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::traffic::Ledger;

    // invariant: A version that answers too late to be waited for is judged by the time that its
    // clients waited.
    #[tokio::test]
    async fn a_client_that_hangs_up_leaves_the_time_that_it_waited() {
        let ledger = Ledger::default();
        let counter = ledger.counter(1, 0, "canary", None);
        let began = Instant::now().checked_sub(Duration::from_secs(20)).unwrap();
        let answering = async {
            let waiting = Waiting(Some((&*counter, began)));
            std::future::pending::<()>().await;
            waiting.end(1, false);
        };
        // The time is over at once: the future is dropped, as that of a closed connection is.
        assert!(tokio::time::timeout(Duration::ZERO, answering).await.is_err());
        let taken = ledger.take();
        assert_eq!((taken[&1][0].requests, taken[&1][0].errors), (0, 0));
        assert_eq!(taken[&1][0].latencies, [(u64::MAX, 1)]);
        Waiting(Some((&*counter, began))).end(3, true);
        let taken = ledger.take();
        assert_eq!((taken[&1][0].requests, taken[&1][0].errors, taken[&1][0].rows), (1, 1, 3));
        assert_eq!(taken[&1][0].latencies, [(u64::MAX, 1)], "it is counted once");
    }
}
