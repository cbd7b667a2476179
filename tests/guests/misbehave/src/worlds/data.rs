//! Ingestion, preparation and validation.

use stagewright_kit::bindings::exports::stagewright::stage::{ingest, prepare, validate};
use stagewright_kit::bindings::stagewright::stage::{sources, tables, types};
use stagewright_kit::{Failure, Field, packed};

use super::handles::{copy, end, with_nans, with_other_order, with_table};
use super::{Ingestion, Preparation, Stage, Validation};
use crate::deeds::act;
use crate::forgeries::forge;
use crate::values::EVIL;
use crate::{Export, Misdeed, Orders};

impl ingest::Guest for Stage<Ingestion> {
    fn ingest(sources: Vec<String>, settings: types::Settings) -> Result<tables::Table, Failure> {
        let orders = Orders::parse(&settings.parameters)?;
        let cursor = sources::open(sources.first().map_or("", String::as_str))?;
        act::<Ingestion>(&orders, Export::Ingest)?;
        let read = cursor.fields();
        // The suite's table has no nulls.
        let fields: Vec<Field> = read.iter().map(|field| Field { nullable: false, ..field.clone() }).collect();
        let writer = tables::TableWriter::new(&fields);
        while let Some(batch) = cursor.next(8192)? {
            let mut batch = packed::decode(&read, &batch)?;
            if orders.is(Misdeed::ForgedBatch, Export::Ingest) {
                writer.write(&forge(&fields, batch, orders.forgery()?)?)?;
                continue;
            }
            if orders.is(Misdeed::NanPayloads, Export::Ingest) {
                batch = with_nans(batch, orders.variant);
            }
            if orders.is(Misdeed::CategoryOrder, Export::Ingest) {
                batch = with_other_order(batch, orders.variant);
            }
            writer.write(&packed::encode(&fields, &batch)?)?;
        }
        let table = tables::TableWriter::finish(writer)?;
        if orders.is(Misdeed::ReturnSelection, Export::Ingest) {
            return table.select(&[0]);
        }
        Ok(table)
    }
}

impl prepare::Guest for Stage<Preparation> {
    fn prepare(inputs: Vec<(String, tables::Table)>, settings: types::Settings) -> Result<tables::Table, Failure> {
        let orders = Orders::parse(&settings.parameters)?;
        act::<Preparation>(&orders, Export::Prepare)?;
        let mut last = None;
        for (name, table) in inputs {
            if name == "table" {
                last = Some(table);
            } else {
                end(&orders, Export::Prepare, table);
            }
        }
        let table = last.ok_or_else(|| Failure::internal("escaped: a table of the manifest is missing"))?;
        with_table(&orders, Export::Prepare, &table)?;
        match orders.here(Export::Prepare) {
            Some(Misdeed::ReturnGiven) => Ok(table),
            Some(Misdeed::ReturnSelection) => table.select(&[0]),
            Some(Misdeed::NanPayloads) => {
                copy(&table, |fields, batch| packed::encode(fields, &with_nans(batch, orders.variant)))
            }
            Some(Misdeed::CategoryOrder) => {
                copy(&table, |fields, batch| packed::encode(fields, &with_other_order(batch, orders.variant)))
            }
            _ => {
                let made = copy(&table, |fields, batch| packed::encode(fields, &batch))?;
                end(&orders, Export::Prepare, table);
                Ok(made)
            }
        }
    }
}

impl validate::Guest for Stage<Validation> {
    fn validate(table: tables::Table, _: Vec<Field>, settings: types::Settings) -> Result<validate::Findings, Failure> {
        let orders = Orders::parse(&settings.parameters)?;
        act::<Validation>(&orders, Export::Validate)?;
        with_table(&orders, Export::Validate, &table)?;
        end(&orders, Export::Validate, table);
        let evil = orders.is(Misdeed::LongFindings, Export::Validate);
        let text = || if evil { EVIL.repeat(2000) } else { "fine".to_owned() };
        let cell = || validate::Cell { row: u64::MAX, value: Some(text()) };
        let check = || validate::Check {
            name: text(),
            column: evil.then(text),
            passed: !evil,
            observed: text(),
            expected: text(),
            failures: u64::from(evil),
            examples: if evil { vec![cell(), cell()] } else { Vec::new() },
        };
        let checks = (0..if evil { 6 } else { 1 }).map(|_| check()).collect();
        Ok(validate::Findings { checks, columns: Vec::new() })
    }
}
