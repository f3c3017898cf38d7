//! The heads of columns of numbers, which the table of call sites and that of processes have alike: what is sorted by,
//! which columns there is room for, and where they lie.

use crate::report::units;

/// From so many columns of the screen on, units are written out.
pub(super) const WIDE: usize = 110;

/// The head of a column of numbers.
pub(super) struct Heading {
    pub(super) title: &'static str,
    /// What the number is, for the help.
    pub(super) meaning: &'static str,
    /// Columns on the screen: on a narrow one, and on one of [`WIDE`] columns or more.
    pub(super) widths: (usize, usize),
    /// Columns that the screen must have for it; it is shown on any when it is sorted by.
    pub(super) from_width: usize,
    /// The digit that sorts by it.
    pub(super) key: char,
}

/// What a table is sorted by: a column of numbers, or the name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// By the column of this index in the table of columns.
    Column(usize),
    /// By the name of the group, or of the process.
    #[default]
    Name,
}

impl Order {
    /// The order that a digit stands for.
    pub(super) fn of_key<'a>(mut headings: impl Iterator<Item = &'a Heading>, digit: char) -> Option<Self> {
        headings.position(|heading| heading.key == digit).map(Self::Column)
    }

    /// The order after or before, of a table of so many columns: its last is the name, and steps lead round.
    pub(super) const fn step_among(self, columns: usize, forward: bool) -> Self {
        let at = match self {
            Self::Column(index) => index,
            Self::Name => columns,
        };
        let next = (at + if forward { 1 } else { columns }) % (columns + 1);
        if next == columns { Self::Name } else { Self::Column(next) }
    }
}

/// A column that is shown.
pub(super) struct Shown {
    /// In the table of columns.
    pub(super) index: usize,
    pub(super) title: &'static str,
    /// Columns on the screen.
    pub(super) width: usize,
}

/// The columns that there is room for, from left to right. Each has a blank before it.
pub(super) struct Headings {
    pub(super) shown: Vec<Shown>,
    is_wide: bool,
}

impl Headings {
    /// On a screen of so many columns. What is sorted by is shown in any case, what is left out only then.
    pub(super) fn of(
        all: impl Iterator<Item = &'static Heading>,
        width: usize,
        sort: Order,
        is_left_out: impl Fn(usize) -> bool,
    ) -> Self {
        let is_wide = width >= WIDE;
        let shown = all.enumerate().filter(|(index, heading)| {
            sort == Order::Column(*index) || (width >= heading.from_width && !is_left_out(*index))
        });
        let shown = shown.map(|(index, heading)| Shown {
            index,
            title: heading.title,
            width: if is_wide { heading.widths.1 } else { heading.widths.0 },
        });
        Self { shown: shown.collect(), is_wide }
    }

    /// A number as there is room for it.
    pub(super) fn fit(&self, number: String) -> String {
        if self.is_wide { number } else { units::tight(&number) }
    }

    /// The order whose title lies at a column of the screen: right of all numbers, and so much further, is the name.
    pub(super) fn at(&self, column: usize, before_name: usize) -> Option<Order> {
        let mut end = 1;
        for shown in &self.shown {
            end += shown.width + 1;
            if column < end {
                return Some(Order::Column(shown.index));
            }
        }
        (column >= end + before_name).then_some(Order::Name)
    }
}
