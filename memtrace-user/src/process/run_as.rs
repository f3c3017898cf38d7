//! As which user a command runs when memtrace itself was started through sudo: as the one who called sudo, for the
//! program should behave, and leave its files, as it does without memtrace.

use std::{
    ffi::{CString, OsString},
    io,
    os::unix::ffi::OsStrExt,
    process::Command,
};

use nix::{
    errno::Errno,
    unistd::{Gid, Uid, User, getgrouplist, getuid, setgid, setgroups, setuid},
};
use thiserror::Error;

/// Variables that sudo adds (sudo(8), ENVIRONMENT); a program that finds them takes itself for one run by sudo.
const SUDO_VARIABLES: &[&str] = &["SUDO_COMMAND", "SUDO_GID", "SUDO_HOME", "SUDO_TTY", "SUDO_UID", "SUDO_USER"];

/// The user who called sudo, with all that must be known before a fork.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunAs {
    user: User,
    groups: Vec<Gid>,
}

/// The user who called sudo cannot be told.
#[derive(Debug, Error)]
pub enum RunAsError {
    /// A variable does not hold a number.
    #[error("SUDO_UID is {0:?}, which is no user id")]
    BadUid(String),
    /// The user database does not know the user.
    #[error("user {0}, who called sudo, is not in the user database")]
    UnknownUser(u32),
    /// The user database cannot be read.
    #[error("cannot look up user {uid}: {source}")]
    Lookup {
        /// The user.
        uid: u32,
        /// What went wrong.
        source: Errno,
    },
}

impl RunAsError {
    /// What to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        "run the command as root with --as-root, or start memtrace in another way than through sudo"
    }
}

impl RunAs {
    /// The user who called sudo; `None` when memtrace was not started by root through sudo for another user, so that
    /// a command just keeps memtrace's own identity.
    ///
    /// # Errors
    /// When sudo's variable makes no sense or the user is unknown.
    pub fn invoking_user() -> Result<Option<Self>, RunAsError> {
        Self::from_sudo_uid(std::env::var_os("SUDO_UID").filter(|_| getuid().is_root()))
    }

    fn from_sudo_uid(value: Option<OsString>) -> Result<Option<Self>, RunAsError> {
        let Some(value) = value else { return Ok(None) };
        let uid = value.to_str().and_then(|text| text.parse().ok());
        match uid.ok_or_else(|| RunAsError::BadUid(value.to_string_lossy().into_owned()))? {
            0 => Ok(None),
            uid => Self::of_uid(uid).map(Some),
        }
    }

    /// A user by id.
    ///
    /// # Errors
    /// When the user is unknown.
    pub fn of_uid(uid: u32) -> Result<Self, RunAsError> {
        let lookup = |source| RunAsError::Lookup { uid, source };
        let user = User::from_uid(Uid::from_raw(uid)).map_err(lookup)?.ok_or(RunAsError::UnknownUser(uid))?;
        let name = CString::new(user.name.as_str()).map_err(|_| RunAsError::UnknownUser(uid))?;
        let groups = getgrouplist(&name, user.gid).map_err(lookup)?;
        Ok(Self { user, groups })
    }

    /// Gives a command the user's environment, as a login would set it, and takes sudo's traces out of it. PATH stays
    /// as sudo has set it: the user's own is not known.
    pub(super) fn set_environment(&self, command: &mut Command) {
        for variable in SUDO_VARIABLES {
            command.env_remove(variable);
        }
        command
            .env("HOME", &self.user.dir)
            .env("SHELL", &self.user.shell)
            .env("USER", &self.user.name)
            .env("LOGNAME", &self.user.name);
        if std::env::var_os("MAIL").is_some() {
            let mut mailbox = b"/var/mail/".to_vec();
            mailbox.extend_from_slice(self.user.name.as_bytes());
            command.env("MAIL", std::ffi::OsStr::from_bytes(&mailbox));
        }
    }

    /// Becomes the user for good. Groups go first: a user may not change them. Allocates nothing, so it may be called
    /// between fork and exec.
    pub(super) fn become_user(&self) -> io::Result<()> {
        setgroups(&self.groups)?;
        setgid(self.user.gid)?;
        setuid(self.user.uid)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only a user other than root, known to the system, is worth a change of identity; nonsense is an error.
    #[test]
    fn invoking_user_is_told_from_sudo_uid() {
        let of = |value: &str| RunAs::from_sudo_uid(Some(value.into()));
        assert!(matches!(RunAs::from_sudo_uid(None), Ok(None)));
        assert!(matches!(of("0"), Ok(None)));
        assert!(matches!(of("-1"), Err(RunAsError::BadUid(_))));
        assert!(matches!(of("alice"), Err(RunAsError::BadUid(_))));
        assert!(matches!(of("4294967294"), Err(RunAsError::UnknownUser(4_294_967_294))));
        let root = RunAs::of_uid(0).unwrap();
        assert!(root.groups.contains(&Gid::from_raw(0)));
    }
}
