//! Keys of the labels that samples carry.

/// Name of the command, without its directory.
pub const PROCESS: &str = "process";
/// Process id, a number.
pub const PID: &str = "pid";
/// When the process was started: nanoseconds since 1970, a number.
pub const START_TIME: &str = "start_time";
/// Unit of [`START_TIME`]. Not `nanoseconds`, which viewers show as a time that has passed.
pub const START_TIME_UNIT: &str = "unix_nanoseconds";
/// Layer of memory: [`crate::profile::Domain::name`].
pub const DOMAIN: &str = "domain";
/// Name of the thread.
pub const THREAD: &str = "thread";
/// Thread id, a number.
pub const TID: &str = "tid";
/// Whether the stack is whole: [`crate::profile::StackEnd::name`].
pub const STACK: &str = "stack";

/// The value of [`PROCESS`] for a command line.
pub fn process_name(command: &str) -> &str {
    let program = command.split_whitespace().next().unwrap_or_default();
    program.rsplit('/').next().unwrap_or_default()
}
