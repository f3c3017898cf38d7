//! By what part of its path a file is recognised in another profile.
//!
//! Between two runs a library moves to another directory, a version is appended to it, a build happens elsewhere; so
//! whole paths are too strict. File names alone are too lax: there are two `plugin.so` and a hundred `mod.rs`. The key
//! of a path is therefore its shortest end that tells apart all files of one profile: `plugin.so`, or
//! `spell/plugin.so` where one of the profiles has a `fold/plugin.so` as well. Of libraries, version numbers and build
//! hashes are left out (`libssl.so` for `libssl.so.3`) as long as that, too, tells apart.
//!
//! Keys depend on all profiles at hand and not on their order, so `diff` is symmetric.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap, HashSet},
};

/// Most directories of a path that are tried before the whole path is taken.
const MAX_DIRECTORIES: usize = 12;

/// Keys of the paths of some profiles.
#[derive(Debug, Default)]
pub(super) struct PathKeys {
    /// How paths with this file name (without version) are shortened.
    by_name: HashMap<String, Form>,
}

/// A way to shorten a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// So many directories and the file name without its version.
    Unversioned(usize),
    /// So many directories and the file name.
    Versioned(usize),
    /// The path.
    Whole,
}

impl PathKeys {
    /// Finds the keys of paths; each item is the paths of one profile, in which different paths are different files.
    pub(super) fn of<'a, P: IntoIterator<Item = &'a str>>(profiles: impl IntoIterator<Item = P>) -> Self {
        let mut names: HashMap<Cow<'a, str>, Vec<BTreeSet<&'a str>>> = HashMap::new();
        let mut count = 0;
        for paths in profiles {
            count += 1;
            for path in paths {
                let by_profile = names.entry(without_version(file_name(path))).or_default();
                by_profile.resize(count, BTreeSet::new());
                by_profile[count - 1].insert(path);
            }
        }
        let by_name = names.into_iter().map(|(name, profiles)| (name.into_owned(), Form::telling(&profiles)));
        Self { by_name: by_name.collect() }
    }

    /// The key of a path that was among those given.
    pub(super) fn key<'a>(&self, path: &'a str) -> Cow<'a, str> {
        let form = self.by_name.get(&*without_version(file_name(path)));
        form.copied().unwrap_or(Form::Whole).of(path)
    }
}

impl Form {
    /// The shortest form that keeps the paths of each profile apart.
    fn telling(profiles: &[BTreeSet<&str>]) -> Self {
        let tells = |form: &Self| {
            profiles.iter().filter(|paths| paths.len() > 1).all(|paths| {
                let keys: HashSet<_> = paths.iter().map(|path| form.of(path)).collect();
                keys.len() == paths.len()
            })
        };
        let unversioned = (0..MAX_DIRECTORIES).map(Self::Unversioned);
        let versioned = (0..MAX_DIRECTORIES).map(Self::Versioned);
        unversioned.chain(versioned).find(tells).unwrap_or(Self::Whole)
    }

    fn of(self, path: &str) -> Cow<'_, str> {
        match self {
            Self::Whole => path.into(),
            Self::Versioned(directories) => end_of(path, directories).into(),
            Self::Unversioned(directories) => {
                let end = end_of(path, directories);
                let name = file_name(end);
                let directory = &end[..end.len() - name.len()];
                format!("{directory}{}", without_version(name)).into()
            }
        }
    }
}

/// The last part of a path; the path itself when it ends with a slash.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(path)
}

/// The file name and so many directories before it.
fn end_of(path: &str, directories: usize) -> &str {
    path.rmatch_indices('/').nth(directories).map_or(path, |(slash, _)| &path[slash + 1..])
}

