//! A real PostgreSQL in a temporary folder, from the system's package.
//!
//! It demands a password (SCRAM) and sorts texts by an ICU locale, as another administrator's
//! server may, so that code which forgets the one or relies on the order of bytes fails here.
//! Clusters are created anew, not kept between processes: that takes two seconds, and nothing has
//! to be cleaned. Containers would need a daemon, and an existing server would pass its state on to
//! the next test.
//!
//! The server must not outlive the tests, which can end in several ways: a panic, a signal, `exit`
//! with a cluster in a static, which Rust never drops. So a shell supervises it. The shell holds
//! the reading end of a pipe whose other end is the test's. When that closes, which the kernel does
//! in each of these cases, the shell stops the server and removes the folder. A parent-death signal
//! would not do: it is sent when the *thread* that started the server ends, and each test is a
//! thread.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::{FileExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The variable with the folder of `initdb`, `postgres` and `psql`, if it is not Debian's.
pub const BIN: &str = "STAGEWRIGHT_POSTGRES_BIN";

/// The folder of Debian's packages, with a subfolder for each version.
const PACKAGES: &str = "/usr/lib/postgresql";

/// The superuser's name.
const USER: &str = "stagewright";

/// How long a start may take: usually a second, but the machine may be busy compiling.
const START: Duration = Duration::from_secs(120);

/// How many ports are tried: another process can take one between its choice and its use.
const ATTEMPTS: usize = 5;

/// Runs the server (`$@`, after its folder) until it or standard input ends. Commands in the
/// background have no standard input, hence the other descriptor. `QUIT` stops at once, without a
/// checkpoint, which is not needed. After the line `keep`, the server stops with one, as `INT` lets
/// it, and the folder stays.
const SUPERVISOR: &str = r#"
exec 3<&0
folder=$1
shift
"$@" 3<&- &
server=$!
{ read -r word <&3; if [ "$word" = keep ]; then : > "$folder/kept"; kill -INT $server; else kill -QUIT $server; fi; } &
wait $server
[ -e "$folder/kept" ] || rm -rf "$folder"
"#;

/// A running server. Dropping it stops the server and removes its folder.
#[derive(Debug)]
pub struct Cluster {
    folder: TempDir,
    bin: PathBuf,
    port: u16,
    password: String,
    /// The shell. Its standard input keeps the server alive.
    supervisor: Child,
    /// The server's log. Unlinked, so that it can be read after the folder is gone.
    log: File,
    durability: Durability,
    databases: AtomicUsize,
}

/// Whether committed transactions survive a power failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// They do, as in production: for benchmarks.
    Synced,
    /// They do not, and tests take half the time.
    Unsynced,
}

impl Cluster {
    /// Returns the cluster of this process, which the first call starts. Use a
    /// [database](Self::create_database) of your own.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts another cluster, which does not sync.
    ///
    /// # Panics
    /// If PostgreSQL is not installed or does not start, with what to do about it.
    pub fn start() -> Self {
        Self::start_with(Durability::Unsynced)
    }

    /// Starts another cluster.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_with(durability: Durability) -> Self {
        for _ in 1..ATTEMPTS {
            match Self::attempt(durability) {
                Err(problem) if problem.contains("Address already in use") => {}
                Err(problem) => panic!("{problem}"),
                Ok(cluster) => return cluster,
            }
        }
        Self::attempt(durability).unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// Returns the address of the database `postgres`, with user and password.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Creates an empty database. Returns its address, with user and password.
    ///
    /// # Panics
    /// If the server refuses.
    pub fn create_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql(&self.url(), &format!("CREATE DATABASE {name}")).unwrap_or_else(|problem| panic!("{problem}"));
        self.url_of(&name)
    }

    /// Runs statements by `psql` in the database of this address. Returns its output: rows without
    /// a frame.
    ///
    /// # Errors
    /// The error output of `psql`.
    pub fn psql(&self, url: &str, statements: &str) -> Result<String, String> {
        let mut psql = command(&self.bin.join("psql"), None);
        run(psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--no-password"]).args([
            "--set=ON_ERROR_STOP=1",
            "--command",
            statements,
            url,
        ]))
    }

    /// Returns the server's log so far.
    pub fn log(&self) -> String {
        log_text(&self.log)
    }

    /// Stops the server and keeps its databases. Clients lose their connections, and new ones are
    /// refused.
    ///
    /// # Panics
    /// If its supervisor has gone.
    pub fn stop(&mut self) {
        let mut input = self.supervisor.stdin.take().expect("the server runs");
        input.write_all(b"keep\n").expect("the server's supervisor reads");
        drop(input);
        let _ = self.supervisor.wait();
    }

    /// Starts the server again, on the port that it had.
    ///
    /// # Panics
    /// If PostgreSQL does not start.
    pub fn start_again(&mut self) {
        let folder = self.folder.path();
        fs::remove_file(folder.join("kept")).expect("the server was stopped");
        let user = user().expect("the users of this system");
        let supervisor = supervise(&self.bin, folder, user, self.port, self.durability, &self.log);
        self.supervisor = supervisor.expect("a shell");
        self.wait_until_ready().unwrap_or_else(|problem| panic!("{problem}"));
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://{USER}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    fn attempt(durability: Durability) -> Result<Self, String> {
        let bin = bin()?;
        let user = user().map_err(|error| format!("cannot read /etc/passwd: {error}"))?;
        let wrong = |what: &str, error: io::Error| format!("cannot {what} for PostgreSQL: {error}");
        let folder = tempfile::Builder::new().prefix("stagewright-postgres-").tempdir();
        let folder = folder.map_err(|error| wrong("create a folder", error))?;
        let password = password().map_err(|error| wrong("read /dev/urandom", error))?;
        fs::write(folder.path().join("password"), &password).map_err(|error| wrong("write the password", error))?;
        if let Some((uid, gid)) = user {
            for path in [folder.path(), &folder.path().join("password")] {
                chown(path, Some(uid), Some(gid)).map_err(|error| wrong("give away its folder", error))?;
            }
        }
        initialise(&bin, folder.path(), user)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let port = listener.map_err(|error| wrong("find a port", error))?.port();
        let log = tempfile::tempfile().map_err(|error| wrong("create a log", error))?;
        let supervisor = supervise(&bin, folder.path(), user, port, durability, &log);
        let supervisor = supervisor.map_err(|error| wrong("start a shell", error))?;
        let databases = AtomicUsize::new(0);
        let mut cluster = Self { folder, bin, port, password, supervisor, log, durability, databases };
        cluster.wait_until_ready()?;
        Ok(cluster)
    }

    /// Waits as `pg_ctl` does, until the last line of the server's file says that it is ready.
    fn wait_until_ready(&mut self) -> Result<(), String> {
        let (file, begun) = (data(self.folder.path()).join("postmaster.pid"), Instant::now());
        loop {
            if fs::read_to_string(&file)
                .is_ok_and(|text| text.lines().last().is_some_and(|line| line.trim() == "ready"))
            {
                return Ok(());
            }
            let ended = self.supervisor.try_wait().is_ok_and(|status| status.is_some());
            if ended || begun.elapsed() > START {
                let how = if ended { "ended at once" } else { "does not get ready" };
                return Err(format!("PostgreSQL {how}; it says:\n{}", self.log()));
            }
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        // The server kills what does not stop within five seconds, so that this ends.
        let _ = self.supervisor.wait();
    }
}

