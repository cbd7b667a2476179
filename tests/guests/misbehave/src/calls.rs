//! Calls each import for ever.
//!
//! The host's work for a stage is part of the stage's budget, so no import may be free. The suite
//! compares these names with the imports of `wit/`: a new import needs a case here.

use std::hint::black_box;

use stagewright_kit::bindings::stagewright::stage::types::Batch;
use stagewright_kit::bindings::stagewright::stage::{blobs, models, sources, tables, tracking};
use stagewright_kit::tracking::Level;
use stagewright_kit::{Failure, packed};

use crate::values::{EVIL, figure, float};
use crate::worlds::World;
use crate::{Call, Orders};

fn two_rows() -> Batch {
    packed::encode_numbers(2, &[1.0, 2.0])
}

fn writer() -> tables::TableWriter {
    tables::TableWriter::new(&[float("x")])
}

fn table() -> Result<tables::Table, Failure> {
    let writer = writer();
    writer.write(&two_rows())?;
    tables::TableWriter::finish(writer)
}

fn blob() -> Result<blobs::Blob, Failure> {
    let writer = blobs::BlobWriter::new();
    writer.write(b"bytes")?;
    blobs::BlobWriter::finish(writer)
}

/// Calls the ordered import until a limit ends it. Imports that need a model are in [`ask`].
pub(crate) fn call<W: World>(orders: &Orders) -> Result<(), Failure> {
    let call = orders.call()?;
    match call {
        Call::Log => loop {
            // Most lines are dropped, and that must not be free either.
            tracking::log(Level::Debug, "");
            tracking::log(Level::Debug, EVIL);
        },
        Call::Progress => loop {
            (0..u64::MAX).for_each(|step| tracking::progress(step, u64::MAX - step));
        },
        Call::Metric => loop {
            (0..u64::MAX).for_each(|step| tracking::metric("loss", 0.5, step));
        },
        Call::Count => loop {
            (0..u64::MAX).for_each(|rows| tracking::count("unseen", 0, rows));
        },
        Call::AddFigure => {
            for number in 0u64.. {
                tracking::add_figure(&figure(&number.to_string(), "x"))?;
            }
            Ok(())
        }
        _ if call.name().starts_with("tables#") => {
            if W::TABLES {
                call_tables(call)?;
            }
            Ok(())
        }
        _ if call.name().starts_with("blobs#") => {
            if W::BLOBS {
                call_blobs(call)?;
            }
            Ok(())
        }
        _ if call.name().starts_with("sources#") => {
            if W::SOURCES {
                call_sources(call)?;
            }
            Ok(())
        }
        // `ask` calls the others.
        _ => Ok(()),
    }
}

fn call_tables(call: Call) -> Result<(), Failure> {
    match call {
        Call::Fields => {
            let table = table()?;
            loop {
                black_box(table.fields());
            }
        }
        Call::Roles => {
            let table = table()?;
            loop {
                black_box(table.roles());
            }
        }
        Call::Rows => {
            let table = table()?;
            loop {
                black_box(table.rows());
            }
        }
        Call::Select => {
            let table = table()?;
            loop {
                drop(table.select(&[0])?);
            }
        }
        Call::Read => {
            let table = table()?;
            loop {
                black_box(table.read(0, u32::MAX)?);
            }
        }
        Call::NewTableWriter => loop {
            drop(writer());
        },
        Call::WriteTable => {
            let (writer, rows) = (writer(), two_rows());
            loop {
                writer.write(&rows)?;
            }
        }
        _ => loop {
            drop(table()?);
        },
    }
}

fn call_blobs(call: Call) -> Result<(), Failure> {
    match call {
        Call::Size => {
            let blob = blob()?;
            loop {
                black_box(blob.size());
            }
        }
        Call::ReadBlob => {
            let blob = blob()?;
            loop {
                black_box(blob.read(0, u32::MAX)?);
            }
        }
        Call::NewBlobWriter => loop {
            drop(blobs::BlobWriter::new());
        },
        Call::WriteBlob => {
            let writer = blobs::BlobWriter::new();
            loop {
                writer.write(b"bytes")?;
            }
        }
        _ => loop {
            drop(blob()?);
        },
    }
}

fn call_sources(call: Call) -> Result<(), Failure> {
    let open = || sources::open("customers");
    match call {
        Call::CursorFields => {
            let cursor = open()?;
            loop {
                black_box(cursor.fields());
            }
        }
        Call::Next => {
            let cursor = open()?;
            loop {
                black_box(cursor.next(1)?);
            }
        }
        _ => loop {
            drop(open()?);
        },
    }
}

/// Asks a model for ever if that is ordered.
pub(crate) fn ask(orders: &Orders, model: &models::Model, rows: &Batch) -> Result<(), Failure> {
    match orders.call()? {
        Call::Outputs => loop {
            black_box(model.outputs());
        },
        Call::Predict => loop {
            black_box(model.predict(rows)?);
        },
        Call::Importance => loop {
            black_box(model.importance());
        },
        _ => Ok(()),
    }
}
