//! The paths of style, scripts and picture.

use crate::answer::{Answer, Content, Request};
use crate::assets;
use crate::fault::Fault;
use crate::route::{Needs, Route};
use crate::site::Site;

/// The policy of a file that is shown by itself.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

pub(crate) fn routes() -> Vec<Route> {
    vec![Route::get("/static/{name}", Needs::Nobody, asset)]
}

fn asset(_: &Site<'_>, request: &Request<'_>) -> Result<Answer, Fault> {
    let name = request.part("name")?;
    let asset = assets::named(name).ok_or_else(|| Fault::missing("There is no such file."))?;
    let content = Content::Bytes { media_type: asset.media_type, bytes: asset.bytes.to_vec() };
    // Without the digest, the file may be another one after the next start of the server.
    Ok(Answer { status: 200, content, policy: POLICY, is_lasting: request.query.has("v") })
}
