//! `[production]`: where approved versions are copied to. `[problem]`: what the model is for, in people's words.
//!
//! Owns what the sections say. Credentials never stand in a manifest: they come from the environment.

use serde::Serialize;

use crate::reader::Section;

/// Where approved versions are copied to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProductionSection {
    /// `s3://bucket/prefix`, or a directory; `None` for `production` in the home.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// The address of a store that is not AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The bucket's region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether the bucket stands in the path instead of the host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
}

impl ProductionSection {
    /// Whether nothing was said.
    pub(crate) fn is_default(&self) -> bool {
        self == &Self::default()
    }

    pub(crate) fn read(section: Section<'_>) -> Self {
        let destination = section.get("destination").and_then(|item| {
            let text = item.text()?;
            // A path starts where the file is, as all paths in it.
            if text.contains("://") {
                return Some(text.to_owned());
            }
            Some(item.resolve(text.strip_prefix("file:").unwrap_or(text)).display().to_string())
        });
        let endpoint = section.get("endpoint").and_then(|item| {
            let text = item.text()?;
            if text.starts_with("http://") || text.starts_with("https://") {
                return Some(text.to_owned());
            }
            let hint = "write an address such as `https://minio.example:9000`".to_owned();
            item.report_value(format!("`{}` is not an address: `{text}`", item.key), Some(hint));
            None
        });
        let region = section.get("region").and_then(|item| item.text().map(str::to_owned));
        let path_style = section.get("path-style").and_then(|item| item.boolean());
        section.finish_with(|name| {
            let secret = name.contains("key") || name.contains("secret") || name.contains("token");
            secret.then(|| {
                "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, exported or in `.env`, or from a profile"
                    .to_owned()
            })
        });
        Self { destination, endpoint, region, path_style }
    }
}

/// What the model is for; shown on its card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProblemSection {
    /// What is to be gained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub business_objective: Option<String>,
    /// How success is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_metric: Option<String>,
    /// What must hold besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
}

impl ProblemSection {
    /// Whether nothing was said.
    pub(crate) fn is_default(&self) -> bool {
        self == &Self::default()
    }

    pub(crate) fn read(section: Section<'_>) -> Self {
        let text = |name| section.get(name).and_then(|item| item.text().map(str::to_owned));
        let (business_objective, success_metric) = (text("business-objective"), text("success-metric"));
        let constraints = section.get("constraints").and_then(|item| item.array()).unwrap_or_default();
        let constraints = constraints.iter().filter_map(|item| item.text().map(str::to_owned)).collect();
        section.finish();
        Self { business_objective, success_metric, constraints }
    }
}
