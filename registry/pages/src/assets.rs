//! Style, scripts and picture: files that the program contains.
//!
//! The link to a file has its digest, so that a browser keeps it for as long as it stays the same.

use std::sync::LazyLock;

use stagewright_store::Digest;

/// A file that the program contains.
pub(crate) struct Asset {
    name: &'static str,
    pub(crate) media_type: &'static str,
    pub(crate) bytes: &'static [u8],
}

macro_rules! assets {
    ($($name:literal: $media_type:expr),* $(,)?) => {
        &[$(Asset { name: $name, media_type: $media_type, bytes: include_bytes!(concat!("../assets/", $name)) }),*]
    };
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

const ASSETS: &[Asset] = assets! {
    "pages.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
    "page.js": SCRIPT,
    "runs.js": SCRIPT,
    "curves.js": SCRIPT,
    "follow.js": SCRIPT,
};

/// The links to the assets, in their order.
static LINKS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let link = |asset: &Asset| {
        let digest = Digest::of(asset.bytes).to_string();
        let hex = digest.rsplit(':').next().unwrap_or_default();
        format!("/static/{}?v={}", asset.name, &hex[..hex.len().min(12)])
    };
    ASSETS.iter().map(link).collect()
});

/// Returns the link to an asset; to nothing if there is none of this name.
pub(crate) fn link(name: &str) -> &'static str {
    let place = ASSETS.iter().position(|asset| asset.name == name);
    place.and_then(|place| LINKS.get(place)).map_or("/static/none", String::as_str)
}

/// Returns the asset of this name.
pub(crate) fn named(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_has_a_link_and_no_script_reaches_another_server() {
        for asset in ASSETS {
            assert!(link(asset.name).starts_with(&format!("/static/{}?v=", asset.name)), "{}", link(asset.name));
            let text = std::str::from_utf8(asset.bytes).expect("text");
            let foreign = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!foreign.contains("http://") && !foreign.contains("https://"), "{}", asset.name);
        }
        assert_eq!(link("none.js"), "/static/none");
    }
}
