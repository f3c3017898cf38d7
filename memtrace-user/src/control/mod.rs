//! The control socket: how `memtrace ctl` and `memtrace where` reach a memtrace that is tracing. See
//! docs/control-socket.md for the protocol.
//!
//! Sockets lie in a directory that belongs to the user who runs memtrace, named `TARGET-MEMTRACE.sock` after the two
//! process ids: several memtraces on one process have one each, and what a killed memtrace has left is told by its id.

mod client;
mod directory;
mod error;
mod protocol;
mod server;

pub use self::{
    client::ask,
    error::ControlError,
    protocol::{Answer, Block, Command, Reply, Status},
    server::{Request, Server},
};
