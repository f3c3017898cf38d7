//! A target that takes turns with its test: see `tests/programs/talk.h`.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
};

use crate::support::Running;

/// A running target. Killed and reaped at the end of the test.
pub struct Target {
    child: Running,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Target {
    /// Starts a program and waits until it is ready.
    pub fn start(program: impl AsRef<Path>) -> Self {
        Self::start_command(&mut Command::new(program.as_ref()))
    }

    /// Starts a program with one argument and waits until it is ready.
    pub fn start_with(program: impl AsRef<Path>, argument: impl AsRef<OsStr>) -> Self {
        Self::start_command(Command::new(program.as_ref()).arg(argument))
    }

    /// Starts a command that need not say that it is ready.
    pub fn start_shell(command: &mut Command) -> Self {
        Self::spawn(command.stderr(Stdio::null()))
    }

    /// Starts a command that becomes a program, and waits until that is ready.
    pub fn start_command(command: &mut Command) -> Self {
        let mut target = Self::spawn(command);
        assert_eq!(target.hear(), "ready");
        target
    }

    fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the target starts");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child: Running(child), input, output }
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Says a line to it.
    pub fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").expect("the target listens");
    }

    /// The next line that it says; empty when it has ended.
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the target speaks UTF-8");
        line.truncate(line.trim_end().len());
        line
    }

    /// Says a line and waits for the answer.
    pub fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.hear()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.0.wait().expect("the target is waited for")
    }
}
