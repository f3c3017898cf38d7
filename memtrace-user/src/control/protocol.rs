//! What is said on a control socket: one line of JSON each way.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Longest request, in bytes, its newline included.
pub const LONGEST_REQUEST: u64 = 16 << 10;

/// Longest reply that is taken.
pub const LONGEST_REPLY: u64 = 1 << 20;

/// A request: `{"command":"clear"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// Write a snapshot; answered when the file is there.
    Snapshot {
        /// Absolute path.
        file: PathBuf,
    },
    /// Forget what was recorded.
    Clear,
    /// Begin a new peak.
    ResetPeak,
    /// Find the live block that holds an address.
    Where {
        /// The address, as a number: JSON's numbers are exact here up to 2^64.
        address: u64,
    },
    /// Say what is traced.
    Status,
    /// End tracing as Ctrl-C does.
    Stop,
}

/// A reply: `{"done":"cleared"}` or `{"failed":{"message":"…","hint":"…"}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It is done.
    Done(Answer),
    /// It is not.
    Failed {
        /// Why.
        message: String,
        /// What to do about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}

/// What was done, or found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The snapshot is in this file.
    Snapshot {
        /// Absolute path.
        file: PathBuf,
    },
    /// What was recorded is forgotten.
    Cleared,
    /// A new peak has begun.
    PeakReset,
    /// The block, or `null` when no live block that was allocated under tracing holds the address.
    Block(Option<Block>),
    /// What is traced.
    Status(Status),
    /// Tracing ends.
    Stopping,
}

/// A live block.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    /// First address.
    pub address: u64,
    /// Bytes that the program asked for.
    pub size: u64,
    /// Seconds since it was allocated, to some 10 ms; without the time that the machine slept.
    pub age_seconds: Option<f64>,
    /// The thread that allocated it, as `worker (4712)`, where threads are told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// The call stack, innermost first, one frame a line; names are escaped.
    pub stack: Vec<String>,
}

/// What is traced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The traced process.
    pub pid: u32,
    /// Its command line; escaped.
    pub command: String,
    /// Whether it has ended.
    pub ended: bool,
    /// The memtrace that traces it.
    pub tracer: u32,
    /// Seconds since tracing began, or since `clear`.
    pub elapsed_seconds: f64,
    /// Bytes live.
    pub live_bytes: u64,
    /// Blocks live.
    pub live_blocks: u64,
    /// Highest number of bytes live, since tracing began, `clear`, or `reset-peak`.
    pub peak_bytes: u64,
    /// Bytes allocated.
    pub allocated_bytes: u64,
    /// Blocks allocated.
    pub allocated_blocks: u64,
    /// Call stacks.
    pub stacks: usize,
    /// What could not be recorded.
    pub losses: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines are as docs/control-socket.md has them.
    #[test]
    fn lines_are_as_documented() {
        let requests = [
            (r#"{"command":"snapshot","file":"/tmp/a.pb.gz"}"#, Command::Snapshot { file: "/tmp/a.pb.gz".into() }),
            (r#"{"command":"clear"}"#, Command::Clear),
            (r#"{"command":"reset-peak"}"#, Command::ResetPeak),
            (r#"{"command":"where","address":18446744073709551615}"#, Command::Where { address: u64::MAX }),
            (r#"{"command":"status"}"#, Command::Status),
            (r#"{"command":"stop"}"#, Command::Stop),
        ];
        for (line, command) in requests {
            assert_eq!(serde_json::to_string(&command).expect("JSON"), line);
            assert_eq!(serde_json::from_str::<Command>(line).expect("a command"), command);
        }
        let reply = |reply| serde_json::to_string(&reply).expect("JSON");
        assert_eq!(reply(Reply::Done(Answer::PeakReset)), r#"{"done":"peak-reset"}"#);
        assert_eq!(reply(Reply::Done(Answer::Block(None))), r#"{"done":{"block":null}}"#);
        let failed = Reply::Failed { message: "no".into(), hint: None };
        assert_eq!(reply(failed), r#"{"failed":{"message":"no"}}"#);
    }

    /// What is no command is refused.
    #[test]
    fn nonsense_is_refused() {
        let lines = [
            "",
            "clear",
            "{}",
            r#"{"command":"fly"}"#,
            r#"{"command":"where"}"#,
            r#"{"command":"where","address":-1}"#,
        ];
        for line in lines {
            assert!(serde_json::from_str::<Command>(line).is_err(), "{line}");
        }
    }
}
