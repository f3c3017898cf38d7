//! Medians and spreads.

/// A middle value and the extremes around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The median.
    pub median: f64,
    /// The lowest value.
    pub lowest: f64,
    /// The highest value.
    pub highest: f64,
}

impl Summary {
    /// Of some values; `None` of none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (&lowest, &highest) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { median, lowest, highest })
    }

    /// `620 (605–702)`, with so many decimals.
    pub fn show(&self, decimals: usize) -> String {
        format!("{:.decimals$} ({:.decimals$}–{:.decimals$})", self.median, self.lowest, self.highest)
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;

    /// The median is the middle value, or the mean of the two in the middle; extremes are kept; nothing has no median.
    #[test]
    fn medians_and_extremes() {
        assert_eq!(Summary::of([3.0, 1.0, 9.0]), Some(Summary { median: 3.0, lowest: 1.0, highest: 9.0 }));
        assert_eq!(Summary::of([4.0, 1.0, 2.0, 9.0]).map(|summary| summary.median), Some(3.0));
        assert_eq!(Summary::of([]), None);
        assert_eq!(Summary::of([1.0, 2.0, 3.0]).map(|summary| summary.show(1)), Some("2.0 (1.0–3.0)".into()));
    }
}
