//! Runs the child of `stagewright_jail_tests`.

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    if let Some(milliseconds) = std::env::args().nth(1).and_then(|argument| argument.parse().ok()) {
        return stagewright_jail_tests::prisoner::keeper(milliseconds);
    }
    // SAFETY: the first thing that this program does; it has opened nothing.
    let started = match unsafe { stagewright_jail::start(stagewright_jail_tests::VERSION) } {
        Ok(started) => started,
        Err(reason) => {
            eprintln!("{reason}");
            return std::process::ExitCode::FAILURE;
        }
    };
    stagewright_jail_tests::prisoner::serve(started)
}

#[cfg(not(target_os = "linux"))]
fn main() {}
