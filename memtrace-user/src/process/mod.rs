//! The traced process: what it is, what it maps, how one is started.

pub mod elf;
