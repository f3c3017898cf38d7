//! Real processes under tracing, with exact expectations. Needs root: `cargo xtask test` sees to it.

mod binary;
mod numbers;
mod programs;
mod sampling;
mod support;
mod target;
mod traces;

mod accounting;
mod allocators;
mod containers;
mod control;
mod doctor;
mod errors;
mod family;
mod gates;
mod harm;
mod hooks;
mod isolation;
mod kernels;
mod latency;
mod live;
mod mappings;
mod names_later;
mod pools;
mod python;
mod servers;
mod smoke;
mod stacks;
mod steering;
mod taking;
mod targets;
mod threads;
mod transparency;
mod unwinding;
mod valgrind;
