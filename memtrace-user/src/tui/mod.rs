//! The live view. The only place that uses ratatui.
//!
//! [`App`] is everything the screen shows; it changes by new data ([`App::update`]) and by [`Action`]s alone. [`keys`]
//! turns events into actions, [`view::render`] draws the state and keeps none of its own, [`terminal`] takes over the
//! terminal and gives it back. The loop around them, with its timers and signals, is the command's.

mod action;
mod app;
pub mod keys;
pub mod terminal;
mod theme;
pub mod view;

pub use action::{Action, Request, Wish};
pub use app::{App, Reading};
pub use theme::Theme;
