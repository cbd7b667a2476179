//! `[production]`: the destination of approved versions. `[problem]`: the purpose of the model, in
//! prose.
//!
//! Owns the two sections. Credentials never stand in a manifest: they come from the environment.

use serde::Serialize;

use crate::reader::Section;

/// `[production]`: the destination of approved versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProductionSection {
    /// `s3://bucket/prefix` or a directory; `None` for `production` in the home directory of
    /// Stagewright.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// The endpoint of an S3 store other than AWS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The region of the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether the bucket is in the path of URLs, not in the host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_style: Option<bool>,
}

impl ProductionSection {
    /// Returns whether the section is empty or absent.
    pub(crate) fn is_default(&self) -> bool {
        self == &Self::default()
    }

    pub(crate) fn read(section: Section<'_>) -> Self {
        let destination = section.get("destination").and_then(|item| {
            let text = item.text()?;
            // A relative path starts at the manifest's folder, as all paths in the file.
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

/// `[problem]`: the purpose of the model, shown on its card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProblemSection {
    /// The business objective.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub business_objective: Option<String>,
    /// How success is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_metric: Option<String>,
    /// Further requirements.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub constraints: Vec<String>,
}

impl ProblemSection {
    /// Returns whether the section is empty or absent.
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
