//! `tokens`: what programs send to the tracking server in place of a name and a password.

use std::time::{SystemTime, UNIX_EPOCH};

use stagewright_store::{Registry, Token};
use stagewright_text::Untrusted;

use crate::arguments::TokensCommand;
use crate::exit_code::ExitCode;
use crate::home::HomeLocation;
use crate::output::print_json;
use crate::terminal::{moment, table};

const DAY_MS: i64 = 24 * 3600 * 1000;

pub(crate) fn tokens(location: &HomeLocation, command: &TokensCommand) -> anyhow::Result<ExitCode> {
    let registry = location.existing()?.registry;
    match command {
        TokensCommand::Create { user, label, days, json } => create(&registry, user, label, *days, json.json)?,
        TokensCommand::List { user, json } => list(&registry.tokens(user.as_deref())?, json.json)?,
        TokensCommand::Revoke { id } => {
            registry.revoke_token(*id)?;
            println!("revoked token {id}");
        }
    }
    Ok(ExitCode::Done)
}

/// Prints the token alone on standard output, so that a command can take it from there.
fn create(registry: &Registry, user: &str, label: &str, days: u32, is_json: bool) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = i64::try_from(now.as_millis()).unwrap_or_default();
    let expires_ms = (days > 0).then(|| now_ms + i64::from(days) * DAY_MS);
    let (token, secret) = registry.create_token(user, label, expires_ms)?;
    if is_json {
        let shown = serde_json::json!({
            "id": token.id, "user": token.user, "label": token.label, "token": secret.reveal(),
            "created_ms": token.created_ms, "expires_ms": token.expires_ms,
        });
        return print_json(&shown);
    }
    println!("{}", secret.reveal());
    let until = token.expires_ms.map_or_else(|| "never expires".to_owned(), |at| format!("expires {}", moment(at)));
    eprintln!("This is token {} of user `{}`. It {until}, and is not shown again.", token.id, Untrusted::new(user));
    Ok(())
}

fn list(tokens: &[Token], is_json: bool) -> anyhow::Result<()> {
    if is_json {
        return print_json(&tokens);
    }
    let mut grid = table(&["id", "user", "label", "created (UTC)", "expires (UTC)", "last used (UTC)"]);
    for token in tokens {
        let at = |time: Option<i64>| time.map_or_else(|| "never".to_owned(), moment);
        let label = Untrusted::new(&token.label).cut(100).to_string();
        let (created, expires, used) = (moment(token.created_ms), at(token.expires_ms), at(token.used_ms));
        grid.add_row(vec![token.id.to_string(), token.user.clone(), label, created, expires, used]);
    }
    println!("{grid}");
    Ok(())
}
