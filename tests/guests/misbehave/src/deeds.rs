//! Misdeeds that any export can try. Those that need the export's result are in `worlds`.

use std::hint::black_box;
use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use stagewright_kit::bindings::stagewright::stage::{blobs, sources, tables, tracking, types};
use stagewright_kit::tracking::Level;
use stagewright_kit::{
    Batch, Categorical, Column, DataFault, DataType, Failure, Field, ParameterFault, Strings, Values, packed,
};

use crate::calls::call;
use crate::values::{EVIL, figure, float};
use crate::worlds::World;
use crate::{Export, Misdeed, Orders};

/// The rows of each batch of an endless table.
const ROWS: usize = 8192;

/// Counts over the life of an instance. A fresh instance starts at 0.
static SEEN: AtomicU64 = AtomicU64::new(0);

/// Does what is ordered here. Returns only from misdeeds that exceed no limit.
pub(crate) fn act<W: World>(orders: &Orders, export: Export) -> Result<(), Failure> {
    let Some(misdeed) = orders.here(export) else { return Ok(()) };
    match misdeed {
        Misdeed::Loop => spin(),
        Misdeed::Sleep => sleep(),
        Misdeed::Yield => loop {
            std::thread::sleep(Duration::from_millis(1));
        },
        Misdeed::Dawdle => burn(40_000_000 * (1 + u64::from(orders.variant))),
        Misdeed::MemoryBomb => memory_bomb(),
        Misdeed::Recursion => drop(black_box(recurse(0))),
        Misdeed::FloodHandles => flood_handles(),
        Misdeed::GiantLogLine => tracking::log(Level::Info, &"x".repeat(40 << 20)),
        Misdeed::GiantFailure => return Err(Failure::internal("x".repeat(40 << 20))),
        Misdeed::FloodLog => (0..2000).for_each(|line| tracking::log(Level::Info, &format!("{line:01000}"))),
        Misdeed::FloodStdout => (0..1000).for_each(|line| println!("{line:01000}")),
        Misdeed::TerminalEscapes => {
            tracking::log(Level::Warn, EVIL);
            eprint!("{EVIL}");
        }
        Misdeed::FloodProgress => {
            for step in 0..20_000u64 {
                tracking::progress(step.wrapping_mul(u64::MAX / 3), [0, 1, u64::MAX][step as usize % 3]);
            }
        }
        Misdeed::FloodMetrics => flood_metrics(),
        Misdeed::FloodTreatments => flood_treatments(),
        Misdeed::FloodFigures => {
            for number in 0..1000 {
                tracking::add_figure(&figure(&format!("figure-{number}"), "x"))?;
            }
        }
        Misdeed::DuplicateFigure => {
            tracking::add_figure(&figure("twice", "the first"))?;
            tracking::add_figure(&figure("twice", "the second"))?;
        }
        Misdeed::ScriptFigure => tracking::add_figure(&figure("script", EVIL))?,
        Misdeed::PathFigures => path_figures()?,
        Misdeed::ReadClocks => read_clocks(),
        Misdeed::Remember => {
            let seen = SEEN.fetch_add(1, Ordering::Relaxed);
            tracking::log(Level::Info, &format!("{}: seen {seen}", export.name()));
        }
        Misdeed::Linger => {
            begin_artifact::<W>()?;
            // A warning, because an instance of a repeated sample drops lines of lower levels.
            tracking::log(Level::Warn, "lingering");
            spin();
        }
        Misdeed::LongDataFault => return Err(long_data_fault()),
        Misdeed::LongParameterFault => {
            let text = EVIL.repeat(20_000);
            return Err(Failure::Parameter(ParameterFault { parameter: text.clone(), message: text }));
        }
        Misdeed::LongInternalFault => return Err(Failure::Internal(EVIL.repeat(20_000))),
        Misdeed::Panic => panic!("{EVIL}"),
        Misdeed::Exit => std::process::exit(0),
        Misdeed::CallForEver => return call::<W>(orders),
        Misdeed::EmptyLines => {
            (0..100_000).for_each(|_| tracking::log(Level::Debug, ""));
            (0..10_000).for_each(|_| println!("x"));
        }
        Misdeed::FloodShards => {
            if W::BLOBS {
                for _ in 0..4 {
                    drop(blobs::BlobWriter::finish(blobs::BlobWriter::new())?);
                }
            }
        }
        Misdeed::WideTables
        | Misdeed::EmptyTables
        | Misdeed::LongNames
        | Misdeed::HoardDictionaries
        | Misdeed::HoardTables
        | Misdeed::FloodTables
        | Misdeed::TooManyColumns
        | Misdeed::EndlessTable
        | Misdeed::HoardRows
        | Misdeed::HoardCategories
        | Misdeed::RowsWithoutColumns => {
            // A transformer declares too many columns itself.
            if W::TABLES && (misdeed, export) != (Misdeed::TooManyColumns, Export::Fields) {
                with_tables(misdeed)?;
            }
        }
        Misdeed::FloodBlobs | Misdeed::EndlessBlob => {
            if W::BLOBS {
                with_blobs(misdeed)?;
            }
        }
        Misdeed::FloodCursors | Misdeed::PathSource => {
            if W::SOURCES {
                with_sources(misdeed)?;
            }
        }
        // The exports themselves do these.
        Misdeed::GiantColumnList
        | Misdeed::FloodSelections
        | Misdeed::DeepSelections
        | Misdeed::KeepHandles
        | Misdeed::ReturnGiven
        | Misdeed::ReturnSelection
        | Misdeed::ForgedFiles
        | Misdeed::ForgedBatch
        | Misdeed::FewerRows
        | Misdeed::WideFeatures
        | Misdeed::OverlongFeature
        | Misdeed::HoardFeatures
        | Misdeed::OtherColumns
        | Misdeed::NanPayloads
        | Misdeed::CategoryOrder
        | Misdeed::PredictNan
        | Misdeed::PredictTwo
        | Misdeed::PredictFew
        | Misdeed::ForgedOutputs
        | Misdeed::Impure
        | Misdeed::ForgedImportance
        | Misdeed::ManyShards
        | Misdeed::ForgedMetrics
        | Misdeed::DuplicateMetrics
        | Misdeed::ApproveAnyway
        | Misdeed::LongFindings => {}
    }
    Ok(())
}

