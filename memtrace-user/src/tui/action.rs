//! What can be done in the live view, and what of it only the loop around it can do.

use super::heading::Order;

/// One thing that a key, the mouse or the terminal asks for. State changes by these and by new data alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Leave the live view and end tracing.
    Quit,
    /// Put memtrace in the background, as Ctrl-Z does elsewhere.
    Suspend,
    /// Draw the whole screen anew, after something else wrote on it.
    Redraw,
    /// Rank by another number; the same once more turns the order around.
    Sort(Order),
    /// Rank by the next column, or the previous one.
    SortNext(Turn),
    /// Turn the order around.
    Reverse,
    /// Group by the next property, or the previous one.
    Group(Turn),
    /// Make each thread a row of its own, or one row of all.
    ToggleThreads,
    /// Show the next layer of memory.
    NextDomain,
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
    /// Move the selection.
    Select(Move),
    /// Look closer: from the table to the detail, in a tree turn a fold, in the flame view zoom in.
    Open,
    /// Undo the last [`Self::Open`], leave a view, hide the help, drop the filter.
    Back,
    /// Unfold what is selected, or go to the right.
    Right,
    /// Fold what is selected, or go to the left.
    Left,
    /// The next pane of the detail, or the previous one.
    Pane(Turn),
    /// Show the flame view, or leave it.
    ToggleFlame,
    /// Widths of the flame view: live bytes, or what is allocated.
    ToggleMeasure,
    /// Mark this moment: a generation begins.
    Mark,
    /// Show the generations, or leave them.
    ToggleGenerations,
    /// The earlier of the compared marks: one later, or one earlier.
    From(Turn),
    /// The later of the compared marks: one later, or one earlier.
    To(Turn),
    /// Begin to type a filter.
    Filter,
    /// A character of the filter.
    Type(char),
    /// Take the last character of the filter away.
    Erase,
    /// Take all of the filter away.
    EraseAll,
    /// The filter is as wanted.
    EndFilter,
    /// Write what is shown to files.
    Export,
    /// The mouse was pressed here.
    Click {
        /// Column on the screen.
        column: u16,
        /// Line on the screen.
        line: u16,
    },
    /// The terminal has this size now.
    Resize {
        /// Columns.
        width: u16,
        /// Lines.
        height: u16,
    },
}

impl Action {
    /// What it does to a filter that is being typed.
    pub(super) fn edit(self, filter: &mut String) {
        match self {
            Self::Type(character) => filter.push(character),
            Self::Erase => {
                filter.pop();
            }
            Self::EraseAll => filter.clear(),
            _ => {}
        }
    }
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// To the next one.
    Forward,
    /// To the one before.
    Backward,
}

impl Turn {
    /// Whether it is [`Self::Forward`].
    #[must_use]
    pub const fn is_forward(self) -> bool {
        matches!(self, Self::Forward)
    }
}

/// Which row to select, seen from the selected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// One up.
    Up,
    /// One down.
    Down,
    /// A turn of the mouse wheel up.
    WheelUp,
    /// A turn of the mouse wheel down.
    WheelDown,
    /// A screen up.
    PageUp,
    /// A screen down.
    PageDown,
    /// To the first, and stay at the first when the order changes.
    First,
    /// To the last.
    Last,
}

impl Move {
    /// Rows that the mouse wheel goes.
    const WHEEL: usize = 3;

    /// The place that it leads to from another, with so many rows on a screen and in all.
    #[must_use]
    pub fn from(self, at: usize, page: usize, count: usize) -> usize {
        let last = count.saturating_sub(1);
        match self {
            Self::Up => at.saturating_sub(1),
            Self::Down => at + 1,
            Self::WheelUp => at.saturating_sub(Self::WHEEL),
            Self::WheelDown => at + Self::WHEEL,
            Self::PageUp => at.saturating_sub(page.max(1)),
            Self::PageDown => at + page.max(1),
            Self::First => 0,
            Self::Last => last,
        }
        .min(last)
    }
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
    /// Write what is shown to files.
    Export,
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
