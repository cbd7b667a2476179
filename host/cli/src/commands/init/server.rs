//! The table of a PostgreSQL server, which `init` reads once into a temporary file.
//!
//! Whoever typed the address asked for this server, so that it needs no grant here. The manifest
//! gets the grants that a run needs.

use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use stagewright_data::{
    HostGrant, Interrupt, Password, PostgresAddress, PostgresRequest, PostgresRows, Secret, fetch_postgres,
    is_postgres, needed_grants,
};
use stagewright_manifest::World;
use tempfile::NamedTempFile;

use crate::environment;
use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;

/// The most bytes of a table, as of a source.
const MAX_BYTES: u64 = 1 << 30;

/// A table of a server.
pub(super) struct ServerTable {
    rows: NamedTempFile,
    /// Its name, without the schema.
    pub(super) name: String,
    /// The grants that a run needs.
    pub(super) grants: Vec<String>,
}

impl ServerTable {
    /// Reads the table at an address; `None` if the address is of another kind.
    ///
    /// # Errors
    /// The server cannot be read, or the address names no table.
    pub(super) fn read(address: &str) -> anyhow::Result<Option<Self>> {
        if !is_postgres(address) {
            return Ok(None);
        }
        let mut address = PostgresAddress::parse(address)?;
        let Some(table) = address.table.clone() else {
            return Err(UsageError::error(
                ErrorCode::Argument,
                "the address names no table",
                "add #TABLE, or #SCHEMA.TABLE, to it",
            ));
        };
        let variable = || environment::variable("PGPASSWORD").map(|password| Password::Shared(Secret(password)));
        let password = address.password.take().map(Password::Given).or_else(variable);
        let resolved = (address.host.as_str(), address.port).to_socket_addrs();
        let grants = needed_grants(&address, resolved.into_iter().flatten().map(|it| it.ip()));
        let any = [IpAddr::from([0_u8; 4]), IpAddr::from([0_u16; 8])];
        let any = any.map(|address| HostGrant::Network { address, prefix: 0 });
        let asked = HostGrant::Host {
            host: if address.host.contains(':') { format!("[{}]", address.host) } else { address.host.clone() },
            port: Some(address.port),
        };
        let request = PostgresRequest {
            address,
            rows: PostgresRows::Table(table.clone()),
            password,
            grants: any.into_iter().chain([asked]).collect(),
            max_bytes: MAX_BYTES,
            deadline: Instant::now() + World::Ingestion.default_limits().wall,
        };
        let mut rows = NamedTempFile::new().context("cannot create a temporary file")?;
        fetch_postgres(&request, &Interrupt::never(), rows.as_file_mut())?;
        Ok(Some(Self { rows, name: table.name, grants }))
    }

    /// Returns the file with the rows.
    pub(super) fn path(&self) -> &Path {
        self.rows.path()
    }
}
