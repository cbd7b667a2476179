//! The home: its permissions, and paths that lead elsewhere.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use stagewright_store::{Home, OpenMode, StoreError};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_new_home_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let above = folder.path().join("above");
    let home = Home::open(above.join("home")).unwrap();
    assert_eq!(mode(&above) & 0o500, 0o500);
    assert_eq!(mode(home.path()), 0o700);
    for inside in ["artifacts", "artifacts/staging", "cache"] {
        assert_eq!(mode(&home.path().join(inside)), 0o700, "{inside}");
    }
    for entry in fs::read_dir(home.path()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("stagewright.db") {
            assert_eq!(mode(&entry.path()), 0o600, "{name}");
        }
    }
    assert!(home.path().join("stagewright.db").is_file());
}

#[test]
fn a_home_keeps_the_permissions_that_its_owner_gave_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("home");
    drop(Home::open(&path).unwrap());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(path.join("stagewright.db"), fs::Permissions::from_mode(0o660)).unwrap();
    drop(Home::open(&path).unwrap());
    assert_eq!((mode(&path), mode(&path.join("stagewright.db"))), (0o750, 0o660));
}

// invariant: as `a_lock_file_of_a_folder_leads_nowhere_else`
#[test]
fn a_database_that_is_a_link_or_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside.db");
    for there in [true, false] {
        let home = folder.path().join(format!("home-{there}"));
        fs::create_dir(&home).unwrap();
        if there {
            fs::write(&outside, "").unwrap();
        }
        symlink(&outside, home.join("stagewright.db")).unwrap();
        let error = Home::open(&home).unwrap_err().to_string();
        assert!(error.contains("it is not a regular file"), "{error}");
        assert_eq!(outside.exists(), there);
        drop(fs::remove_file(&outside));
    }
}

// invariant: as `a_registry_that_is_only_read_is_not_changed`
#[test]
fn a_home_that_is_only_read_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("home");
    let home = Home::open(&path).unwrap();
    let staging = home.artifacts.stage();
    let mut writer = staging.create_blob().unwrap();
    writer.write(b"model").unwrap();
    let digest = writer.finish().unwrap().digest();
    staging.publish().unwrap();
    drop(home);
    // The leftovers of a process that died, and a home whose cache was deleted.
    let left = path.join("artifacts/staging/1-gone");
    fs::create_dir(&left).unwrap();
    fs::write(left.with_extension("lock"), "").unwrap();
    fs::remove_dir_all(path.join("cache")).unwrap();
    let home = Home::open_as(&path, None, None, OpenMode::Reading).unwrap().sharing(None).unwrap();
    assert_eq!(home.artifacts.open_blob(&digest).unwrap().read_all().unwrap(), b"model");
    assert_eq!(home.registry.models().unwrap(), []);
    assert!(left.is_dir() && !path.join("cache").exists());
    assert!(matches!(home.registry.delete_model("churn", ""), Err(StoreError::ReadOnly { .. })));
    // To serve, as to work, both are put in order.
    Home::open_as(&path, None, None, OpenMode::Serving).unwrap();
    assert!(!left.exists() && path.join("cache").is_dir());
}
