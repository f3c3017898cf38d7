//! The live table of processes. A process that is opened has the live view of call sites, [`super::App`].

mod app;
mod columns;
mod keys;
pub mod view;

pub use self::{app::MachineApp, keys::KEYS};
