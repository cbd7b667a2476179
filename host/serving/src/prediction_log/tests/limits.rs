//! A log takes no more than it may, whatever comes.

use super::super::channel::MOST_ENTRIES;
use super::super::name::LogName;
use super::super::stream::MOST_PIECES;
use super::*;

// invariant: The files of a log take no more than they may, however much comes at once; what never
// finds room costs no other file.
#[test]
fn much_at_once_is_written_in_parts_and_a_request_that_is_too_large_is_dropped() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = LogPolicy { most_bytes: 1 << 20, ..LogPolicy::default() };
    let files = model_files(folder.path(), &policy);
    let columns = columns_of(&files, binary(), &policy, None);
    let bytes = || list(folder.path()).expect("files").iter().map(|file| file.bytes).sum::<u64>();
    let mut writer = writer();
    for minute in 0..50 {
        writer.take(entry(&columns, request(minute, Some(noise(60)))), NOW);
    }
    writer.end(NOW);
    assert!((policy.most_bytes / 2..=policy.most_bytes).contains(&bytes()), "{} bytes", bytes());
    assert_eq!((files.counts.rows.get(), files.counts.dropped.get()), (3000, 0));
    let before = names(folder.path());
    let mut writer = self::writer();
    writer.take(entry(&columns, request(50, Some(noise(2000)))), NOW);
    writer.end(NOW);
    assert_eq!((names(folder.path()), files.counts.dropped.get()), (before, 2000));
}

#[test]
fn an_hour_has_a_bounded_number_of_pieces() {
    let folder = tempfile::tempdir().expect("a folder");
    let policy = LogPolicy::default();
    let columns = columns_of(&model_files(folder.path(), &policy), binary(), &policy, None);
    let mut writer = writer();
    for minute in 0..u64::from(MOST_PIECES) + 1 {
        writer.take(entry(&columns, request(minute % 60, Some(rows(&[1], &[0.5])))), NOW);
        writer.flush(NOW);
    }
    let names = names(folder.path());
    assert_eq!((names.len(), ids(folder.path()).len() as u32), (2, MOST_PIECES + 1), "{names:?}");
}

#[test]
fn requests_that_come_faster_than_they_are_taken_do_not_keep_files_from_being_written() {
    let (sender, requests) = std::sync::mpsc::sync_channel(2 * MOST_ENTRIES);
    (0..MOST_ENTRIES + 7).for_each(|_| sender.send(None).expect("room"));
    let mut writer = writer();
    assert_eq!(writer.take_waiting(None, &requests), MOST_ENTRIES);
    assert_eq!(writer.take_waiting(None, &requests), 9);
}

#[test]
fn a_link_in_place_of_a_temporary_file_is_not_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let victim = folder.path().join("victim");
    fs::write(&victim, b"as it was").expect("a file");
    let files = model_files(&folder.path().join("churn"), &LogPolicy::default());
    fs::create_dir(&files.folder).expect("a folder");
    let name = LogName { hour: HOUR, writer: 7, number: 0, piece: None };
    std::os::unix::fs::symlink(&victim, files.folder.join(format!(".{name}.part"))).expect("a link");
    files.publish(name, |mut file| std::io::Write::write_all(&mut file, b"rows")).expect("a file");
    assert_eq!(
        (fs::read(&victim).expect("a file"), names(&files.folder)),
        (b"as it was".into(), vec![name.to_string()])
    );
}
