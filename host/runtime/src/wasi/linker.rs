//! Links WASI for the stores of instances.

use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::p2::bindings::{self, clocks, random};
use wasmtime_wasi::{WasiCtxView, WasiView};

use super::clock::ClockView;
use super::stubs::Stubs;
use crate::import_call::Host;
use crate::store_data::StoreData;

struct Clocks;

impl HasData for Clocks {
    type Data<'a> = ClockView<'a>;
}

struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

impl<H: Send> WasiView for StoreData<H> {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Links WASI, with these stubs.
pub(crate) fn link_wasi<H: Host>(linker: &mut Linker<StoreData<H>>, stubs: Stubs) -> wasmtime::Result<()> {
    use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
    use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
    use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
    use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
    use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};

    wasmtime_wasi_io::bindings::wasi::io::error::add_to_linker::<_, Io>(linker, |data| &mut data.table)?;
    bindings::sync::io::poll::add_to_linker::<_, Io>(linker, |data| &mut data.table)?;
    bindings::sync::io::streams::add_to_linker::<_, Io>(linker, |data| &mut data.table)?;
    clocks::monotonic_clock::add_to_linker::<_, Clocks>(linker, |data| ClockView {
        clock: &data.clock,
        table: &mut data.table,
    })?;
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, StoreData::<H>::clocks)?;
    random::random::add_to_linker::<_, WasiRandom>(linker, StoreData::<H>::random)?;
    random::insecure::add_to_linker::<_, WasiRandom>(linker, StoreData::<H>::random)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(linker, StoreData::<H>::random)?;
    bindings::cli::exit::add_to_linker::<_, WasiCli>(linker, StoreData::<H>::cli)?;
    bindings::cli::environment::add_to_linker::<_, WasiCli>(linker, StoreData::<H>::cli)?;
    bindings::cli::stdin::add_to_linker::<_, WasiCli>(linker, StoreData::<H>::cli)?;
    bindings::cli::stdout::add_to_linker::<_, WasiCli>(linker, StoreData::<H>::cli)?;
    bindings::cli::stderr::add_to_linker::<_, WasiCli>(linker, StoreData::<H>::cli)?;
    bindings::cli::terminal_input::add_to_linker::<_, WasiCli>(linker, StoreData::<H>::cli)?;
    bindings::cli::terminal_output::add_to_linker::<_, WasiCli>(linker, StoreData::<H>::cli)?;
    bindings::cli::terminal_stdin::add_to_linker::<_, WasiCli>(linker, StoreData::<H>::cli)?;
    bindings::cli::terminal_stdout::add_to_linker::<_, WasiCli>(linker, StoreData::<H>::cli)?;
    bindings::cli::terminal_stderr::add_to_linker::<_, WasiCli>(linker, StoreData::<H>::cli)?;
    if stubs.filesystem {
        bindings::sync::filesystem::types::add_to_linker::<_, WasiFilesystem>(linker, StoreData::<H>::filesystem)?;
        bindings::filesystem::preopens::add_to_linker::<_, WasiFilesystem>(linker, StoreData::<H>::filesystem)?;
    }
    if stubs.sockets {
        let options = bindings::sockets::network::LinkOptions::default();
        bindings::sync::sockets::tcp::add_to_linker::<_, WasiSockets>(linker, StoreData::<H>::sockets)?;
        bindings::sync::sockets::udp::add_to_linker::<_, WasiSockets>(linker, StoreData::<H>::sockets)?;
        bindings::sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(linker, StoreData::<H>::sockets)?;
        bindings::sync::sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(linker, StoreData::<H>::sockets)?;
        bindings::sockets::instance_network::add_to_linker::<_, WasiSockets>(linker, StoreData::<H>::sockets)?;
        bindings::sockets::network::add_to_linker::<_, WasiSockets>(linker, &options, StoreData::<H>::sockets)?;
        bindings::sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(linker, StoreData::<H>::sockets)?;
    }
    Ok(())
}
