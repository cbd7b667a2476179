//! Measures how fast a version is uploaded to S3 and verified there, against the SDK alone. Run by
//! `cargo xtask bench registry`.
//!
//! The object has 100 MB. The server runs in this process and shares the processor. Rates are
//! medians of five alternating passes. The SDK alone does one request and computes no digest:
//! `put_object` of the file, `put_object` from memory without a signature of the payload, and
//! `get_object` read to its end. Our upload also computes the SHA-256 of the file, and cannot be
//! faster than that.

use std::path::Path;
use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Config, Credentials, Region};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use serde_json::json;
use stagewright_benchmarks::{Result, write_json};
use stagewright_promotion::{Destination, LocalObject, Settings, VersionUpload};
use stagewright_services::s3;
use stagewright_store::Digest;

const BYTES: usize = 100_000_000;
const PASSES: usize = 5;
const TARGET: f64 = 0.7;

fn main() -> Result<()> {
    let server = s3::Server::start("models", s3::Options::default());
    let folder = tempfile::tempdir()?;
    let upload = upload(folder.path())?;
    let settings = Settings { variables: server.variables().into_iter().collect(), ..Settings::default() };
    let destination = Destination::open("s3://models/ours", &settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let client = client(&server.endpoint());

    let mut times: [Vec<Duration>; 5] = Default::default();
    for _ in 0..PASSES {
        let (put, fast, get) = runtime.block_on(sdk(&client, &upload.objects[0].path))?;
        let uploaded = destination.upload(&upload, &|_, _| ())?;
        for (times, time) in times.iter_mut().zip([put, fast, get, uploaded.upload_time, uploaded.verify_time]) {
            times.push(time);
        }
        for key in server.keys() {
            server.remove(&key);
        }
    }
    let rates = times.map(|mut times| {
        times.sort();
        BYTES as f64 / 1e6 / times[PASSES / 2].as_secs_f64()
    });
    let names = [
        "SDK, put_object of a file",
        "SDK, put_object of memory",
        "SDK, get_object",
        "ours, upload",
        "ours, read back and compare",
    ];
    for (name, rate) in names.iter().zip(rates) {
        println!("{name:28} {rate:7.0} MB/s");
    }
    let ratios = [
        ("upload of a file", rates[3] / rates[0]),
        ("upload, against memory", rates[3] / rates[1]),
        ("verification", rates[4] / rates[2]),
    ];
    let rate = |index: usize| (names[index].to_owned(), json!(rates[index]));
    let mut result = json!({ "bytes": BYTES, "mb_s": (0..names.len()).map(rate).collect::<serde_json::Map<_, _>>() });
    for (name, ratio) in ratios {
        result["ratio"][name] = json!(ratio);
        println!(
            "{name}: {ratio:.2} of the SDK alone (target {TARGET}): {}",
            if ratio >= TARGET { "reached" } else { "missed" }
        );
    }
    write_json(&result)
}

fn upload(folder: &Path) -> Result<VersionUpload> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()
    };
    let content: Vec<u8> = std::iter::repeat_with(&mut next).flatten().take(BYTES).collect();
    let (digest, path) = (Digest::of(&content), folder.join("model"));
    std::fs::write(&path, content)?;
    let manifest = format!(r#"{{"objects":[{{"digest":"{digest}","size":{BYTES},"role":"model"}}]}}"#);
    let objects = vec![LocalObject { digest, path, size: BYTES as u64 }];
    Ok(VersionUpload { model: "churn".to_owned(), version: 1, objects, manifest: manifest.into_bytes() })
}

fn client(endpoint: &str) -> Client {
    let http = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let config = Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .credentials_provider(Credentials::new(s3::ACCESS_KEY, s3::SECRET_KEY, None, None, "example"))
        .region(Region::new(s3::REGION))
        .endpoint_url(endpoint)
        .force_path_style(true);
    Client::from_conf(config.build())
}

/// Uploads the file, uploads memory, and downloads.
async fn sdk(client: &Client, file: &Path) -> Result<(Duration, Duration, Duration)> {
    let put = || client.put_object().bucket("models").key("sdk");
    let begun = Instant::now();
    put().body(ByteStream::from_path(file).await?).send().await?;
    let of_file = begun.elapsed();
    let content = std::fs::read(file)?;
    let begun = Instant::now();
    put().body(ByteStream::from(content)).customize().disable_payload_signing().send().await?;
    let of_memory = begun.elapsed();
    let begun = Instant::now();
    let mut reply = client.get_object().bucket("models").key("sdk").send().await?;
    let mut bytes = 0;
    while let Some(piece) = reply.body.try_next().await? {
        bytes += piece.len();
    }
    assert_eq!(bytes, BYTES);
    Ok((of_file, of_memory, begun.elapsed()))
}