fn spin() {
    let mut count = 0u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

/// Does a fixed amount of work.
pub(crate) fn burn(rounds: u64) {
    for round in 0..rounds {
        black_box(round);
    }
}

fn sleep() {
    for _ in 0..100 {
        std::thread::sleep(Duration::from_secs(3600 * 24 * 365));
    }
    let mut never = Vec::new();
    // An error ends the read as well.
    let _ = std::io::stdin().read_to_end(&mut never);
    assert!(never.is_empty(), "standard input has something");
}

fn memory_bomb() {
    loop {
        let mut block = Vec::<u8>::with_capacity(1 << 20);
        black_box(block.as_mut_ptr());
        std::mem::forget(block);
    }
}

/// Recurses without a value in linear memory, so that the engine's stack ends first.
#[inline(never)]
#[expect(unconditional_recursion, reason = "that is the misdeed")]
fn recurse(depth: u64) -> u64 {
    // The shift keeps the compiler from making a loop.
    (recurse(depth + SEEN.load(Ordering::Relaxed) + 1) >> 3) ^ depth
}

/// Takes standard output repeatedly; each call returns a new handle.
fn flood_handles() {
    #[cfg(target_arch = "wasm32")]
    {
        #[link(wasm_import_module = "wasi:cli/stdout@0.2.0")]
        unsafe extern "C" {
            #[link_name = "get-stdout"]
            fn get_stdout() -> i32;
        }
        loop {
            // SAFETY: the signature is that of WASI's `get-stdout`, which takes nothing and returns
            // a handle.
            black_box(unsafe { get_stdout() });
        }
    }
}

fn flood_metrics() {
    for step in 0..20_000u64 {
        let name = ["loss", "../loss", "LOSS", ""][step as usize % 4];
        tracking::metric(name, [0.5, f64::NAN, f64::INFINITY][step as usize % 3], step / 4);
    }
    tracking::metric("loss", f64::NAN, 0);
}

fn flood_treatments() {
    for number in 0..1000u32 {
        tracking::count(&format!("word_{number}"), number % 3, u64::MAX);
    }
    for _ in 0..3 {
        tracking::count("unseen", 0, u64::MAX);
    }
    for (treatment, column) in [("../unseen", 0), ("UNSEEN", 0), ("", 0), (EVIL, 0), ("unseen", u32::MAX)] {
        tracking::count(treatment, column, 1);
    }
}

fn path_figures() -> Result<(), Failure> {
    let names = ["../up", "/etc/passwd", "a/b", "..", ".", "", "a\0b", "a.svg", "C:\\x", "café", "UPPER", "a b"];
    match names.into_iter().find(|name| tracking::add_figure(&figure(name, "x")).is_ok()) {
        Some(name) => Err(Failure::internal(format!("escaped: a figure may be called {name:?}"))),
        None => Ok(()),
    }
}

/// Logs what a stage can know of time and randomness. The suite compares runs.
fn read_clocks() {
    let (begin, today) = (Instant::now(), SystemTime::now());
    burn(20_000_000);
    let elapsed = begin.elapsed().as_nanos();
    let since = today.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 1);
    let environment: Vec<_> = std::env::vars().chain(std::env::args().map(|it| (it, String::new()))).collect();
    tracking::log(Level::Info, &format!("elapsed {elapsed}"));
    tracking::log(Level::Info, &format!("today {since}, random {random}, environment {environment:?}"));
}

fn long_data_fault() -> Failure {
    let text = EVIL.repeat(20_000);
    Failure::Data(DataFault {
        message: text.clone(),
        column: Some(text.clone()),
        row: Some(u64::MAX),
        value: Some(text),
    })
}

