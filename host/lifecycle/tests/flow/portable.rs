//! A run in one file: equal bytes, another home, and forged files.

use std::path::Path;

use serde_json::Value;
use stagewright_lifecycle::portable::{Import, PortableError, export};
use stagewright_lifecycle::sandbox::Cancel;
use stagewright_store::{Digest, RunId, RunStatus, SOURCE_TAG, StageRecord, StoreError};

use crate::reproducing::{compared, reproduced};
use crate::test_bed::{EndedRun, RunSpec, TestBed};

pub(crate) fn exported(bed: &TestBed, ended: &EndedRun, source: Option<&Path>) -> Result<Vec<u8>, PortableError> {
    let mut bytes = Vec::new();
    let run = (&ended.record, &ended.stages[..]);
    let sources = source.map(|path| ("rows".to_owned(), path.to_owned())).into_iter().collect();
    export(run, &bed.home.artifacts, &sources, Vec::new(), &Cancel::default(), (Path::new("run.tar"), &mut bytes))?;
    Ok(bytes)
}

pub(crate) fn imported(bed: &TestBed, bytes: &[u8]) -> Result<RunId, PortableError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.tar");
    std::fs::write(&path, bytes).expect("room");
    Import::begin(&path)?.stage(&bed.home, "run.tar of a test")?.commit(&bed.home)
}

/// Returns the entries of a file, by name.
fn entries(mut file: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut entries = Vec::new();
    while file[0] != 0 {
        let name = file[..100].split(|&byte| byte == 0).next().expect("a name");
        let size = std::str::from_utf8(&file[124..135]).expect("digits");
        let size = usize::from_str_radix(size, 8).expect("octal digits");
        entries.push((String::from_utf8(name.to_vec()).expect("text"), file[512..512 + size].to_vec()));
        file = &file[512 + size.next_multiple_of(512)..];
    }
    entries
}

