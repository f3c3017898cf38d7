//! Files on disk: errors that name them.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use super::super::{read_file, write_file};
use crate::profile::Snapshot;

/// What goes wrong is said with the file's name, and a hint where there is something to do.
#[test]
fn errors_name_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty");
    fs::write(&empty, "").unwrap();
    let missing = directory.path().join("no/such/file");
    let cases = [
        (read_file(&missing).unwrap_err(), "cannot be read: No such file or directory (os error 2)", false),
        (read_file(directory.path()).unwrap_err(), "is a directory", true),
        (read_file(&empty).unwrap_err(), "is empty", true),
        (
            write_file(&missing, &Snapshot::default()).unwrap_err(),
            "cannot be written: there is no such directory",
            true,
        ),
        (write_file(directory.path(), &Snapshot::default()).unwrap_err(), "is a directory", true),
    ];
    for (error, expected, has_hint) in cases {
        assert!(error.to_string().ends_with(expected) && error.to_string().starts_with('/'), "{error}");
        assert_eq!(error.hint().is_some(), has_hint, "{error}");
    }
}

/// A full disk is an error, and leaves nothing.
#[test]
fn full_disk_is_an_error() {
    let error = write_file(Path::new("/dev/full"), &Snapshot::default()).unwrap_err();
    assert!(error.to_string().contains("No space left on device"), "{error}");
}

/// A snapshot is readable by its owner alone, replaces an older one, and a symbolic link stays one.
#[test]
fn files_are_private_and_links_stay() {
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (directory.path().join("a.pb.gz"), directory.path().join("latest"));
    symlink(&file, &link).unwrap();
    fs::write(&file, "old").unwrap();
    write_file(&link, &Snapshot::default()).unwrap();
    assert!(link.is_symlink() && read_file(&link).is_ok());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 2);
}

/// In a directory that hands its group on, the group may read as well.
#[test]
fn a_directory_may_grant_its_group_to_read() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o2750)).unwrap();
    let file = directory.path().join("a.pb.gz");
    write_file(&file, &Snapshot::default()).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
}
