//! Real processes under tracing, with exact expectations. Needs root: `cargo xtask test` sees to it.

mod binary;
mod support;
mod target;
mod traces;

mod isolation;
mod smoke;