/// Returns a file with these entries, whose headers may have another type.
fn archive(entries: &[(String, Vec<u8>)], kind: u8) -> Vec<u8> {
    let mut file = Vec::new();
    for (name, content) in entries {
        let mut header = [0_u8; 512];
        let size = format!("{:011o}\0", content.len());
        let fields: [(usize, &[u8]); 9] = [
            (0, name.as_bytes()),
            (100, b"0000644\0"),
            (108, b"0000000\0"),
            (116, b"0000000\0"),
            (124, size.as_bytes()),
            (136, b"00000000000\0"),
            (148, b"        "),
            (156, &[kind]),
            (257, b"ustar\x0000"),
        ];
        fields.into_iter().for_each(|(at, text)| header[at..at + text.len()].copy_from_slice(text));
        let sum: u64 = header.iter().map(|&byte| u64::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        file.extend(header);
        file.extend(content);
        file.resize(file.len().next_multiple_of(512), 0);
    }
    file.resize(file.len() + 1024, 0);
    file
}

/// Returns the file with another description and its digest.
fn described(file: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut entries = entries(file);
    let mut head: Value = serde_json::from_slice(&entries[0].1).expect("a description");
    change(&mut head);
    entries[0].1 = serde_json::to_vec_pretty(&head).expect("a value");
    let digest = format!("{}\n", Digest::of(&entries[0].1));
    entries.last_mut().expect("entries").1 = digest.into_bytes();
    archive(&entries, b'0')
}

/// Checks that a file is refused and nothing of it is left.
#[track_caller]
fn refused(file: &[u8], told: &str) {
    let bed = TestBed::new();
    let error = imported(&bed, file).expect_err(told).to_string();
    assert!(error.contains(told), "`{told}` is not in: {error}");
    assert_eq!(bed.published().len() + bed.staged().len(), 0, "{error}");
    assert_eq!(bed.home.registry.list_runs(9).expect("a registry").len(), 0, "{error}");
}

// invariant: Exporting a run twice gives the same file. A file that was changed or cut is refused,
// and nothing of it is imported.
#[test]
fn the_same_run_is_the_same_file_and_is_reproduced_in_another_home() {
    let (bed, ended) = compared();
    let file = exported(&bed, &ended, None).expect("everything is there");
    assert_eq!(exported(&bed, &ended, None).expect("everything is there"), file);
    assert_eq!(archive(&entries(&file), b'0'), file, "it is a tar");
    let other = TestBed::new();
    let id = imported(&other, &file).expect("a whole file");
    assert_eq!(id, ended.id);
    let stages = other.home.registry.stages(&id).expect("records");
    // Keys and `cached_from` are left out, because no run here may reuse what a file says.
    assert!(ended.stages.iter().all(|stage| stage.key.is_some()));
    let keyless = ended.stages.iter().map(|stage| StageRecord { key: None, cached_from: None, ..stage.clone() });
    assert_eq!(stages, keyless.collect::<Vec<_>>());
    let result = reproduced(&other, &stages);
    assert!(result.identical && result.steps.len() == 6, "{result:?}");
    // Whatever the file says, no run of this registry executed a stage.
    let forged = described(&file, |head| {
        head["stages"][0]["record"]["status"] = "cached".into();
        head["stages"][0]["record"]["cached_from"] = "0123456789abcdef0123456789abcdef".into();
    });
    let third = TestBed::new();
    let id_there = imported(&third, &forged).expect("a whole file");
    assert_eq!(third.home.registry.stages(&id_there).expect("records")[0].cached_from, None);
    // The record is the same, except for its origin.
    let run = other.home.registry.run(id.as_str()).expect("a record");
    assert_eq!(
        (run.status, run.started_ms, run.ended_ms),
        (RunStatus::Finished, ended.record.started_ms, ended.record.ended_ms)
    );
    assert_eq!((&run.parameters, &run.manifest), (&ended.record.parameters, &ended.record.manifest));
    let figures = |run: &stagewright_store::Run| {
        run.metrics.iter().map(|it| (it.name.clone(), it.value.to_bits())).collect::<Vec<_>>()
    };
    assert_eq!(figures(&run), figures(&ended.record));
    let tag = |name: &str| run.tags.iter().find(|(tag, _)| tag == name).map(|(_, value)| value.as_str());
    assert_eq!(tag(SOURCE_TAG), Some("run.tar of a test"));
    assert_eq!(tag("stagewright.source.actor"), Some(&*ended.record.actor));
    assert_eq!((run.config.get("file"), &run.config["elsewhere"]["file"]), (None, &"flow.toml".into()));
    assert_eq!(other.home.registry.models().expect("a registry"), [], "no version comes with a run");
    // The run is here once.
    let again = imported(&other, &file).expect_err("it is here");
    assert!(matches!(again, PortableError::Store(StoreError::RunExists { .. })), "{again}");
    // A run can start from it.
    let ended = EndedRun { stages, record: run, ..ended };
    let third = TestBed::new();
    let id = imported(&third, &exported(&other, &ended, None).expect("everything is there")).expect("a whole file");
    assert!(reproduced(&third, &third.home.registry.stages(&id).expect("records")).identical);
}

#[test]
fn a_source_goes_with_its_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.csv");
    std::fs::write(&path, "id,x,y,z,outcome\na,1,2,3,yes\n").expect("a file");
    let bed = TestBed::new();
    let uri = format!("sources.rows.uri=\"csv:{}\"", path.display());
    let ended = bed.run_ok(RunSpec::whole().set(&uri).set("ingestion.source=rows").set("ingestion.opens=true"));
    let gone = exported(&bed, &ended, None).expect_err("nobody says where it is").to_string();
    assert!(gone.contains("the source of the run"), "{gone}");
    let file = exported(&bed, &ended, Some(&path)).expect("everything is there");
    std::fs::write(&path, "other").expect("a file");
    let changed = exported(&bed, &ended, Some(&path)).expect_err("another content").to_string();
    assert!(changed.contains("rows.csv holds"), "{changed}");
    let other = TestBed::new();
    let id = imported(&other, &file).expect("a whole file");
    assert!(reproduced(&other, &other.home.registry.stages(&id).expect("records")).identical);
}

// invariant: as `the_same_run_is_the_same_file_and_is_reproduced_in_another_home`
#[test]
fn one_flipped_bit_and_every_cut_of_a_file_is_refused_and_nothing_is_imported() {
    let (bed, ended) = compared();
    let file = exported(&bed, &ended, None).expect("everything is there");
    let other = TestBed::new();
    for place in (0..file.len()).step_by(641).chain([file.len() - 1, 148, 600]) {
        let mut changed = file.clone();
        changed[place] ^= 4;
        imported(&other, &changed).expect_err("a changed byte");
        imported(&other, &file[..place]).expect_err("a cut");
    }
    assert_eq!(other.published().len() + other.staged().len(), 0);
    assert_eq!(other.home.registry.list_runs(9).expect("a registry").len(), 0);
    // The error names the damaged part of the run.
    let flipped = |what: &str, kind: &str, digest: Digest| {
        let mut entries = entries(&file);
        let name = format!("artifacts/{}.{kind}", digest.to_hex());
        let content = &mut entries.iter_mut().find(|(entry, _)| *entry == name).expect("an entry").1;
        let middle = content.len() / 2;
        content[middle] ^= 1;
        refused(&archive(&entries, b'0'), what);
    };
    flipped("which is the component `validate`", "blob", ended.stages[1].digest);
    flipped("which is `training.model`", "blob", ended.made()["training.model"]);
    flipped("which is `ingestion.table`", "table", ended.made()["ingestion.table"]);
    flipped("which is `promotion.decision`", "document", ended.made()["promotion.decision"]);
    let champion = &ended.summary.stages[4].invocation.as_ref().expect("an invocation").inputs[0];
    assert_eq!(champion.role, "champion.model");
    flipped("which is the input `champion.model` of stage `evaluation`", "blob", champion.digest);
}

