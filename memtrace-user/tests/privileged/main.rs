//! Real processes under tracing, with exact expectations. Needs root: `cargo xtask test` sees to it.

mod binary;
mod numbers;
mod support;
mod target;
mod traces;

mod accounting;
mod allocators;
mod containers;
mod control;
mod errors;
mod gates;
mod harm;
mod isolation;
mod latency;
mod live;
mod names_later;
mod pools;
mod servers;
mod smoke;
mod stacks;
mod steering;
mod taking;
mod threads;
mod transparency;
mod unwinding;
mod valgrind;
