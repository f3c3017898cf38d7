//! Generations, as in Instruments: repeat an action, mark, and read what has grown since.

use std::{ops::AddAssign, time::Duration};

use crate::profile::{AllocStats, LiveGroups};

/// Most marks; the oldest goes first.
pub(super) const MOST: usize = 12;

/// What lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) bytes: u64,
    pub(super) blocks: u64,
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.bytes += other.bytes;
        self.blocks += other.blocks;
    }
}

impl From<&AllocStats> for Amount {
    fn from(stats: &AllocStats) -> Self {
        Self { bytes: stats.live_bytes(), blocks: stats.live_blocks() }
    }
}

/// A difference of two amounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Growth {
    pub(super) bytes: i64,
    pub(super) blocks: i64,
}

impl Growth {
    pub(super) fn between(before: Amount, after: Amount) -> Self {
        let difference = |before: u64, after: u64| after.cast_signed().saturating_sub(before.cast_signed());
        Self { bytes: difference(before.bytes, after.bytes), blocks: difference(before.blocks, after.blocks) }
    }
}

/// What every stack held at one moment.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    /// Counted from 1, also when older ones have gone.
    pub(super) number: u32,
    /// Time since tracing began.
    pub(super) at: Duration,
    /// By stack; those met later held nothing.
    of_stacks: Box<[Amount]>,
}

/// The marks of a session, oldest first, and which two of them are compared.
#[derive(Debug, Default)]
pub(super) struct Marks {
    kept: Vec<Mark>,
    set: u32,
    /// Compared ones: 0 is the beginning of tracing, then come the marks, then now.
    from: usize,
    to: usize,
}

/// What a group has done from point to point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupGrowth {
    pub(super) group: u32,
    pub(super) growth: Growth,
    /// It has grown in every one of two generations or more.
    pub(super) growing: bool,
}

impl Marks {
    /// Marks this moment, and compares it with now from here on.
    pub(super) fn set(&mut self, at: Duration, stats: &[AllocStats]) -> u32 {
        self.set += 1;
        if self.kept.len() == MOST {
            self.kept.remove(0);
        }
        self.kept.push(Mark { number: self.set, at, of_stacks: stats.iter().map(Amount::from).collect() });
        self.from = self.kept.len();
        self.to = self.now();
        self.set
    }

    /// How many have been set.
    pub(super) const fn count(&self) -> u32 {
        self.set
    }

    pub(super) fn all(&self) -> &[Mark] {
        &self.kept
    }

    /// What every stack held at the last mark; nothing without a mark.
    pub(super) fn last(&self) -> &[Amount] {
        self.kept.last().map_or(&[], |mark| &mark.of_stacks)
    }

    /// The points that are compared.
    pub(super) const fn compared(&self) -> (usize, usize) {
        (self.from, self.to)
    }

    /// The same; without a mark, the beginning and now.
    pub(super) const fn compared_points(&self) -> (usize, usize) {
        (self.from, if self.to == 0 { self.now() } else { self.to })
    }

    /// Times of the points since tracing began; the last, now, has none.
    pub(super) fn moments(&self) -> Vec<Duration> {
        std::iter::once(Duration::ZERO).chain(self.kept.iter().map(|mark| mark.at)).collect()
    }

    /// Index of the point now.
    pub(super) const fn now(&self) -> usize {
        self.kept.len() + 1
    }

    /// Moves the earlier point by one, never beyond the later one.
    pub(super) const fn move_from(&mut self, forward: bool) {
        self.settle();
        if forward && self.from + 1 < self.to {
            self.from += 1;
        } else if !forward {
            self.from = self.from.saturating_sub(1);
        }
    }

    /// Moves the later point by one, never before the earlier one.
    pub(super) const fn move_to(&mut self, forward: bool) {
        self.settle();
        if forward && self.to < self.now() {
            self.to += 1;
        } else if !forward && self.to > self.from + 1 {
            self.to -= 1;
        }
    }

