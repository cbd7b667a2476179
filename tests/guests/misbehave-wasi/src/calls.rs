//! Calls a function of WASI for ever.

use std::hint::black_box;

use misbehave::WasiCall;
use stagewright_kit::{Failure, FinishedTable};
use wasip2::cli::{environment, stderr, stdin, stdout, terminal_stderr, terminal_stdin, terminal_stdout};
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::filesystem::preopens;
use wasip2::io::poll::poll;
use wasip2::random::{insecure, insecure_seed, random};
use wasip2::sockets::network::IpAddressFamily;
use wasip2::sockets::{instance_network, ip_name_lookup, tcp_create_socket, udp_create_socket};

/// The bytes of one call, as many as standard output accepts at once.
const BYTES: u64 = 4096;

fn for_ever<T>(mut call: impl FnMut() -> T) -> Result<FinishedTable, Failure> {
    loop {
        black_box(call());
    }
}

/// Calls the function for ever. Returns only if there is no such function.
pub(crate) fn call(name: &str) -> Result<FinishedTable, Failure> {
    let call = WasiCall::ALL.iter().copied().find(|call| call.name() == name);
    let call = call.ok_or_else(|| Failure::parameter("call", "there is no such function"))?;
    match call.name().split_once('#') {
        Some(("wasi:io/poll" | "wasi:io/streams", _)) => stream(call),
        Some((interface, _)) if interface.starts_with("wasi:cli/") => command(call),
        _ => other(call),
    }
}

fn stream(call: WasiCall) -> Result<FinishedTable, Failure> {
    let (input, output) = (stdin::get_stdin(), stdout::get_stdout());
    let timer = monotonic_clock::subscribe_duration(1);
    let bytes = [b'x'; BYTES as usize];
    match call {
        WasiCall::Ready => for_ever(|| timer.ready()),
        WasiCall::Block => for_ever(|| timer.block()),
        WasiCall::Poll => for_ever(|| poll(&[&timer; 100])),
        WasiCall::Read => for_ever(|| input.read(u64::MAX)),
        WasiCall::BlockingRead => for_ever(|| input.blocking_read(u64::MAX)),
        WasiCall::Skip => for_ever(|| input.skip(u64::MAX)),
        WasiCall::BlockingSkip => for_ever(|| input.blocking_skip(u64::MAX)),
        WasiCall::SubscribeInput => for_ever(|| input.subscribe()),
        WasiCall::CheckWrite => for_ever(|| output.check_write()),
        WasiCall::Write => for_ever(|| output.write(&bytes)),
        WasiCall::BlockingWriteAndFlush => for_ever(|| output.blocking_write_and_flush(&bytes)),
        WasiCall::Flush => for_ever(|| output.flush()),
        WasiCall::BlockingFlush => for_ever(|| output.blocking_flush()),
        WasiCall::SubscribeOutput => for_ever(|| output.subscribe()),
        WasiCall::WriteZeroes => for_ever(|| output.write_zeroes(BYTES)),
        WasiCall::BlockingWriteZeroes => for_ever(|| output.blocking_write_zeroes_and_flush(BYTES)),
        WasiCall::Splice => for_ever(|| output.splice(&input, u64::MAX)),
        _ => for_ever(|| output.blocking_splice(&input, u64::MAX)),
    }
}

fn command(call: WasiCall) -> Result<FinishedTable, Failure> {
    match call {
        WasiCall::GetEnvironment => for_ever(environment::get_environment),
        WasiCall::GetArguments => for_ever(environment::get_arguments),
        WasiCall::InitialCwd => for_ever(environment::initial_cwd),
        WasiCall::Exit => for_ever(|| wasip2::cli::exit::exit(Ok(()))),
        WasiCall::GetStdin => for_ever(stdin::get_stdin),
        WasiCall::GetStdout => for_ever(stdout::get_stdout),
        WasiCall::GetStderr => for_ever(stderr::get_stderr),
        WasiCall::GetTerminalStdin => for_ever(terminal_stdin::get_terminal_stdin),
        WasiCall::GetTerminalStdout => for_ever(terminal_stdout::get_terminal_stdout),
        _ => for_ever(terminal_stderr::get_terminal_stderr),
    }
}

fn other(call: WasiCall) -> Result<FinishedTable, Failure> {
    match call {
        WasiCall::Now => for_ever(monotonic_clock::now),
        WasiCall::Resolution => for_ever(monotonic_clock::resolution),
        WasiCall::SubscribeInstant => for_ever(|| monotonic_clock::subscribe_instant(u64::MAX)),
        WasiCall::SubscribeDuration => for_ever(|| monotonic_clock::subscribe_duration(u64::MAX)),
        WasiCall::WallNow => for_ever(wall_clock::now),
        WasiCall::WallResolution => for_ever(wall_clock::resolution),
        WasiCall::GetRandomBytes => for_ever(|| random::get_random_bytes(1 << 20)),
        WasiCall::GetRandomU64 => for_ever(random::get_random_u64),
        WasiCall::GetInsecureRandomBytes => for_ever(|| insecure::get_insecure_random_bytes(1 << 20)),
        WasiCall::GetInsecureRandomU64 => for_ever(insecure::get_insecure_random_u64),
        WasiCall::InsecureSeed => for_ever(insecure_seed::insecure_seed),
        WasiCall::GetDirectories => for_ever(preopens::get_directories),
        WasiCall::InstanceNetwork => for_ever(instance_network::instance_network),
        WasiCall::CreateTcpSocket => for_ever(|| tcp_create_socket::create_tcp_socket(IpAddressFamily::Ipv4)),
        WasiCall::CreateUdpSocket => for_ever(|| udp_create_socket::create_udp_socket(IpAddressFamily::Ipv4)),
        _ => {
            let network = instance_network::instance_network();
            for_ever(|| ip_name_lookup::resolve_addresses(&network, "localhost"))
        }
    }
}
