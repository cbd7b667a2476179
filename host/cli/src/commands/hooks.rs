//! `hooks`: lists hooks, shows how far they were told, and tells them.

use stagewright_hooks::{Hooks, Report};
use stagewright_manifest::{HookSection, HookTarget, Operator};
use stagewright_store::{ChampionChange, HookProgress, Registry};

use crate::arguments::HooksCommand;
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::hooks::{deliver, hooks};
use crate::installation;
use crate::output::print_json;
use crate::terminal::{moment, table};
use crate::usage_error::UsageError;

pub(crate) fn hooks_command(location: &HomeLocation, command: &HooksCommand) -> anyhow::Result<ExitCode> {
    let operator = installation::operator()?;
    match command {
        HooksCommand::List(json) => list(&operator, json.json),
        HooksCommand::Status(json) => status(&location.existing()?.registry, &operator, json.json),
        HooksCommand::Deliver { names, json } => {
            let hooks = chosen(&operator, names)?;
            tell(&location.existing()?.registry, &hooks, json.json)
        }
        HooksCommand::Skip { name } => {
            let hooks = chosen(&operator, std::slice::from_ref(name))?;
            skip(&location.existing()?.registry, &hooks)
        }
    }
}

/// Returns the hooks of these names; all, if there are no names.
fn chosen(operator: &Operator, names: &[String]) -> anyhow::Result<Hooks> {
    let hooks = hooks(operator);
    let is_known = |name: &String| hooks.sections().iter().any(|section| section.name == *name);
    if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
        let known: Vec<&str> = hooks.sections().iter().map(|section| section.name.as_str()).collect();
        let hint = match known.is_empty() {
            true => "the operator's file names hooks under [hooks.NAME]; there are none".to_owned(),
            false => format!("the hooks are {}", known.join(", ")),
        };
        return Err(UsageError::error(ErrorCode::NoHook, format!("there is no hook `{unknown}`"), hint));
    }
    Ok(if names.is_empty() { hooks } else { hooks.named(names) })
}

/// Returns the server or the program of a hook. Of a URL, the path is left out: some servers take
/// whoever knows the path.
fn target(section: &HookSection) -> String {
    match &section.target {
        HookTarget::Request(request) => {
            let (scheme, rest) = request.url.split_once("://").unwrap_or_default();
            format!("{scheme}://{}", rest.split(['/', '?']).next().unwrap_or_default())
        }
        HookTarget::Command(command) => command.program.display().to_string(),
    }
}

fn list(operator: &Operator, is_json: bool) -> anyhow::Result<ExitCode> {
    let all = |texts: Vec<&str>| if texts.is_empty() { "all".to_owned() } else { texts.join(", ") };
    if operator.hooks.is_empty() && !is_json {
        println!("the operator's file names no hooks");
        return Ok(ExitCode::Done);
    }
    let rows = operator.hooks.iter().map(|section| {
        let events: Vec<&str> = section.events.iter().map(|event| event.name()).collect();
        let models: Vec<&str> = section.models.iter().map(String::as_str).collect();
        (section, target(section), events, models)
    });
    if is_json {
        let rows = rows.map(|(section, target, events, models)| {
            serde_json::json!({
                "hook": section.name, "target": target, "events": events, "models": models,
                "timeout_ms": section.timeout.as_millis() as u64,
            })
        });
        print_json(&rows.collect::<Vec<_>>())?;
        return Ok(ExitCode::Done);
    }
    let mut grid = table(&["hook", "target", "events", "models", "timeout"]);
    for (section, target, events, models) in rows {
        grid.add_row(vec![section.name.clone(), target, all(events), all(models), format!("{:?}", section.timeout)]);
    }
    println!("{grid}");
    Ok(ExitCode::Done)
}

