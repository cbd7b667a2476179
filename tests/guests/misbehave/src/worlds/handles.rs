//! Reads and writes of tables and blobs that several worlds share.

use stagewright_kit::bindings::stagewright::stage::{blobs, tables, types};
use stagewright_kit::{Batch, Categorical, Failure, Field, Strings, Values, packed};

use crate::forgeries::forge;
use crate::{Export, Misdeed, Orders};

pub(super) fn read_all(blob: &blobs::Blob) -> Result<Vec<u8>, Failure> {
    blob.read(0, 8 << 20)
}

/// Reads the orders at the head of a state or a model.
pub(super) fn orders_of(blob: &blobs::Blob) -> Result<Orders, Failure> {
    let bytes = read_all(blob)?;
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let json = std::str::from_utf8(&bytes[..end]).map_err(|error| Failure::internal(error.to_string()))?;
    Orders::parse(json)
}

/// Writes a state or a model: the orders, followed by forged files if that is ordered.
pub(super) fn write_orders(parameters: &str, orders: &Orders, export: Export) -> Result<blobs::Blob, Failure> {
    let writer = blobs::BlobWriter::new();
    writer.write(parameters.as_bytes())?;
    if orders.is(Misdeed::ForgedFiles, export) {
        writer.write(b"\0ARROW1\0\0\xff\xff\xff\xff\xff\xff\xff\x7fPAR1\xff\xff\xff\x7fPAR1SQLite format 3\0")?;
        writer.write(&[b'['; 1 << 20])?;
    }
    blobs::BlobWriter::finish(writer)
}

/// Copies a table's rows, each batch changed by `change`.
pub(super) fn copy(
    table: &tables::Table,
    change: impl Fn(&[Field], Batch) -> Result<types::Batch, Failure>,
) -> Result<tables::Table, Failure> {
    let fields = table.fields();
    let writer = tables::TableWriter::new(&fields);
    let mut start = 0;
    loop {
        let batch = table.read(start, 8192)?;
        if batch.rows == 0 {
            return tables::TableWriter::finish(writer);
        }
        start += u64::from(batch.rows);
        writer.write(&change(&fields, packed::decode(&fields, &batch)?)?)?;
    }
}

/// Does misdeeds with a table that is read. Most end in the failure that the host returns.
pub(super) fn with_table(orders: &Orders, export: Export, table: &tables::Table) -> Result<(), Failure> {
    match orders.here(export) {
        Some(Misdeed::GiantColumnList) => {
            drop(table.select(&vec![0; 1 << 20])?);
            Err(Failure::internal("escaped: a column was selected a million times"))
        }
        Some(Misdeed::FloodSelections) => {
            let mut last = table.select(&[0])?;
            loop {
                let next = last.select(&[0])?;
                std::mem::forget(std::mem::replace(&mut last, next));
            }
        }
        Some(Misdeed::DeepSelections) => {
            let all: Vec<u32> = (0..table.fields().len() as u32).rev().collect();
            let mut last = table.select(&all)?;
            for _ in 0..1000 {
                last = last.select(&all)?;
            }
            last.read(0, 1).map(drop)
        }
        Some(Misdeed::ForgedBatch) => {
            drop(copy(table, |fields, batch| forge(fields, batch, orders.forgery()?))?);
            Err(Failure::internal("escaped: a forged batch was written"))
        }
        _ => Ok(()),
    }
}

/// Drops a given table unless something else is ordered.
pub(super) fn end(orders: &Orders, export: Export, table: tables::Table) {
    if orders.is(Misdeed::KeepHandles, export) {
        std::mem::forget(table);
    }
}

/// Puts NaNs with payloads that depend on the variant, and a -0.0, into the first float64 column.
pub(super) fn with_nans(mut batch: Batch, variant: u32) -> Batch {
    for column in &mut batch.columns {
        if let Values::Float64(values) = &mut column.values {
            for value in values {
                // Depends on the row's content and not on its position, since no other answer is
                // allowed.
                let bits = value.to_bits() >> 40;
                match bits % 3 {
                    0 => *value = f64::from_bits(0x7ff8_0000_0000_0000 | ((u64::from(variant) * 77 + 1) * (bits + 1))),
                    1 => *value = -0.0,
                    _ => {}
                }
            }
            break;
        }
    }
    batch
}

/// Puts categories into another order and adds an unused one.
pub(super) fn with_other_order(mut batch: Batch, variant: u32) -> Batch {
    for column in &mut batch.columns {
        if let (Values::Categorical(column), 1..) = (&mut column.values, variant) {
            let count = column.categories.offsets.len() - 1;
            let texts: Vec<&[u8]> = column
                .categories
                .offsets
                .windows(2)
                .map(|ends| &column.categories.bytes[ends[0] as usize..ends[1] as usize])
                .collect();
            let mut turned = Strings { offsets: vec![0], bytes: Vec::new() };
            for text in [&b"nobody has this"[..]].into_iter().chain(texts.into_iter().rev()) {
                turned.bytes.extend_from_slice(text);
                turned.offsets.push(turned.bytes.len() as i32);
            }
            let codes = column.codes.iter().map(|code| (count - *code as usize) as i32).collect();
            *column = Categorical { codes, categories: turned };
        }
    }
    batch
}

/// Checks that a kept handle is still valid: its content starts like orders.
pub(super) fn look(kept: Option<&blobs::Blob>) -> Result<(), Failure> {
    match kept.map(|blob| blob.read(0, 1)).transpose()? {
        Some(bytes) if bytes != b"{" => Err(Failure::internal("escaped: another blob is read")),
        _ => Ok(()),
    }
}
