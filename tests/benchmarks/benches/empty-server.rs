//! A server whose handler does nothing, for `cargo xtask bench serving`: the most that HTTP can do
//! on this machine. It measures nothing.
//!
//! It takes a body and answers with as many bytes as an answer to one row has. It prints its URL,
//! and ends when its standard input does.

use std::io::Read as _;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use axum::serve::ListenerExt as _;
use stagewright_benchmarks::Result;
use tokio::net::TcpListener;

/// An answer to one row.
const ANSWER: &str = concat!(
    r#"{"predictions":[{"label":"No","probability":0.24120000000000003}],"model":"churn-classifier","version":1,"#,
    r#""digest":"4be1d07c4be1d07c4be1d07c4be1d07c4be1d07c4be1d07c4be1d07c4be1d07c","#,
    r#""request_id":"01KB6TZ7M0V3W6QK5S0J3Z6T6N.v1"}"#
);

fn main() -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let answer = async |_: Bytes| ([(CONTENT_TYPE, "application/json")], ANSWER);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("http://{}", listener.local_addr()?);
        // As the real server does.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let end = || tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        let over = async { drop(end().await) };
        let server = axum::serve(listener, Router::new().route("/predict", post(answer)));
        tokio::select! {
            served = server => served?,
            () = over => {}
        }
        Ok(())
    })
}
