//! Files of clients: uploaded in pieces, listed folder by folder, replaced, deleted, and kept from
//! garbage collection as long as something needs them.

use std::io::Read as _;

use stagewright_store::{
    ArtifactKind, ClientFile, Digest, NewForeignVersion, NewModel, StoreError, TrackingError,
    check_file_path, proxied_path,
};

use crate::client_runs::begun;
use crate::world::World;

/// Uploads a file in two pieces.
pub(crate) fn uploaded(world: &World, path: &str, content: &[u8]) -> ClientFile {
    try_upload(world, path, content).unwrap()
}

fn try_upload(world: &World, path: &str, content: &[u8]) -> Result<ClientFile, StoreError> {
    let mut upload = world.artifacts.upload().unwrap();
    let (one, other) = content.split_at(content.len() / 2);
    upload.write(one).unwrap();
    upload.write(other).unwrap();
    assert_eq!(upload.bytes(), content.len() as u64);
    upload.finish(&world.registry, path)
}

fn read(world: &World, path: &str) -> Vec<u8> {
    let mut file = world.registry.open_client_file(&world.artifacts, path).unwrap();
    let mut content = Vec::new();
    file.read_to_end(&mut content).unwrap();
    assert_eq!((file.size(), file.digest()), (content.len() as u64, Digest::of(&content)));
    content
}

pub(crate) fn a_file_is_read_back_as_it_was_uploaded_and_replaced(world: &World) {
    let registry = &world.registry;
    let file = uploaded(world, "0/ab/artifacts/a.txt", b"first");
    assert_eq!((file.bytes, file.digest), (5, Digest::of(b"first")));
    assert_eq!(registry.client_file("0/ab/artifacts/a.txt").unwrap(), file);
    uploaded(world, "0/ab/artifacts/a.txt", b"second");
    assert_eq!(read(world, "0/ab/artifacts/a.txt"), b"second");
    assert_eq!(read(world, &uploaded(world, "0/empty", b"").path), b"");
    let lost = registry.client_file("0/ab/artifacts").unwrap_err();
    assert!(matches!(lost, StoreError::Tracking(TrackingError::NoFile { .. })));
    // An upload that is dropped leaves nothing.
    let mut dropped = world.artifacts.upload().unwrap();
    dropped.write(b"dropped").unwrap();
    drop(dropped);
    assert!(!world.artifacts.contains(ArtifactKind::Blob, &Digest::of(b"dropped")));
}

// invariant: A damaged artifact is never served. Making it again repairs it.
pub(crate) fn a_file_whose_bytes_were_changed_is_not_served(world: &World) {
    let file = uploaded(world, "0/a", b"content");
    let path = world.artifacts.path(ArtifactKind::Blob, &file.digest);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"c0ntent").unwrap();
    let refused = world.registry.open_client_file(&world.artifacts, "0/a").unwrap_err();
    assert!(matches!(refused, StoreError::DigestDiffers { .. }), "{refused}");
}

pub(crate) fn a_folder_is_listed_without_what_lies_deeper(world: &World) {
    // `-` and `.` come before `/`, and `0` after it.
    let paths = ["a", "b-c", "b.c", "b/x", "b/y/z", "b0", "c/1", "d"];
    for path in paths {
        uploaded(world, &format!("1/r/artifacts/{path}"), path.as_bytes());
    }
    // More files than are read at a time lie deeper.
    for number in 0..250 {
        uploaded(world, &format!("1/r/artifacts/b/y/{number}"), b"");
    }
    let list = |folder: &str, after: Option<&str>, limit| -> Vec<String> {
        let found = world.registry.client_files(folder, after, limit).unwrap();
        found.iter().map(|entry| entry.place()).collect()
    };
    let all = ["a", "b-c", "b.c", "b/", "b0", "c/", "d"];
    assert_eq!(list("1/r/artifacts", None, 100), all);
    // Pages of one, which begin after files and after folders.
    let mut seen: Vec<String> = Vec::new();
    while let [next] = &list("1/r/artifacts", seen.last().map(String::as_str), 1)[..] {
        seen.push(next.clone());
    }
    assert_eq!(seen, all);
    assert_eq!(list("1/r/artifacts/b", None, 9), ["x", "y/"]);
    assert_eq!(list("1/r/artifacts/b/y", None, 1000).len(), 251);
    assert_eq!(list("", None, 9), ["1/"]);
    assert_eq!(list("1/r/artifacts/a", None, 9), [""; 0]);
    assert_eq!(list("2", None, 9), [""; 0]);
    let entries = world.registry.client_files("1/r/artifacts", None, 4).unwrap();
    assert_eq!(entries.iter().map(|it| (it.is_folder, it.bytes)).collect::<Vec<_>>(), [
        (false, Some(1)),
        (false, Some(3)),
        (false, Some(3)),
        (true, None)
    ]);
}

pub(crate) fn a_file_and_a_folder_have_different_paths(world: &World) {
    uploaded(world, "0/a/b", b"");
    for (path, there) in [("0/a", "folder"), ("0/a/b/c", "file"), ("0/a/b/c/d", "file")] {
        let refused = try_upload(world, path, b"").unwrap_err();
        let StoreError::Tracking(TrackingError::PathTaken { there: found, .. }) = refused else { panic!("{refused}") };
        assert_eq!(found, there);
    }
    uploaded(world, "0/ab", b"");
}

