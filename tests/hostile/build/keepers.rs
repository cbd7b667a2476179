//! Models that keep something of each row and show it in the answer to the next one, each by
//! another kind of state. `tests/isolation.rs` has what must become of each, under the same name.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Returns the body of each keeper, which is run for each row: it gets the row's first number in
/// `$secret`, and leaves the answer on the stack.
fn keepers() -> [(&'static str, &'static str); 9] {
    [
        // A value in linear memory.
        ("memory", "(f64.load (i32.const 128)) (f64.store (i32.const 128) (local.get $secret))"),
        // A value in a page by which the memory grows.
        (
            "grown-memory",
            "(f64.load (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 8)))
            (drop (memory.grow (i32.const 1)))
            (f64.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 8)) (local.get $secret))",
        ),
        // The size of the memory.
        (
            "memory-size",
            "(f64.convert_i32_u (memory.size))
            (drop (memory.grow (i32.trunc_f64_u (f64.mul (local.get $secret) (f64.const 4)))))",
        ),
        // A global that no export shows.
        ("global", "(global.get $kept) (global.set $kept (local.get $secret))"),
        // An element of a table.
        (
            "table",
            "(call_indirect (result f64) (i32.const 0))
            (table.set $functions (i32.const 0)
                (select (result funcref) (ref.func $high) (ref.func $low)
                    (f64.gt (local.get $secret) (f64.const 0.5))))",
        ),
        // The size of a table.
        (
            "table-size",
            "(f64.convert_i32_u (table.size $functions))
            (drop (table.grow $functions (ref.null func)
                (i32.trunc_f64_u (f64.mul (local.get $secret) (f64.const 4)))))",
        ),
        // The numbers of its own handles, of which it makes new ones.
        (
            "handles",
            "(f64.convert_i32_u (call $new (i32.const 7)))
            (if (f64.gt (local.get $secret) (f64.const 0.5)) (then (drop (call $new (i32.const 8)))))",
        ),
        // Whether it still has the blob that it was loaded from.
        (
            "blob",
            "(f64.convert_i64_u (call $size (global.get $blob)))
            (if (f64.gt (local.get $secret) (f64.const 0.5)) (then (call $drop (global.get $blob))))",
        ),
        // Whether the host has a figure of this name already.
        (
            "figure",
            "(if (result f64) (f64.eq (local.get $secret) (f64.const 0.3))
                (then (f64.convert_i32_u (call $add (i32.const 0))))
                (else (f64.const 2)))
            (if (f64.gt (local.get $secret) (f64.const 0.5)) (then (drop (call $add (i32.const 0)))))",
        ),
    ]
}

/// Models that keep nothing: one that traps where the first number of a row is more than a half,
/// one that logs a line for each row, and one that then asks the host for something.
const OTHERS: [(&str, &str); 3] = [
    ("traps", "(local.get $secret) (if (f64.gt (local.get $secret) (f64.const 0.5)) (then unreachable))"),
    ("logs", "(local.get $secret) (call $log (i32.const 1) (i32.const 800) (i32.const 1))"),
    (
        "logs-and-asks",
        "(call $log (i32.const 1) (i32.const 800) (i32.const 1))
        (f64.convert_i64_u (call $size (global.get $blob)))",
    ),
];

/// Returns components for the world `training` by name.
pub(crate) fn components(wit: &str) -> Vec<(String, Vec<u8>)> {
    let all = keepers().into_iter().chain(OTHERS);
    all.map(|(name, body)| (name.to_owned(), component(&module(body), wit))).collect()
}

