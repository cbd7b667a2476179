//! `models list`: lists the registered models, and promotions that have not finished.

use stagewright_store::{CHAMPION, Home, ModelVersion};
use stagewright_text::Untrusted;

use crate::exit_code::ExitCode;
use crate::output::print_json;
use crate::terminal::{Grid, moment, table};

pub(super) fn list(home: &Home, json: bool) -> anyhow::Result<ExitCode> {
    let models = home.registry.models()?;
    if json {
        print_json(&models)?;
        return Ok(ExitCode::Done);
    }
    let mut shown = table(&["model", "latest version", "champion", "aliases", "changed (UTC)"]);
    for model in &models {
        // Of a client's model, `champion` is an alias like others.
        let free = model.aliases.iter().filter(|(alias, _)| model.is_foreign || alias != CHAMPION);
        let aliases: Vec<String> = free.map(|(alias, version)| format!("{alias} -> {version}")).collect();
        shown.add_row(vec![
            Untrusted::new(&model.name).to_string(),
            model.latest_version.to_string(),
            model.champion.map_or_else(|| "-".to_owned(), |version| version.to_string()),
            aliases.join(", "),
            moment(model.updated_ms),
        ]);
    }
    println!("{shown}");
    for promotion in home.registry.unfinished_promotions()? {
        if promotion.retirement {
            println!(
                "{} still points to version {} of `{}`, which is retired: stagewright models retire {}",
                promotion.destination, promotion.version, promotion.model, promotion.model
            );
            continue;
        }
        println!(
            "{} does not point to version {} of `{}` yet: stagewright models promote {}@champion",
            Untrusted::new(&promotion.destination),
            promotion.version,
            promotion.model,
            promotion.model
        );
    }
    Ok(ExitCode::Done)
}

/// Returns versions as a table.
pub(crate) fn version_table(versions: &[ModelVersion], named: bool) -> Grid {
    let head = ["version", "semantic", "registered (UTC)", "verdict", "stage", "aliases", "component", "roc_auc"];
    let mut shown = table(&head);
    for version in versions {
        let model = Untrusted::new(&version.model);
        let number = if named { format!("{model}/{}", version.version) } else { version.version.to_string() };
        let component = version.parameters.iter().find(|(name, _)| name == "training.component");
        let component = match &version.foreign {
            Some(foreign) if foreign.is_verified() => "an MLflow client's".to_owned(),
            Some(_) => "an MLflow client's, unverified".to_owned(),
            None => component.map_or_else(String::new, |(_, component)| component.clone()),
        };
        let auc = version.metrics.iter().find(|(name, _)| name == "roc_auc");
        shown.add_row(vec![
            number,
            version.semantic_version.clone().unwrap_or_default(),
            moment(version.created_ms),
            version.verdict.map_or_else(|| "-".to_owned(), |verdict| verdict.name().to_owned()),
            version.stage.to_string(),
            version.aliases.join(", "),
            component,
            auc.map_or_else(|| "-".to_owned(), |(_, auc)| format!("{auc:.4}")),
        ]);
    }
    shown
}
