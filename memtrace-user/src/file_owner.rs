//! Whose files are that memtrace makes as root through sudo: those of the user who called it, in that user's directories.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt as _, fchown},
    path::Path,
};

use nix::unistd::geteuid;

/// The user who called sudo, and that user's group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invoker {
    uid: u32,
    gid: Option<u32>,
}

impl Invoker {
    /// `None` where memtrace does not run as root, or was not started through sudo by another user.
    #[must_use]
    pub fn from_env() -> Option<Self> {
        let is_root = geteuid().is_root();
        is_root.then(|| Self::from_variables(std::env::var_os("SUDO_UID"), std::env::var_os("SUDO_GID"))).flatten()
    }

    fn from_variables(uid: Option<OsString>, gid: Option<OsString>) -> Option<Self> {
        let number = |text: OsString| text.to_str()?.parse::<u32>().ok();
        let uid = uid.and_then(number).filter(|uid| *uid != 0)?;
        Some(Self { uid, gid: gid.and_then(number) })
    }

    /// Gives the user a file that memtrace has just made in a directory, if the directory is the user's own: elsewhere, as
    /// in `/tmp`, it stays root's. The descriptor is changed, no path, so a link can lead nowhere else.
    ///
    /// # Errors
    /// When the directory cannot be looked at, or the file system refuses.
    pub fn take(self, file: &File, directory: &Path) -> io::Result<()> {
        if fs::metadata(directory)?.uid() != self.uid {
            return Ok(());
        }
        fchown(file, Some(self.uid), self.gid)
    }
}

/// Gives a file that was just made in a directory to the user who called sudo, where there is one; see [`Invoker::take`]. A
/// file that stays root's is no reason to lose it: that is logged.
pub fn give_to_invoker(file: &File, directory: &Path) {
    if let Some(Err(error)) = Invoker::from_env().map(|invoker| invoker.take(file, directory)) {
        log::warn!("a file in {} stays root's: {error}", directory.display());
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use super::*;

    /// Only another user than root, by a number, is somebody to give files to.
    #[test]
    fn only_another_user_is_an_invoker() {
        let of = |uid: Option<&str>, gid: Option<&str>| {
            Invoker::from_variables(uid.map(OsString::from), gid.map(OsString::from))
        };
        assert_eq!(of(Some("1000"), Some("100")), Some(Invoker { uid: 1000, gid: Some(100) }));
        assert_eq!(of(Some("1000"), Some("users")), Some(Invoker { uid: 1000, gid: None }));
        assert_eq!([of(None, None), of(Some("0"), Some("0")), of(Some("-1"), None), of(Some("me"), None)], [None; 4]);
    }

    /// A file in the user's own directory becomes the user's, one elsewhere stays whose it is. Changing owners takes root.
    #[test]
    fn files_in_own_directories_are_given() {
        let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let me = fs::metadata(own.path()).unwrap().uid();
        let invoker = if geteuid().is_root() {
            chown(own.path(), Some(4321), None).unwrap();
            Invoker { uid: 4321, gid: Some(1234) }
        } else {
            Invoker { uid: me, gid: None }
        };
        let owner_in = |directory: &Path| {
            let file = File::create_new(directory.join("file")).unwrap();
            invoker.take(&file, directory).unwrap();
            let metadata = file.metadata().unwrap();
            (metadata.uid(), metadata.gid())
        };
        let (uid, gid) = owner_in(own.path());
        assert!(uid == invoker.uid && invoker.gid.is_none_or(|wanted| gid == wanted));
        assert_eq!(owner_in(other.path()).0, me);
    }
}
