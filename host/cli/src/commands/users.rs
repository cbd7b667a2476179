//! `users`: who may do what through the tracking server.

use stagewright_store::{Permission, Registry, Resource, User};
use stagewright_text::Untrusted;

use crate::arguments::{ResourceArguments, UsersCommand};
use crate::error_code::ErrorCode;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::output::print_json;
use crate::password;
use crate::terminal::{moment, table};
use crate::usage_error::UsageError;

pub(crate) fn users(location: &HomeLocation, command: &UsersCommand) -> anyhow::Result<ExitCode> {
    match command {
        // A server may be given its accounts before anything was logged.
        UsersCommand::Create { name, admin, json } => create(&location.open()?.registry, name, *admin, json.json)?,
        UsersCommand::List(json) => list(&location.existing()?.registry.users()?, json.json)?,
        UsersCommand::Delete { name, switch_off } => delete(&location.existing()?.registry, name, *switch_off)?,
        UsersCommand::Password { name } => {
            let registry = location.existing()?.registry;
            registry.user(name)?;
            registry.set_password(name, password::read(name)?.as_str())?;
            println!("user `{}` has another password", Untrusted::new(name));
        }
        UsersCommand::Admin { name, revoke } => {
            location.existing()?.registry.set_admin(name, !revoke)?;
            let what = if *revoke { "is no longer an administrator" } else { "is an administrator" };
            println!("user `{}` {what}", Untrusted::new(name));
        }
        UsersCommand::Grant { name, permission, resource } => {
            let registry = location.existing()?.registry;
            registry.grant(name, &resolved(&registry, resource)?, *permission)?;
            println!("user `{}` has {permission} on {}", Untrusted::new(name), shown(resource));
        }
        UsersCommand::Revoke { name, resource } => {
            let registry = location.existing()?.registry;
            registry.revoke(name, &resolved(&registry, resource)?)?;
            let default = registry.accounts()?.default_permission;
            println!("user `{}` has the default permission, {default}, on {}", Untrusted::new(name), shown(resource));
        }
        UsersCommand::Permissions { name, json } => {
            permissions(&location.existing()?.registry, name.as_deref(), json.json)?
        }
        UsersCommand::DefaultPermission { permission } => {
            default_permission(&location.open()?.registry, *permission)?;
        }
    }
    Ok(ExitCode::Done)
}

fn create(registry: &Registry, name: &str, is_admin: bool, is_json: bool) -> anyhow::Result<()> {
    let is_first = !registry.accounts()?.is_required;
    let user = registry.create_user(name, password::read(name)?.as_str(), is_admin)?;
    if is_json {
        return print_json(&user);
    }
    println!("created user `{}`{}", user.name, if user.is_admin { ", an administrator" } else { "" });
    if is_first {
        eprintln!("From now on, the tracking server asks everybody who they are.");
    }
    Ok(())
}

fn list(users: &[User], is_json: bool) -> anyhow::Result<()> {
    if is_json {
        return print_json(&users);
    }
    let mut grid = table(&["user", "administrator", "created (UTC)"]);
    for user in users {
        let is_admin = if user.is_admin { "yes" } else { "" };
        grid.add_row(vec![user.name.clone(), is_admin.to_owned(), moment(user.created_ms)]);
    }
    println!("{grid}");
    Ok(())
}

fn delete(registry: &Registry, name: &str, switch_off: bool) -> anyhow::Result<()> {
    if switch_off {
        registry.user(name)?;
        registry.switch_accounts_off()?;
        println!("deleted all users; a server that is started from now on asks nobody who they are");
        return Ok(());
    }
    registry.delete_user(name)?;
    println!("deleted user `{}`", Untrusted::new(name));
    Ok(())
}

fn permissions(registry: &Registry, user: Option<&str>, is_json: bool) -> anyhow::Result<()> {
    let grants = registry.grants(user)?;
    if is_json {
        return print_json(&grants);
    }
    let mut grid = table(&["user", "on", "name", "permission"]);
    for grant in grants {
        let kind = match grant.resource {
            Resource::Experiment(_) => "experiment",
            Resource::Model(_) => "model",
        };
        let name = Untrusted::new(&grant.name).cut(200).to_string();
        grid.add_row(vec![grant.user, kind.to_owned(), name, grant.permission.to_string()]);
    }
    println!("{grid}");
    Ok(())
}

fn default_permission(registry: &Registry, permission: Option<Permission>) -> anyhow::Result<()> {
    if let Some(permission) = permission {
        registry.set_default_permission(permission)?;
    }
    println!("{}", registry.accounts()?.default_permission);
    Ok(())
}

/// Returns what the arguments name.
fn resolved(registry: &Registry, resource: &ResourceArguments) -> anyhow::Result<Resource> {
    match (&resource.experiment, &resource.model) {
        (Some(name), _) => match registry.experiment(name)? {
            Some(experiment) => Ok(Resource::Experiment(experiment.id)),
            None => Err(UsageError::error(
                ErrorCode::NoTagOrExperiment,
                format!("there is no experiment `{name}`"),
                "`stagewright runs list` shows experiments with their runs",
            )),
        },
        (None, name) => Ok(Resource::Model(name.clone().unwrap_or_default())),
    }
}

fn shown(resource: &ResourceArguments) -> String {
    match (&resource.experiment, &resource.model) {
        (Some(name), _) => format!("experiment `{}`", Untrusted::new(name).cut(200)),
        (None, name) => format!("model `{}`", Untrusted::new(name.as_deref().unwrap_or_default()).cut(200)),
    }
}
