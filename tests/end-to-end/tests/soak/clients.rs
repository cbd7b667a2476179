//! Clients that send requests at a rate, and compare every answer.

use std::fmt;
use std::io::BufReader;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use stagewright_end_to_end::serving::{Reply, read_reply, send};

use crate::models::{FOLLOWED, Models, STEADY};

/// The clients, each with a connection.
const CLIENTS: usize = 4;

/// The failures and wrong answers of which a client keeps the text.
const KEPT: usize = 3;

/// Clients at work.
pub(super) struct Clients {
    shared: Arc<Shared>,
    began: Instant,
    threads: Vec<JoinHandle<Counts>>,
}

struct Shared {
    models: Arc<Models>,
    address: SocketAddr,
    stop: AtomicBool,
    /// The only version of the model whose champion changes that may answer; 0 during a change.
    served: AtomicU64,
}

/// The answers and failures that clients have seen.
#[derive(Debug, Default)]
pub(super) struct Counts {
    time: Duration,
    answered: u64,
    /// Requests without an answer, or with a status other than 200.
    failed: u64,
    /// Answers by a version that may not answer, or that are not its predictions.
    wrong: u64,
    /// The latencies in microseconds by powers of two.
    latencies: [u64; 32],
    /// Answers by version, of the model whose champion changes.
    versions: [u64; 3],
    /// Some failures and wrong answers.
    texts: Vec<String>,
}

impl Clients {
    /// Starts clients that send so many requests a second in all, or as many as are answered.
    pub(super) fn start(address: SocketAddr, models: &Arc<Models>, per_second: Option<f64>) -> Self {
        let (stop, served) = (AtomicBool::new(false), AtomicU64::new(0));
        let shared = Arc::new(Shared { models: models.clone(), address, stop, served });
        let pause = per_second.map(|rate| Duration::from_secs_f64(CLIENTS as f64 / rate));
        let client = |number| {
            let shared = shared.clone();
            std::thread::spawn(move || Client { shared, number, counts: Counts::default() }.ask(pause))
        };
        let threads = (0..CLIENTS).map(client).collect();
        Self { shared, began: Instant::now(), threads }
    }

    /// Says which version alone may answer from now on; 0 if it is about to change.
    pub(super) fn expect_version(&self, version: u32) {
        self.shared.served.store(version.into(), Ordering::SeqCst);
    }

    /// Lets the clients work for a time.
    pub(super) fn run_for(self, time: Duration) -> Counts {
        std::thread::sleep(time);
        self.stop()
    }

    /// Stops the clients.
    pub(super) fn stop(self) -> Counts {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut all = Counts::default();
        for thread in self.threads {
            all.add(thread.join().expect("a client"));
        }
        all.time = self.began.elapsed();
        all
    }
}

struct Client {
    shared: Arc<Shared>,
    number: usize,
    counts: Counts,
}

impl Client {
    /// Asks about one customer after the other, one model and the other in turn.
    fn ask(mut self, pause: Option<Duration>) -> Counts {
        let stream = TcpStream::connect(self.shared.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let mut answers = BufReader::new(stream.try_clone().expect("the same connection"));
        let mut stream = stream;
        let (mut customer, mut next) = (self.number, Instant::now());
        while !self.shared.stop.load(Ordering::Relaxed) {
            if let Some(pause) = pause {
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
                // A client that fell behind does not catch up.
                next = (next + pause).max(Instant::now() - pause);
            }
            customer += 1;
            let model = if customer.is_multiple_of(2) { FOLLOWED } else { STEADY };
            let of = customer / 2 % self.shared.models.bodies.len();
            let served = self.shared.served.load(Ordering::SeqCst);
            let begun = Instant::now();
            let path = format!("/models/{model}/predict");
            let sent =
                send(&mut stream, "POST", &path, &["content-type: application/json"], &self.shared.models.bodies[of]);
            let reply = sent.and_then(|()| read_reply(&mut answers));
            let latency = begun.elapsed().as_micros().max(1).ilog2() as usize;
            self.counts.latencies[latency.min(31)] += 1;
            // During a change, either version may answer.
            let is_settled = served == self.shared.served.load(Ordering::SeqCst) && served > 0;
            match reply {
                Ok(reply) if reply.status == 200 => {
                    self.compare(model, of, &reply, Some(served).filter(|_| is_settled))
                }
                Ok(reply) => self.fail(format!("{}: {}", reply.status, reply.text())),
                Err(error) => {
                    self.fail(error.to_string());
                    return self.counts;
                }
            }
        }
        self.counts
    }

    fn compare(&mut self, model: &str, customer: usize, reply: &Reply, served: Option<u64>) {
        self.counts.answered += 1;
        let answer = reply.json();
        let version = answer["version"].as_u64().unwrap_or_default();
        if model == FOLLOWED {
            self.counts.versions[(version as usize).min(2)] += 1;
        }
        let expected = self.shared.models.expected(model, version, customer);
        let id = answer["request_id"].as_str().unwrap_or_default();
        let is_named = id.split('.').nth(1) == Some(&format!("v{version}"));
        let is_current = model != FOLLOWED || served.is_none_or(|served| served == version);
        if !is_named || !is_current || expected != Some(&answer["predictions"][0]) {
            self.counts.wrong += 1;
            let expected = expected.unwrap_or(&Value::Null);
            self.keep(format!("{model}, customer {customer}, served {served:?}, not {expected}: {answer}"));
        }
    }

    fn fail(&mut self, text: String) {
        self.counts.failed += 1;
        self.keep(text);
    }

    fn keep(&mut self, text: String) {
        if self.counts.texts.len() < KEPT {
            self.counts.texts.push(text);
        }
    }
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.wrong += other.wrong;
        self.latencies.iter_mut().zip(other.latencies).for_each(|(sum, more)| *sum += more);
        self.versions.iter_mut().zip(other.versions).for_each(|(sum, more)| *sum += more);
        self.texts.extend(other.texts);
    }

    /// Returns the answers in a second.
    pub(super) fn per_second(&self) -> f64 {
        self.answered as f64 / self.time.as_secs_f64()
    }

    /// Returns a bound of a quantile of latencies: the next power of two.
    fn latency(&self, quantile: f64) -> Duration {
        let all: u64 = self.latencies.iter().sum();
        let mut left = (all as f64 * quantile) as u64;
        let reaches = |(_, count): &(usize, &u64)| {
            let is_there = left < **count;
            left = left.saturating_sub(**count);
            is_there
        };
        let power = self.latencies.iter().enumerate().find(reaches).map_or(31, |(power, _)| power);
        Duration::from_micros(2 << power)
    }

    /// Checks that every request was answered, each by the version that it names, and that both
    /// versions have answered.
    ///
    /// # Panics
    ///
    /// It was not so.
    pub(super) fn check(&self) {
        assert_eq!((self.failed, self.wrong), (0, 0), "{self}\n{}", self.texts.join("\n"));
        assert!(self.versions[1] > 0 && self.versions[2] > 0, "{self}");
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { answered, failed, wrong, versions: [_, first, second], .. } = self;
        write!(
            f,
            "{answered} answers ({:.0} a second; {first} by version 1 and {second} by version 2), {failed} failed, \
             {wrong} wrong; half within {:?}, 99 % within {:?}",
            self.per_second(),
            self.latency(0.5),
            self.latency(0.99)
        )
    }
}
