//! `data push` and `data pull`.

use std::path::Path;

use stagewright_data_versions::pointer::{MAX_POINTER_BYTES, Pointer};
use stagewright_data_versions::remote::{self, PullOptions, Pulled, Pushed, Wanted};
use stagewright_manifest::parse_size;
use stagewright_promotion::Destination;
use stagewright_store::{DataReference, DataRequirement, Home};

use crate::arguments::{DataPullArguments, DataPushArguments};
use crate::error_code::ErrorCode;
use crate::output::print_json;
use crate::production;
use crate::terminal::bytes;
use crate::usage_error::UsageError;

pub(super) fn push(home: &Home, arguments: &DataPushArguments) -> anyhow::Result<()> {
    let records = match &arguments.data {
        None => home.registry.data_versions()?,
        Some(data) => {
            // An error if there is none.
            home.registry.data_version(data)?;
            let mut records = home.registry.data_versions_of(&data.name)?;
            records.retain(|record| data.requirement.admits(record.version));
            records
        }
    };
    if records.is_empty() {
        return Err(UsageError::error(
            ErrorCode::NothingYet,
            "there is no data in this registry",
            "add some: stagewright data add NAME SOURCE",
        ));
    }
    let remote = Destination::open(&arguments.remote, &production::settings())?;
    let mut pushed = Vec::new();
    for of_one in records.chunk_by(|one, other| one.name == other.name) {
        pushed.push(remote::push(home, &remote, &of_one[0].name, of_one, arguments.verify)?);
    }
    if arguments.json.json {
        return print_json(&pushed);
    }
    for Pushed { name, versions, unchanged, objects, bytes: sent } in pushed {
        if versions.is_empty() && objects == 0 {
            println!("{name}: unchanged ({} versions are there)", unchanged.len());
            continue;
        }
        if versions.is_empty() {
            println!("{name}: sent {objects} objects again, of {}", bytes(sent));
            continue;
        }
        let versions: Vec<String> = versions.iter().map(ToString::to_string).collect();
        println!("{name}: sent {} ({objects} objects of {})", versions.join(", "), bytes(sent));
    }
    Ok(())
}

pub(super) fn pull(home: &Home, arguments: &DataPullArguments) -> anyhow::Result<()> {
    let max_bytes = &arguments.max_bytes;
    let max_bytes = parse_size(max_bytes)
        .map_err(|hint| UsageError::error(ErrorCode::Argument, format!("`{max_bytes}` is not a size"), hint))?;
    let remote = Destination::open(&arguments.remote, &production::settings())?;
    let (wanted, references) = match (&arguments.pointer, &arguments.data) {
        (Some(pointer), _) => {
            let pointer = read_pointer(pointer)?;
            (Wanted::Digest(pointer.digest), vec![pointer.reference()])
        }
        (None, data) => {
            let wanted = if arguments.all { Wanted::All } else { Wanted::Latest };
            let all = |name| DataReference { name, requirement: DataRequirement::Latest };
            let references = match data {
                Some(data) => vec![data.clone()],
                None => remote::names(&remote)?.into_iter().map(all).collect(),
            };
            (wanted, references)
        }
    };
    let mut left = max_bytes;
    let mut pulled = Vec::new();
    for reference in &references {
        let options = PullOptions { wanted: wanted.clone(), max_bytes: left };
        let versions = remote::pull(home, &remote, reference, &options)?;
        left = versions.iter().fold(left, |left, version| left.saturating_sub(version.bytes));
        pulled.extend(versions);
    }
    if arguments.json.json {
        return print_json(&pulled);
    }
    if pulled.is_empty() {
        println!("there is no data at {}", remote.uri());
    }
    for Pulled { name, version, digest, is_new, bytes: fetched } in pulled {
        let done = match (is_new, fetched) {
            (false, 0) => "was here".to_owned(),
            (_, fetched) => format!("brought, {} fetched", bytes(fetched)),
        };
        println!("{name}@{version}: {done}, {digest}");
    }
    Ok(())
}

fn read_pointer(path: &Path) -> anyhow::Result<Pointer> {
    let refuse = |problem: String| {
        UsageError::error(
            ErrorCode::FileUnreadable,
            format!("{} is not a pointer to data: {problem}", path.display()),
            "name a file that `stagewright data add NAME SOURCE --pointer FILE` wrote",
        )
    };
    let bytes = stagewright_store::read_regular(path, MAX_POINTER_BYTES).map_err(|error| refuse(error.to_string()))?;
    Pointer::parse(&bytes).map_err(refuse)
}
