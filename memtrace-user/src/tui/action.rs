//! What can be done in the live view, and what of it only the loop around it can do.

use crate::profile::SortBy;

/// One thing that a key, or the terminal, asks for. State changes by these and by new data alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Leave the live view and end tracing.
    Quit,
    /// Put memtrace in the background, as Ctrl-Z does elsewhere.
    Suspend,
    /// Draw the whole screen anew, after something else wrote on it.
    Redraw,
    /// Rank by another number.
    Sort(SortBy),
    /// Rank by the next number.
    SortNext,
    /// Rank by the previous number.
    SortPrevious,
    /// Hold what is shown, or go on with the newest reading. Tracing goes on all the time.
    TogglePause,
    /// Write a snapshot.
    Snapshot,
    /// Forget what was recorded, once asked twice.
    Clear,
    /// Begin a new peak.
    ResetPeak,
    /// Show or hide the keys.
    ToggleHelp,
    /// Hide the keys.
    CloseHelp,
    /// Select a call site.
    Select(Move),
    /// The terminal has this size now.
    Resize {
        /// Columns.
        width: u16,
        /// Lines.
        height: u16,
    },
}

/// Which call site to select, seen from the selected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// One up.
    Up,
    /// One down.
    Down,
    /// A screen up.
    PageUp,
    /// A screen down.
    PageDown,
    /// To the first, and stay at the first when the order changes.
    First,
    /// To the last.
    Last,
}

/// What the loop has to do after an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// End the live view.
    Quit,
    /// Give the terminal back and stop the process until it is continued.
    Suspend,
    /// Clear the screen before the next drawing.
    Redraw,
    /// Something of the session.
    Ask(Wish),
}

/// What the session is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Write a snapshot.
    Snapshot,
    /// Forget what was recorded.
    Clear,
    /// Begin a new peak.
    ResetPeak,
}
