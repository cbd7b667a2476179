//! Measures `stagewright serve` as its clients meet it.
//!
//! The server, its models' processes and the load generator share the processors, as they would on
//! a small machine. A server whose handler does nothing is measured in the same rounds: what it
//! answers is the most that HTTP can do here, and the rates of others are shares of it.

mod load;
mod models;
mod peer;
mod series;
mod server;
mod swaps;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use self::load::Wrk;
use self::models::{MODEL, Models};
use self::series::Series;
use self::server::Server;
use self::swaps::Swaps;
use crate::bench::options::Options;
use crate::bench::process::Spread;
use crate::bench::results::{folder, save};
use crate::build;
use crate::steps::Result;
use crate::workspace::cargo;

/// The default number of rounds.
const REPEAT: usize = 5;

/// The default length of each load in seconds.
const SECONDS: u64 = 5;

/// The default number of promotions under load.
const SWAPS: u64 = 1000;

/// The starts in each round. One takes tens of milliseconds.
const STARTS: usize = 3;

/// The connections that post one row.
const CONNECTIONS: [u32; 2] = [64, 1];

/// The rows of longer bodies, and the connections that post them.
const BODIES: [usize; 3] = [8, 64, 512];
const BODY_CONNECTIONS: u32 = 8;

/// How long a server rests before its memory is read.
const REST: Duration = Duration::from_secs(3);

pub(super) fn serving(options: &Options) -> Result<()> {
    let wrk = Wrk::find()?;
    let built = build::everything(build::Guests::Without)?;
    let work = folder()?.join("serving");
    fs::create_dir_all(&work).map_err(|error| format!("cannot create {}: {error}", work.display()))?;
    let models = Models::train(&built, &work)?;
    let bench = Bench { options, wrk, body: models.body(1)?, models, work };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    bench.say(&format!(
        "{}; server and wrk share the {processors} processors of this process; medians of {} rounds",
        options.model,
        bench.rounds()
    ));
    type Part<'a> = fn(&Bench<'a>) -> Result<String>;
    let parts: [(&str, Part); 5] = [
        ("one_row", Bench::one_row),
        ("bodies", Bench::bodies),
        ("memory", Bench::memory),
        ("start", Bench::start),
        ("swaps", Bench::swaps),
    ];
    let is_wanted = |name: &str| options.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let mut json =
        format!("{{\"model\":\"{}\",\"processors\":{processors},\"rounds\":{}", options.model, bench.rounds());
    for (name, part) in parts.iter().filter(|(name, _)| is_wanted(name)) {
        json.push_str(&format!(",\"{name}\":{}", part(&bench)?));
    }
    json.push_str("}\n");
    let path = save(&format!("serving-{}.json", options.model), &json)?;
    bench.say(&format!("wrote {}", path.display()));
    if options.json {
        print!("{json}");
    }
    Ok(())
}

/// The models, bodies and load that all parts share.
struct Bench<'a> {
    options: &'a Options,
    wrk: Wrk,
    models: Models<'a>,
    /// A body with one row.
    body: PathBuf,
    work: PathBuf,
}

