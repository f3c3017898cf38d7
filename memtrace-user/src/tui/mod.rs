//! The live view. The only place that uses ratatui.
//!
//! [`App`] is everything the screen shows; it changes by new data ([`App::update`]) and by [`Action`]s alone. [`keys`]
//! turns events into actions, [`view::render`] draws the state and keeps none of its own, [`terminal`] takes over the
//! terminal and gives it back. The loop around them, with its timers and signals, is the command's.

mod action;
mod app;
#[cfg(test)]
mod app_tests;
mod columns;
mod detail;
mod export;
mod flame;
mod grouped;
mod heading;
mod history;
pub mod keys;
mod machine;
mod marks;
mod moves;
mod reading;
mod regroup;
mod table;
pub mod terminal;
mod theme;
pub mod view;
mod wants;

pub use action::{Action, Move, Request, Turn, Wish};
pub use app::App;
pub use detail::SourceText;
pub use heading::Order;
pub use keys::KEYS;
pub use machine::{KEYS as MACHINE_KEYS, MachineApp, view as machine_view};
pub use reading::Reading;
pub use theme::Theme;
