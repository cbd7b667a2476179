//! Conductors of several servers, on a real registry.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use stagewright_deployment::start;
use stagewright_store::{Home, JudgedAgainst, NewVerdict, NewVersion, PromotionRequest, Verdict};
use tempfile::TempDir;

use super::*;
use crate::traffic::Production;

const MODEL: &str = "churn";

/// How long a test waits for what comes at once.
const SOON: Duration = Duration::from_secs(30);

/// A model whose version 2 answers everything, and is due to be promoted.
struct World {
    home: Home,
    _folder: TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let world = Self { home: Home::open(folder.path().join("home")).expect("a home"), _folder: folder };
        let registry = &world.home.registry;
        for version in [1, 2] {
            let champion = registry.alias(MODEL, CHAMPION).expect("an alias");
            registry
                .register_candidate(&world.home.artifacts, MODEL, &NewVersion::default(), &|_| None)
                .expect("a version");
            let verdict = NewVerdict::by_person(Verdict::Approved, JudgedAgainst::from(champion), "good");
            registry.record_verdict(&world.home.artifacts, MODEL, version, &verdict).expect("a verdict");
            if version == 1 {
                registry.promote(MODEL, 1, &PromotionRequest::default()).expect("a champion");
            }
        }
        let plan = json!({ "strategy": "canary", "version": 2, "shares": [100], "interval": "1 s" });
        start(registry, MODEL, &plan, "a test").expect("a deployment");
        let own = ArmCounts { arm: "canary".into(), requests: 1_000, ..ArmCounts::default() };
        registry.add_arm_counts(MODEL, 1, &[own]).expect("counts");
        // The step is over.
        std::thread::sleep(Duration::from_millis(1_100));
        world
    }

    /// Returns a server's part in the deployment, whose promotions wait for a word.
    fn server(&self) -> (Conducted, Sender<()>) {
        let (go, wait) = channel();
        let registry = self.home.registry.clone();
        let production = Slow { registry: registry.clone(), go: Mutex::new(wait) };
        let operations = Arc::new(Operations::new(Box::new(move || Ok(registry.clone())), Box::new(production)));
        let model = Arc::new(ServedModel::new(MODEL));
        let active = self.home.registry.active_deployment(MODEL).expect("a deployment");
        model.update(|status| status.deployment = active);
        (Conducted::new(model, &operations), go)
    }

    fn deployment(&self) -> Deployment {
        self.home.registry.deployment(MODEL, 1).expect("a deployment")
    }
}

/// Production at a slow place: a version is copied there until a word comes.
struct Slow {
    registry: Registry,
    go: Mutex<Receiver<()>>,
}

impl Production for Slow {
    fn admit(&self, _: &str, _: u32) -> Result<(), PromotionFault> {
        Ok(())
    }

    fn promote(&self, candidate: &Candidate) -> Result<(), PromotionFault> {
        let fault = |error: StoreError| PromotionFault {
            is_final: matches!(error, StoreError::AliasMoved { .. }),
            reason: error.to_string(),
        };
        let expected = Some(Some(candidate.champion));
        let request = PromotionRequest { expected, ..PromotionRequest::default() };
        let promotion = self.registry.begin_promotion(MODEL, candidate.version, &request).map_err(fault)?;
        let _ = self.go.lock().map(|go| go.recv_timeout(SOON));
        self.registry.complete_promotion(&promotion.id).map_err(fault)?;
        self.registry.finish_promotion(&promotion.id).map_err(fault)
    }
}

/// Waits until a promotion of this server has ended, without looking at what became of it.
fn until_promoted(server: &Conducted) {
    let began = Instant::now();
    while server.promotion.as_ref().is_some_and(|it| !it.thread.is_finished()) {
        assert!(began.elapsed() < SOON, "the promotion does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn until_intended(world: &World, number: usize) {
    let began = Instant::now();
    let is_intended = |entry: &stagewright_store::AuditEntry| entry.action == "promotion.intended";
    while world.home.registry.audit_of(MODEL, Some(2)).expect("the audit").iter().filter(|it| is_intended(it)).count()
        < number
    {
        assert!(began.elapsed() < SOON, "no promotion begins");
        std::thread::sleep(Duration::from_millis(5));
    }
}

// invariant: Of several servers that promote a candidate at once, one does, and its deployment is
// finished.
#[test]
fn servers_that_promote_at_once_abort_nothing() {
    let world = World::new();
    let ((mut fast, go), (mut slow, go_too)) = (world.server(), world.server());
    fast.carry_on();
    slow.carry_on();
    until_intended(&world, 2);
    go.send(()).expect("a promotion");
    until_promoted(&fast);
    go_too.send(()).expect("a promotion");
    until_promoted(&slow);
    // The slower one is first to look: the faster one may be dead.
    slow.end_promotion().expect("the registry");
    assert_eq!(world.deployment().status, DeploymentStatus::Active);
    slow.carry_on();
    let ended = world.deployment();
    assert_eq!(
        (ended.status, ended.end_reason.as_deref()),
        (DeploymentStatus::Finished, Some("version 2 is champion"))
    );
    fast.carry_on();
    assert_eq!(world.deployment(), ended);
}

// invariant: A promotion that takes long keeps no deployment from being given up.
#[test]
fn what_is_given_up_while_it_is_promoted_does_not_become_champion() {
    let world = World::new();
    let (mut server, go) = world.server();
    server.carry_on();
    until_intended(&world, 1);
    // It goes on: the errors of the last second are counted, and judged.
    let exact = server.model.ledger.counter(1, 0, "canary", None);
    exact.observe(Duration::ZERO, 1, true);
    server.carry_on();
    let counts = world.home.registry.arm_counts(MODEL, 1).expect("counts");
    assert_eq!((counts[0].requests, counts[0].errors), (1_001, 1));
    world.home.registry.abort_deployment(MODEL, None, "too slow").expect("an end");
    go.send(()).expect("a promotion");
    until_promoted(&server);
    server.carry_on();
    assert_eq!(world.home.registry.alias(MODEL, CHAMPION).expect("an alias"), Some(1));
    assert_eq!(world.deployment().end_reason.as_deref(), Some("too slow"));
}

#[test]
fn notes_of_several_servers_add_up_and_keep_the_rest() {
    let one = TallyCounts { compared: 5, different: 1, dropped: 0 };
    let both = added(&added(&json!({ "kept": true }), &one), &TallyCounts { compared: 2, different: 2, dropped: 3 });
    assert_eq!(both, json!({ "kept": true, "compared_rows": 7, "different_rows": 3, "dropped": 3 }));
}