impl Bench<'_> {
    fn rounds(&self) -> usize {
        self.options.repeat.unwrap_or(REPEAT)
    }

    fn seconds(&self) -> u64 {
        self.options.seconds.unwrap_or(SECONDS)
    }

    fn say(&self, text: &str) {
        if self.options.json {
            eprintln!("{text}");
        } else {
            println!("{text}");
        }
    }

    /// Starts the server of the model.
    fn server(&self, isolation: &str) -> Result<Server> {
        let version = Models::version_of(&self.options.model);
        Server::start(&mut self.models.server(&format!("{MODEL}/{version}"), isolation))
    }

    fn peer(&self) -> Result<Option<Server>> {
        let started = |python| peer::start(python, &self.models, self.options, &self.work);
        self.options.peer.as_deref().map(started).transpose()
    }

    /// One row in a body, from many connections and from one.
    fn one_row(&self) -> Result<String> {
        let mut ceiling = cargo();
        ceiling.args(["bench", "--quiet", "--workspace", "--bench", "empty-server"]);
        let mut servers = vec![
            ("empty axum handler", Server::start(&mut ceiling)?),
            ("pooled", self.server("pooled")?),
            ("fresh", self.server("fresh")?),
        ];
        servers.extend(self.peer()?.map(|peer| ("peer", peer)));
        let mut json = Vec::new();
        for connections in CONNECTIONS {
            let series = self.loads(&servers, &self.body, connections)?;
            self.say(&format!("\none row as JSON, {connections} connections"));
            let rates: Vec<f64> = series.iter().map(Series::per_second).collect();
            for ((name, _), series) in servers.iter().zip(&series) {
                self.say(&series.line(name, Some(rates[0])));
                json.push(format!("\"{} at {connections}\":{}", name, series.json()));
            }
            if let Some(peer) = rates.get(3) {
                self.say(&format!("  pooled answers {:.0} times as many requests as the peer", rates[1] / peer));
                json.push(format!("\"pooled over peer at {connections}\":{:.2}", rates[1] / peer));
            }
        }
        Ok(format!("{{{}}}", json.join(",")))
    }

    /// Bodies with several rows.
    fn bodies(&self) -> Result<String> {
        let mut servers = vec![("pooled", self.server("pooled")?)];
        servers.extend(self.peer()?.map(|peer| ("peer", peer)));
        let mut json = Vec::new();
        for rows in BODIES {
            let series = self.loads(&servers, &self.models.body(rows)?, BODY_CONNECTIONS)?;
            self.say(&format!("\n{rows} rows as JSON, {BODY_CONNECTIONS} connections"));
            for ((name, _), series) in servers.iter().zip(&series) {
                let per_row = format!("{:>12.0} rows/s", series.per_second() * rows as f64);
                self.say(&format!("{}{per_row}", series.line(name, None)));
                json.push(format!("\"{name}, {rows} rows\":{}", series.json()));
            }
            if let [ours, peer] = &series[..] {
                let ratio = ours.per_second() / peer.per_second();
                self.say(&format!("  pooled answers {ratio:.1} times as many requests as the peer"));
                json.push(format!("\"pooled over peer, {rows} rows\":{ratio:.2}"));
            }
        }
        Ok(format!("{{{}}}", json.join(",")))
    }

    /// Puts each server under load in every round. A first round is not counted.
    fn loads(&self, servers: &[(&str, Server)], body: &std::path::Path, connections: u32) -> Result<Vec<Series>> {
        let mut series: Vec<Series> = servers.iter().map(|_| Series::default()).collect();
        for (_, server) in servers {
            self.wrk.post(&server.url, body, connections, 1)?;
        }
        for _ in 0..self.rounds() {
            for ((_, server), series) in servers.iter().zip(&mut series) {
                series.add(&self.wrk, server, body, connections, self.seconds())?;
            }
        }
        Ok(series)
    }

    /// Resident memory: of a server that has answered once, and of one after a load.
    fn memory(&self) -> Result<String> {
        let mut servers = vec![("pooled", self.server("pooled")?), ("fresh", self.server("fresh")?)];
        servers.extend(self.peer()?.map(|peer| ("peer", peer)));
        let body = fs::read(&self.body).map_err(|error| error.to_string())?;
        let mut json = Vec::new();
        self.say("\nresident memory in MiB: all (the process that speaks HTTP + those of the model)");
        for (name, server) in &servers {
            server.ask("POST", "/predict", &body)?;
            std::thread::sleep(REST);
            let idle = server.memory()?;
            self.wrk.post(&server.url, &self.body, CONNECTIONS[0], self.seconds())?;
            std::thread::sleep(REST);
            for (when, memory) in [("idle", idle), ("after a load", server.memory()?)] {
                let shared =
                    memory.proportional.map_or(String::new(), |all| format!("; {all:.1}, shared pages counted once"));
                let (sum, front, children) = (memory.sum(), memory.front, memory.children);
                self.say(&format!("  {name:<8} {when:<13} {sum:>6.1} ({front:.1} + {children:.1}){shared}"));
                let proportional = memory.proportional.map_or("null".to_owned(), |all| format!("{all:.2}"));
                json.push(format!(
                    "\"{name}, {when}\":{{\"front_mib\":{front:.2},\"children_mib\":{children:.2},\"proportional_mib\":{proportional}}}"
                ));
            }
        }
        Ok(format!("{{{}}}", json.join(",")))
    }

    /// From the start of the process to its first answer, with compiled components in the cache.
    fn start(&self) -> Result<String> {
        let body = fs::read(&self.body).map_err(|error| error.to_string())?;
        let once = || -> Result<(f64, f64)> {
            let begin = Instant::now();
            let server = self.server("pooled")?;
            let ready = begin.elapsed();
            server.ask("POST", "/predict", &body)?;
            Ok((ready.as_secs_f64() * 1e3, begin.elapsed().as_secs_f64() * 1e3))
        };
        once()?;
        let times = (0..self.rounds() * STARTS).map(|_| once()).collect::<Result<Vec<_>>>()?;
        let (ready, answered): (Vec<f64>, Vec<f64>) = times.into_iter().unzip();
        let (ready, answered) = (Spread::of_values(ready), Spread::of_values(answered));
        self.say(&format!("\nstart: ready after {ready} ms, first answer after {answered} ms"));
        Ok(format!("{{\"ready_ms\":{},\"first_answer_ms\":{}}}", ready.json(), answered.json()))
    }

    /// Promotions under load.
    fn swaps(&self) -> Result<String> {
        let swaps = self.options.swaps.unwrap_or(SWAPS);
        let found = Swaps::measure(&self.models, &self.wrk, &self.body, swaps)?;
        let Swaps { requests, failed, per_second, p99_us, promotion, followed } = &found;
        self.say(&format!(
            "\n{swaps} promotions under load: {failed} of {requests} requests failed; {per_second:.0} req/s, p99 {:.3} ms\n  \
             approval and promotion take {promotion} ms, and the server follows {followed} ms later",
            p99_us / 1e3
        ));
        if *failed > 0.0 {
            return Err(format!("{failed} requests failed while versions were replaced"));
        }
        Ok(format!(
            "{{\"swaps\":{swaps},\"requests\":{requests},\"failed\":{failed},\"requests_per_second\":{per_second:.1},\"p99_us\":{p99_us:.1},\"promotion_ms\":{},\"followed_ms\":{}}}",
            promotion.json(),
            followed.json()
        ))
    }
}