fn status(registry: &Registry, operator: &Operator, is_json: bool) -> anyhow::Result<ExitCode> {
    let known = registry.hooks()?;
    let mut names: Vec<&str> = operator.hooks.iter().map(|section| section.name.as_str()).collect();
    let gone = known.iter().map(|hook| hook.name.as_str()).filter(|name| !names.contains(name)).collect::<Vec<_>>();
    names.extend(&gone);
    let mut grid = table(&["hook", "last told", "changes since", "state"]);
    let mut rows = Vec::new();
    for name in names {
        let progress = known.iter().find(|hook| hook.name == name);
        let waiting = progress.map(|hook| registry.count_champion_changes(hook.place)).transpose()?;
        let is_named = !gone.contains(&name);
        if is_json {
            rows.push(serde_json::json!({
                "hook": name, "in_operators_file": is_named, "place": progress.map(|hook| hook.place),
                "delivered_ms": progress.and_then(|hook| hook.delivered_ms), "changes_since": waiting,
                "failures": progress.map(|hook| hook.failures),
                "next_ms": progress.map(|hook| hook.next_ms).filter(|next| *next > 0),
                "error": progress.and_then(|hook| hook.error.as_deref()),
                "held_until_ms": progress.and_then(|hook| hook.held_until_ms),
            }));
            continue;
        }
        let told = progress.and_then(|hook| hook.delivered_ms).map(moment).unwrap_or_else(|| "never".to_owned());
        let count = waiting.map(|count| count.to_string()).unwrap_or_default();
        grid.add_row(vec![name.to_owned(), told, count, state(progress, waiting, is_named)]);
    }
    if is_json {
        print_json(&rows)?;
    } else {
        println!("{grid}");
    }
    Ok(ExitCode::Done)
}

fn state(progress: Option<&HookProgress>, waiting: Option<u64>, is_named: bool) -> String {
    match (progress, &progress.and_then(|hook| hook.error.as_ref())) {
        _ if !is_named => "the operator's file does not name it any more".to_owned(),
        (None, _) => "begins with the next command or server that may promote".to_owned(),
        (Some(hook), Some(error)) => {
            format!("failed {} times, next attempt {}: {error}", hook.failures, moment(hook.next_ms))
        }
        (Some(_), None) if waiting == Some(0) => "told of everything".to_owned(),
        (Some(_), None) => "to be told".to_owned(),
    }
}

fn tell(registry: &Registry, hooks: &Hooks, is_json: bool) -> anyhow::Result<ExitCode> {
    hooks.begin(registry, None)?;
    let reports = deliver(hooks, registry);
    if is_json {
        let rows = reports.iter().map(|Report { name, delivered, problem }| {
            serde_json::json!({
                "hook": name, "delivered": delivered, "problem": problem.as_ref().map(ToString::to_string),
            })
        });
        print_json(&rows.collect::<Vec<_>>())?;
    }
    for Report { name, delivered, problem } in reports.iter().filter(|_| !is_json) {
        match (&delivered[..], problem) {
            ([], None) => println!("hook `{name}` was told of everything before"),
            (_, None) => println!("hook `{name}` took {}", delivered.join(", ")),
            (_, Some(problem)) => println!("hook `{name}`: {problem}"),
        }
    }
    let failed: Vec<&str> =
        reports.iter().filter(|report| report.problem.is_some()).map(|report| report.name.as_str()).collect();
    if failed.is_empty() {
        return Ok(ExitCode::Done);
    }
    Err(UsageError::error(
        ErrorCode::HookFailed,
        format!("hooks were not told of every change: {}", failed.join(", ")),
        "mend the receiver and try again, or pass over the event: stagewright hooks skip NAME",
    ))
}

fn skip(registry: &Registry, hooks: &Hooks) -> anyhow::Result<ExitCode> {
    for (name, change) in hooks.skip(registry)? {
        match change {
            Some(ChampionChange { kind, entry, .. }) => {
                let version = entry.version.map(|version| format!("/{version}")).unwrap_or_default();
                println!("hook `{name}` will not be told of `{} {}{version}`", kind.name(), entry.model);
            }
            None => println!("hook `{name}` was told of everything"),
        }
    }
    Ok(ExitCode::Done)
}