/// Returns the folder of the programs: the one in the variable, or Debian's newest.
fn bin() -> Result<PathBuf, String> {
    let has_programs = |bin: &PathBuf| ["initdb", "postgres", "psql"].iter().all(|name| bin.join(name).is_file());
    if let Some(bin) = std::env::var_os(BIN).map(PathBuf::from) {
        let message = format!("{BIN} is `{}`, where `initdb`, `postgres` and `psql` are not", bin.display());
        return Some(bin).filter(has_programs).ok_or(message);
    }
    let version = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let mut versions: Vec<u32> = fs::read_dir(PACKAGES).into_iter().flatten().flatten().filter_map(version).collect();
    versions.sort_unstable();
    let bins = versions.iter().rev().map(|version| Path::new(PACKAGES).join(version.to_string()).join("bin"));
    bins.into_iter().find(has_programs).ok_or_else(|| {
        format!(
            "PostgreSQL is not installed\nhint: apt-get install postgresql; or name the folder of `initdb` in {BIN}"
        )
    })
}

/// Returns the user and group that the server runs as, if the tests run as root, which it refuses.
fn user() -> io::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let ids = |name: &str| {
        let mut fields =
            users.lines().map(|line| line.split(':')).find(|fields| fields.clone().next() == Some(name))?;
        Some((fields.nth(2)?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Ok(ids("postgres").or_else(|| ids("nobody")))
}

/// Returns 128 random bits in hex.
fn password() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

/// Creates the cluster's files.
fn initialise(bin: &Path, folder: &Path, user: Option<(u32, u32)>) -> Result<(), String> {
    let mut initdb = command(&bin.join("initdb"), user);
    initdb.current_dir(folder).args(["--no-sync", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8"]);
    initdb.args(["--locale-provider=icu", "--icu-locale=en-US", "--username", USER, "--pwfile=password", "data"]);
    run(&mut initdb).map(drop)
}

/// Starts the server under the supervising shell.
fn supervise(
    bin: &Path,
    folder: &Path,
    user: Option<(u32, u32)>,
    port: u16,
    durability: Durability,
    log: &File,
) -> io::Result<Child> {
    let mut shell = command(Path::new("/bin/sh"), user);
    shell.args(["-c", SUPERVISOR, "sh"]).arg(folder).arg(bin.join("postgres")).arg("-D").arg(data(folder));
    let port = format!("port={port}");
    // The tests of a process run at once and share a cluster.
    for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200", &port] {
        shell.args(["-c", setting]);
    }
    if durability == Durability::Unsynced {
        for setting in ["fsync=off", "synchronous_commit=off", "full_page_writes=off"] {
            shell.args(["-c", setting]);
        }
    }
    // A process group of its own: Ctrl-C is for the tests, whose end stops the server.
    shell.process_group(0).current_dir(folder).stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log.try_clone()?);
    shell.spawn()
}

/// Returns a program with a fixed environment: `PG*` variables are meant for another server.
fn command(program: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// Runs a command. Returns its output if it succeeds.
fn run(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().display().to_string();
    let output = command.output().map_err(|error| format!("cannot run {program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    Err(format!("{program} failed: {}", String::from_utf8_lossy(&output.stderr).trim_end()))
}

/// Returns a log from its start, without moving the position of its writers.
fn log_text(log: &File) -> String {
    let mut bytes = vec![0; log.metadata().map_or(0, |metadata| usize::try_from(metadata.len()).unwrap_or(0))];
    let read = log.read_at(&mut bytes, 0).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}
