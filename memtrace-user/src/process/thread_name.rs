//! Names of threads.

use super::proc_dir::{parse_name, parse_stat};

/// When a thread was started, in clock ticks since boot, and its name; `None` when it does not live any more. Ids are those
/// of the caller's pid namespace. The name is what the program chose: not escaped for a terminal.
#[must_use]
pub fn thread_name(pid: u32, tid: u32) -> Option<(u64, String)> {
    let stat = std::fs::read(format!("/proc/{pid}/task/{tid}/stat")).ok()?;
    let line = parse_stat(&stat).filter(|line| !matches!(line.state, b'Z' | b'X' | b'x'))?;
    Some((line.start_time, String::from_utf8_lossy(parse_name(&stat)?).into_owned()))
}
