//! APIs on this machine, well-behaved and not.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use ureq::tls::{Certificate, RootCerts};

use super::super::tests::{CERTIFICATE, over_tls, request, serve, serve_tls_with, text};
use super::*;

fn path(names: &str) -> Vec<String> {
    names.split('.').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn pages(records: &str, next: NextPage) -> JsonPages {
    JsonPages { records: path(records), next, max_pages: 50 }
}

fn get(request: &HttpRequest, pages: &JsonPages) -> Result<(String, Vec<FetchedPage>), DataError> {
    let mut lines = Vec::new();
    let fetched = fetch_json(request, pages, &Interrupt::never(), &mut lines)?;
    Ok((String::from_utf8(lines).unwrap(), fetched))
}

/// Starts a server with an answer for each path, and returns a request for `/start` at it.
fn api(answer: impl Fn(&str) -> String + Send + 'static) -> HttpRequest {
    let port = serve(move |path, _, stream| {
        // A client may leave early.
        let _ = stream.write_all(answer(path).as_bytes());
    });
    let request = request(format!("http://127.0.0.1:{port}/start"), &[&format!("127.0.0.1:{port}")]);
    HttpRequest { max_bytes: 1 << 20, ..request }
}

fn told(result: Result<(String, Vec<FetchedPage>), DataError>, parts: &[&str]) {
    let error = result.expect_err("an error").to_string();
    assert!(parts.iter().all(|part| error.contains(part)), "{error}");
}

const LINES: &str = "{\"n\":2.9999999999999999999,\"s\":\" a \\\" b\\n\"}\n{\"n\":[1,{\"x\":null}]}\n{\"n\":3}\n";

#[test]
fn records_of_all_pages_are_kept_as_they_are_written() {
    let first =
        "{\"data\": {\"items\": [ {\"n\": 2.9999999999999999999,\r\n \"s\" : \" a \\\" b\\n\"} ]}, \"next\": NEXT}";
    let second = "{\"data\": {\"items\": [{ \"n\": [1, {\"x\": null}]}]}, \"next\": LAST}";
    let last = "\u{feff}{\"data\": {\"items\": [{\"n\":3}]}, \"next\": null}";
    for (second_link, last_link) in
        [("/a/two", "three"), ("?page=2", "?page=3"), ("two", "/three"), ("//HOST/two", "http://HOST/three")]
    {
        let served = Arc::new(AtomicUsize::new(0));
        let count = served.clone();
        let request = api(move |path| {
            count.fetch_add(1, Ordering::SeqCst);
            let page = match path {
                "/start" => first,
                "/a/two" | "/start?page=2" | "/two" => second,
                "/a/three" | "/start?page=3" | "/three" => last,
                _ => panic!("{path}"),
            };
            let port = "HOST";
            text(
                &page
                    .replace("NEXT", &format!("\"{second_link}\""))
                    .replace("LAST", &format!("\"{last_link}\""))
                    .replace("HOST", port),
            )
        });
        if second_link.contains("HOST") {
            // Another host, which is not granted.
            told(
                get(&request, &pages("data.items", NextPage::Link(path("next")))),
                &["the host `host` is not granted"],
            );
            assert_eq!(served.load(Ordering::SeqCst), 1);
            continue;
        }
        let (lines, fetched) = get(&request, &pages("data.items", NextPage::Link(path("next")))).unwrap();
        assert_eq!(lines, LINES);
        assert_eq!(fetched.iter().map(|page| page.records).collect::<Vec<_>>(), [1, 1, 1]);
        assert!(fetched.iter().all(|page| page.url.starts_with("http://127.0.0.1:") && !page.url.contains("page=")));
        assert_eq!(fetched[2].digest, Digest::of(last.as_bytes()));
    }
}

#[test]
fn pages_are_found_by_a_cursor_or_by_the_header_link() {
    let by_cursor = NextPage::Cursor { path: path("meta.after"), parameter: "after".to_owned() };
    let request = api(|path| match path {
        "/start?size=2" => text(r#"{"rows": [{"n":1}], "meta": {"after": "a b&c"}}"#),
        "/start?size=2&after=a%20b%26c" => text(r#"{"rows": [{"n":2}], "meta": {"after": 7}}"#),
        "/start?size=2&after=7" => text(r#"{"rows": null, "meta": {}}"#),
        _ => panic!("{path}"),
    });
    let request = HttpRequest { url: format!("{}?size=2", request.url), ..request };
    assert_eq!(get(&request, &pages("rows", by_cursor)).unwrap().0, "{\"n\":1}\n{\"n\":2}\n");

    let request = api(|path| {
        let (link, body) = match path {
            "/start" => {
                ("Link: <http://x.test/y>; rel=\"prev\", </two?x=1>; title=\"a\"; rel=\"last next\"\r\n", "[{\"n\":1}]")
            }
            "/two?x=1" => ("Link: </start>; rel=first\r\n", "[{\"n\":2}]"),
            _ => panic!("{path}"),
        };
        text(body).replace("Connection", &format!("{link}Connection"))
    });
    assert_eq!(get(&request, &pages("", NextPage::LinkHeader)).unwrap().0, "{\"n\":1}\n{\"n\":2}\n");
}

// invariant: Pages of an API end: at a number, at a sum of bytes, and at a page that was read
// before.
#[test]
fn pages_without_an_end_are_given_up() {
    let endless = || {
        let number = AtomicUsize::new(0);
        api(move |_| text(&format!(r#"{{"rows": [{{"n":1}}], "next": "/{}"}}"#, number.fetch_add(1, Ordering::SeqCst))))
    };
    let by_link = || pages("rows", NextPage::Link(path("next")));
    told(get(&endless(), &by_link()), &["there are more than 50 pages", "\nhint: ", "max-pages"]);
    let bounded = HttpRequest { max_bytes: 200, ..endless() };
    assert!(matches!(get(&bounded, &by_link()), Err(DataError::TooLarge { allowed: 200, .. })));
    let late = HttpRequest { deadline: Instant::now(), ..endless() };
    assert!(matches!(get(&late, &by_link()), Err(DataError::Interrupted)));

    let circle = api(|path| {
        let next = if path == "/start" { "/two" } else { "/start" };
        text(&format!(r#"{{"rows": [], "next": "{next}"}}"#))
    });
    told(get(&circle, &by_link()), &["page 2: its next page is one that was read already", "\nhint: "]);
    let same = api(|_| text(r#"{"rows": [], "next": "x"}"#));
    let by_cursor = NextPage::Cursor { path: path("next"), parameter: "c".to_owned() };
    told(get(&same, &pages("rows", by_cursor)), &["page 2: its next page is one that was read already"]);
    let long = api(|_| text(&format!(r#"{{"rows": [], "next": "/{}"}}"#, "x".repeat(9000))));
    told(get(&long, &by_link()), &["the URL of the next page has more than 8192 bytes"]);
}

#[test]
fn a_page_that_is_too_large_is_cut_off() {
    let request = api(|_| String::new());
    let port = serve(|_, _, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[");
        while stream.write_all(&[b' '; 1 << 16]).is_ok() {}
    });
    let (url, grants) = (
        format!("http://127.0.0.1:{port}/"),
        vec![super::super::HostGrant::Host { host: "127.0.0.1".into(), port: Some(port) }],
    );
    let request = HttpRequest { url, grants, max_bytes: 1 << 40, ..request };
    told(get(&request, &pages("", NextPage::None)), &["a page has more than 64 MiB", "ask for smaller pages"]);
    let request = HttpRequest { max_bytes: 1 << 20, ..request };
    assert!(matches!(get(&request, &pages("", NextPage::None)), Err(DataError::TooLarge { allowed: 1_048_576, .. })));
}

// invariant: The next page of an API is asked for only at servers that are granted. Secrets go to
// the server of the source's URL alone.
#[test]
fn secrets_do_not_follow_to_another_server() {
    let other = serve(|_, head, stream| {
        let head = head.to_ascii_lowercase();
        assert!(!head.contains("secret"), "{head}");
        stream.write_all(text("{\"rows\": [{\"n\":2}]}").as_bytes()).unwrap();
    });
    let own = serve(move |_, head, stream| {
        let head = head.to_ascii_lowercase();
        assert!(head.contains("x-api-key: secret one") && head.contains("authorization: bearer secret-two"), "{head}");
        let body = format!(r#"{{"rows": [{{"n":1}}], "next": "http://127.0.0.1:{other}/two"}}"#);
        stream.write_all(text(&body).as_bytes()).unwrap();
    });
    let (here, there) = (format!("127.0.0.1:{own}"), format!("127.0.0.1:{other}"));
    let with = |grants: &[&str]| HttpRequest {
        headers: vec![("x-api-key".to_owned(), "secret one".to_owned())],
        bearer_token: Some("secret-two".to_owned()),
        ..request(format!("http://{here}/one"), grants)
    };
    let by_link = pages("rows", NextPage::Link(path("next")));
    assert_eq!(get(&with(&[&here, &there]), &by_link).unwrap().0, "{\"n\":1}\n{\"n\":2}\n");
    assert!(matches!(get(&with(&[&here]), &by_link), Err(DataError::Denied { grant, .. }) if grant == there));
    let plain =
        HttpRequest { url: "http://api.example.org/x".to_owned(), ..with(&["api.example.org", "0.0.0.0/0", "::/0"]) };
    told(get(&plain, &by_link), &["a token is not sent over plain http", "`headers`"]);
}

#[test]
fn an_api_is_read_over_tls_and_never_goes_on_without_it() {
    let roots = RootCerts::new_with_certs(&[Certificate::from_der(CERTIFICATE)]);
    let (port, heads) = serve_tls_with(|path| match path {
        "/x.csv" => text(r#"{"rows": [{"n":1}], "next": "?page=2"}"#),
        "/x.csv?page=2" => text(r#"{"rows": [{"n":2}], "next": "/x.csv?page=3"}"#),
        _ => text(r#"{"rows": [{"n":3}], "next": "http://localhost/"}"#),
    });
    let mut lines = Vec::new();
    let by_link = pages("rows", NextPage::Link(path("next")));
    let error = fetch_json_trusting(&roots, &over_tls("localhost", port), &by_link, &Interrupt::never(), &mut lines);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("its next page is `http://localhost/`, which is not https any more"), "{error}");
    assert_eq!(
        (String::from_utf8(lines).unwrap().as_str(), heads.try_iter().count()),
        ("{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n", 3)
    );
}

#[test]
fn a_connection_that_is_cut_on_page_3_is_an_error_and_the_next_run_is_whole() {
    let cuts = Arc::new(AtomicU32::new(1));
    let left = cuts.clone();
    let request = api(move |path| {
        let number: u32 = path.rsplit('=').next().and_then(|text| text.parse().ok()).unwrap_or(1);
        let next = if number < 5 { format!("\"?page={}\"", number + 1) } else { "null".to_owned() };
        let page = text(&format!(r#"{{"rows": [{{"n":{number}}}], "next": {next}}}"#));
        let is_cut =
            number == 3 && left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if is_cut { page[..page.len() - 10].to_owned() } else { page }
    });
    let by_link = pages("rows", NextPage::Link(path("next")));
    told(get(&request, &by_link), &["cannot fetch `http://127.0.0.1:", "/start?…`", "\nhint: "]);
    let (lines, fetched) = get(&request, &by_link).unwrap();
    assert_eq!((lines.lines().count(), fetched.len()), (5, 5));
    assert!(lines.lines().enumerate().all(|(at, line)| line == format!("{{\"n\":{}}}", at + 1)));
}

#[test]
fn a_server_that_asks_to_come_back_is_asked_again_within_the_time() {
    let answer = |status: &str, header: &str| {
        format!("HTTP/1.1 {status} X\r\n{header}Content-Length: 0\r\nConnection: close\r\n\r\n")
    };
    let left = AtomicU32::new(3);
    let busy = api(move |_| match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
        Ok(3) => answer("429", "Retry-After: 0\r\n"),
        Ok(2) => answer("503", "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
        Ok(_) => answer("503", "Retry-After: 0\r\n"),
        Err(_) => text("[{\"n\":1}]"),
    });
    let one = pages("", NextPage::None);
    assert_eq!(get(&busy, &one).unwrap().0, "{\"n\":1}\n");
    let for_ever = api(move |_| answer("503", "Retry-After: 0\r\n"));
    told(get(&for_ever, &one), &["status 503, 6 times", "\nhint: run again later"]);
    let long = api(move |_| answer("429", "Retry-After: 3600\r\n"));
    told(get(&long, &one), &["status 429 and asks to wait 3600 s", "`wall`"]);
    let waits = api(move |_| answer("429", "Retry-After: 10\r\n"));
    let looks = AtomicU32::new(0);
    let interrupt = Interrupt::when(move || looks.fetch_add(1, Ordering::SeqCst) > 3);
    assert!(matches!(fetch_json(&waits, &one, &interrupt, &mut Vec::new()), Err(DataError::Interrupted)));
    let wrong = api(move |_| answer("403", ""));
    told(get(&wrong, &one), &["status 403", "token-env"]);
}

#[test]
fn a_page_of_another_form_is_an_error_that_says_what_is_there() {
    for (body, records, parts) in [
        ("<html>", "rows", &["page 1: it is not JSON", "a page for people"][..]),
        ("{\"rows\": [] ", "rows", &["page 1: it is not JSON"]),
        ("[] []", "", &["page 1: it is not JSON"]),
        ("", "", &["page 1: it is not JSON"]),
        (
            "{\"data\": {\"list\": [], \"total\": 1}}",
            "data.items",
            &["there is no `data.items`: `data` has `list`, `total`", "records"],
        ),
        ("{\"data\": [1]}", "data.items", &["`data` is no object"]),
        ("{\"data\": {}}", "data", &["`data` is no array of records"]),
        ("null", "", &["the page is no array of records", ""]),
        ("[{\"n\":1}, 7]", "", &["record 2 is no object: `7`"]),
        ("{\"rows\": [], \"next\": {\"href\": \"/x\"}}", "rows", &["`next` is no text"]),
    ] {
        let request = api(move |_| text(body));
        let next = NextPage::Link(path("next"));
        let next = if records == "rows" { next } else { NextPage::None };
        let result = get(&request, &pages(records, next));
        let parts: Vec<&str> = parts.iter().copied().chain(["\nhint: "]).collect();
        told(result, &parts);
    }
    for (deep, is_read) in [(100, true), (100_000, false)] {
        let request = api(move |_| text(&format!("[{{\"n\":{}{}}}]", "[".repeat(deep), "]".repeat(deep))));
        assert_eq!(get(&request, &pages("", NextPage::None)).is_ok(), is_read);
    }
}

proptest::proptest! {
    // What no reader of ours wrote is never more than an error.
    #[test]
    fn no_body_panics(body in "[\\[\\]{}:,\"a-c0-9 \\\\]{0,60}", names in "[a-c.]{0,5}") {
        if let Ok(page) = whole(&body) {
            let (mut lines, path) = (Vec::new(), path(&names));
            let written = write_records(page, &path, &mut lines);
            if let Ok(records) = written {
                let lines = String::from_utf8(lines).unwrap();
                proptest::prop_assert_eq!(lines.lines().count() as u64, records);
                for line in lines.lines() {
                    proptest::prop_assert!(whole(line).is_ok(), "{}", line);
                }
            }
            let url = "http://h/p?a=1".parse().unwrap();
            for next in [NextPage::Link(path.clone()), NextPage::Cursor { path, parameter: "a".into() }] {
                let _ = next_page(&next, &url, &HeaderMap::new(), page);
            }
        }
    }
}
