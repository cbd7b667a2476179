//! `gc`: removes what nothing refers to, in the home and at the production location. Pipelines may
//! run at the same time.

use std::borrow::Cow;
use std::time::Duration;

use stagewright_lifecycle::run::cache::sweep_locks;
use stagewright_manifest::parse_size;
use stagewright_promotion::promote::repair;
use stagewright_promotion::{Destination, GarbageKind};
use stagewright_store::{CollectedArtifact, Digest, Home};

use crate::arguments::GcArguments;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::output::print_json;
use crate::production;
use crate::terminal::{bytes, table};
use crate::usage_error::UsageError;

/// Something that nothing refers to.
#[derive(serde::Serialize)]
struct Item {
    place: Cow<'static, str>,
    name: String,
    kind: String,
    bytes: u64,
}

/// Collects garbage, or lists it.
pub(crate) fn gc(location: &HomeLocation, arguments: &GcArguments) -> anyhow::Result<ExitCode> {
    let home = location.existing()?;
    let grace = duration(&arguments.grace)?;
    let mut items = collect_artifacts(&home, grace, arguments.dry_run)?;
    if let Some(most) = &arguments.max_size {
        let most = parse_size(most)
            .map_err(|hint| UsageError::error(ErrorCode::Argument, format!("`{most}` is not a size"), hint))?;
        // A dry run removed nothing, so the garbage would count again towards the size.
        let here = items.iter().filter(|item| arguments.dry_run && item.place == "artifacts");
        let garbage: u64 = here.map(|item| item.bytes).sum();
        items.extend(evict(&home, most.saturating_add(garbage), grace, arguments.dry_run)?);
    }
    if !arguments.dry_run {
        sweep_locks(&home)?;
    }
    items.extend(collect_compiled(&home, grace, arguments.dry_run)?);
    let destination = production::of_command(&home, None, &arguments.destination)?;
    let mut promoted = Ok(Vec::new());
    if arguments.destination.destination.is_some() || home.production_dir().is_dir() {
        promoted = collect_production(&home, &destination, grace, arguments.dry_run);
    }
    // A promotion may be under way there. The garbage that was removed before is reported in any
    // case.
    let refused = promoted.map(|promoted| items.extend(promoted)).err();
    show(&items, arguments)?;
    refused.map_or(Ok(ExitCode::Done), Err)
}

/// Shows the garbage that was removed, or would be.
fn show(items: &[Item], arguments: &GcArguments) -> anyhow::Result<()> {
    let total: u64 = items.iter().map(|item| item.bytes).sum();
    if arguments.json.json {
        print_json(&serde_json::json!({ "dry_run": arguments.dry_run, "bytes": total, "removed": items }))?;
        return Ok(());
    }
    if !items.is_empty() {
        let mut shown = table(&["where", "what", "kind", "bytes"]);
        for item in items {
            shown.add_row(vec![item.place.to_string(), item.name.clone(), item.kind.clone(), bytes(item.bytes)]);
        }
        println!("{shown}");
    }
    let done = if arguments.dry_run { "would be removed" } else { "removed" };
    println!("{} of {} {done}", items.len(), bytes(total));
    Ok(())
}

fn collect_artifacts(home: &Home, grace: Duration, dry_run: bool) -> anyhow::Result<Vec<Item>> {
    let knows_data = !home.registry.data_versions()?.is_empty();
    if !knows_data && home.registry.models()?.is_empty() && home.registry.list_runs(1)?.is_empty() {
        return Err(UsageError::error(
            ErrorCode::OtherRegistry,
            format!("the registry {} knows no run and no model", home.registry.place()),
            "everything would look like garbage: see that --home and --registry belong together",
        ));
    }
    // The machines of a registry collect shared artifacts one at a time, by whatever address each
    // knows them. No promotion uses this name.
    let place = home.artifacts.shared_uri().map(|_| "the shared artifacts");
    place.iter().try_for_each(|place| home.registry.begin_collection(place))?;
    let found = home.artifacts.collect(grace, dry_run, |kept| home.registry.reachable_of_late(kept));
    let ended = place.iter().try_for_each(|place| home.registry.end_collection(place));
    let found = found?;
    ended?;
    Ok(found.into_iter().map(|artifact| item_of(artifact, "artifacts")).collect())
}