/// The names and contents of a file's entries, in order.
type Entries = Vec<(String, Vec<u8>)>;

// invariant: as `the_same_run_is_the_same_file_and_is_reproduced_in_another_home`
#[test]
fn a_file_of_another_form_is_refused_and_nothing_is_imported() {
    let (bed, ended) = compared();
    let file = exported(&bed, &ended, None).expect("everything is there");
    let whole = entries(&file);
    let with = |change: &dyn Fn(&mut Entries)| {
        let mut entries = whole.clone();
        change(&mut entries);
        archive(&entries, b'0')
    };
    refused(b"", "it is cut off");
    refused(&[0; 2048], "does not begin with `run.json`");
    refused(&archive(&whole, b'2'), "does not begin with `run.json`");
    refused(&with(&|entries| entries[1].0 = "../../etc/passwd".to_owned()), "something else stands there");
    refused(&with(&|entries| entries[1].0 = "/etc/passwd".to_owned()), "something else stands there");
    refused(&with(&|entries| entries.insert(1, entries[1].clone())), "something else stands there");
    refused(&with(&|entries| entries.swap(1, 2)), "something else stands there");
    refused(&with(&|entries| entries[1].1.push(0)), "something else stands there");
    refused(&with(&|entries| drop(entries.remove(1))), "something else stands there");
    refused(&with(&|entries| entries.push(("more".to_owned(), Vec::new()))), "something follows");
    refused(&[&file[..], &[0; 512]].concat(), "something follows");
    refused(&with(&|entries| entries[0].1 = b"{".to_vec()), "`run.json` cannot be read");
    refused(&with(&|entries| entries[0].1.push(b' ')), "it was changed or damaged");
    refused(&described(&file, |head| head["format"] = 2.into()), "it has format 2, and this program reads format 1");
    refused(&described(&file, |head| head["more"] = 2.into()), "unknown field `more`");
    refused(&described(&file, |head| head["run"]["status"] = "running".into()), "the run had not ended");
    refused(&described(&file, |head| head["run"]["experiment"] = "\n".into()), "experiment");
    let objects = |change: &dyn Fn(&mut Vec<Value>)| {
        described(&file, |head| change(head["objects"].as_array_mut().expect("a list")))
    };
    refused(&objects(&|objects| objects.swap(0, 1)), "not listed in order");
    refused(&objects(&|objects| objects.insert(0, objects[0].clone())), "not listed in order");
    refused(&objects(&|objects| drop(objects.pop())), "is missing, which is");
    refused(&objects(&|objects| objects[0]["bytes"] = (1_u64 << 60).into()), "something else stands there");
    let strange = |objects: &mut Vec<Value>| objects[0]["digest"] = format!("sha256:{}", "0".repeat(64)).into();
    refused(&objects(&strange), "no step of the run needs");
    // A step that differs from its record.
    let step = |change: &dyn Fn(&mut Value)| described(&file, |head| change(&mut head["stages"][1]["record"]));
    refused(&step(&|record| record["invocation"] = Value::Null), "has no invocation on record");
    refused(&step(&|record| record["status"] = "finished\nhint: run it".into()), "is no status of a stage");
    let line = |level: &str| serde_json::json!([{ "at_ms": 0, "level": level, "message": "" }]);
    refused(&step(&|record| record["logs"] = line("x\nhint: run it")), "is no level of a line");
    refused(&step(&|record| record["name"] = "training".into()), "names another stage or component");
    refused(&step(&|record| record["digest"] = ended.stages[2].digest.to_string().into()), "names another stage");
    refused(&step(&|record| record["invocation"]["host"] = 7.into()), "host semantics 7");
    // A large size without content does not allocate memory.
    let mut sized = file.clone();
    sized[124..135].copy_from_slice(b"77777777777");
    refused(&sized, "does not begin with `run.json`");
}
