//! Measures how long decoding a request takes: rows of the 19 raw features of customers, as JSON in
//! two forms, as CSV and as an Arrow stream. Beside them: decoding that prepares the signature for
//! each request, as `predict` does, and what parsing alone takes natively. Run by `cargo xtask
//! bench request [--repeat N] [--only ROWS]`.

use std::hint::black_box;
use std::time::Duration;

use arrow_ipc::writer::StreamWriter;
use serde::Deserialize;
use serde_json::{Value, json};
use stagewright_benchmarks::{Result, cpu, interleaved, median, ratio, setting, write_json};
use stagewright_data::{RequestDecoder, RequestOptions, Signature, Strictness, decode_json};
use stagewright_kit::{Batch, Column, Values};
use stagewright_store::{DataType, Field, Role};

/// The binary's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The rows of a request.
const SIZES: [u64; 4] = [1, 8, 64, 1000];

/// The CPU time of one round of a variant.
const ROUND: Duration = Duration::from_millis(20);

const SEED: u64 = 42;

/// A customer as a handler without a signature would declare it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
#[expect(dead_code, reason = "parsed and not read")]
struct Customer<'a> {
    #[serde(rename = "gender")]
    gender: &'a str,
    senior_citizen: i64,
    partner: &'a str,
    dependents: &'a str,
    #[serde(rename = "tenure")]
    tenure: i64,
    phone_service: &'a str,
    multiple_lines: &'a str,
    internet_service: &'a str,
    online_security: &'a str,
    online_backup: &'a str,
    device_protection: &'a str,
    tech_support: &'a str,
    #[serde(rename = "StreamingTV")]
    streaming_tv: &'a str,
    streaming_movies: &'a str,
    contract: &'a str,
    paperless_billing: &'a str,
    payment_method: &'a str,
    monthly_charges: f64,
    total_charges: Option<f64>,
}

fn main() -> Result<()> {
    let rounds = setting("STAGEWRIGHT_BENCH_REPEAT", 31)? as usize;
    let only = std::env::var("STAGEWRIGHT_BENCH_ONLY").ok();
    let signature = signature()?;
    let decoder = RequestDecoder::new(&signature, RequestOptions::default());
    let mut result = json!({ "rounds": rounds });
    println!("microseconds of CPU for decoding a request of 19 features a row, median of {rounds}:");
    for rows in SIZES.into_iter().filter(|rows| only.as_ref().is_none_or(|only| *only == rows.to_string())) {
        result[rows.to_string()] = measure(rows, rounds, &signature, &decoder)?;
    }
    write_json(&result)
}

/// Measures requests of this many rows in all forms.
fn measure(rows: u64, rounds: usize, signature: &Signature, decoder: &RequestDecoder) -> Result<Value> {
    let customers = ingest_synthetic::batch(SEED, 0..rows, 0.0);
    let customers = members(&customers)?;
    let text = json_text(&customers);
    let sorted: Vec<Members> = customers.iter().map(|members| sorted(members)).collect();
    let sorted = json_text(&sorted);
    let names: Vec<&str> = customers[0].iter().map(|(name, _)| name.as_str()).collect();
    let names = serde_json::to_string(&names)?;
    let cells: Vec<Vec<&Value>> =
        customers.iter().map(|members| members.iter().map(|(_, value)| value).collect()).collect();
    let cells = serde_json::to_string(&cells)?;
    let csv = csv(&customers);
    let expected = decoder.json(&text)?.batch;
    let stream = {
        let mut writer = StreamWriter::try_new(Vec::new(), &expected.schema())?;
        writer.write(&expected)?;
        writer.into_inner()?
    };
    for other in [
        decoder.json(&sorted)?,
        decoder.csv(&csv)?,
        decoder.arrow_stream(&stream)?,
        decoder.json_split(&names, &cells)?,
    ] {
        if other.batch != expected {
            return Err("the forms of a request do not agree".into());
        }
    }
    let parse = || match rows {
        1 => serde_json::from_slice::<Customer<'_>>(&text).map(|customer| {
            black_box(customer);
        }),
        _ => serde_json::from_slice::<Vec<Customer<'_>>>(&text).map(|customers| {
            black_box(customers);
        }),
    };
    let one_by_one = || decode_json(&text, signature, Strictness::Predict);
    let value = || serde_json::from_slice::<Value>(&text);
    let names_and_works: [(&str, &dyn Fn() -> Result<()>); 8] = [
        ("json", &|| seen(decoder.json(&text)?)),
        ("json, members sorted", &|| seen(decoder.json(&sorted)?)),
        ("json, split", &|| seen(decoder.json_split(&names, &cells)?)),
        ("csv", &|| seen(decoder.csv(&csv)?)),
        ("arrow", &|| seen(decoder.arrow_stream(&stream)?)),
        ("json, signature not prepared", &|| seen(one_by_one()?)),
        ("serde_json to a struct", &|| Ok(parse()?)),
        ("serde_json to a value", &|| seen(value()?)),
    ];
    let mut variants = Vec::new();
    for (_, work) in names_and_works {
        variants.push(repeated(work)?);
    }
    let mut variants: Vec<&mut dyn FnMut() -> Result<Duration>> =
        variants.iter_mut().map(|variant| variant as &mut dyn FnMut() -> Result<Duration>).collect();
    let seconds = interleaved(&mut variants, rounds)?;
    println!("  {rows} rows, {} bytes of JSON", text.len());
    let mut result = json!({ "json_bytes": text.len() });
    for ((name, _), of_variant) in names_and_works.iter().zip(&seconds) {
        let (micros, to_struct) = (median(of_variant.clone()) * 1e6, ratio(of_variant, &seconds[6]));
        println!("    {name:<30} {micros:>9.2}   {to_struct:>5.2} times serde_json to a struct");
        result[*name] = json!({ "us": micros, "to_struct": to_struct });
    }
    Ok(result)
}

