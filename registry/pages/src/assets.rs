//! Style, scripts and picture: files that the program contains.
//!
//! The link to a file has its digest, so that a browser keeps it for as long as it stays the same.

use std::sync::LazyLock;

use stagewright_store::Digest;

use crate::answer::{Answer, Content, Request};
use crate::fault::Fault;
use crate::route::{Needs, Route};
use crate::site::Site;

/// The policy of a file that is shown by itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

struct Asset {
    name: &'static str,
    media_type: &'static str,
    bytes: &'static [u8],
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

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::get("/static/{name}", Needs::Nobody, asset)]
}

/// Returns the link to an asset; to nothing if there is none of this name.
pub(crate) fn link(name: &str) -> &'static str {
    let place = ASSETS.iter().position(|asset| asset.name == name);
    place.and_then(|place| LINKS.get(place)).map_or("/static/none", String::as_str)
}

fn asset(_: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let name = request.part("name")?;
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    let asset = asset.ok_or_else(|| Fault::missing("There is no such file."))?;
    let content = Content::Bytes { media_type: asset.media_type, bytes: asset.bytes.to_vec() };
    // Without the digest, the file may be another one after the next start of the server.
    Ok(Answer { status: 200, content, policy: POLICY, is_lasting: request.query.has("v") })
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
