//! A server under half load for minutes, while everything around it changes: promotions, rollbacks,
//! a shadow that traps, a registry that is away. Run by `cargo xtask soak [--minutes N]`.

mod clients;
mod memory;
mod models;

use std::sync::Arc;
use std::time::{Duration, Instant};

use stagewright_end_to_end::serving::Serving;
use stagewright_services::postgres::Cluster;

use clients::Clients;
use memory::Memory;
use models::{FOLLOWED, Models, STEADY};

/// The variable with the length of the test in seconds.
const SECONDS: &str = "STAGEWRIGHT_SOAK_SECONDS";

/// The length of the test.
const LENGTH: Duration = Duration::from_secs(600);

/// The time between two promotions.
const PROMOTIONS: Duration = Duration::from_secs(5);

/// Every so many promotions, there is a rollback instead: once a minute.
const ROLLBACK: usize = 12;

/// How long the registry is away, in a test of the full length.
const AWAY: Duration = Duration::from_secs(60);

/// The longest time until a change is served. The promise is a second; the machine is busy.
const SOON: Duration = Duration::from_secs(60);

/// The part of the time after which memory is measured first: two minutes of ten.
const WARM: f64 = 0.2;

fn length() -> Duration {
    let seconds = std::env::var(SECONDS).ok();
    seconds.map_or(LENGTH, |text| Duration::from_secs(text.parse().expect("a number of seconds")))
}

// invariant: Under load, while versions are promoted and rolled back, a shadow traps and the
// registry goes away, every request is answered by the version that it names, and memory stays.
#[test]
#[ignore = "takes ten minutes: cargo xtask soak"]
fn a_server_answers_every_request_for_minutes_whatever_happens_around_it() {
    let length = length();
    let mut cluster = Cluster::start();
    let models = Arc::new(Models::train(&cluster.create_database()));
    let server = Serving::start(&models.place, &[FOLLOWED, STEADY, "--registry", &models.registry]);
    models.shadow(&server);
    let full = Clients::start(server.address, &models, None).run_for(Duration::from_secs(5));
    println!("full load: {full}");
    let clients = Clients::start(server.address, &models, Some(full.per_second() / 2.0));
    let mut story = Story {
        models: &models,
        server: &server,
        clients: &clients,
        champion: 1,
        before: Vec::new(),
        changes: 0,
        rollbacks: 0,
    };
    let begin = Instant::now();
    let warm = story.run_until(begin + length.mul_f64(WARM), || Memory::of(&server));
    story.run_until(begin + length.mul_f64(0.5), || ());
    let away = AWAY.mul_f64(length.as_secs_f64() / LENGTH.as_secs_f64()).max(Duration::from_secs(5));
    story.without_registry(&mut cluster, away);
    let end = story.run_until(begin + length, || Memory::of(&server));
    let Story { changes, rollbacks, champion, .. } = story;
    let counts = clients.stop();
    println!("half load: {counts}");
    println!("{changes} changes of the champion, {rollbacks} of them rollbacks; the registry was away for {away:?}");
    println!("memory: {warm} after {:?}, {end} at the end", length.mul_f64(WARM));
    counts.check();
    assert!(changes > 0 && rollbacks > 0, "the champion has not changed");
    assert_eq!(server.get(&format!("/models/{FOLLOWED}")).json()["version"], champion);
    models.check_shadow(&server);
    assert!(end.is_near(&warm), "memory grows: {warm}, then {end}");
    assert_eq!(server.stop().code, Some(0));
}

/// The changes around the server.
struct Story<'a> {
    models: &'a Models,
    server: &'a Serving,
    clients: &'a Clients,
    /// The champion of the model whose champion changes.
    champion: u32,
    /// The champions before it, to which rollbacks return.
    before: Vec<u32>,
    changes: usize,
    rollbacks: usize,
}

impl Story<'_> {
    /// Changes the champion every some seconds, until a time. Then looks at something.
    fn run_until<T>(&mut self, end: Instant, look: impl FnOnce() -> T) -> T {
        let mut next = Instant::now();
        while next < end {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            self.change();
            next = (next + PROMOTIONS).max(Instant::now());
        }
        std::thread::sleep(end.saturating_duration_since(Instant::now()));
        look()
    }

    /// Promotes the other version, or rolls back.
    fn change(&mut self) {
        self.changes += 1;
        self.clients.expect_version(0);
        // The second change already, so that short tests have one.
        let back = self.before.last().copied().filter(|_| self.changes % ROLLBACK == 2);
        match back {
            Some(version) => {
                self.models.roll_back();
                self.before.pop();
                self.champion = version;
                self.rollbacks += 1;
            }
            None => {
                self.before.push(self.champion);
                self.champion = 3 - self.champion;
                self.models.promote(self.champion);
            }
        }
        self.until(|health| health["version"] == self.champion);
        self.clients.expect_version(self.champion);
    }

    /// Takes the registry away for a time.
    fn without_registry(&self, cluster: &mut Cluster, time: Duration) {
        cluster.stop();
        let begin = Instant::now();
        self.until(|health| health["source"] == "last-verified");
        std::thread::sleep(time.saturating_sub(begin.elapsed()));
        cluster.start_again();
        self.until(|health| health["source"] == "fresh");
    }

    /// Waits until the server says something of the model whose champion changes.
    fn until(&self, says: impl Fn(&serde_json::Value) -> bool) {
        let begin = Instant::now();
        loop {
            let reply = self.server.get(&format!("/models/{FOLLOWED}"));
            if says(&reply.json()) {
                return;
            }
            assert!(begin.elapsed() < SOON, "{}", reply.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
