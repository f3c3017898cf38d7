//! What is said of a budget: when something changes, and in every report afterwards.

use memtrace_common::steps;

/// Blocks are chosen by another step from now on.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// What tracing has taken of the CPU time.
    pub share: f64,
    /// What it may.
    pub most: f64,
    /// The steps.
    pub before: u64,
    /// See `before`.
    pub next: u64,
    /// Mean distance of points from now on, in bytes.
    pub mean: u64,
    /// Seconds of tracing so far.
    pub seconds: u64,
}

impl Change {
    /// At the moment.
    #[must_use]
    pub fn news(&self) -> String {
        let (share, most, mean) = (percent(self.share), percent(self.most), bytes(self.mean));
        let cost = match self.before {
            steps::ALL => format!("recording every block takes {share} of the CPU time"),
            before if before < self.next => format!("tracing takes {share} of the CPU time"),
            _ => format!("tracing takes only {share} of the CPU time"),
        };
        format!("{cost}: from here on blocks are sampled by one byte in {mean}, as --max-overhead is {most}")
    }

    /// For good.
    #[must_use]
    pub fn note(&self) -> String {
        let (most, mean) = (percent(self.most), bytes(self.mean));
        format!(
            "sampled to stay within --max-overhead {most}: one byte in {mean}, from {} s of tracing on",
            self.seconds
        )
    }
}

/// What calls take of the CPU time by themselves, where that is more than they may.
#[must_use]
pub fn too_dear(calls: f64, most: f64) -> String {
    let (calls, most) = (percent(calls), percent(most));
    format!("calls of the allocator cost {calls} of the CPU time, however little is recorded; --max-overhead is {most}")
}

fn percent(share: f64) -> String {
    let percent = (share * 1000.0).round() / 10.0;
    format!("{percent}%")
}

fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 2] = [(1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.iter().find(|(size, _)| count.is_multiple_of(*size));
    unit.map_or_else(|| format!("{count} bytes"), |(size, name)| format!("{} {name}", count / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is said what tracing costs, what it may, and what is done about it.
    #[test]
    fn changes_are_told() {
        let change = Change { share: 0.1234, most: 0.05, before: steps::ALL, next: 4, mean: 64 << 10, seconds: 3 };
        insta::assert_snapshot!(
            [
                change.news(),
                Change { before: 2, ..change }.news(),
                Change { before: 6, share: 0.005, ..change }.news(),
                change.note(),
                Change { mean: 1_000_003, ..change }.note(),
                too_dear(0.3, 0.005),
            ]
            .join("\n"),
            @r"
            recording every block takes 12.3% of the CPU time: from here on blocks are sampled by one byte in 64 KiB, as --max-overhead is 5%
            tracing takes 12.3% of the CPU time: from here on blocks are sampled by one byte in 64 KiB, as --max-overhead is 5%
            tracing takes only 0.5% of the CPU time: from here on blocks are sampled by one byte in 64 KiB, as --max-overhead is 5%
            sampled to stay within --max-overhead 5%: one byte in 64 KiB, from 3 s of tracing on
            sampled to stay within --max-overhead 5%: one byte in 1000003 bytes, from 3 s of tracing on
            calls of the allocator cost 30% of the CPU time, however little is recorded; --max-overhead is 0.5%
            "
        );
    }
}
