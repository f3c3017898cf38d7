//! Finds the file of a command as a shell does.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, Metadata},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use thiserror::Error;

/// A command that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CommandError {
    /// No such file, or none in any directory of PATH.
    #[error("{}: command not found", .0.display())]
    NotFound(OsString),
    /// The file is there and is no program.
    #[error("{}: not executable", .0.display())]
    NotExecutable(PathBuf),
}

impl CommandError {
    /// The exit status that shells use for it.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::NotFound(_) => 127,
            Self::NotExecutable(_) => 126,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotFound(name) if name.as_bytes().contains(&b'/') => "check the path".into(),
            Self::NotFound(_) if std::env::var_os("SUDO_UID").is_some() => {
                "sudo replaces PATH by its own: give the path of the program, or keep yours with \
                 sudo env \"PATH=$PATH\" memtrace run ..."
                    .into()
            }
            Self::NotFound(_) => "give the path of the program, or add its directory to PATH".into(),
            Self::NotExecutable(path) if path.is_dir() => "this is a directory; give the path of a program".into(),
            Self::NotExecutable(path) => format!("make it executable: chmod +x {}", path.display()),
        }
    }
}

/// The path that execvp(3) would run for a command. A name with a slash is a path; others are looked for in the
/// directories of `search_path`, the value of PATH.
///
/// # Errors
/// When there is no such program. Permission is judged by the file's mode only; the exec itself has the last word.
pub fn find_command(command: &OsStr, search_path: &OsStr) -> Result<PathBuf, CommandError> {
    if command.as_bytes().contains(&b'/') {
        let path = PathBuf::from(command);
        return match fs::metadata(&path) {
            Ok(metadata) if is_program(&metadata) => Ok(path),
            Ok(_) => Err(CommandError::NotExecutable(path)),
            Err(_) => Err(CommandError::NotFound(command.to_owned())),
        };
    }
    let mut refused = None;
    for directory in std::env::split_paths(search_path).filter(|_| !command.is_empty()) {
        // An empty entry means the working directory.
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { &directory };
        let path = directory.join(command);
        match fs::metadata(&path) {
            Ok(metadata) if is_program(&metadata) => return Ok(path),
            Ok(metadata) if metadata.is_file() => refused = refused.or(Some(path)),
            _ => {}
        }
    }
    Err(refused.map_or_else(|| CommandError::NotFound(command.to_owned()), CommandError::NotExecutable))
}

fn is_program(metadata: &Metadata) -> bool {
    metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    fn make(path: &Path, mode: u32) {
        fs::write(path, "").unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// The first executable file wins over files before it that are not executable, and over directories.
    #[test]
    fn search_skips_what_cannot_run() {
        let root = tempfile::tempdir().unwrap();
        let directories: Vec<PathBuf> = ["a", "b", "c"].map(|name| root.path().join(name)).into();
        for directory in &directories {
            fs::create_dir(directory).unwrap();
        }
        make(&directories[0].join("tool"), 0o644);
        fs::create_dir(directories[1].join("tool")).unwrap();
        let path = std::env::join_paths(&directories).unwrap();
        let refused = find_command("tool".as_ref(), &path).unwrap_err();
        assert_eq!(refused, CommandError::NotExecutable(directories[0].join("tool")));
        assert_eq!(refused.exit_code(), 126);
        make(&directories[2].join("tool"), 0o755);
        assert_eq!(find_command("tool".as_ref(), &path).unwrap(), directories[2].join("tool"));
    }

    /// What is nowhere is not found, with the status of a shell; a name with a slash is not looked for in PATH.
    #[test]
    fn missing_command_is_not_found() {
        for command in ["", "no-such-command", "./no-such-command", "bin/sh"] {
            let error = find_command(command.as_ref(), "/bin:/usr/bin".as_ref()).unwrap_err();
            assert_eq!(error, CommandError::NotFound(command.into()));
            assert_eq!(error.exit_code(), 127);
        }
        assert_eq!(find_command("/bin".as_ref(), "".as_ref()), Err(CommandError::NotExecutable("/bin".into())));
    }
}
