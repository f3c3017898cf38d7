//! Which files a command will map, found before it runs, so that probes are in place before its first instruction.
//!
//! The program's own dynamic loader is asked (`ld.so --list PROGRAM`, glibc and musl): it knows the cache, rpaths,
//! preloads and environment. The program itself is never run. What it loads later by dlopen is not known here.

#![expect(unsafe_code, reason = "code between fork and exec")]

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read},
    os::unix::{ffi::OsStrExt, ffi::OsStringExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use object::{
    Endianness, elf,
    read::{
        ReadCache,
        elf::{FileHeader, ProgramHeader},
    },
};
use thiserror::Error;

use super::{RunAs, find_command};

/// Interpreters of interpreters that are followed; the kernel's own limit is 5 (`exec_binprm` in fs/exec.c).
const MAX_INTERPRETERS: usize = 5;

/// Bytes of a first line that the kernel reads (`BINPRM_BUF_SIZE`).
const FIRST_LINE_BYTES: u64 = 256;

/// How long the loader may take, as it may have to read libraries from a network.
const LOADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of the loader's output that are read.
const MAX_OUTPUT_BYTES: u64 = 1 << 20;

/// The libraries of a program could not be listed. The command can still be traced: what it maps is seen when it does.
#[derive(Debug, Error)]
pub enum LibrariesError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A file has no meaning for the kernel either.
    #[error("{} is neither a 64-bit ELF program nor a script", .0.display())]
    NoProgram(PathBuf),
    /// A program that memtrace cannot read.
    #[error("{} is a 32-bit program", .0.display())]
    ThirtyTwoBit(PathBuf),
    /// The loader failed.
    #[error("{} --list {} failed: {reason}", .loader.display(), .program.display())]
    Loader {
        /// The dynamic loader.
        loader: PathBuf,
        /// The program.
        program: PathBuf,
        /// Why.
        reason: String,
    },
}

impl LibrariesError {
    /// What to do about it; `None` where there is nothing to do.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("the command names it as its interpreter: see `head -1` of a script, `readelf -l` of a program")
            }
            Self::NoProgram(_) => Some("a script needs a first line such as `#!/bin/sh`; or run it as `sh FILE`"),
            Self::ThirtyTwoBit(_) => Some("memtrace reads 64-bit programs only"),
            Self::Unreadable { .. } | Self::Loader { .. } => None,
        }
    }

    /// The exit status that shells use where the command would not start without memtrace either; 1 otherwise.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::NoProgram(_) => 126,
            _ => 1,
        }
    }

    fn of_reading(path: &Path, source: io::Error) -> Self {
        if source.kind() != io::ErrorKind::InvalidData {
            return Self::Unreadable { path: path.to_owned(), source };
        }
        let mut start = [0; 5];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
        let is_32_bit = read.is_ok() && start.starts_with(&elf::ELFMAG) && start[4] == elf::ELFCLASS32;
        if is_32_bit { Self::ThirtyTwoBit(path.to_owned()) } else { Self::NoProgram(path.to_owned()) }
    }
}

/// The files that a program will map, the program (or its interpreter, of a script) first. A static program has no
/// others.
///
/// # Errors
/// When the program cannot be read or its loader fails.
pub fn list_libraries(program: &Path, user: Option<&RunAs>) -> Result<Vec<PathBuf>, LibrariesError> {
    let mut files = Vec::new();
    let mut pending = vec![program.to_owned()];
    for _ in 0..=MAX_INTERPRETERS {
        let Some(path) = pending.pop() else { break };
        let error = |source| LibrariesError::of_reading(&path, source);
        if let Some(line) = script_line(&path).map_err(error)? {
            pending.extend(interpreters(&line));
            continue;
        }
        let loader = elf_interpreter(&path).map_err(error)?;
        add(&mut files, path.clone());
        if let Some(loader) = loader {
            add(&mut files, loader.clone());
            if is_loader(&loader) {
                run_loader(&loader, &path, user)?.into_iter().for_each(|library| add(&mut files, library));
            }
        }
    }
    Ok(files)
}

