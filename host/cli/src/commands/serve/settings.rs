//! The settings of a server: its file, overridden by flags.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use stagewright_manifest::{Operator, ServedModelSection, ServerSection, ServingFile, World};
use stagewright_serving::{HttpLimits, ServerOptions, TlsFiles, TokenSource};

use super::origins::AskedModel;
use crate::arguments::ServeArguments;
use crate::environment;
use crate::error_code::ErrorCode;
use crate::usage_error::UsageError;

/// The variable with tokens, where no file has them.
const TOKENS: &str = "STAGEWRIGHT_SERVING_TOKENS";

/// The port of a server that names none.
const PORT: u16 = 8000;

/// Returns the models to serve, each with its settings: those of the command line, or else all of
/// the file.
///
/// # Errors
/// No model is named, or one is not named as models are.
pub(super) fn models(
    file: &ServingFile,
    arguments: &ServeArguments,
) -> anyhow::Result<Vec<(AskedModel, ServedModelSection)>> {
    let names: Vec<String> = file.models.iter().map(|section| section.name.clone()).collect();
    let models = if arguments.models.is_empty() { &names } else { &arguments.models };
    if models.is_empty() {
        let message = "no model is named: neither on the command line, nor in the server's file";
        let hint = "name one, such as `stagewright serve churn-classifier`, or add a table `[models.NAME]` to the file";
        return Err(UsageError::error(ErrorCode::Argument, message, hint));
    }
    let mut found: Vec<(AskedModel, ServedModelSection)> = Vec::new();
    for text in models {
        let mut asked = AskedModel::parse(text)?;
        let section = file.models.iter().find(|section| section.name == asked.name).cloned();
        let section = section.unwrap_or_else(|| ServedModelSection { name: asked.name.clone(), ..Default::default() });
        // A name alone is the alias of the file.
        if let Some(alias) = section.alias.as_ref().filter(|_| *text == asked.name) {
            asked = AskedModel::parse(&format!("{text}@{alias}"))?;
        }
        if found.iter().any(|(known, _)| known.name == asked.name) {
            let message = format!("the model `{}` is named twice", asked.name);
            return Err(UsageError::error(
                ErrorCode::Argument,
                message,
                "a server answers with one version of a model",
            ));
        }
        found.push((asked, section));
    }
    Ok(found)
}

/// Fails if a limit of the server's file is above the operator's ceiling of one of the two worlds.
///
/// # Errors
/// The key, its value and the ceiling.
pub(super) fn within_ceilings(operator: &Operator, section: &ServedModelSection) -> Result<(), String> {
    for world in [World::Transformation, World::Training] {
        let ceiling = operator.ceilings.of(world);
        let above = |key: &str, asked: String, most: String| {
            let name = &section.name;
            Err(format!(
                "`limits.{key}` of [models.{name}] is {asked}, above the operator's ceiling of {most} for {world}"
            ))
        };
        if let Some(cpu) = section.cpu.filter(|cpu| *cpu > ceiling.cpu) {
            return above("cpu", format!("{cpu:?}"), format!("{:?}", ceiling.cpu));
        }
        if let Some(wall) = section.wall.filter(|wall| *wall > ceiling.wall) {
            return above("wall", format!("{wall:?}"), format!("{:?}", ceiling.wall));
        }
        if let Some(memory) = section.memory.filter(|memory| *memory > ceiling.memory) {
            return above("memory", format!("{memory} bytes"), format!("{} bytes", ceiling.memory));
        }
    }
    Ok(())
}

