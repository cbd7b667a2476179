//! A large artifact, up and down, against a plain copy of its file over a loopback connection.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};
use stagewright_benchmarks::{Result, median};

use crate::process::Server;
use crate::{Bench, Under, create_run};

/// The bytes of the artifact.
const BYTES: u64 = 1 << 30;
/// Bytes that a plain copy reads or writes at once.
const PIECE: usize = 1 << 20;
/// The rounds, of which the medians count.
const ROUNDS: usize = 3;

/// Measures artifacts up and down.
pub(crate) fn artifact(bench: &Bench) -> Result<Value> {
    let source = bench.folder().join("source");
    write_noise(&source)?;
    let ours = bench.ours("artifact", Under::Sqlite)?;
    let stock = bench.stock("artifact", Under::Sqlite)?;
    let before = ours.memory()?.0;
    let (mut up_plain, mut down_plain) = (Vec::new(), Vec::new());
    let (mut up, mut down, mut stock_up, mut stock_down) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        up_plain.push(over_loopback(&source, &bench.folder().join("copied"), true)?);
        down_plain.push(over_loopback(&source, &bench.folder().join("copied"), false)?);
        let (sent, received) = through(&ours, &source, &bench.folder().join("copied"), round)?;
        up.push(sent);
        down.push(received);
        if let Some(stock) = &stock {
            let (sent, received) = through(stock, &source, &bench.folder().join("copied"), round)?;
            stock_up.push(sent);
            stock_down.push(received);
        }
        fs::remove_file(bench.folder().join("copied"))?;
    }
    let peak = ours.memory()?.1;
    let mut result = json!({ "resident_mib": before, "peak_mib": peak });
    println!("  resident before and peak: {before:.1} and {peak:.1} MiB");
    for (name, plain, ours, stock) in [("up", up_plain, up, stock_up), ("down", down_plain, down, stock_down)] {
        let (plain, ours) = (median(plain), median(ours));
        let stock = if stock.is_empty() { None } else { Some(median(stock)) };
        println!("  {name:<4} plain {plain:.2} s, ours {ours:.2} s ({:.0} %), stock {stock:.2?}", plain / ours * 100.0);
        result[name] = json!({ "plain_s": plain, "ours_s": ours, "stock_s": stock, "share": plain / ours });
    }
    Ok(result)
}

/// Sends the file through a server, and reads it back into another. Returns the seconds of both.
fn through(server: &Server, source: &Path, copy: &Path, round: usize) -> Result<(f64, f64)> {
    let mut client = server.client()?;
    let run = create_run(&mut client)?;
    let path = format!("/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/large-{round}.bin");
    let mut file = File::open(source)?;
    // Of other bytes in each round: bytes that are there already would not be stored again.
    let head = [round as u8; 64];
    let began = Instant::now();
    client.put(&path, &mut (&head[..]).chain(&mut file), BYTES + head.len() as u64)?;
    let sent = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let mut file = File::create(copy)?;
    let read = client.download(&path, &mut file)?;
    let received = began.elapsed().as_secs_f64();
    if read == BYTES + head.len() as u64 { Ok((sent, received)) } else { Err(format!("{read} bytes came back").into()) }
}

/// Copies a file over a connection of this machine. Returns the seconds until it is written, and if
/// `is_durable` flushed.
fn over_loopback(source: &Path, copy: &Path, is_durable: bool) -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let began = Instant::now();
    thread::scope(|scope| {
        let sender = scope.spawn(move || -> Result<()> {
            let mut stream = TcpStream::connect(address)?;
            let mut file = File::open(source)?;
            let mut piece = vec![0; PIECE];
            loop {
                match file.read(&mut piece)? {
                    0 => return Ok(()),
                    read => stream.write_all(&piece[..read])?,
                }
            }
        });
        let mut stream = listener.accept()?.0;
        let mut file = File::create(copy)?;
        let mut piece = vec![0; PIECE];
        loop {
            match stream.read(&mut piece)? {
                0 => break,
                read => file.write_all(&piece[..read])?,
            }
        }
        if is_durable {
            file.sync_all()?;
        }
        sender.join().unwrap_or_else(|_| Err("the sender panicked".into()))?;
        Ok(began.elapsed().as_secs_f64())
    })
}

/// Writes a file of bytes that look random.
fn write_noise(path: &Path) -> Result<()> {
    let mut file = File::create(path)?;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut piece = vec![0; PIECE];
    for _ in 0..BYTES / PIECE as u64 {
        for word in piece.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        file.write_all(&piece)?;
    }
    Ok(file.sync_all()?)
}