fn add(files: &mut Vec<PathBuf>, file: PathBuf) {
    if !files.contains(&file) {
        files.push(file);
    }
}

/// The first line after `#!`; `None` when the file is no script.
fn script_line(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut start = Vec::new();
    File::open(path)?.take(FIRST_LINE_BYTES).read_to_end(&mut start)?;
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(line.strip_prefix(b"#!").map(<[u8]>::to_vec))
}

/// What a first line leads to: the interpreter, and below it what `env` would start.
fn interpreters(line: &[u8]) -> Vec<PathBuf> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(OsStr::from_bytes);
    let Some(interpreter) = words.next().map(PathBuf::from) else { return Vec::new() };
    let started = if interpreter.file_name() == Some("env".as_ref()) {
        words
            .find(|word| !word.as_bytes().starts_with(b"-") && !word.as_bytes().contains(&b'='))
            .and_then(|command| find_command(command, &std::env::var_os("PATH")?).ok())
    } else {
        None
    };
    started.into_iter().chain([interpreter]).collect()
}

/// The path in `PT_INTERP`; `None` of a static program.
fn elf_interpreter(path: &Path) -> io::Result<Option<PathBuf>> {
    let data = ReadCache::new(File::open(path)?);
    read_interpreter(&data).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

fn read_interpreter(data: &ReadCache<File>) -> object::Result<Option<PathBuf>> {
    let header = elf::FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, data)? {
        if let Some(name) = segment.interpreter(endian, data)? {
            return Ok(Some(PathBuf::from(OsString::from_vec(name.to_vec()))));
        }
    }
    Ok(None)
}

/// Whether the interpreter is named like one that knows `--list`: others might run the program.
fn is_loader(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    [b"ld-linux".as_slice(), b"ld-musl-", b"ld64.so", b"ld.so", b"ld-2."].iter().any(|known| name.starts_with(known))
}

fn run_loader(loader: &Path, program: &Path, user: Option<&RunAs>) -> Result<Vec<PathBuf>, LibrariesError> {
    let failed = |reason: String| LibrariesError::Loader { loader: loader.into(), program: program.into(), reason };
    // A bare name would be searched for in the library path.
    let program_path = std::path::absolute(program).map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(loader);
    command.arg("--list").arg(program_path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    if let Some(user) = user {
        user.set_environment(&mut command);
        let user = user.clone();
        // SAFETY: become_user makes system calls only.
        unsafe { command.pre_exec(move || user.become_user()) };
    }
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    let output = read_output(&mut child);
    let _ = child.kill();
    let _ = child.wait();
    let output = output.ok_or_else(|| failed(format!("no answer within {} s", LOADER_TIMEOUT.as_secs())))?;
    Ok(output.split(|byte| *byte == b'\n').filter_map(parse_library).collect())
}

fn read_output(child: &mut Child) -> Option<Vec<u8>> {
    let stdout = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut output = Vec::new();
        let _ = stdout.take(MAX_OUTPUT_BYTES).read_to_end(&mut output);
        let _ = sender.send(output);
    });
    receiver.recv_timeout(LOADER_TIMEOUT).ok()
}

/// The path in a line as `libc.so.6 => /lib/libc.so.6 (0x7f...)` or `/lib/ld-linux.so.2 (0x7f...)`.
fn parse_library(line: &[u8]) -> Option<PathBuf> {
    let line = line.trim_ascii();
    let open = line.iter().rposition(|byte| *byte == b'(')?;
    let line = line[..open].trim_ascii_end();
    let arrow = line.windows(4).position(|window| window == b" => ");
    let path = arrow.map_or(line, |at| &line[at + 4..]);
    path.starts_with(b"/").then(|| PathBuf::from(OsStr::from_bytes(path)))
}

#[cfg(test)]
#[path = "libraries_tests.rs"]
mod tests;