    /// Without a mark, the whole session is compared.
    const fn settle(&mut self) {
        if self.to == 0 {
            self.to = self.now();
        }
    }

    fn amounts(&self, point: usize, groups: &LiveGroups, now: &[Amount]) -> Vec<Amount> {
        match point.checked_sub(1) {
            None => vec![Amount::default(); groups.groups().len()],
            Some(index) => match self.kept.get(index) {
                Some(mark) => groups.sum(&mark.of_stacks),
                None => groups.sum(now),
            },
        }
    }

    /// Growth of all groups between the compared points: first those that grew in every generation, then by bytes.
    pub(super) fn growth(&self, groups: &LiveGroups, now: &[Amount]) -> Vec<GroupGrowth> {
        let (from, to) = self.compared_points();
        let points: Vec<Vec<Amount>> = (from..=to).map(|point| self.amounts(point, groups, now)).collect();
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return Vec::new() };
        let grew = |group: usize| points.windows(2).all(|pair| pair[1][group].bytes > pair[0][group].bytes);
        let mut all: Vec<GroupGrowth> = (0_u32..)
            .zip(first.iter().zip(last))
            .map(|(group, (before, after))| GroupGrowth {
                group,
                growth: Growth::between(*before, *after),
                growing: points.len() > 2 && grew(group as usize),
            })
            .filter(|row| row.growth != Growth::default())
            .collect();
        all.sort_by_key(|row| std::cmp::Reverse((row.growing, row.growth.bytes, row.growth.blocks)));
        all
    }

    /// Growth of all stacks that count from each point to the next: one line a generation.
    pub(super) fn generations(&self, now: &[Amount], counts: impl Fn(u32) -> bool) -> Vec<Growth> {
        let sum = |amounts: &[Amount]| {
            let counting = (0..).zip(amounts).filter(|(stack, _)| counts(*stack)).map(|(_, amount)| amount);
            counting.fold(Amount::default(), |mut sum, amount| {
                sum += *amount;
                sum
            })
        };
        let marks = self.kept.iter().map(|mark| sum(&mark.of_stacks));
        let points: Vec<Amount> = std::iter::once(Amount::default()).chain(marks).chain([sum(now)]).collect();
        points.windows(2).map(|pair| Growth::between(pair[0], pair[1])).collect()
    }

    /// Begins anew: what was marked is gone.
    pub(super) fn forget(&mut self) {
        *self = Self { set: self.set, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(live: u64) -> AllocStats {
        AllocStats { allocated_blocks: live, allocated_bytes: live * 10, ..AllocStats::default() }
    }

    /// Generations add up to what lives now, the oldest mark gives way, and numbers go on.
    #[test]
    fn generations_add_up() {
        let mut marks = Marks::default();
        for live in 1..=20 {
            marks.set(Duration::from_secs(live), &[stats(live * live)]);
        }
        assert_eq!(marks.all().len(), MOST);
        assert_eq!((marks.all()[0].number, marks.all()[MOST - 1].number), (9, 20));
        let now = [Amount { bytes: 5_000, blocks: 500 }];
        let sum: i64 = marks.generations(&now, |_| true).iter().map(|growth| growth.bytes).sum();
        assert_eq!(sum, 5_000);
    }

    /// The compared points stay in order and within what there is.
    #[test]
    fn points_stay_in_order() {
        let mut marks = Marks::default();
        marks.move_from(true);
        assert_eq!(marks.compared(), (0, 1));
        marks.set(Duration::ZERO, &[]);
        marks.set(Duration::ZERO, &[]);
        assert_eq!(marks.compared(), (2, 3));
        marks.move_to(false);
        assert_eq!(marks.compared(), (2, 3));
        for _ in 0..5 {
            marks.move_from(false);
        }
        marks.move_to(false);
        marks.move_to(false);
        marks.move_to(false);
        assert_eq!(marks.compared(), (0, 1));
        for _ in 0..9 {
            marks.move_to(true);
        }
        assert_eq!(marks.compared(), (0, 3));
    }
}
