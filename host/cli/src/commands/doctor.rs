//! `doctor`: is this installation fit to run pipelines?

use serde::Serialize;
use stagewright_manifest::OPERATOR_FILE;
use stagewright_runtime::Origin;

use crate::arguments::JsonArgument;
use crate::commands::print_json;
use crate::ending::{Ending, classify};
use crate::location::Location;
use crate::workplace::{self, Workplace};

/// Whether this program only runs what others compiled.
const RUN_ONLY: bool = cfg!(not(feature = "compiler"));

#[derive(Serialize)]
struct Finding {
    check: &'static str,
    ok: bool,
    detail: String,
    hint: Option<String>,
}

/// Checks the home, the host key, the engine and the built-in stages.
pub(crate) fn doctor(location: &Location, arguments: &JsonArgument) -> anyhow::Result<Ending> {
    let mut findings = vec![Finding {
        check: "version",
        ok: true,
        detail: format!(
            "stagewright {}{}",
            env!("CARGO_PKG_VERSION"),
            if RUN_ONLY { ", run-only: it carries no compiler" } else { "" }
        ),
        hint: None,
    }];
    let operator = workplace::operator()?;
    let file = operator.file.as_ref().map_or_else(
        || format!("no operator's file ({OPERATOR_FILE} or STAGEWRIGHT_OPERATOR): manifests' own bounds hold"),
        |file| file.display().to_string(),
    );
    findings.push(Finding { check: "operator", ok: true, detail: file, hint: None });
    match Workplace::open(location, &operator) {
        Err(error) => findings.push(Finding {
            check: "home",
            ok: false,
            detail: format!("{error:#}"),
            hint: classify(&error)
                .1
                .or_else(|| Some("choose a folder that you may write with --home or STAGEWRIGHT_HOME".into())),
        }),
        Ok(workplace) => {
            findings.push(Finding { check: "home", ok: true, detail: location.home.display().to_string(), hint: None });
            findings.push(Finding { check: "key", ok: true, detail: workplace.key.display().to_string(), hint: None });
            findings.push(stages(&workplace));
            if RUN_ONLY {
                findings.push(compiled(&workplace)?);
            }
            let runs = workplace.home.registry.list_runs(usize::MAX)?.len();
            let models = workplace.home.registry.models()?.len();
            findings.push(Finding {
                check: "registry",
                ok: true,
                detail: format!("{runs} runs, {models} models"),
                hint: None,
            });
        }
    }
    findings.push(Finding {
        check: "workers",
        ok: true,
        detail: crate::workplace::workers(None).to_string(),
        hint: None,
    });
    let fine = findings.iter().all(|finding| finding.ok);
    if arguments.json {
        print_json(&findings)?;
    } else {
        for finding in &findings {
            println!("{:<4} {:<10} {}", if finding.ok { "ok" } else { "FAIL" }, finding.check, finding.detail);
            if let Some(hint) = &finding.hint {
                println!("     hint: {hint}");
            }
        }
    }
    Ok(if fine { Ending::Done } else { Ending::Host })
}

/// Which stages are there. A host without a compiler may have none, and predict with models that bring their own.
fn stages(workplace: &Workplace) -> Finding {
    let names: Vec<String> = workplace.runtime.built_in().into_iter().map(|(name, _)| name).collect();
    if !names.is_empty() {
        return Finding { check: "stages", ok: true, detail: names.join(", "), hint: None };
    }
    let hint = "build them with `cargo xtask stages`, or name their folder with STAGEWRIGHT_STAGES".to_owned();
    Finding { check: "stages", ok: RUN_ONLY, detail: "no built-in stages were found".into(), hint: Some(hint) }
}

/// Which of the stages a host without a compiler can run.
fn compiled(workplace: &Workplace) -> anyhow::Result<Finding> {
    let mut ready = Vec::new();
    for (name, _) in workplace.runtime.built_in() {
        if workplace.runtime.is_compiled(&name, &Origin::BuiltIn)? {
            ready.push(name);
        }
    }
    let hint = "where there is a compiler: stagewright stage precompile (docs/edge.md)".to_owned();
    Ok(if ready.is_empty() {
        Finding { check: "compiled", ok: true, detail: "none of the built-in stages".into(), hint: Some(hint) }
    } else {
        Finding { check: "compiled", ok: true, detail: ready.join(", "), hint: None }
    })
}
