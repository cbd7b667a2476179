//! The WASI interfaces that stages get, and those that a manifest may add as stubs.

use crate::version::Name;

/// The parts of WASI that a component may link although they always fail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Stubs {
    pub(crate) filesystem: bool,
    pub(crate) sockets: bool,
}

impl Stubs {
    /// Returns the stubs of these names. Unknown names, which an older model may have, are ignored.
    pub(crate) fn named(names: &[String]) -> Self {
        let has = |name: &str| names.iter().any(|stub| stub == name);
        Self { filesystem: has("filesystem"), sockets: has("sockets") }
    }

    /// Returns their names, as in manifests and models.
    pub(crate) fn names(self) -> Vec<String> {
        let names = [("filesystem", self.filesystem), ("sockets", self.sockets)];
        names.into_iter().filter(|(_, granted)| *granted).map(|(name, _)| name.to_owned()).collect()
    }
}

/// The interfaces that every stage gets, by package.
const ALWAYS: [(&str, &[&str]); 4] = [
    ("wasi:io", &["error", "poll", "streams"]),
    (
        "wasi:cli",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("wasi:clocks", &["monotonic-clock", "wall-clock"]),
    ("wasi:random", &["random", "insecure", "insecure-seed"]),
];

/// The interfaces of the stub `filesystem`.
const FILESYSTEM: (&str, &[&str]) = ("wasi:filesystem", &["types", "preopens"]);

/// The interfaces of the stub `sockets`.
const SOCKETS: (&str, &[&str]) = (
    "wasi:sockets",
    &["tcp", "udp", "tcp-create-socket", "udp-create-socket", "instance-network", "network", "ip-name-lookup"],
);

/// Returns whether an import belongs to the WASI that every stage gets or to one of these stubs.
pub(crate) fn grants(import: &str, stubs: Stubs) -> bool {
    let Some(name) = Name::parse(import).filter(Name::is_of_our_wasi) else { return false };
    let is = |(package, interfaces): &(&str, &[&str])| name.package == *package && interfaces.contains(&name.interface);
    ALWAYS.iter().any(is) || (stubs.filesystem && is(&FILESYSTEM)) || (stubs.sockets && is(&SOCKETS))
}

/// Returns whether an import belongs to a package of WASI that stages get, but in another version.
pub(crate) fn is_of_another_version(import: &str) -> bool {
    let mut packages = ALWAYS.iter().chain([&FILESYSTEM, &SOCKETS]).map(|(package, _)| *package);
    Name::parse(import).is_some_and(|name| !name.is_of_our_wasi() && packages.any(|package| package == name.package))
}
