//! How many files memtrace may have open: as many as it is allowed to at most. Each file that a traced process maps takes a
//! descriptor, so that it stays readable, and programs map thousands; the usual limit is 1024.

use std::{io, sync::OnceLock};

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// The limits as they were.
static BEFORE: OnceLock<FileLimit> = OnceLock::new();

/// Limits of open files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLimit {
    /// What holds.
    soft: rlim_t,
    /// What it may be raised to.
    hard: rlim_t,
}

impl FileLimit {
    /// As it was before memtrace raised it: a command that it starts gets the same. `None` if it never did.
    #[must_use]
    pub fn before() -> Option<Self> {
        BEFORE.get().copied()
    }

    /// Lets it hold for this process. Makes a system call only.
    ///
    /// # Errors
    /// What setrlimit(2) says.
    pub fn set(self) -> io::Result<()> {
        Ok(setrlimit(Resource::RLIMIT_NOFILE, self.soft, self.hard)?)
    }
}

/// Raises it as far as that is allowed.
pub fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).map_err(io::Error::from).and_then(|(soft, hard)| {
        BEFORE.get_or_init(|| FileLimit { soft, hard });
        FileLimit { soft: hard, hard }.set()
    });
    if let Err(error) = raised {
        log::info!("the limit of open files stays as it is: {error}");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::process::{CommandSpec, PreparedChild, SignalState};

    /// memtrace may open all that it is allowed to; a command has the limit that memtrace was started with.
    #[test]
    fn commands_keep_the_limit() {
        let limit = || getrlimit(Resource::RLIMIT_NOFILE).expect("there is a limit");
        let (_, hard) = limit();
        FileLimit { soft: hard - 1, hard }.set().expect("it can be lowered");
        raise_file_limit();
        assert_eq!(limit(), (hard, hard));
        let output = tempfile::NamedTempFile::new().expect("a file");
        let script = format!("ulimit -Sn >{}", output.path().display());
        let (program, arguments) = ("sh".into(), vec!["-c".into(), script.into()]);
        let spec = CommandSpec { program, arguments, run_as: None, signals: SignalState::default() };
        let mut child = PreparedChild::start(&spec).expect("it starts").release().expect("it runs");
        assert!(child.wait().expect("it ends").success());
        assert_eq!(fs::read_to_string(output.path()).expect("a number").trim(), (hard - 1).to_string());
    }
}
