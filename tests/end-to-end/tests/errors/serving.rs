//! Errors of the server: SW10.

use std::net::TcpListener;

use stagewright_end_to_end::{Ended, Place};

use crate::{Case, MODEL, provoke, trained};

pub(crate) const CASES: &[Case] = &[
    ("SW1001", open_to_others),
    ("SW1002", address_that_is_taken),
    ("SW1003", token_that_is_short),
    ("SW1004", tracking_open_to_others),
    ("SW1005", user_that_there_is_not),
    ("SW1006", first_user_that_is_no_administrator),
];

#[test]
fn errors_of_the_server() {
    provoke(CASES);
}

fn serve(place: &Place, more: &[&str]) -> Ended {
    place.run(&[&["serve", MODEL], more].concat())
}

fn open_to_others() -> Ended {
    serve(&trained(), &["--host", "0.0.0.0"])
}

fn address_that_is_taken() -> Ended {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let port = listener.local_addr().expect("an address").port().to_string();
    serve(&trained(), &["--port", &port])
}

fn token_that_is_short() -> Ended {
    let place = trained();
    place.write("tokens", "short predict\n");
    serve(&place, &["--tokens-file", "tokens"])
}

fn tracking_open_to_others() -> Ended {
    trained().run(&["server", "--host", "0.0.0.0", "--port", "0"])
}

fn user_that_there_is_not() -> Ended {
    trained().run(&["users", "delete", "ada"])
}

fn first_user_that_is_no_administrator() -> Ended {
    let place = trained();
    let mut command = place.command(&["users", "create", "ada"]);
    let password = place.write("password", "correct horse battery\n");
    command.stdin(std::fs::File::open(password).expect("a file"));
    Ended::of(command)
}
