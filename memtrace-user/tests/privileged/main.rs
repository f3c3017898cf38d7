//! Real processes under tracing, with exact expectations. Needs root: `cargo xtask test` sees to it.

mod binary;
mod numbers;
mod support;
mod target;
mod traces;

mod accounting;
mod errors;
mod harm;
mod isolation;
mod latency;
mod live;
mod names_later;
mod servers;
mod smoke;
mod stacks;
mod threads;
mod transparency;
mod unwinding;
mod valgrind;
