//! What every privileged test needs: programs, processes that do not outlive the test, and tracing through the library.

use std::{
    ffi::OsString,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, ExitStatus},
    sync::Arc,
};

use memtrace::{
    process::{CommandSpec, SignalState},
    profile::{Profile, SymbolTable},
    session::{self, Launched, Update},
    tracer::{Accelerator, TracerOptions},
};

use crate::programs;

/// The ordinary options.
pub fn options() -> TracerOptions {
    TracerOptions {
        without: without().into_iter().map(|feature| feature.accelerator).collect(),
        ..TracerOptions::default()
    }
}

/// An accelerator and its name on the command line.
#[derive(Clone, Copy)]
pub struct Named {
    pub name: &'static str,
    pub accelerator: Accelerator,
}

/// All accelerators.
const ACCELERATORS: [Named; 5] = [
    Named { name: "multi", accelerator: Accelerator::Multi },
    Named { name: "session", accelerator: Accelerator::Session },
    Named { name: "bpf-loop", accelerator: Accelerator::BpfLoop },
    Named { name: "return-probes", accelerator: Accelerator::ReturnProbes },
    Named { name: "trampolines", accelerator: Accelerator::Trampolines },
];

/// Accelerators that every test does without: `MEMTRACE_TEST_WITHOUT=multi,bpf-loop`.
pub fn without() -> Vec<Named> {
    let names = std::env::var("MEMTRACE_TEST_WITHOUT").unwrap_or_default();
    let known = |name: &str| ACCELERATORS.iter().copied().find(|accelerator| accelerator.name == name);
    let names = names.split(',').filter(|name| !name.is_empty());
    names.map(|name| known(name).unwrap_or_else(|| panic!("no accelerator {name}"))).collect()
}

/// Whether the tests do without an accelerator that one of them is about, and which is then left out.
pub fn is_without(accelerator: Accelerator) -> bool {
    let is_without = without().iter().any(|feature| feature.accelerator == accelerator);
    if is_without {
        eprintln!("left out: it needs what MEMTRACE_TEST_WITHOUT switches off");
    }
    is_without
}

/// Whether this machine has something in an accelerator's place: the exits of functions are found on `x86_64` alone.
pub fn can_do_without(accelerator: Accelerator) -> bool {
    accelerator != Accelerator::ReturnProbes || cfg!(target_arch = "x86_64")
}

/// The ordinary options, and the same without each accelerator.
pub fn every_way() -> Vec<TracerOptions> {
    let without = |accelerator: Accelerator| {
        let mut options = options();
        options.without.push(accelerator);
        options
    };
    // Trampolines serve what processes map, which has tests of its own.
    let all = Accelerator::WORDS
        .into_iter()
        .map(|(accelerator, ..)| accelerator)
        .filter(|accelerator| *accelerator != Accelerator::Trampolines && can_do_without(*accelerator));
    std::iter::once(options()).chain(all.map(without)).collect()
}

/// The program that `tests/programs/NAME.c`, or `NAME.cc`, is compiled to, or one of [`programs::IN_VMS`].
pub fn program(name: &str) -> PathBuf {
    let listed = programs::IN_VMS.iter().find(|(output, ..)| *output == name);
    let (output, source, flags) = listed.copied().unwrap_or((name, name, &[]));
    program_with(source, output, flags)
}

/// The same with more flags, as another file. In a virtual machine it is there already: see [`programs`].
pub fn program_with(name: &str, output: &str, flags: &[&str]) -> PathBuf {
    // No sources in virtual machines: nothing is compiled there.
    let source = programs::source(Path::new(env!("CARGO_MANIFEST_DIR")), name);
    let is_cpp = source.is_some_and(|source| source.extension().is_some_and(|extension| extension == "cc"));
    compiled(if is_cpp { "c++" } else { "cc" }, name, output, flags)
}

/// The same by a compiler of one's choice.
pub fn compiled(compiler: &str, name: &str, output: &str, flags: &[&str]) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(output);
    if std::env::var_os("MEMTRACE_TEST_PREBUILT").is_some() {
        assert!(file.exists(), "{output} is not taken into virtual machines: add it to `IN_VMS`");
        return file;
    }
    let source = programs::source(Path::new(env!("CARGO_MANIFEST_DIR")), name);
    let source = source.unwrap_or_else(|| panic!("no tests/programs/{name}.c"));
    // Written under a name of its own and renamed: tests that use one program run side by side.
    let unique = file.with_extension(format!("{:?}", std::thread::current().id()).replace(['(', ')'], ""));
    let status = programs::compile(compiler, &source, flags, &unique).status();
    let status = status.unwrap_or_else(|error| panic!("{compiler}: {error}"));
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
pub fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    Runtime(Some(runtime))
}

/// When a test fails, what it waits for beside may never come: a program that is to end, for one.
pub struct Runtime(Option<tokio::runtime::Runtime>);

impl Deref for Runtime {
    type Target = tokio::runtime::Runtime;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take().filter(|_| std::thread::panicking()) {
            runtime.shutdown_background();
        }
    }
}
