//! Real processes under tracing, with exact expectations. Needs root: `cargo xtask test` sees to it.

mod support;

mod smoke;
mod unwinding;
