//! What every privileged test needs: programs, processes that do not outlive the test, and tracing through the library.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    sync::Arc,
};

use memtrace::{
    process::{CommandSpec, SignalState},
    profile::{Profile, SymbolTable},
    session::{self, Launched, Update},
    tracer::{TracerOptions, UnwindMode},
};

/// The ordinary options.
pub fn options() -> TracerOptions {
    TracerOptions {
        max_frames: 127,
        min_size: 0,
        unwind: UnwindMode::Auto,
        per_thread: false,
        from_start: false,
        without_multi: false,
        without_return_probes: false,
        functions: Arc::default(),
    }
}

/// Compiles `tests/programs/NAME.c`, or `NAME.cc`, with frame pointers and without tail calls, so that stacks are as in the source.
pub fn program(name: &str) -> PathBuf {
    program_with(name, name, &[])
}

/// The same with more flags, as another file.
pub fn program_with(name: &str, output: &str, flags: &[&str]) -> PathBuf {
    let is_cpp = source_of(name).extension().is_some_and(|extension| extension == "cc");
    compiled(if is_cpp { "c++" } else { "cc" }, name, output, flags)
}

fn source_of(name: &str) -> PathBuf {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name);
    let sources = [base.with_extension("c"), base.with_extension("cc")];
    sources.into_iter().find(|source| source.exists()).unwrap_or_else(|| panic!("no {}.c", base.display()))
}

/// The same by a compiler of one's choice.
pub fn compiled(compiler: &str, name: &str, output: &str, flags: &[&str]) -> PathBuf {
    let source = source_of(name);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(output);
    // Written under a name of its own and renamed: tests that use one program run side by side.
    let unique = file.with_extension(format!("{:?}", std::thread::current().id()).replace(['(', ')'], ""));
    let status = Command::new(compiler)
        .args(["-O1", "-g", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-fno-builtin", "-pthread", "-o"])
        .arg(&unique)
        .arg(&source)
        .args(flags)
        .status()
        .unwrap_or_else(|error| panic!("{compiler}: {error}"));
    assert!(status.success(), "{} does not compile", source.display());
    std::fs::rename(&unique, &file).expect("the program can be renamed");
    file
}

/// A process that is killed and reaped when the test ends, however it ends.
pub struct Running(pub Child);

impl Running {
    /// Its id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What became of a command run under tracing.
pub struct Outcome {
    pub profile: Arc<Profile>,
    pub symbols: Arc<SymbolTable>,
    pub status: ExitStatus,
}

/// Runs a command under tracing to its end, in this process, through the library.
pub fn run_traced(words: &[&str], options: &TracerOptions) -> Outcome {
    let mut words = words.iter().map(OsString::from);
    let program = words.next().expect("a command");
    let command = CommandSpec { program, arguments: words.collect(), run_as: None, signals: SignalState::default() };
    runtime().block_on(async {
        let launched = session::launch(&command, options).expect("the command is traced");
        let Launched { mut session, status, .. } = launched;
        let mut last = None;
        loop {
            match session.next(&std::collections::BTreeSet::new()).await.expect("events arrive") {
                Update::Reading { profile, symbols } => last = Some((profile, symbols)),
                Update::Ended => break,
                _ => {}
            }
        }
        let (profile, symbols) = last.expect("a last reading");
        let status = status.await.expect("the command is waited for").expect("the command has a status");
        Outcome { profile, symbols, status }
    })
}

/// A runtime as the commands have it.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}
