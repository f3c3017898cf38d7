//! Tests of lists of libraries, with programs of this machine.

use std::{fs, os::unix::fs::PermissionsExt};

use super::*;

fn script(directory: &Path, name: &str, content: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn has_libc(files: &[PathBuf]) -> bool {
    files.iter().any(|file| file.file_name().is_some_and(|name| name.as_bytes().starts_with(b"libc.")))
}

/// A dynamic program leads to its loader and its C library, each once.
#[test]
fn dynamic_program_lists_its_libraries() {
    let files = list_libraries(Path::new("/bin/cat"), None).unwrap();
    assert_eq!(files[0], Path::new("/bin/cat"));
    assert!(has_libc(&files), "{files:?}");
    assert!(files.iter().all(|file| file.exists()), "{files:?}");
    assert!((1..files.len()).all(|index| !files[..index].contains(&files[index])), "{files:?}");
}

/// A static program has no libraries, and it is not run to find that out.
#[test]
fn static_program_is_alone() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("static.c");
    let (program, ran) = (directory.path().join("static"), directory.path().join("ran"));
    fs::write(&source, format!("#include <stdio.h>\nint main() {{ fopen(\"{}\", \"w\"); }}", ran.display())).unwrap();
    let status = Command::new("cc").arg("-static").arg("-o").arg(&program).arg(&source).status().unwrap();
    assert!(status.success());
    assert_eq!(list_libraries(&program, None).unwrap(), [program]);
    assert!(!ran.exists());
}

/// A script leads to its interpreter, through `env` and other scripts too.
#[test]
fn scripts_lead_to_their_interpreters() {
    let directory = tempfile::tempdir().unwrap();
    let plain = script(directory.path(), "plain", "#! /bin/cat -u\n");
    assert_eq!(list_libraries(&plain, None).unwrap()[0], Path::new("/bin/cat"));
    let nested = script(directory.path(), "nested", &format!("#!{}\n", plain.display()));
    assert_eq!(list_libraries(&nested, None).unwrap()[0], Path::new("/bin/cat"));
    let through_env = script(directory.path(), "through-env", "#!/usr/bin/env -S A=1 cat\n");
    let files = list_libraries(&through_env, None).unwrap();
    assert_eq!(files[0], Path::new("/usr/bin/env"));
    assert!(files.iter().any(|file| file.ends_with("cat")), "{files:?}");
}

/// A script that names itself ends, and a file that is no program is an error.
#[test]
fn hostile_files_are_survived() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("loop");
    let own = script(directory.path(), "loop", &format!("#!{}\n", path.display()));
    assert_eq!(list_libraries(&own, None).unwrap(), Vec::<PathBuf>::new());
    let text = script(directory.path(), "text", "echo no program");
    let error = list_libraries(&text, None).unwrap_err();
    assert!(matches!(error, LibrariesError::NoProgram(_)));
    assert_eq!(error.exit_code(), 126);
    let missing = script(directory.path(), "missing", "#!/no/such/interpreter");
    assert_eq!(list_libraries(&missing, None).unwrap_err().exit_code(), 127);
    let mut program = fs::read("/bin/cat").unwrap();
    program.truncate(100);
    let cut = script(directory.path(), "cut", "");
    fs::write(&cut, program).unwrap();
    assert!(matches!(list_libraries(&cut, None), Err(LibrariesError::NoProgram(_))));
    let cut = fs::read(&cut).unwrap();
    let old = script(directory.path(), "old", "");
    fs::write(&old, [&cut[..4], &[1], &cut[5..]].concat()).unwrap();
    assert!(matches!(list_libraries(&old, None), Err(LibrariesError::ThirtyTwoBit(_))));
}

/// Lines of the loader's output are paths with or without a name before them.
#[test]
fn loader_output_is_read() {
    let path = |line: &str| parse_library(line.as_bytes()).map(|path| path.display().to_string());
    assert_eq!(path("\tlibc.so.6 => /lib/a b/libc.so.6 (0x00007f)"), Some("/lib/a b/libc.so.6".into()));
    assert_eq!(path("\t/lib64/ld-linux-x86-64.so.2 (0x00007f)"), Some("/lib64/ld-linux-x86-64.so.2".into()));
    assert_eq!(path("\tlinux-vdso.so.1 (0x00007f)"), None);
    assert_eq!(path("\tlibgone.so => not found"), None);
    assert_eq!(path("\tstatically linked"), None);
}