pub(crate) fn files_are_deleted_alone_or_with_their_folder(world: &World) {
    for path in ["0/a/b", "0/a/c/d", "0/a0", "0/a-", "0/e"] {
        uploaded(world, path, path.as_bytes());
    }
    let registry = &world.registry;
    assert_eq!(registry.delete_client_files("0/e").unwrap(), 1);
    assert_eq!(registry.delete_client_files("0/a").unwrap(), 2);
    assert_eq!(registry.delete_client_files("0/a").unwrap(), 0);
    let left: Vec<String> = registry.client_files("0", None, 9).unwrap().into_iter().map(|it| it.name).collect();
    assert_eq!(left, ["a-", "a0"]);
    assert_eq!(registry.reachable().unwrap(), [Digest::of(b"0/a-"), Digest::of(b"0/a0")].into());
}

pub(crate) fn what_is_no_path_of_a_file_is_refused(world: &World) {
    let long = "x".repeat(1025);
    for bad in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\\b", "a\nb", "a\0b", &long] {
        let refused = StoreError::to_string(&check_file_path(bad).unwrap_err());
        assert!(refused.contains("is not the path of a file"), "{refused}");
        assert!(matches!(try_upload(world, bad, b""), Err(StoreError::Tracking(TrackingError::BadFilePath { .. }))));
        assert!(world.registry.delete_client_files(bad).is_err() && world.registry.client_file(bad).is_err());
    }
    assert!(world.registry.client_files("a/..", None, 1).is_err());
    assert!(world.registry.client_files("a", Some("../b"), 1).is_err());
    check_file_path("0/...hidden/ünïcode file (1).txt").unwrap();
    for (uri, path) in [
        ("mlflow-artifacts:/1/ab/artifacts", Some("1/ab/artifacts")),
        ("mlflow-artifacts:/1/ab/artifacts/", Some("1/ab/artifacts")),
        ("mlflow-artifacts:///1/ab", Some("1/ab")),
        // Places of other servers.
        ("mlflow-artifacts://host:5000/1/ab", None),
        ("mlflow-artifacts://host", None),
        ("https://host/api/2.0/mlflow-artifacts/artifacts/1/ab", None),
        ("mlflow-artifacts:/1/../2", None),
        ("mlflow-artifacts:/", None),
        ("s3://bucket/1/ab", None),
        ("/tmp/1", None),
    ] {
        assert_eq!(proxied_path(uri).as_deref(), path, "{uri}");
    }
}

// invariant: No file of a client passes for one of a version that a pipeline registered.
pub(crate) fn a_client_puts_no_file_where_those_of_pipelines_versions_are(world: &World) {
    for path in ["stagewright", "stagewright/a", "stagewright/models/churn/1/MLmodel"] {
        let refused = try_upload(world, path, b"a").unwrap_err();
        assert!(matches!(refused, StoreError::Tracking(TrackingError::ReservedPath { .. })), "{refused}");
    }
    assert_eq!(world.registry.client_files("", None, 9).unwrap(), []);
    for path in ["stagewright2/a", "0/stagewright/a"] {
        uploaded(world, path, b"a");
    }
}

// invariant: Garbage collection removes nothing that is in use or about to be recorded.
pub(crate) fn files_of_deleted_runs_are_garbage_unless_a_version_needs_them(world: &World) {
    let registry = &world.registry;
    let (kept, deleted, registered) = (begun(world, "demo"), begun(world, "demo"), begun(world, "demo"));
    let folder = |run: &stagewright_store::Run| proxied_path(&run.artifact_uri).unwrap();
    uploaded(world, &format!("{}/model/MLmodel", folder(&kept)), b"kept");
    uploaded(world, &format!("{}/model/MLmodel", folder(&deleted)), b"deleted");
    uploaded(world, &format!("{}/model/MLmodel", folder(&registered)), b"registered");
    uploaded(world, "elsewhere/file", b"elsewhere");
    registry.create_foreign_model("churn", &NewModel::default()).unwrap();
    let source = format!("runs:/{}/model", registered.run_id);
    registry.create_foreign_version("churn", &NewForeignVersion { source, ..NewForeignVersion::default() }).unwrap();
    let digests = |contents: &[&[u8]]| contents.iter().map(|it| Digest::of(it)).collect();
    let all = digests(&[b"kept", b"deleted", b"registered", b"elsewhere"]);
    assert_eq!(registry.reachable().unwrap(), all);
    registry.delete_run(&deleted.run_id, true).unwrap();
    registry.delete_run(&registered.run_id, true).unwrap();
    assert_eq!(registry.reachable().unwrap(), digests(&[b"kept", b"registered", b"elsewhere"]));
    assert_eq!(registry.reachable_of_late(std::time::Duration::from_secs(3600)).unwrap(), all);
    let grace = std::time::Duration::ZERO;
    let collected = world.artifacts.collect(grace, false, |kept| registry.reachable_of_late(kept)).unwrap();
    assert_eq!(collected.iter().map(|it| it.digest).collect::<Vec<_>>(), [Digest::of(b"deleted")]);
    let path = format!("{}/model/MLmodel", folder(&deleted));
    let gone = registry.open_client_file(&world.artifacts, &path).unwrap_err();
    assert!(matches!(gone, StoreError::Missing { .. }));
    assert_eq!(read(world, &format!("{}/model/MLmodel", folder(&registered))), b"registered");
}
