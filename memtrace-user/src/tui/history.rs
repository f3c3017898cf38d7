//! Values over time in bounded memory: when there is no more room, two neighbours become one, and time gets coarser.

use std::collections::VecDeque;

/// Most values of a [`Series`].
const MOST: usize = 512;

/// Most values of all stacks in a [`StackHistory`], and most and fewest of one stack.
const MOST_OF_STACKS: usize = 4 << 20;
const MOST_OF_ONE: usize = 240;
const FEWEST_OF_ONE: usize = 16;

/// One number over the whole session. Of values that become one the greatest stays, so that peaks are seen.
#[derive(Debug, Clone)]
pub(super) struct Series {
    values: Vec<u64>,
    /// Readings that the last value stands for, and those that a whole one does.
    taken: usize,
    stride: usize,
}

impl Default for Series {
    fn default() -> Self {
        Self { values: Vec::new(), taken: 0, stride: 1 }
    }
}

impl Series {
    /// Takes the value of one more reading.
    pub(super) fn push(&mut self, value: u64) {
        match self.values.last_mut() {
            Some(last) if self.taken < self.stride => *last = value.max(*last),
            _ => {
                self.make_room();
                self.values.push(value);
                self.taken = 0;
            }
        }
        self.taken += 1;
    }

    fn make_room(&mut self) {
        if self.values.len() == MOST {
            self.values = self.values.chunks(2).map(|pair| pair.iter().copied().max().unwrap_or(0)).collect();
            self.stride *= 2;
        }
    }

    pub(super) fn values(&self) -> &[u64] {
        &self.values
    }
}

/// The live bytes of every stack at times at even distances.
#[derive(Debug)]
pub(super) struct StackHistory {
    /// Oldest first; what came later has no value in it.
    columns: VecDeque<Box<[f32]>>,
    skipped: usize,
    stride: usize,
}

impl Default for StackHistory {
    fn default() -> Self {
        Self { columns: VecDeque::new(), skipped: 0, stride: 1 }
    }
}

impl StackHistory {
    /// Takes the live bytes of one more reading, by stack. Three digits are shown, so 24 bits do.
    #[expect(clippy::cast_precision_loss, reason = "drawn with a few steps")]
    pub(super) fn push(&mut self, live_bytes: impl ExactSizeIterator<Item = u64>) {
        self.skipped += 1;
        if self.skipped < self.stride {
            return;
        }
        self.skipped = 0;
        let most = (MOST_OF_STACKS / live_bytes.len().max(1)).clamp(FEWEST_OF_ONE, MOST_OF_ONE);
        while self.columns.len() >= most {
            let mut newer = self.columns.len();
            self.columns.retain(|_| {
                newer -= 1;
                newer.is_multiple_of(2)
            });
            self.stride *= 2;
        }
        self.columns.push_back(live_bytes.map(|bytes| bytes as f32).collect());
    }

    /// The live bytes of some stacks together, oldest first.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sums of positive numbers, drawn")]
    pub(super) fn of(&self, stacks: &[u32]) -> Vec<u64> {
        let value = |column: &[f32]| -> f64 {
            stacks.iter().filter_map(|stack| column.get(*stack as usize)).copied().map(f64::from).sum()
        };
        self.columns.iter().map(|column| value(column) as u64).collect()
    }
}

/// Values brought to so many columns: of those in one column the greatest. Fewer values take fewer columns.
pub(super) fn fit(values: &[u64], columns: usize) -> Vec<u64> {
    if values.len() <= columns || columns == 0 {
        return values[values.len() - values.len().min(columns)..].to_vec();
    }
    let of_column = |column: usize| &values[column * values.len() / columns..(column + 1) * values.len() / columns];
    (0..columns).map(|column| of_column(column).iter().copied().max().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many readings come, memory is bounded, the newest is last and the peak is still seen.
    #[test]
    fn a_series_is_bounded_and_keeps_its_peak() {
        let mut series = Series::default();
        for reading in 0..100_000_u64 {
            series.push(if reading == 31_415 { 1_000_000 } else { reading });
        }
        assert!((MOST / 2..=MOST).contains(&series.values().len()));
        assert!(series.values().contains(&1_000_000));
        assert_eq!(series.values().last(), Some(&99_999));
        assert_eq!(fit(series.values(), 40).iter().max(), Some(&1_000_000));
    }

    /// Few stacks keep many values, many stacks few; stacks that came later have had nothing before.
    #[test]
    fn history_of_stacks_is_bounded() {
        let mut history = StackHistory::default();
        for reading in 0..2_000 {
            history.push([reading, 7].into_iter());
        }
        assert!((MOST_OF_ONE / 2..=MOST_OF_ONE).contains(&history.columns.len()));
        history.push(vec![5; 1 << 18].into_iter());
        let many = vec![5; 1 << 18];
        for _ in 0..history.stride {
            history.push(many.iter().copied());
        }
        assert!(history.columns.len() <= FEWEST_OF_ONE);
        assert_eq!(history.of(&[0, 99]).last(), Some(&10));
        assert!(history.of(&[1, 99]).iter().all(|value| [7, 10].contains(value)));
    }

    /// Values are brought to the room that there is, the newest to the right.
    #[test]
    fn values_fit_the_room() {
        assert_eq!(fit(&[1, 2, 3], 2), [1, 3]);
        assert_eq!(fit(&[1, 2, 3], 9), [1, 2, 3]);
        assert!(fit(&[1, 2, 3], 0).is_empty());
    }
}