/// Returns a core module with the exports of a model whose output is a value.
///
/// Its memory has the results of functions from 0 on, and what the host passes from 65536 on.
fn module(body: &str) -> String {
    format!(
        r#"(module
            (import "[export]stagewright:stage/predict@0.2.0" "[resource-new]predictor"
                (func $new (param i32) (result i32)))
            (import "stagewright:stage/blobs@0.2.0" "[method]blob.size" (func $size (param i32) (result i64)))
            (import "stagewright:stage/blobs@0.2.0" "[resource-drop]blob" (func $drop (param i32)))
            (import "stagewright:stage/tracking@0.2.0" "log" (func $log (param i32 i32 i32)))
            (import "stagewright:stage/tracking@0.2.0" "add-figure"
                (func $figure (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
            (memory (export "memory") 8 4000)
            (table $functions 1 4000 funcref)
            (elem (i32.const 0) $low)
            (elem declare func $high $low)
            (global $kept (mut f64) (f64.const 0))
            (global $blob (mut i32) (i32.const 0))
            (data (i32.const 16) "\00\03\00\00\06\00\00\00" "\06\03\00\00\05\00\00\00" "\00\00\00\00\00\00\00\00"
                "\0b\03\00\00\11\00\00\00" "\00\00\00\00\00\00\00\00")
            (data (i32.const 768) "keeper" "0.1.0" "{{\"type\":\"object\"}}")
            (data (i32.const 800) "ab")
            (func $low (result f64) (f64.const 0))
            (func $high (result f64) (f64.const 1))
            ;; Adds one of two figures: a plot of bars, of which there are none. Returns whether the
            ;; host refused it.
            (func $add (param $number i32) (result i32)
                (call $figure (i32.add (i32.const 800) (local.get $number)) (i32.const 1) (i32.const 800) (i32.const 1)
                    (i32.const 2) (i32.const 800) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (i32.const 256))
                (i32.load8_u (i32.const 256)))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536))
            (func (export "stagewright:stage/metadata@0.2.0#describe") (result i32) (i32.const 16))
            (func (export "stagewright:stage/train@0.2.0#train")
                (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i64 i64) (result i32) unreachable)
            (func (export "stagewright:stage/predict@0.2.0#[static]predictor.load")
                (param $model i32) (param i32 i32) (result i32)
                (global.set $blob (local.get $model))
                (i32.store (i32.const 192) (i32.const 0))
                (i32.store (i32.const 200) (call $new (i32.const 1)))
                (i32.const 192))
            (func (export "stagewright:stage/predict@0.2.0#[method]predictor.warm-up") (param i32))
            (func (export "stagewright:stage/predict@0.2.0#[method]predictor.outputs") (param i32) (result i32)
                (i32.store (i32.const 192) (i32.const 224))
                (i32.store (i32.const 196) (i32.const 1))
                (i32.store8 (i32.const 224) (i32.const 1))
                (i32.const 192))
            (func (export "stagewright:stage/predict@0.2.0#[method]predictor.predict")
                (param i32) (param $rows i32) (param $bytes i32) (param i32) (result i32)
                (local $secret f64) (local $answer f64) (local $row i32)
                (loop $each
                    (local.set $secret (f64.load (i32.add (local.get $bytes) (i32.mul (local.get $row) (i32.const 8)))))
                    {body}
                    (local.set $answer)
                    (f64.store (i32.add (i32.const 4096) (i32.mul (local.get $row) (i32.const 8))) (local.get $answer))
                    (local.set $row (i32.add (local.get $row) (i32.const 1)))
                    (br_if $each (i32.lt_u (local.get $row) (local.get $rows))))
                (i32.store (i32.const 192) (i32.const 0))
                (i32.store (i32.const 200) (local.get $rows))
                (i32.store (i32.const 204) (i32.const 4096))
                (i32.store (i32.const 208) (i32.mul (local.get $rows) (i32.const 8)))
                (i32.const 192))
            (func (export "stagewright:stage/predict@0.2.0#[method]predictor.importance") (param i32) (result i32)
                (i64.store (i32.const 192) (i64.const 0))
                (i32.const 192))
            (func (export "stagewright:stage/predict@0.2.0#[method]predictor.contributions")
                (param i32 i32 i32 i32 i32) (result i32) unreachable)
        )"#
    )
}

/// Makes a component for the world `training` of a core module.
fn component(module: &str, wit: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let (stage, _) = resolve.push_path(wit).unwrap_or_else(|error| panic!("{wit}: {error:#}"));
    let world = resolve.select_world(&[stage], Some("training")).expect("a world");
    let mut module = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}\n{module}"));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).expect("metadata");
    let mut encoder = ComponentEncoder::default();
    encoder.module(&module).unwrap_or_else(|error| panic!("{error:#}"));
    encoder.encode().unwrap_or_else(|error| panic!("{error:#}"))
}
