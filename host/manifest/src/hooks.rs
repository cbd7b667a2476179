//! `[hooks.NAME]` of the operator's file: who is told of changes of champions (docs/hooks.md).
//!
//! Owns the keys, their types and bounds. A manifest has no such section: whoever writes a pipeline
//! chooses neither a program to be run nor a server to be called.

use std::path::PathBuf;
use std::time::Duration;

use stagewright_store::{ChampionChange, ChampionChangeKind};

use crate::http_grant::HttpGrant;
use crate::names::Identifier;
use crate::reader::{Item, Section};
use crate::units::duration_text;

/// The most hooks. A command that promotes starts a thread for each.
const MAX_HOOKS: usize = 32;

/// The bounds of `timeout`.
const TIMEOUT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3600));

/// The timeout of a request, and that of a command, unless the file says otherwise.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);

/// A hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSection {
    /// Its name. The registry remembers under this name what it was told.
    pub name: String,
    /// The program or the server.
    pub target: HookTarget,
    /// The kinds of changes that it is told of; empty for all.
    pub events: Vec<ChampionChangeKind>,
    /// The models whose changes it is told of; empty for all.
    pub models: Vec<String>,
    /// The time for one attempt.
    pub timeout: Duration,
}

/// Who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookTarget {
    /// A server, by a request.
    Request(HookRequest),
    /// A program, which is run.
    Command(HookCommand),
}

/// A request to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRequest {
    /// The URL: `https`, or `http` where the operator allows it. It has no user, password or
    /// fragment.
    pub url: String,
    /// The key that signs requests.
    pub secret: SecretSource,
    /// The bearer token, if the server asks for one.
    pub token: Option<SecretSource>,
    /// A PEM file of certificate authorities, in place of Mozilla's.
    pub authorities: Option<PathBuf>,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In a file.
    File(PathBuf),
    /// In a variable of the environment.
    Variable(String),
}

/// A program that is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookCommand {
    /// The program, by an absolute path.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The variables of the environment that it gets.
    pub variables: Vec<String>,
}

impl HookSection {
    /// Returns whether the hook is told of a change.
    pub fn wants(&self, change: &ChampionChange) -> bool {
        let is_of_kind = self.events.is_empty() || self.events.contains(&change.kind);
        is_of_kind && (self.models.is_empty() || self.models.contains(&change.entry.model))
    }

    /// Reads all hooks.
    pub(crate) fn read_all(section: &Section<'_>) -> Vec<Self> {
        let hooks: Vec<Self> = section.items().filter_map(|(name, item)| Self::read(name, &item)).collect();
        if section.items().count() > MAX_HOOKS {
            let hint = "let one hook tell the others".to_owned();
            section.report(format!("there are more than {MAX_HOOKS} hooks"), Some(hint));
        }
        hooks
    }

    fn read(name: &str, item: &Item<'_>) -> Option<Self> {
        if let Err(rule) = Identifier::new(name) {
            item.report(format!("`{name}` is no name for a hook"), Some(rule.to_owned()));
        }
        let section = item.section()?;
        let (url, command) = (section.get("url"), section.get("command"));
        let target = match (url, command) {
            (Some(url), None) => request(&section, &url).map(HookTarget::Request),
            (None, Some(command)) => self::command(&section, &command).map(HookTarget::Command),
            _ => {
                let hint = "write `url = \"https://...\"` or `command = [\"/path/to/program\"]`".to_owned();
                section.report(format!("`{}` needs either `url` or `command`", section.key), Some(hint));
                None
            }
        };
        let default = if matches!(target, Some(HookTarget::Command(_))) { COMMAND_TIMEOUT } else { REQUEST_TIMEOUT };
        let hook = Self {
            name: name.to_owned(),
            events: section.get("events").map(|item| events(&item)).unwrap_or_default(),
            models: section.get("models").map(|item| texts(&item)).unwrap_or_default(),
            timeout: section.get("timeout").and_then(|item| timeout(&item)).unwrap_or(default),
            target: target.clone().unwrap_or(HookTarget::Command(HookCommand {
                program: PathBuf::new(),
                arguments: Vec::new(),
                variables: Vec::new(),
            })),
        };
        section.finish();
        // Without a target, a problem was reported, and nobody sees this hook.
        target.map(|_| hook)
    }
}

