//! Errors of other MLflow servers: SW11.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use stagewright_end_to_end::{Ended, Place};

use crate::{Case, provoke};

pub(crate) const CASES: &[Case] = &[
    ("SW1101", database_as_an_address),
    ("SW1102", nobody_at_the_address),
    ("SW1103", experiment_that_is_not_there),
    ("SW1104", page_instead_of_an_answer),
    ("SW1105", tag_that_is_too_long),
];

#[test]
fn errors_of_other_mlflow_servers() {
    provoke(CASES);
}

fn import(address: &str, more: &[&str]) -> Ended {
    Place::new().run(&[&["import", "mlflow", "--uri", address], more].concat())
}

/// Starts a server that answers each request with what `body` makes of its first line. Returns its
/// address.
fn server(body: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut reader = BufReader::new(client.try_clone().expect("the connection"));
            let (mut first, mut length) = (String::new(), 0);
            let _ = reader.read_line(&mut first);
            for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap_or(0);
                }
            }
            let _ = reader.read_exact(&mut vec![0; length]);
            let body = body(&first);
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = client.write_all((head + &body).as_bytes());
        }
    });
    address
}

fn database_as_an_address() -> Ended {
    import("sqlite:///mlflow.db", &[])
}

fn nobody_at_the_address() -> Ended {
    import("http://127.0.0.1:9", &[])
}

fn experiment_that_is_not_there() -> Ended {
    import(&server(|_| "{}".to_owned()), &["--experiment", "churm"])
}

fn page_instead_of_an_answer() -> Ended {
    import(&server(|_| "<html>sign in</html>".to_owned()), &[])
}

fn tag_that_is_too_long() -> Ended {
    let tag = "k".repeat(300);
    let run = format!(
        r#"{{"info": {{"run_id": "r", "status": "FINISHED", "start_time": 5}}, "data": {{"tags": [{{"key": "{tag}", "value": ""}}]}}}}"#
    );
    let answer = move |line: &str| {
        if line.contains("experiments/search") {
            r#"{"experiments": [{"experiment_id": "1", "name": "first"}]}"#.to_owned()
        } else if line.contains("runs/search") {
            format!(r#"{{"runs": [{run}]}}"#)
        } else {
            "{}".to_owned()
        }
    };
    import(&server(answer), &["--without-artifacts"])
}