/// Returns the server's settings: those of the file, overridden by flags.
pub(super) fn server_options(file: &ServerSection, arguments: &ServeArguments) -> ServerOptions {
    let host = arguments.host.or(file.host).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let port = arguments.port.or(file.port).unwrap_or(PORT);
    let default = ServerOptions::at(SocketAddr::new(host, port));
    let bytes = |asked: Option<u64>, default: usize| {
        asked.map_or(default, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    };
    let time = |asked: Option<Duration>, default: Duration| asked.unwrap_or(default);
    let limits = HttpLimits {
        body_bytes: bytes(file.max_body, default.limits.body_bytes),
        header_bytes: bytes(file.max_header, default.limits.header_bytes),
        header_time: time(file.header_timeout, default.limits.header_time),
        body_time: time(file.body_timeout, default.limits.body_time),
        idle_time: time(file.idle_timeout, default.limits.idle_time),
        connections: bytes(file.max_connections, default.limits.connections),
    };
    let pair = |certificate: &Option<PathBuf>, key: &Option<PathBuf>| {
        Some(TlsFiles { certificate: certificate.clone()?, key: key.clone()? })
    };
    let tls =
        pair(&arguments.tls_certificate, &arguments.tls_key).or_else(|| pair(&file.tls_certificate, &file.tls_key));
    let tokens = arguments.tokens_file.clone().or_else(|| file.tokens_file.clone()).map(TokenSource::File);
    ServerOptions {
        limits,
        drain: time(file.drain, default.drain),
        tokens: tokens.or_else(|| environment::own(TOKENS).map(tokens_of)),
        is_insecure: arguments.insecure || file.insecure.unwrap_or_default(),
        tls,
        access_log: arguments.access_log || file.access_log.unwrap_or_default(),
        ..default
    }
}

/// Returns the tokens that a variable holds. Text that is not UTF-8 becomes text that no list of
/// tokens has, so that the server refuses to start and does not go on without tokens.
fn tokens_of(variable: OsString) -> TokenSource {
    let text = variable.into_string().unwrap_or_else(|text| text.to_string_lossy().into_owned());
    TokenSource::Text(text, TOKENS)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use stagewright_serving::Tokens;

    use super::*;

    // invariant: A variable of tokens that cannot be read admits nobody.
    #[test]
    fn tokens_that_are_not_utf_8_are_refused_and_not_ignored() {
        let parsed = |bytes: &[u8]| match tokens_of(OsString::from_vec(bytes.to_vec())) {
            TokenSource::Text(text, TOKENS) => Tokens::parse(&text),
            other => panic!("{other:?}"),
        };
        assert!(parsed(b"0123456789abcdef predict\n").is_ok());
        for wrong in [
            &b"0123456789abcdef\xff predict\n"[..],
            b"0123456789abcdef predict\xe9\n",
            b"0123456789abcdef\xe9predict\n",
            b"0123456789abcdef predict\nfedcba9876543210\xff metrics\n",
            b"",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong:?}");
        }
    }

    // invariant: A server's file lifts no limit above the operator's ceiling.
    #[test]
    fn a_limit_above_the_ceiling_of_either_world_is_refused_and_named() {
        let second = Duration::from_secs(1);
        let text = "[ceilings]\ncpu = \"8s\"\nwall = \"9s\"\nmemory = \"64MiB\"\n\n\
                    [ceilings.training]\ncpu = \"4s\"\nwall = \"20s\"\nmemory = \"128MiB\"\n";
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("operator.toml");
        std::fs::write(&file, text).expect("a file");
        let operator = Operator::load(&file).expect("an operator's file");
        let section = |change: &dyn Fn(&mut ServedModelSection)| {
            let mut section = ServedModelSection { name: "churn".into(), ..Default::default() };
            change(&mut section);
            within_ceilings(&operator, &section)
        };
        assert_eq!(section(&|_| {}), Ok(()));
        // The lower ceiling of the two counts, and may be reached.
        let most = |section: &mut ServedModelSection| {
            (section.cpu, section.wall, section.memory) = (Some(4 * second), Some(9 * second), Some(64 << 20));
        };
        assert_eq!(section(&most), Ok(()));
        let above = |key: &str, asked: &str, most: &str, world: &str| {
            Err(format!(
                "`limits.{key}` of [models.churn] is {asked}, above the operator's ceiling of {most} for {world}"
            ))
        };
        assert_eq!(section(&|it| it.cpu = Some(5 * second)), above("cpu", "5s", "4s", "training"));
        assert_eq!(section(&|it| it.wall = Some(10 * second)), above("wall", "10s", "9s", "transformation"));
        let memory = (64 << 20) + 1;
        assert_eq!(
            section(&|it| it.memory = Some(memory)),
            above("memory", "67108865 bytes", "67108864 bytes", "transformation")
        );
    }
}
