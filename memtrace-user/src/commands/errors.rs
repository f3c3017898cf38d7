//! From an error to what the user reads: what went wrong, what to do about it, and the exit status.

use super::groups::GroupError;
use crate::{
    control::ControlError,
    export::ExportError,
    process::{RunAsError, TargetError},
    report::escape::escape,
    session::{AttachError, LaunchError},
    snapshot::SnapshotError,
    tracer::TracerError,
    tui::terminal::TerminalError,
};

/// What the user gets to see of an error.
#[derive(Debug, PartialEq, Eq)]
pub struct Description {
    /// What went wrong, with its causes.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Exit status.
    pub code: u8,
}

/// Describes an error. Names in it come from untrusted programs and are escaped.
#[must_use]
pub fn describe(error: &anyhow::Error) -> Description {
    Description {
        message: escape(&message(error)).into_owned(),
        hint: hint(error).map(|hint| escape(&hint).into_owned()),
        code: code(error),
    }
}

fn code(error: &anyhow::Error) -> u8 {
    let of_command = error.downcast_ref::<LaunchError>().map(LaunchError::exit_code);
    of_command.or_else(|| error.downcast_ref::<GroupError>().map(GroupError::exit_code)).unwrap_or(1)
}

/// The error and its causes, each once: many errors say their cause themselves.
fn message(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn hint(error: &anyhow::Error) -> Option<String> {
    if let Some(error) = error.downcast_ref::<AttachError>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref::<LaunchError>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref::<TargetError>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref::<ExportError>() {
        return error.hint();
    }
    if let Some(error) = error.downcast_ref::<ControlError>() {
        return error.hint();
    }
    let text = error
        .downcast_ref::<TracerError>()
        .and_then(TracerError::hint)
        .or_else(|| error.downcast_ref::<SnapshotError>().and_then(SnapshotError::hint))
        .or_else(|| error.downcast_ref::<RunAsError>().map(RunAsError::hint))
        .or_else(|| error.downcast_ref::<TerminalError>().map(TerminalError::hint))
        .or_else(|| error.downcast_ref::<SnapshotError>().and_then(SnapshotError::hint))
        .or_else(|| error.downcast_ref::<GroupError>().map(GroupError::hint));
    text.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error deep in a command keeps its hint, and nothing of it can steer a terminal.
    #[test]
    fn errors_keep_their_hints() {
        let error = anyhow::Error::from(AttachError::from(TargetError::NoSuchProcess(4)));
        let described = describe(&error);
        assert_eq!(described.message, "no process 4");
        assert!(described.hint.is_some_and(|hint| hint.contains("pgrep")));
        assert_eq!(described.code, 1);
        let hostile = AttachError::NoAllocator { pid: 1, looked_at: "/tmp/\u{1b}[31m".into() };
        assert!(!describe(&hostile.into()).message.contains('\u{1b}'));
    }

    /// A cause is said once, whether the error says it itself or not.
    #[test]
    fn causes_are_said_once() {
        let cause = || std::io::Error::from_raw_os_error(libc::ENOSPC);
        let said = TracerError::Attach { path: "libc".into(), source: cause() };
        let expected = "No space left on device (os error 28)";
        assert_eq!(describe(&said.into()).message, format!("cannot place probes in libc: {expected}"));
        let unsaid = anyhow::Error::from(cause()).context("cannot write");
        assert_eq!(describe(&unsaid).message, format!("cannot write: {expected}"));
    }
}
