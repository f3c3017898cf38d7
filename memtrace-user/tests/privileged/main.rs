//! Real processes under tracing, with exact expectations. Needs root: `cargo xtask test` sees to it.

mod binary;
mod support;
mod target;
mod traces;

mod errors;
mod harm;
mod isolation;
mod latency;
mod live;
mod servers;
mod smoke;
mod transparency;
