//! CPython, as far as its frames go: where an interpreter keeps them, and from what BPF tells of them to files, functions
//! and lines; see `memtrace_common::python`, and docs/python.md for what can be seen and what not.
//!
//! [`PythonFile`] recognises an interpreter in a file, [`Interpreter`] is one in a process, [`Codes`] keeps what its code
//! objects are, and [`merge()`] puts its frames where they belong on native stacks. [`Pooled`] counts what its own allocator
//! hands out, of which nothing else is seen, unless [`Hooks`] stand before it.

mod codes;
mod copied;
mod file;
mod hooks;
mod interpreter;
mod layout;
mod lines;
mod merge;
mod pools;
mod texts;
mod thread_values;

pub use self::{
    codes::{Codes, Known},
    file::{PythonError, PythonFile},
    hooks::Hooks,
    interpreter::{Check, Interpreter, Mapped},
    layout::Version,
    merge::{Piece, Rule, merge},
    pools::{HEADER, Pooled, arena_bytes, pool_bytes},
    thread_values::ThreadValues,
};
