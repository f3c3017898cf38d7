//! Build and test commands of memtrace: `cargo xtask --help`.
fn main() {}