/// Returns a round of some work: as many calls as fill the time of a round. It returns the time of
/// one call.
fn repeated<'a>(work: &'a dyn Fn() -> Result<()>) -> Result<impl FnMut() -> Result<Duration> + 'a> {
    let mut calls = 1;
    loop {
        let start = cpu();
        (0..calls).try_for_each(|_| work())?;
        if cpu() - start > ROUND / 2 {
            break;
        }
        calls *= 2;
    }
    Ok(move || {
        let start = cpu();
        (0..calls).try_for_each(|_| work())?;
        Ok((cpu() - start) / calls)
    })
}

/// The signature of `config/churn.toml`.
fn signature() -> Result<Signature> {
    let fields = ingest_synthetic::fields().into_iter().map(|field| {
        let data_type = match field.data_type {
            stagewright_kit::DataType::Int64 => DataType::Int64,
            stagewright_kit::DataType::Float64 => DataType::Float64,
            _ => DataType::Utf8,
        };
        let role = match field.name.as_str() {
            "customerID" => Role::Identifier,
            "Churn" => Role::Target,
            _ => Role::Feature,
        };
        Field::new(field.name, data_type).with_nullable(field.nullable).with_role(role)
    });
    Ok(Signature::new(fields.collect())?.with_null_values(["", " "]))
}

/// The features of a customer.
type Members = Vec<(String, Value)>;

/// Returns the features of customers, in the signature's order.
fn members(customers: &Batch) -> Result<Vec<Members>> {
    let fields = ingest_synthetic::fields();
    let columns = fields.iter().zip(&customers.columns);
    let features: Vec<_> = columns.filter(|(field, _)| field.name != "customerID" && field.name != "Churn").collect();
    let row = |row: usize| -> Result<Members> {
        features.iter().map(|(field, column)| Ok((field.name.clone(), value(column, row)?))).collect()
    };
    (0..customers.len()).map(row).collect()
}

/// Returns the same members, sorted by name, as some clients send them.
fn sorted(members: &[(String, Value)]) -> Members {
    let mut sorted = members.to_vec();
    sorted.sort_by(|one, other| one.0.cmp(&other.0));
    sorted
}

/// Returns one object for one customer, an array of objects for many.
fn json_text(customers: &[Members]) -> Vec<u8> {
    let object = |members: &Members| {
        let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    };
    let objects: Vec<String> = customers.iter().map(object).collect();
    match &objects[..] {
        [one] => one.clone().into_bytes(),
        many => format!("[{}]", many.join(",")).into_bytes(),
    }
}

fn value(column: &Column, row: usize) -> Result<Value> {
    if column.is_null(row) {
        return Ok(Value::Null);
    }
    Ok(match &column.values {
        Values::Int64(values) => values[row].into(),
        Values::Float64(values) => values[row].into(),
        Values::Utf8(strings) => {
            let text = &strings.bytes[strings.offsets[row] as usize..strings.offsets[row + 1] as usize];
            std::str::from_utf8(text)?.into()
        }
        _ => return Err("customers have numbers and texts only".into()),
    })
}

/// Returns the same rows as CSV. No value of a customer needs quotes.
fn csv(customers: &[Members]) -> Vec<u8> {
    let cell = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let header = customers[0].iter().map(|(name, _)| name.clone()).collect::<Vec<_>>().join(",");
    let line = |members: &Members| members.iter().map(|(_, value)| cell(value)).collect::<Vec<_>>().join(",");
    let lines: Vec<String> = std::iter::once(header).chain(customers.iter().map(line)).collect();
    (lines.join("\n") + "\n").into_bytes()
}

/// Keeps the compiler from leaving out the work that made a value.
fn seen<T>(value: T) -> Result<()> {
    black_box(value);
    Ok(())
}
