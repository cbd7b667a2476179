//! An ingestion that links file system and sockets and tries to use them. Without stubs it is
//! refused at admission. With stubs every attempt must fail. On request it calls one function of
//! WASI for ever instead.

mod calls;

use std::fmt::Debug;
use std::fs;
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};

use schemars::JsonSchema;
use serde::Deserialize;
use stagewright_kit::{Failure, FinishedTable, Ingestion, Settings, TableWriter};

/// The stage.
pub struct Wasi;

/// The stage's parameters.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The function of WASI to call for ever; empty for none.
    pub call: String,
}

/// Asserts that an attempt failed.
fn refused<T, E: Debug>(what: &str, result: Result<T, E>) -> Result<(), Failure> {
    match result {
        Ok(_) => Err(Failure::internal(format!("escaped: {what}"))),
        Err(reason) => {
            stagewright_kit::info!("{what}: {reason:?}");
            Ok(())
        }
    }
}

impl Ingestion for Wasi {
    type Parameters = Parameters;

    fn ingest(sources: &[String], settings: &Settings<Parameters>) -> Result<FinishedTable, Failure> {
        if !settings.parameters.call.is_empty() {
            return calls::call(&settings.parameters.call);
        }
        for path in ["/etc/passwd", "../../etc/passwd", ".", "/", "/proc/self/environ", "/dev/zero"] {
            refused(&format!("read {path}"), fs::read(path))?;
            refused(&format!("list {path}"), fs::read_dir(path).and_then(|mut entries| entries.next().transpose()))?;
        }
        refused("create a file", fs::write("owned.txt", "x"))?;
        refused("create a file in /tmp", fs::write("/tmp/owned.txt", "x"))?;
        refused("make a folder", fs::create_dir("owned"))?;
        refused("make a hard link", fs::hard_link("/etc/passwd", "link"))?;
        refused("rename", fs::rename("/etc/passwd", "mine"))?;
        refused("remove", fs::remove_file("/etc/passwd"))?;
        refused("truncate", fs::OpenOptions::new().write(true).truncate(true).open("/etc/passwd"))?;
        refused("connect by TCP", TcpStream::connect("127.0.0.1:22"))?;
        refused("connect to the metadata service", TcpStream::connect("169.254.169.254:80"))?;
        refused("listen", TcpListener::bind("127.0.0.1:0"))?;
        refused("open a UDP socket", UdpSocket::bind("0.0.0.0:0"))?;
        refused("resolve localhost", ("localhost", 80).to_socket_addrs())?;
        refused("resolve a name", ("exfiltrate.example.com", 53).to_socket_addrs())?;
        let environment: Vec<_> = std::env::vars().collect();
        refused("find an environment variable", environment.first().ok_or("there is none"))?;
        refused("find an argument", std::env::args().next().ok_or("there is none"))?;

        let mut cursor = stagewright_kit::source::open(sources.first().map_or("", String::as_str))?;
        let mut writer = TableWriter::new(&cursor.fields());
        while let Some(rows) = cursor.next(8192)? {
            writer.write(rows)?;
        }
        writer.finish()
    }
}

stagewright_kit::ingestion!(Wasi);
