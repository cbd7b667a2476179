//! A run on a full disk reports the error, makes nothing visible, and leaves a home in which the
//! next run works.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use stagewright_end_to_end::{Ended, Place};

/// A small file system that is unmounted when this is dropped.
struct SmallDisk {
    /// The process that holds the mount in its own namespace. The disk is reached through its entry
    /// in `/proc`.
    holder: Child,
    folder: PathBuf,
}

impl SmallDisk {
    /// Mounts a file system of so many mebibytes at `folder`. Returns `None` where the system does
    /// not permit mounts.
    fn mount(folder: &Path, mebibytes: u32) -> Option<Self> {
        let script = "mount -t tmpfs -o size=$1m tmpfs \"$0\" && echo mounted && exec cat";
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .arg(folder)
            .arg(mebibytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take()?).read_line(&mut line).ok()?;
        let inside = PathBuf::from(format!("/proc/{}/root", holder.id())).join(folder.strip_prefix("/").ok()?);
        let disk = Self { holder, folder: inside };
        (line == "mounted\n" && fs::read_dir(&disk.folder).is_ok()).then_some(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[track_caller]
fn says_what_to_do(ended: &Ended, cause: &str) {
    for word in [cause, "hint: free some space"] {
        assert!(ended.stderr.contains(word), "`{word}` is not in:\n{}", ended.stderr);
    }
}

/// Runs a small pipeline, whose gates pass if there is no champion.
fn small(place: &Place, more: &[&str]) -> Ended {
    let gates = ["--set", "gates.minimum.roc_auc=0.5", "--set", "gates.minimum.accuracy=0.5"];
    place.churn(500, &[&["--set", "training.component=train-logistic"], &gates[..], more].concat())
}

/// Runs a pipeline whose table does not fit, on a disk that already has a champion.
fn a_run_that_does_not_fit(place: &Place, run: impl Fn(&Place, &[&str]) -> Ended, cause: &str) {
    small(place, &[]).expect(0);
    let (artifacts, models) = (place.artifacts(), place.run(&["models", "--json"]).expect(0).stdout);
    let manifest = stagewright_end_to_end::config("churn.toml");
    let large = ["run", &manifest, "--set", "ingestion.component=ingest-synthetic", "--set", "ingestion.rows=200000"];
    says_what_to_do(&run(place, &large).expect(7), cause);

    let left: Vec<_> = fs::read_dir(place.home().join("artifacts/staging")).expect("a home").collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(place.artifacts(), artifacts, "nothing of the run is visible");
    assert_eq!(place.run(&["models", "--json"]).expect(0).stdout, models);
    let shown = place.run(&["runs", "show", "--json"]).expect(0).json();
    assert_eq!(shown["run"]["status"], "failed");
    assert!(shown["run"]["error"]["message"].as_str().is_some_and(|message| message.contains(cause)), "{shown}");
    // Another seed makes another candidate, so that everything is written anew.
    let next = small(place, &["--seed", "2"]);
    assert!([0, 4].contains(&next.code), "{}", next.stderr);
}

// invariant: A full disk is reported with a remedy. An export is complete or absent, and output
// that cannot be written never causes a panic.
#[test]
fn a_run_that_fills_the_disk_says_so_and_shows_nothing_and_the_next_one_works() {
    let place = Place::new();
    fs::create_dir(place.home()).expect("a folder");
    let Some(disk) = SmallDisk::mount(&place.home(), 12) else {
        eprintln!("no small disk can be mounted here: a limit on the size of a file stands for it");
        return a_run_that_does_not_fit(&place, large_files_refused, "File too large");
    };
    let place = place.with_home(&disk.folder);
    a_run_that_does_not_fit(&place, Place::run, "No space left on device");

    // No space is left even for a record. Reading still works.
    let models = place.run(&["models", "--json"]).expect(0).stdout;
    let filler = disk.folder.join("filler");
    let full = fs::write(&filler, vec![0; 16 << 20]).expect_err("the disk is smaller");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    says_what_to_do(&small(&place, &["--register-name", "other", "--no-cache"]).expect(7), "No space left");
    assert_eq!(place.run(&["models", "--json"]).expect(0).stdout, models);
    place.run(&["artifacts", "list", "--json"]).expect(0);
    fs::remove_file(filler).expect("the filler");
    small(&place, &["--register-name", "other"]).expect(0);
}

/// Runs the binary with a limit of so many blocks of 512 bytes per file. A write fails half way, as
/// on a full disk.
fn with_limit(place: &Place, blocks: u32, arguments: &[&str]) -> Ended {
    let inner = place.command(arguments);
    let mut command = Command::new("sh");
    // The signal would end the process, where a full disk gives an error.
    command.args(["-c", "trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"", "sh", &blocks.to_string()]);
    command.arg(inner.get_program()).args(inner.get_args()).current_dir(place.path()).env_clear();
    command.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Ended::of(command)
}

/// Runs the binary with a limit of 8 MiB per file.
fn large_files_refused(place: &Place, arguments: &[&str]) -> Ended {
    with_limit(place, 16384, arguments)
}

#[test]
fn a_limit_on_files_is_told_like_a_full_disk() {
    a_run_that_does_not_fit(&Place::new(), large_files_refused, "File too large");
}

// invariant: as `a_run_that_fills_the_disk_says_so_and_shows_nothing_and_the_next_one_works`
#[test]
fn an_export_that_cannot_be_written_is_the_hosts_failure_and_leaves_no_half_of_a_file() {
    let place = Place::new();
    place.churn(10_000, &["--until", "transformation"]).expect(0);
    let folder = place.path().join("exports");
    fs::create_dir(&folder).expect("a folder");
    for (artifact, name) in
        [("ingestion.table", "table.csv"), ("ingestion.table", "table.parquet"), ("transformation.split", "split.csv")]
    {
        let output = folder.join(name);
        fs::write(&output, "old").expect("a file");
        let path = output.display().to_string();
        let ended = with_limit(&place, 128, &["artifacts", "export", artifact, "--output", &path]).expect(7);
        says_what_to_do(&ended, "File too large");
        assert_eq!(fs::read_to_string(&output).expect("the old file"), "old");
        fs::remove_file(output).expect("the old file");
        assert_eq!(fs::read_dir(&folder).expect("the folder").count(), 0, "half a file is left");
        place.run(&["artifacts", "export", artifact, "--output", &path]).expect(0);
        fs::remove_file(path).expect("the export");
    }
}

// invariant: as `a_run_that_fills_the_disk_says_so_and_shows_nothing_and_the_next_one_works`
#[test]
fn output_that_cannot_be_written_is_told_and_never_a_panic() {
    let place = Place::new();
    place.churn(500, &["--until", "ingestion"]).expect(0);
    let to = |arguments: &[&str], output: &str| {
        let mut command = place.command(arguments);
        command.stdout(fs::OpenOptions::new().write(true).open(output).expect(output));
        Ended::of(command)
    };
    for arguments in
        [&["runs"][..], &["runs", "--json"], &["artifacts", "export", "ingestion.signature", "--output", "-"]]
    {
        let ended = to(arguments, "/dev/full").expect(7);
        assert!(ended.stderr.contains("cannot write to standard output"), "{}", ended.stderr);
    }
    // The reader of the output closes the pipe.
    let mut gone = place.command(&["runs"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(gone.stdout.take());
    let ended = gone.wait_with_output().expect("it ends");
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
    // A failing standard error is no reason to stop.
    let mut command = place.command(&["run", &stagewright_end_to_end::config("churn.toml"), "--until", "ingestion"]);
    command.args(["--set", "ingestion.component=ingest-synthetic", "--set", "ingestion.rows=100"]);
    command.stderr(fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full"));
    assert_eq!(command.status().expect("it starts").code(), Some(0));
}

// invariant: as `a_run_that_fills_the_disk_says_so_and_shows_nothing_and_the_next_one_works`
#[test]
fn a_source_that_the_system_cannot_read_is_told_with_its_error_and_shows_nothing() {
    let place = Place::new();
    place.churn(500, &["--until", "ingestion"]).expect(0);
    let before = place.artifacts();
    let manifest = stagewright_end_to_end::config("churn.toml");
    // Reading this file at its start is an input/output error on every Linux.
    let ended = place.run(&["run", &manifest, "--source", "customers=csv:/proc/self/mem"]).expect(3);
    assert!(ended.stderr.contains("cannot read `/proc/self/mem`: Input/output error"), "{}", ended.stderr);
    assert_eq!(place.artifacts(), before);
    let shown = place.run(&["runs", "show", "--json"]).expect(0).json();
    assert_eq!(shown["run"]["status"], "failed");
}
