//! A program between a run and the process of a stage. It counts their messages and can kill either
//! side at any of them.
//!
//! A hook in the product would do the same, but then the tested binary would not be the shipped
//! one. This program takes the place of `stagewright-stage`: the shipped binary starts it, and it
//! starts the shipped `stagewright-stage`. For the run it is a child that does not lock itself in.
//! For the stage's process it is a parent, behind all walls. It consists of two processes. The
//! *relay* holds the channel to the run. The *keeper* holds the channel to the stage, counts
//! messages, and kills.
//!
//! Its folder holds `inner`, the stage's program; `log`, which it writes; and, if a process is to
//! be killed, `plan`: `parent` or `child`, `before` or `after`, and the number of a message,
//! counted from 1 over all messages of a run. The release of an instance has no number, because it
//! has no answer and the run does not wait for it.

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::{File, OpenOptions};
    use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
    use std::mem::MaybeUninit;
    use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
    use std::os::unix::net::UnixStream;
    use std::path::{Path, PathBuf};
    use std::process::Command;
    use std::sync::Arc;
    use std::time::Duration;

    use rustix::net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType,
    };
    use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
    use seccompiler::{SeccompAction, SeccompFilter};
    use stagewright_jail::{Channel, Child, Event, Rules, Started, TimeBudget, end};

    /// The version of the host that starts this program.
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    /// Kinds of messages of a stage's process (host/runtime/src/process).
    const ASK: u32 = 1;
    const TELL: u32 = 2;
    const RETURNED: u32 = 3;

    /// Kinds of messages of a run.
    const CALL: u32 = 1;
    const ANSWER: u32 = 2;
    const RENEW: u32 = 3;

    /// The length of the light part at the end of every message, and the memory figure at the end
    /// of a stage's messages.
    const LENGTH: usize = 4;
    const MEMORY: usize = 8;

    /// Where the first packet of a run says which walls it requires (host/jail/src/hello.rs).
    const REQUIRED: std::ops::Range<usize> = 8..12;

    /// The most descriptors that a packet of a run carries here.
    const DESCRIPTORS: usize = 20;

    /// A time that no test reaches. The run's own limits apply.
    const LONG: Duration = Duration::from_secs(600);

    type Failed = Box<dyn std::error::Error>;

    pub(super) fn main() {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let result = match arguments.as_slice() {
            [word, run] if word == "keeper" => keep(run),
            _ => relay(),
        };
        if let Err(reason) = result {
            eprintln!("the messenger: {reason}");
        }
        end(1)
    }

    // --- The relay: a child of the run.

    fn relay() -> Result<(), Failed> {
        let run = getppid().ok_or("it has no parent")?;
        let (own, keepers) = UnixStream::pair()?;
        Command::new(std::env::current_exe()?)
            .args(["keeper", &run.as_raw_pid().to_string()])
            .stdin(OwnedFd::from(keepers))
            .spawn()?;
        // The jail closes every descriptor above 2, so this one takes the place of standard output.
        put(own, 1)?;
        require_no_wall()?;
        // SAFETY: nothing in this process owns a descriptor above 2 any more, and it has one
        // thread.
        let started = unsafe { stagewright_jail::start(VERSION) }?;
        // SAFETY: the socket that was put there, which nobody else in this process uses.
        let mut keeper = UnixStream::from(unsafe { OwnedFd::from_raw_fd(1) });
        hand_over(&mut keeper, &started)?;
        be_without_walls()?;
        let mut channel = started.lock()?.channel;
        loop {
            pass_down(&mut channel, &mut keeper)?;
        }
    }

    /// Moves a descriptor to the number of a standard one.
    fn put(descriptor: impl Into<OwnedFd>, place: i32) -> io::Result<()> {
        let descriptor: OwnedFd = descriptor.into();
        // SAFETY: replaces a standard descriptor, which nobody in this process owns.
        if unsafe { libc::dup2(descriptor.as_raw_fd(), place) } == place {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Changes the packet that waits at standard input, so that it requires no wall.
    fn require_no_wall() -> Result<(), Failed> {
        let mut bytes = [0; 256];
        let (length, descriptors) = receive_with(io::stdin().as_fd(), &mut bytes)?;
        bytes.get_mut(REQUIRED).ok_or("a packet without walls")?.fill(0);
        let packets = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(|it| it.as_fd()).collect();
        send_with(packets.0.as_fd(), &bytes[..length], &borrowed)?;
        put(packets.1, 0)?;
        Ok(())
    }

    fn hand_over(keeper: &mut UnixStream, started: &Started) -> Result<(), Failed> {
        let inputs: Vec<BorrowedFd<'_>> = started.inputs().iter().map(|it| it.as_fd()).collect();
        send_with(keeper.as_fd(), &[0], &inputs)?;
        write(keeper, 0, &[&started.memory().to_le_bytes(), started.task()])?;
        Ok(())
    }

    /// Makes system calls that build walls fail as on a kernel without them.
    fn be_without_walls() -> Result<(), Failed> {
        let calls = [libc::SYS_seccomp, libc::SYS_landlock_create_ruleset, libc::SYS_prlimit64];
        let filter = SeccompFilter::new(
            calls.map(|call| (call, Vec::new())).into(),
            SeccompAction::Allow,
            SeccompAction::Errno(libc::ENOSYS as u32),
            std::env::consts::ARCH.try_into()?,
        )?;
        let program: seccompiler::BpfProgram = filter.try_into()?;
        Ok(seccompiler::apply_filter(&program)?)
    }

    /// Passes a message of the run to the keeper, and the answers back.
    fn pass_down(channel: &mut Channel, keeper: &mut UnixStream) -> Result<(), Failed> {
        let mut bytes = Vec::new();
        let kind = channel.receive(&mut bytes)?;
        write(keeper, kind, &[&bytes])?;
        if kind == RENEW {
            return Ok(());
        }
        loop {
            let up = read(keeper, &mut bytes)?;
            channel.send(up, &[&bytes])?;
            write(keeper, 0, &[])?;
            match up {
                ASK => {
                    let answer = channel.receive(&mut bytes)?;
                    write(keeper, answer, &[&bytes])?;
                }
                TELL => {}
                _ => return Ok(()),
            }
        }
    }

    // --- The keeper: the parent of the stage's process.

    fn keep(run: &str) -> Result<(), Failed> {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        let relay = getppid().ok_or("it has no parent")?;
        let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let (_, inputs) = receive_with(socket.as_fd(), &mut [0])?;
        let mut bytes = Vec::new();
        read(&mut socket, &mut bytes)?;
        let (memory, task) = bytes.split_first_chunk::<8>().ok_or("a task without its memory")?;
        let own = std::env::current_exe()?;
        let folder = own.parent().ok_or("a program in no folder")?;
        let program = folder.join("inner");
        let rules = Rules { longest: |_| Some(u64::MAX), messages: u64::MAX, bytes: u64::MAX };
        let account = Arc::new(TimeBudget::new(LONG, LONG));
        let mut command = stagewright_jail::Command::new(&program, VERSION, account, rules);
        let inputs: Vec<BorrowedFd<'_>> = inputs.iter().map(|it| it.as_fd()).collect();
        command.inputs = &inputs;
        command.task = task;
        command.memory = u64::from_le_bytes(*memory);
        command.environment = &[("MIMALLOC_ARENA_EAGER_COMMIT", "0")];
        let child = stagewright_jail::spawn(&command)?;
        let run = run.parse().ok().and_then(Pid::from_raw).ok_or("no number of a process")?;
        let log = Log { file: folder.join("log"), plan: Plan::read(&folder.join("plan"))?, run, relay };
        log.line(&format!("processes {} {} {}", relay.as_raw_pid(), std::process::id(), child.id()))?;
        Keeper { socket, child, log }.serve()
    }

    struct Keeper {
        socket: UnixStream,
        child: Child,
        log: Log,
    }

    impl Keeper {
        fn serve(mut self) -> Result<(), Failed> {
            let mut bytes = Vec::new();
            loop {
                let kind = read(&mut self.socket, &mut bytes)?;
                self.down(kind, &bytes)?;
                if kind == RENEW {
                    continue;
                }
                loop {
                    let up = match self.child.receive(&mut bytes)? {
                        Event::Message(kind) => kind,
                        Event::Ended(ending) => return Err(format!("{}: {}", ending.why, ending.stderr).into()),
                    };
                    self.up(up, &bytes)?;
                    match up {
                        ASK => {
                            let answer = read(&mut self.socket, &mut bytes)?;
                            self.down(answer, &bytes)?;
                        }
                        TELL => {}
                        _ => break,
                    }
                }
            }
        }

        fn down(&mut self, kind: u32, bytes: &[u8]) -> Result<(), Failed> {
            if kind == RENEW {
                // The run does not wait for a release, so it and other messages pass in any order.
                // It gets no number.
                self.log.line("renewed")?;
                return Ok(self.child.send(kind, &[bytes])?);
            }
            let number = self.log.message(&name_of_the_runs(kind, bytes))?;
            self.log.kill(number, "before")?;
            self.child.send(kind, &[bytes])?;
            self.log.kill(number, "after")
        }

        fn up(&mut self, kind: u32, bytes: &[u8]) -> Result<(), Failed> {
            let number = self.log.message(&name_of_the_stages(kind, bytes))?;
            self.log.kill(number, "before")?;
            write(&mut self.socket, kind, &[bytes])?;
            // The relay confirms that the run has the message.
            read(&mut self.socket, &mut Vec::new())?;
            self.log.kill(number, "after")
        }
    }

    fn name_of_the_runs(kind: u32, bytes: &[u8]) -> String {
        match kind {
            CALL => format!("call {}", head(bytes)),
            ANSWER => "answer".into(),
            other => format!("down {other}"),
        }
    }

    fn name_of_the_stages(kind: u32, bytes: &[u8]) -> String {
        let bytes = &bytes[..bytes.len().saturating_sub(MEMORY)];
        match kind {
            ASK => format!("ask {}", head(bytes)),
            TELL => format!("tell {}", head(bytes)),
            RETURNED => "returned".into(),
            other => format!("up {other}"),
        }
    }

    /// Returns the number of an export or an import, the first byte of a message's light part.
    fn head(bytes: &[u8]) -> u8 {
        let Some((rest, length)) = bytes.split_last_chunk::<LENGTH>() else { return u8::MAX };
        let at = rest.len().checked_sub(u32::from_le_bytes(*length) as usize);
        at.and_then(|at| rest.get(at)).copied().unwrap_or(u8::MAX)
    }

    struct Plan {
        whom: String,
        when: String,
        number: usize,
    }

    impl Plan {
        fn read(path: &Path) -> Result<Option<Self>, Failed> {
            if !path.exists() {
                return Ok(None);
            }
            let text = std::fs::read_to_string(path)?;
            let mut words = text.split_whitespace().map(str::to_owned);
            let mut word = || words.next().ok_or("a plan of fewer than three words");
            Ok(Some(Self { whom: word()?, when: word()?, number: word()?.parse()? }))
        }
    }

    struct Log {
        file: PathBuf,
        plan: Option<Plan>,
        run: Pid,
        relay: Pid,
    }

    impl Log {
        fn line(&self, line: &str) -> io::Result<String> {
            let mut file = OpenOptions::new().create(true).read(true).append(true).open(&self.file)?;
            // The lock is held until the file is closed. A run may have several stage processes.
            rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
            let mut before = String::new();
            file.read_to_string(&mut before)?;
            File::write_all(&mut file, format!("{line}\n").as_bytes())?;
            Ok(before)
        }

        /// Logs a message that is about to pass, and returns its number.
        fn message(&self, name: &str) -> io::Result<usize> {
            let before = self.line(name)?;
            Ok(1 + before.lines().filter(|line| !line.starts_with("processes ") && *line != "renewed").count())
        }

        /// Kills the process that the plan names, if this is the planned moment.
        fn kill(&self, number: usize, when: &str) -> Result<(), Failed> {
            let Some(plan) = self.plan.as_ref().filter(|plan| plan.number == number && plan.when == when) else {
                return Ok(());
            };
            let whom = if plan.whom == "parent" { self.run } else { self.relay };
            kill_process(whom, Signal::KILL)?;
            // The kill of either side ends this process.
            std::thread::sleep(LONG);
            Err("it is still there".into())
        }
    }

    // --- Messages between the two.

    fn write(socket: &mut UnixStream, kind: u32, parts: &[&[u8]]) -> io::Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let head = [&kind.to_le_bytes()[..], &(length as u64).to_le_bytes()].concat();
        socket.write_all(&[&head[..], &parts.concat()].concat())
    }

    fn read(socket: &mut UnixStream, bytes: &mut Vec<u8>) -> io::Result<u32> {
        let (mut kind, mut length) = ([0; 4], [0; 8]);
        socket.read_exact(&mut kind)?;
        socket.read_exact(&mut length)?;
        bytes.resize(u64::from_le_bytes(length) as usize, 0);
        socket.read_exact(bytes)?;
        Ok(u32::from_le_bytes(kind))
    }

    fn send_with(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Failed> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err("too many descriptors".into());
        }
        rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    fn receive_with(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received =
            rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        let rights = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        });
        Ok((received.bytes, rights.flatten().collect()))
    }
}