fn request(section: &Section<'_>, item: &Item<'_>) -> Option<HookRequest> {
    let is_insecure = section.get("insecure").and_then(|item| item.boolean()).unwrap_or_default();
    let url = url(item, is_insecure);
    let secret = secret(section, "secret-file", "secret-env");
    if secret.is_none() && section.get("secret-file").is_none() && section.get("secret-env").is_none() {
        let hint = "add `secret-file = \"FILE\"` or `secret-env = \"NAME\"`: requests are signed with it".to_owned();
        section.report(format!("`{}` needs a secret", section.key), Some(hint));
    }
    let token = self::secret(section, "token-file", "token-env");
    let authorities = section.get("authorities").and_then(|item| item.path());
    Some(HookRequest { url: url?, secret: secret?, token, authorities })
}

/// Reads a URL. Its host is where the operator allows requests to go to, and nowhere else.
fn url(item: &Item<'_>, is_insecure: bool) -> Option<String> {
    let text = item.text()?;
    let parts = text.strip_prefix("https://").map(|rest| (true, rest));
    let parts = parts.or_else(|| text.strip_prefix("http://").map(|rest| (false, rest)));
    let authority = |rest: &str| rest[..rest.find(['/', '?']).unwrap_or(rest.len())].parse::<HttpGrant>();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte));
    match parts.map(|(is_private, rest)| (is_private, authority(rest))) {
        Some((is_private, Ok(HttpGrant::Host { host, .. }))) if is_plain => {
            if is_private || is_insecure || is_loopback(&host) {
                return Some(text.to_owned());
            }
            let hint = "use `https`, or write `insecure = true` where nobody listens on the way".to_owned();
            item.report_value(format!("`{}` is not encrypted", item.key), Some(hint));
        }
        _ => {
            // The text is not shown: people write passwords into URLs.
            let hint = "write `https://HOST/PATH`, without a user, a password or a fragment".to_owned();
            item.report_value(format!("`{}` is no URL that can be called", item.key), Some(hint));
        }
    }
    None
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Reads a secret's place, of which there is one at most.
fn secret(section: &Section<'_>, file: &'static str, variable: &'static str) -> Option<SecretSource> {
    match (section.get(file), section.get(variable)) {
        (Some(_), Some(item)) => {
            item.report(format!("`{file}` and `{variable}` exclude each other"), Some("remove one of them".to_owned()));
            None
        }
        (Some(item), None) => item.path().map(SecretSource::File),
        (None, Some(item)) => self::variable(&item).map(SecretSource::Variable),
        (None, None) => None,
    }
}

fn command(section: &Section<'_>, item: &Item<'_>) -> Option<HookCommand> {
    let words = item.strings();
    let variables: Vec<String> =
        section.get("env").and_then(|item| item.array()).iter().flatten().filter_map(variable).collect();
    let mut words = words?.into_iter();
    let program = words.next().map(PathBuf::from).filter(|program| program.is_absolute());
    let Some(program) = program else {
        let hint = "begin with the path of the program, from the root: `[\"/usr/local/bin/redeploy\", \"--now\"]`";
        item.report_value(format!("`{}` names no program", item.key), Some(hint.to_owned()));
        return None;
    };
    Some(HookCommand { program, arguments: words.collect(), variables })
}

fn variable(item: &Item<'_>) -> Option<String> {
    let name = item.text()?;
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Some(name.to_owned());
    }
    let hint = "write the name of the variable, such as `REDEPLOY_SECRET`, not its value".to_owned();
    item.report_value(format!("`{}` is no name of a variable", item.key), Some(hint));
    None
}

fn events(item: &Item<'_>) -> Vec<ChampionChangeKind> {
    let kinds = ChampionChangeKind::ALL.map(|kind| (kind.name(), kind));
    item.array().iter().flatten().filter_map(|item| item.choice(&kinds)).collect()
}

fn texts(item: &Item<'_>) -> Vec<String> {
    item.array().iter().flatten().filter_map(|item| Some(item.text()?.to_owned())).collect()
}

fn timeout(item: &Item<'_>) -> Option<Duration> {
    let (least, most) = TIMEOUT;
    let time = item.duration()?;
    if (least..=most).contains(&time) {
        return Some(time);
    }
    let hint = format!("choose from `{}` to `{}`", duration_text(least), duration_text(most));
    item.report_value(format!("`{}` is out of range: `{}`", item.key, duration_text(time)), Some(hint));
    None
}