/// `libssl.so` for `libssl.so.3`, `libc-2.31.so` becomes `libc.so`, `libstd-0123456789abcdef.so` becomes `libstd.so`;
/// other names stay.
fn without_version(name: &str) -> Cow<'_, str> {
    let Some(at) = name.find(".so") else { return name.into() };
    let (stem, version) = (&name[..at], &name[at + ".so".len()..]);
    if !version.chars().all(|c| c == '.' || c.is_ascii_digit()) || !(version.is_empty() || version.starts_with('.')) {
        return name.into();
    }
    let mut bare = stem;
    while let Some((shorter, tail)) = bare.rsplit_once('-') {
        if shorter.is_empty() || !is_version(tail) {
            break;
        }
        bare = shorter;
    }
    if bare == stem { name[..at + ".so".len()].into() } else { format!("{bare}.so").into() }
}

/// `2.31`, or a build's hash as cargo writes it.
fn is_version(text: &str) -> bool {
    let number = text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c == '.' || c.is_ascii_digit());
    number || text.len() == 16 && text.chars().all(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn keys(profiles: &[&[&str]]) -> Vec<Vec<String>> {
        let keys = PathKeys::of(profiles.iter().map(|paths| paths.iter().copied()));
        profiles.iter().map(|paths| paths.iter().map(|path| keys.key(path).into_owned()).collect()).collect()
    }

    /// A library that moved, or came in a new version, has one key in both profiles.
    #[test]
    fn moved_and_newer_libraries_match() {
        for (before, after) in [
            ("/usr/lib/libssl.so.1.1", "/opt/app-2/lib/libssl.so.3"),
            ("/lib/x86_64-linux-gnu/libc-2.28.so", "/usr/lib/libc.so.6"),
            ("/rust/lib/libstd-0123456789abcdef.so", "/rust/lib/libstd-fedcba9876543210.so"),
            ("/opt/app-1/app", "/opt/app-2/app"),
            ("[vdso]", "[vdso]"),
        ] {
            let found = keys(&[&[before], &[after]]);
            assert_eq!(found[0], found[1], "{before}");
        }
    }

    /// Files of one name in one profile stay apart, by as little of their path as does it, in every profile.
    #[test]
    fn files_of_one_name_stay_apart() {
        let found = keys(&[&["/v1/fold/plugin.so", "/v1/spell/plugin.so"], &["/v2/spell/plugin.so"]]);
        assert_eq!(found, [vec!["fold/plugin.so", "spell/plugin.so"], vec!["spell/plugin.so"]]);
        let versions = keys(&[&["/lib/libssl.so.1.1", "/lib/libssl.so.3"], &["/new/libssl.so.3"]]);
        assert_eq!(versions, [vec!["libssl.so.1.1", "libssl.so.3"], vec!["libssl.so.3"]]);
    }

    /// Versions are left out of libraries' names alone.
    #[test]
    fn versions_are_left_out_of_libraries() {
        for (name, bare) in [
            ("libQt5Core.so.5.15.2", "libQt5Core.so"),
            ("libfoo-bar.so.1", "libfoo-bar.so"),
            ("libc-2.31.so", "libc.so"),
            ("python3.11", "python3.11"),
            ("_speed.cpython-311-x86_64-linux-gnu.so", "_speed.cpython-311-x86_64-linux-gnu.so"),
            ("a.sock", "a.sock"),
            ("x.so.debug", "x.so.debug"),
            ("-2.so", "-2.so"),
        ] {
            assert_eq!(without_version(name), bare);
        }
    }

    proptest! {
        /// Different paths of one profile never have one key, whatever the others hold.
        #[test]
        fn one_profile_is_told_apart(profiles in prop::collection::vec(
            prop::collection::btree_set("(/[ab]{0,2}){0,3}/?(lib|a)(-2){0,2}(\\.so)?(\\.[12]){0,2}", 0..8), 1..4)
        ) {
            let of = PathKeys::of(profiles.iter().map(|paths| paths.iter().map(String::as_str)));
            for paths in &profiles {
                let found: HashSet<_> = paths.iter().map(|path| of.key(path)).collect();
                prop_assert_eq!(found.len(), paths.len());
            }
        }
    }
}
