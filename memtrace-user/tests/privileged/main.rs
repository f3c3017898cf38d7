//! Real processes under tracing, with exact expectations. Needs root: `cargo xtask test` sees to it.

mod numbers;
mod support;

mod accounting;
mod smoke;
mod stacks;
mod threads;
mod unwinding;
mod valgrind;
