//! The resident memory of a server and of the processes of its models.

use std::fmt;

use stagewright_end_to_end::serving::Serving;

/// Growth that is none: allocators give back what they have when they like.
const SLACK_MIB: f64 = 8.0;

/// Growth that is none, as a share.
const SLACK: f64 = 0.1;

/// Resident memory in MiB.
pub(super) struct Memory {
    front: f64,
    models: f64,
}

impl Memory {
    /// Reads the memory of a server. Versions that are being replaced are over by then.
    pub(super) fn of(server: &Serving) -> Self {
        // After a change, the version before ends its processes.
        std::thread::sleep(std::time::Duration::from_secs(1));
        let models = descendants(server.id()).into_iter().filter_map(resident).sum();
        Self { front: resident(server.id()).expect("the server's memory"), models }
    }

    /// Returns whether this is hardly more than before.
    pub(super) fn is_near(&self, before: &Self) -> bool {
        let is_near = |now: f64, before: f64| now <= before * (1.0 + SLACK) + SLACK_MIB;
        is_near(self.front, before.front) && is_near(self.models, before.models)
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MiB and {:.1} MiB of the models' processes", self.front, self.models)
    }
}

/// Returns the resident memory of a process in MiB.
fn resident(id: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib / 1024.0)
}

/// Returns the children of a process, with their children.
fn descendants(id: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let texts = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    let children: Vec<u32> =
        texts.flat_map(|text| text.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>()).collect();
    children.iter().flat_map(|child| [vec![*child], descendants(*child)].concat()).collect()
}