/// Leaves a table and a blob unfinished where the world has them.
fn begin_artifact<W: World>() -> Result<(), Failure> {
    if !W::TABLES {
        return Ok(());
    }
    let writer = tables::TableWriter::new(&[float("x")]);
    let makes_artifacts = writer.write(&packed::encode_numbers(2, &[1.0, 2.0])).is_ok();
    std::mem::forget(writer);
    if W::BLOBS && makes_artifacts {
        let blob = blobs::BlobWriter::new();
        blob.write(b"half of somethi")?;
        std::mem::forget(blob);
    }
    Ok(())
}

fn field(name: &str, data_type: DataType) -> Field {
    Field { name: name.to_owned(), data_type, nullable: false }
}

fn text(rows: &[String]) -> Strings {
    let mut strings = Strings { offsets: vec![0], bytes: Vec::new() };
    for row in rows {
        strings.bytes.extend_from_slice(row.as_bytes());
        strings.offsets.push(strings.bytes.len() as i32);
    }
    strings
}

/// Returns a batch of one column without nulls.
fn one_column(fields: &[Field], values: Values) -> Result<types::Batch, Failure> {
    let rows = match &values {
        Values::Categorical(column) => column.codes.len(),
        Values::Utf8(strings) => strings.offsets.len() - 1,
        _ => return Err(Failure::internal("no misdeed writes such a column")),
    };
    packed::encode(fields, &Batch { rows: rows as u32, columns: vec![Column { values, validity: None }] })
}

fn with_tables(misdeed: Misdeed) -> Result<(), Failure> {
    match misdeed {
        Misdeed::FloodTables => loop {
            std::mem::forget(tables::TableWriter::new(&[float("x")]));
        },
        Misdeed::TooManyColumns => {
            let fields: Vec<Field> = (0..200_000).map(|number| float(&number.to_string())).collect();
            let writer = tables::TableWriter::new(&fields);
            writer.write(&types::Batch { rows: 0, bytes: Vec::new() })
        }
        Misdeed::RowsWithoutColumns => {
            let writer = tables::TableWriter::new(&[]);
            loop {
                writer.write(&types::Batch { rows: 1 << 26, bytes: Vec::new() })?;
            }
        }
        Misdeed::WideTables | Misdeed::LongNames => {
            let width = if misdeed == Misdeed::LongNames { 250 } else { 5 };
            let fields: Vec<Field> = (0..65_536).map(|number| float(&format!("{number:0width$}"))).collect();
            loop {
                std::mem::forget(tables::TableWriter::new(&fields));
            }
        }
        Misdeed::EmptyTables => {
            let fields: Vec<Field> = (0..65_536).map(|number| float(&number.to_string())).collect();
            loop {
                drop(tables::TableWriter::finish(tables::TableWriter::new(&fields))?);
            }
        }
        Misdeed::HoardDictionaries | Misdeed::HoardTables => {
            let names: Vec<String> = (0..200_000).map(|number| format!("{number:020}")).collect();
            let categories = text(&names);
            let all = misdeed == Misdeed::HoardTables;
            let codes: Vec<i32> = if all { (0..200_000).collect() } else { vec![0] };
            let fields = [field("category", DataType::Categorical)];
            let rows = one_column(&fields, Values::Categorical(Categorical { codes, categories }))?;
            loop {
                let writer = tables::TableWriter::new(&fields);
                writer.write(&rows)?;
                if all {
                    std::mem::forget(tables::TableWriter::finish(writer)?);
                } else {
                    std::mem::forget(writer);
                }
            }
        }
        Misdeed::HoardRows => {
            let fields = [field("text", DataType::Utf8)];
            let writer = tables::TableWriter::new(&fields);
            let long = one_column(&fields, Values::Utf8(text(&["x".repeat(1 << 20)])))?;
            loop {
                writer.write(&long)?;
            }
        }
        Misdeed::HoardCategories => {
            let fields = [field("category", DataType::Categorical)];
            let writer = tables::TableWriter::new(&fields);
            for batch in 0.. {
                let names: Vec<String> = (0..ROWS).map(|row| format!("{batch}-{row}")).collect();
                let codes = (0..ROWS as i32).collect();
                let values = Values::Categorical(Categorical { codes, categories: text(&names) });
                writer.write(&one_column(&fields, values)?)?;
            }
            Ok(())
        }
        _ => {
            let writer = tables::TableWriter::new(&[float("x")]);
            let rows = packed::encode_numbers(ROWS as u32, &[1.5; ROWS]);
            loop {
                writer.write(&rows)?;
            }
        }
    }
}

fn with_blobs(misdeed: Misdeed) -> Result<(), Failure> {
    if misdeed == Misdeed::FloodBlobs {
        loop {
            std::mem::forget(blobs::BlobWriter::finish(blobs::BlobWriter::new())?);
        }
    }
    let writer = blobs::BlobWriter::new();
    let chunk = vec![7; 1 << 16];
    loop {
        writer.write(&chunk)?;
    }
}

fn with_sources(misdeed: Misdeed) -> Result<(), Failure> {
    if misdeed == Misdeed::PathSource {
        sources::open("../../../etc/passwd")?;
        return Err(Failure::internal("escaped: a path was opened"));
    }
    loop {
        std::mem::forget(sources::open("customers")?);
    }
}
