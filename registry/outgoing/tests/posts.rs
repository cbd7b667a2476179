//! Posts to real receivers: what is reached, and what a receiver can do to its sender.

use std::time::{Duration, Instant};

use stagewright_outgoing::{AllowedAddresses, PostError, Poster, PosterOptions};
use stagewright_services::receiver::{Answer, Receiver};

fn poster(networks: &[&str], timeout: Duration) -> Poster {
    let networks = networks.iter().map(|text| text.parse().expect("a network")).collect();
    let addresses = Some(AllowedAddresses::and(networks));
    Poster::new(PosterOptions { timeout, authorities: None, addresses })
}

fn patient(networks: &[&str]) -> Poster {
    poster(networks, Duration::from_secs(60))
}

// invariant: as `only_public_addresses_are_reached_and_those_that_the_operator_allows`
#[test]
fn no_spelling_of_a_local_address_is_connected_to_unless_it_is_allowed() {
    let receiver = Receiver::start(|_| Answer::taken());
    let port = receiver.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "127.1",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "2130706433",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
    ] {
        for scheme in ["http", "https"] {
            let error = patient(&[]).post(&format!("{scheme}://{host}:{port}/"), &[], b"{}").expect_err(host);
            // Some systems do not know every spelling.
            let is_unknown = matches!(&error, PostError::Unanswered(text) if !text.contains("refused"));
            assert!(matches!(error, PostError::Refused { .. }) || is_unknown, "{scheme} {host}: {error}");
        }
    }
    assert!(receiver.received().is_empty());
    let answer = patient(&["127.0.0.0/8"]).post(&receiver.url("/a"), &[("X-A", "b".to_owned())], b"{}");
    assert!(answer.expect("an answer").is_success());
    let received = receiver.received();
    assert_eq!((received.len(), received[0].header("x-a"), &received[0].body[..]), (1, Some("b"), &b"{}"[..]));
}

#[test]
fn a_redirect_is_an_answer_and_leads_nowhere() {
    let inside = Receiver::start(|_| Answer::taken());
    let to = inside.url("/admin");
    let outside = Receiver::start(move |_| Answer::redirect(&to));
    let answer = patient(&["127.0.0.1"]).post(&outside.url("/"), &[], b"{}").expect("an answer");
    assert_eq!(answer.status, 307);
    assert!(!answer.is_success() && answer.refusal().contains("redirects are not followed"), "{}", answer.refusal());
    assert!(inside.received().is_empty());
}

#[test]
fn a_receiver_that_never_answers_or_never_ends_costs_its_time_and_no_more() {
    let silent = Receiver::start(|_| Answer::Silence);
    let begun = Instant::now();
    let error = poster(&["127.0.0.1"], Duration::from_millis(300)).post(&silent.url("/"), &[], b"{}");
    assert!(matches!(error, Err(PostError::Unanswered(_))), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(60));
    let endless = Receiver::start(|_| Answer::Endless("500 Broken"));
    let answer = patient(&["127.0.0.1"]).post(&endless.url("/"), &[], b"{}").expect("an answer");
    assert_eq!((answer.status, answer.text.len()), (500, 4096));
    let cut = Receiver::start(|_| Answer::Cut);
    let error = patient(&["127.0.0.1"]).post(&cut.url("/"), &[], b"{}");
    assert!(matches!(error, Err(PostError::Unanswered(_))), "{error:?}");
}

#[test]
fn what_a_receiver_says_is_cut_and_escaped_and_its_pause_has_an_end() {
    let text = "HTTP/1.1 503 Busy\r\nRetry-After: 99999\r\nContent-Length: 11\r\n\r\ncome\x1b[2Jing";
    let busy = Receiver::start(move |_| Answer::Text(text.to_owned()));
    let answer = patient(&["127.0.0.1"]).post(&busy.url("/"), &[], b"{}").expect("an answer");
    assert_eq!(answer.after, Some(Duration::from_secs(600)));
    assert!(answer.refusal().starts_with("the server answers with 503: come") && !answer.refusal().contains('\x1b'));
}