/// Removes artifacts that only records of runs refer to, the least recently used first, until the
/// rest takes at most `most` bytes. The runs keep their records; a stage whose artifact is gone is
/// executed again when a run needs it.
fn evict(home: &Home, most: u64, grace: Duration, dry_run: bool) -> anyhow::Result<Vec<Item>> {
    let found = home.artifacts.evict(most, grace, dry_run, || home.registry.least_recently_used())?;
    Ok(found.into_iter().map(|artifact| item_of(artifact, "evicted")).collect())
}

fn item_of(artifact: CollectedArtifact, here: &'static str) -> Item {
    let CollectedArtifact { place, kind, digest, bytes } = artifact;
    let place = place.map_or(here.into(), Into::into);
    Item { place, name: digest.to_string(), kind: kind.to_string(), bytes }
}

/// Removes compiled components that no run used and no version needs. They can be compiled again.
fn collect_compiled(home: &Home, grace: Duration, dry_run: bool) -> anyhow::Result<Vec<Item>> {
    let mut items = Vec::new();
    // A cache outside the home is shared with homes that this command does not know.
    if crate::environment::own("STAGEWRIGHT_CACHE").is_some() {
        return Ok(items);
    }
    let Ok(entries) = std::fs::read_dir(home.cache_dir().join("components")) else { return Ok(items) };
    let reachable = home.registry.reachable()?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(digest) = name.get(..64).and_then(|hex| Digest::from_hex(hex).ok()) else { continue };
        // Another process removed the file.
        let Ok(metadata) = path.metadata() else { continue };
        let age = metadata.modified().ok().and_then(|modified| modified.elapsed().ok());
        if reachable.contains(&digest) || age.is_none_or(|age| age < grace) {
            continue;
        }
        if !dry_run {
            std::fs::remove_file(&path)?;
        }
        items.push(Item { place: "cache".into(), name, kind: "compiled component".to_owned(), bytes: metadata.len() });
    }
    items.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(items)
}

fn collect_production(
    home: &Home,
    destination: &Destination,
    grace: Duration,
    dry_run: bool,
) -> anyhow::Result<Vec<Item>> {
    if !dry_run {
        repair(home, destination)?;
    }
    home.registry.begin_collection(destination.uri())?;
    let collected = collect_at_destination(home, destination, grace, dry_run);
    let ended = home.registry.end_collection(destination.uri());
    let items = collected?;
    ended?;
    Ok(items)
}

fn collect_at_destination(
    home: &Home,
    destination: &Destination,
    grace: Duration,
    dry_run: bool,
) -> anyhow::Result<Vec<Item>> {
    let needed = home.registry.needed_by_promotions(destination.uri())?;
    let reachable = |digest: &Digest| needed.contains(digest);
    let garbage = destination.garbage(grace, &reachable)?;
    let item = |it: &stagewright_promotion::Garbage| Item {
        place: "production".into(),
        name: it.key.clone(),
        kind: kind(&it.kind).to_owned(),
        bytes: it.bytes,
    };
    let items = garbage.iter().map(item).collect();
    if !dry_run {
        destination.remove(&garbage, &reachable)?;
    }
    Ok(items)
}

fn kind(kind: &GarbageKind) -> &'static str {
    match kind {
        GarbageKind::Object => "object",
        GarbageKind::Probe => "probe",
        GarbageKind::Unfinished(_) => "unfinished upload",
    }
}

fn duration(text: &str) -> anyhow::Result<Duration> {
    let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    parsed.ok_or_else(|| {
        UsageError::error(ErrorCode::Argument, format!("`{text}` is not a duration"), "write 1h, 30min or 0s")
    })
}
