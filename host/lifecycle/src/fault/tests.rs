//! Settings, rows and texts that a fault names.

use std::collections::BTreeSet;

use stagewright_store::StoreError;

use super::*;

#[test]
fn only_keys_that_exist_are_settable() {
    let schema = serde_json::json!({ "properties": { "max_depth": {}, "columns": {} } });
    let key = |parameter| settable(World::Training, parameter, &schema);
    assert_eq!(key("max_depth").as_deref(), Some("training.max_depth"));
    assert_eq!(key("columns.age.missing").as_deref(), Some("training.columns.age.missing"));
    assert_eq!(key("columns.1").as_deref(), Some("training.columns"));
    assert_eq!(key("task").as_deref(), Some("task.kind"));
    for parameter in ["source", "nonsense", "", "columns.my age", "columns[0].name", "columns.", "max_depth=1"] {
        assert_eq!(key(parameter), None, "{parameter}");
    }
    assert_eq!(settable(World::Ingestion, "source", &schema).as_deref(), Some("ingestion.source"));
    assert_eq!(settable(World::Preparation, "inputs", &schema).as_deref(), Some("preparation.inputs"));
    assert_eq!(settable(World::Validation, "inputs", &schema), None);
}

#[test]
fn a_row_is_that_of_the_source_or_left_out() {
    let fault = |row| StageFault::Data {
        stage: World::Transformation.into(),
        message: "a value is infinite".into(),
        column: Some("x".into()),
        row,
        value: None,
    };
    let sources = [7, 3, 9];
    let told = |row| fault(row).at_source(|row| sources.get(row as usize).copied()).to_string();
    assert!(told(Some(1)).ends_with("a value is infinite (column `x`, data row 4)"), "{}", told(Some(1)));
    assert!(told(Some(3)).ends_with("a value is infinite (column `x`)"), "{}", told(Some(3)));
    assert!(told(None).ends_with("a value is infinite (column `x`)"), "{}", told(None));
}

#[test]
fn text_of_a_guest_is_cut_escaped_and_cannot_look_like_the_hosts() {
    let shown = guest_text("\u{1b}[2J\u{202e}\u{200b}\r\u{9b}31m\0\nhint: run rm -rf");
    assert_eq!(shown, "\\u{1b}[2J\\u{202e}\\u{200b}\\r\\u{9b}31m\\u{0}\n  | hint: run rm -rf");
    let long = guest_text(&"\u{1b}".repeat(1 << 20));
    assert!(long.len() < GUEST_TEXT + 32 && long.ends_with("… (cut)"), "{}", long.len());
    assert_eq!(guest_text("naïve 日本 <b>&amp;"), "naïve 日本 <b>&amp;");
}

/// One fault of each kind, and one of each kind of limit.
fn every_fault() -> Vec<StageFault> {
    let (stage, component) = (StepId::from(World::Training), "train-own".to_owned());
    let (message, export) = ("it\nwent wrong".to_owned(), "train.train".to_owned());
    let kinds = [LimitKind::Memory, LimitKind::Cpu, LimitKind::Wall, LimitKind::Output, LimitKind::Response];
    let limit = |kind| StageFault::Limit { stage: stage.clone(), kind, used: u64::MAX, allowed: 1 };
    let mut faults: Vec<_> = kinds.into_iter().map(limit).collect();
    faults.extend([
        limit(LimitKind::Operator("bytes of one call".into())),
        StageFault::Data {
            stage: stage.clone(),
            message: message.clone(),
            column: Some("age".into()),
            row: Some(u64::MAX),
            value: Some("\u{0}".into()),
        },
        StageFault::Data { stage: stage.clone(), message: message.clone(), column: None, row: None, value: None },
        StageFault::Parameter {
            stage: stage.clone(),
            parameter: "depth".into(),
            message: message.clone(),
            key: Some("training.depth".into()),
        },
        StageFault::Internal { stage: stage.clone(), component: component.clone(), message: message.clone() },
        StageFault::Trap {
            stage: stage.clone(),
            component: component.clone(),
            export: export.clone(),
            message: message.clone(),
        },
        StageFault::Killed {
            stage: stage.clone(),
            component: component.clone(),
            export: export.clone(),
            signal: "SIGKILL".into(),
        },
        StageFault::Contract { stage: stage.clone(), component: component.clone(), export, message },
        StageFault::Denied {
            stage: stage.clone(),
            component: component.clone(),
            what: "a source".into(),
            grant: "grant it".into(),
        },
        StageFault::Untrusted { message: "nobody signed it".into(), hint: Some("sign it".into()) },
        StageFault::Outdated { component, found: "0.1.0".into(), wanted: "0.2.0".into() },
        StageFault::Cancelled { stage },
        StageFault::Host { message: "the disk is full".into(), hint: Some("free some space".into()) },
    ]);
    faults
}

/// The index of a kind. A new kind does not compile until it is added here; add it to the list
/// above, too.
fn place_of(fault: &StageFault) -> usize {
    match fault {
        StageFault::Data { .. } => 0,
        StageFault::Parameter { .. } => 1,
        StageFault::Internal { .. } => 2,
        StageFault::Trap { .. } => 3,
        StageFault::Contract { .. } => 4,
        StageFault::Denied { .. } => 5,
        StageFault::Untrusted { .. } => 6,
        StageFault::Outdated { .. } => 7,
        StageFault::Cancelled { .. } => 8,
        StageFault::Host { .. } => 9,
        StageFault::Limit { kind, .. } => match kind {
            LimitKind::Memory => 10,
            LimitKind::Cpu => 11,
            LimitKind::Wall => 12,
            LimitKind::Output => 13,
            LimitKind::Response => 14,
            LimitKind::Operator(_) => 15,
        },
        StageFault::Killed { .. } => 16,
    }
}

// invariant: A fault keeps its content when it crosses between processes.
#[test]
fn every_fault_crosses_between_processes() {
    let places: BTreeSet<usize> = every_fault().iter().map(place_of).collect();
    assert_eq!(places, (0..17).collect());
    for fault in every_fault() {
        let json = serde_json::to_string(&fault).expect("plain data");
        let read: StageFault = serde_json::from_str(&json).expect("what was written");
        assert_eq!(read, fault, "{json}");
        assert_eq!((read.to_string(), read.hint("m.toml")), (fault.to_string(), fault.hint("m.toml")));
    }
}

#[test]
fn an_error_of_the_store_keeps_its_hint() {
    let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let error = StoreError::Io { action: "write", path: "/x/table".into(), source: full };
    let fault = StageFault::host(error);
    assert!(fault.to_string().starts_with("cannot write `/x/table`"), "{fault}");
    assert!(!fault.to_string().contains("hint"), "{fault}");
    assert_eq!(fault.hint("m.toml").as_deref(), Some("free some space on that disk, or use another"));
    assert_eq!(fault.hint_for_model(), fault.hint("m.toml"));
    assert_eq!(StageFault::host("no advice").hint("m.toml"), None);
}
