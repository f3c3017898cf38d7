//! A line of bars, each as high as a value: how a number has gone.

use crate::tui::history::fit;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The values in at most so many columns, from nothing to the greatest of them.
pub(super) fn sparkline(values: &[u64], columns: usize) -> String {
    let values = fit(values, columns);
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let bar = |value: u64| {
        let step = u128::from(value) * BARS.len() as u128 / u128::from(most);
        BARS[usize::try_from(step).unwrap_or(0).min(BARS.len() - 1)]
    };
    values.into_iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::sparkline;

    /// The greatest value fills its column; nothing is the lowest bar, also when there is nothing else.
    #[test]
    fn bars_are_as_high_as_values() {
        assert_eq!(sparkline(&[0, 50, 100, u64::MAX / 2], 9), "▁▁▁█");
        assert_eq!(sparkline(&[0, 4, 8], 9), "▁▅█");
        assert_eq!(sparkline(&[0, 0], 9), "▁▁");
        assert_eq!(sparkline(&[], 9), "");
    }
}
