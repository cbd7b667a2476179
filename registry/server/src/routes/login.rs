//! Signing in and out with a browser.
//!
//! The form to sign in carries no text of a session, because there is none. A page of another site
//! that posts it is refused by its origin ([`crate::origin`]).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue, Method, Response};

use crate::access::Needs;
use crate::authentication::{COOKIE, Credentials, Secret};
use crate::context::Context;
use crate::json_body;
use crate::mlflow_error::{ErrorCode, MlflowError};
use crate::operation::{Place, Route, peer};
use crate::page::{Page, percent_encoded};
use crate::request::Fields;

/// How long a session lasts.
const SESSION: Duration = Duration::from_secs(12 * 3600);

/// The most bytes of the form.
const MOST_FORM: usize = 8 << 10;

pub(super) fn routes() -> Vec<Route> {
    let post = |path, needs, work| Route::streaming(Method::POST, path, needs, work).at(Place::Root);
    vec![
        post("/login", Needs::Nobody, |context, _, request| Box::pin(login(context, request))),
        Route::action("/logout", Needs::Anybody, logout),
    ]
}

async fn login(context: Context, request: Request) -> Response<Body> {
    let address = peer(request.extensions());
    let (head, mut body) = request.into_parts();
    let form = match json_body::read(context.app(), &head.headers, &mut body, MOST_FORM).await {
        Ok((bytes, _memory)) => String::from_utf8(bytes).unwrap_or_default(),
        Err(error) => return error.into_response(),
    };
    let fields = Fields::of_query(&form);
    let text = |name: &str| fields.text(name).ok().flatten().unwrap_or_default().to_owned();
    let next = own_path(&text("next")).to_owned();
    let (name, password) = (text("username"), Secret::new(text("password")));
    let problem = match context.authentication.user_with_password(&name, password, address).await {
        Ok(Some(user)) => match signed_in(&context, user.name).await {
            Ok(cookie) => {
                let mut response = Page::redirect(next).into_response();
                response.headers_mut().insert(SET_COOKIE, cookie);
                return response;
            }
            Err(error) => return error.into_response(),
        },
        Ok(None) => "wrong",
        Err(error) if error.code == ErrorCode::RequestLimitExceeded => "often",
        Err(error) if error.code == ErrorCode::TemporarilyUnavailable => "busy",
        Err(error) => return error.into_response(),
    };
    Page::redirect(format!("/login?problem={problem}&next={}", percent_encoded(&next))).into_response()
}

/// Begins a session. Returns its cookie.
async fn signed_in(context: &Context, user: String) -> Result<HeaderValue, MlflowError> {
    let registry = context.registry.clone();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let expires_ms = i64::try_from((now + SESSION).as_millis()).unwrap_or(i64::MAX);
    let secret = context.pool.run(move || Ok(registry.create_session(&user, expires_ms)?)).await?;
    cookie(secret.reveal(), SESSION, context.speaks_tls)
}

/// Ends the session. The registry forgets it, so that the cookie is of no use to whoever has it.
fn logout(context: &Context, headers: &HeaderMap) -> Result<Page, MlflowError> {
    if let Some(Credentials::Session(secret)) = Credentials::of(headers)? {
        context.registry.end_session(secret.reveal())?;
        context.authentication.forget();
    }
    Ok(Page::redirect("/login").with_cookie(cookie("", Duration::ZERO, context.speaks_tls)?))
}

/// Returns a cookie that no script reads and that no other site makes a browser send.
fn cookie(value: &str, lasts: Duration, speaks_tls: bool) -> Result<HeaderValue, MlflowError> {
    let secure = if speaks_tls { "; Secure" } else { "" };
    let seconds = lasts.as_secs();
    let cookie = format!("{COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&cookie).map_err(|error| MlflowError::new(ErrorCode::InternalError, error.to_string()))
}

/// Returns a path of this server, or that of the overview. Another site's address begins with a
/// scheme or with two slashes, of which browsers take backslashes and control characters for some.
fn own_path(next: &str) -> &str {
    let is_own = next.starts_with('/')
        && !next[1..].starts_with(['/', '\\'])
        && next.bytes().all(|byte| (b'!'..=b'~').contains(&byte) && byte != b'\\');
    if is_own { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_leads_to_a_page_of_this_server_alone() {
        for own in ["/", "/runs?filter=a%20b", "/runs/0a"] {
            assert_eq!(own_path(own), own);
        }
        for other in
            ["", "//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "/a\r\nb", "evil"]
        {
            assert_eq!(own_path(other), "/", "{other:?}");
        }
    }

    // invariant: No script and no other site gets at the session of a browser.
    #[test]
    fn the_cookie_is_for_this_site_and_no_script() {
        let text = |tls| cookie("swt_1", SESSION, tls).expect("a cookie").to_str().expect("text").to_owned();
        let plain = text(false);
        for part in ["stagewright_session=swt_1;", "HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(plain.contains(part), "{plain}");
        }
        assert!(!plain.contains("Secure") && text(true).ends_with("; Secure"));
    }
}
