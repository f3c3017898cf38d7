//! The files of a snapshot's modules on this machine, found by path and in debug directories, and known by build id.
//!
//! A path alone says nothing: the file may have been upgraded, or the snapshot may be of another machine. So a file
//! without build id, or with another one, is not used.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use thiserror::Error;

use super::debuginfod::Debuginfod;
use crate::{
    process::{elf::ElfFile, vdso_file},
    profile::{Module, build_id_text},
};

/// Where distributions put debug information.
const DEFAULT_DEBUG_DIR: &str = "/usr/lib/debug";

/// Below a debug directory, files by build id: `.build-id/ab/cdef….debug`, and without suffix the program itself.
const BY_BUILD_ID: &str = ".build-id";

/// Why a module has no file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotFound {
    /// The profile does not tell which build of the file it is of.
    #[error("its build id is not known; --any-build takes the file that is there")]
    NoBuildId,
    /// There is no file of this name, here or in a debug directory.
    #[error("not found")]
    Nowhere,
    /// Only other builds are here.
    #[error("{0} is another build of it")]
    OtherBuild(String),
    /// Debug files lack the program headers that tell where in memory an offset in the program is.
    #[error("only its debug file {0} is here, and the program itself is needed too")]
    DebugOnly(String),
}

/// What a file of a fitting name turned out to be.
enum Candidate {
    Fits(File),
    OtherBuild,
    DebugOnly,
    Absent,
}

/// Finds files.
#[derive(Debug)]
pub struct LocalFiles {
    debug_dirs: Vec<PathBuf>,
    any_build: bool,
    debuginfod: Option<Arc<Debuginfod>>,
}

impl LocalFiles {
    /// With debug directories beside the usual one.
    #[must_use]
    pub fn new(debug_dirs: &[PathBuf]) -> Self {
        let usual = PathBuf::from(DEFAULT_DEBUG_DIR);
        Self { debug_dirs: debug_dirs.iter().cloned().chain([usual]).collect(), any_build: false, debuginfod: None }
    }

    /// Takes the file at a module's path where the profile does not tell its build, which may be another one by now.
    #[must_use]
    pub fn with_any_build(mut self, any_build: bool) -> Self {
        self.any_build = any_build;
        self
    }

    /// Asks debuginfod servers for what is not here.
    #[must_use]
    pub fn with_debuginfod(mut self, debuginfod: Debuginfod) -> Self {
        self.debug_dirs.push(debuginfod.directory().to_owned());
        self.debuginfod = Some(Arc::new(debuginfod));
        self
    }

    /// All debug directories.
    #[must_use]
    pub fn debug_dirs(&self) -> &[PathBuf] {
        &self.debug_dirs
    }

    /// The file of a module; servers are asked first, if any are, for its debug file too.
    ///
    /// # Errors
    /// Why there is none that is certain to be the module's.
    pub async fn obtain(&self, module: &Module) -> Result<Arc<File>, NotFound> {
        let found = self.find(module);
        let (Some(debuginfod), Some(build_id)) = (self.debuginfod.clone(), module.build_id.clone()) else {
            return found;
        };
        let program = found.is_err();
        let fetched = tokio::task::spawn_blocking(move || debuginfod.fetch(&build_id, program)).await;
        if fetched.is_err() {
            log::warn!("asking debuginfod failed badly");
        }
        if program { self.find(module) } else { found }
    }

    /// The file of a module, among what is here.
    ///
    /// # Errors
    /// Why there is none that is certain to be the module's.
    pub fn find(&self, module: &Module) -> Result<Arc<File>, NotFound> {
        let Some(build_id) = module.build_id.as_deref().filter(|id| !id.is_empty()) else {
            return if self.any_build { self.find_unchecked(module) } else { Err(NotFound::NoBuildId) };
        };
        if &*module.path == "[vdso]" {
            return vdso_file().filter(|file| has_build_id(file, build_id)).ok_or(NotFound::Nowhere);
        }
        let mut problem = NotFound::Nowhere;
        for path in self.candidates(Path::new(&*module.path), build_id) {
            let name = || path.display().to_string();
            match examine(&path, Some(build_id)) {
                Candidate::Fits(file) => return Ok(Arc::new(file)),
                Candidate::DebugOnly => problem = NotFound::DebugOnly(name()),
                Candidate::OtherBuild if problem == NotFound::Nowhere => problem = NotFound::OtherBuild(name()),
                Candidate::OtherBuild | Candidate::Absent => {}
            }
        }
        Err(problem)
    }

    fn find_unchecked(&self, module: &Module) -> Result<Arc<File>, NotFound> {
        let fitting = self.candidates(Path::new(&*module.path), &[]).into_iter().find_map(|path| {
            if let Candidate::Fits(file) = examine(&path, None) { Some(Arc::new(file)) } else { None }
        });
        fitting.ok_or(NotFound::Nowhere)
    }

    /// Paths that may lead to the file, the likeliest first. In a debug directory: by build id, by the whole path, and by
    /// name, as a directory of build results has it.
    fn candidates(&self, path: &Path, build_id: &[u8]) -> Vec<PathBuf> {
        let mut paths: Vec<PathBuf> = path.is_absolute().then(|| path.to_owned()).into_iter().collect();
        for directory in &self.debug_dirs {
            paths.extend(by_build_id(directory, build_id));
            paths.extend(path.strip_prefix("/").ok().map(|inner| directory.join(inner)));
            paths.extend(path.file_name().map(|name| directory.join(name)));
        }
        paths
    }
}

/// The program and its debug file in a debug directory.
pub fn by_build_id(directory: &Path, build_id: &[u8]) -> [PathBuf; 2] {
    let digits = build_id_text(build_id);
    let (first, rest) = digits.split_at(digits.len().min(2));
    let directory = directory.join(BY_BUILD_ID).join(first);
    [directory.join(rest), directory.join(format!("{rest}.debug"))]
}

/// Where distributions put the debug file of a build id.
#[must_use]
pub fn debug_file(build_id: &[u8]) -> PathBuf {
    let [_, debug_file] = by_build_id(Path::new(DEFAULT_DEBUG_DIR), build_id);
    debug_file
}

/// Whether a file is of a build, or of any if none is named. Opens nothing that could block, as a path in a profile may
/// lead anywhere.
fn examine(path: &Path, build_id: Option<&[u8]>) -> Candidate {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    let Some(file) = opened.ok().filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file())) else {
        return Candidate::Absent;
    };
    let Some(elf) = file.try_clone().ok().and_then(|file| ElfFile::new(file, path).ok()) else {
        return Candidate::OtherBuild;
    };
    if build_id.is_some_and(|id| elf.build_id().ok().flatten().as_deref() != Some(id)) {
        return Candidate::OtherBuild;
    }
    let has_code = elf.segments().any(|segment| segment.executable && segment.file_size > 0);
    if has_code { Candidate::Fits(file) } else { Candidate::DebugOnly }
}

fn has_build_id(file: &File, build_id: &[u8]) -> bool {
    let elf = file.try_clone().ok().and_then(|file| ElfFile::new(file, "").ok());
    elf.and_then(|elf| elf.build_id().ok()).flatten().as_deref() == Some(build_id)
}
