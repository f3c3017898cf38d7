//! The table at the end: one line a kernel.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::kernels::{Expectation, Kernel};
use super::qemu::End;

/// Lines of a failed machine's console that are shown.
const SHOWN: usize = 200;

/// How the tests went on a kernel.
#[derive(Debug)]
pub struct Row {
    /// The kernel's name.
    pub kernel: String,
    release: String,
    outcome: String,
    tests: String,
    took: Duration,
    log: PathBuf,
    /// What that comes to.
    pub verdict: Verdict,
}

/// What a machine's end comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All is as it should be.
    Passed,
    /// It is not.
    Failed,
    /// The emulator has erred each time, so nothing is known of this kernel.
    Unknown,
}

impl Row {
    /// From a machine's end and what its console said.
    pub fn new(kernel: &Kernel, end: &End, took: Duration, log: PathBuf) -> Self {
        let console = std::fs::read(&log).unwrap_or_default();
        let console = String::from_utf8_lossy(&console);
        let after =
            |mark: &str| console.lines().rev().find_map(|line| line.trim().strip_prefix(mark).map(str::to_owned));
        let release = after("VM-UP ").and_then(|text| text.split(' ').next().map(str::to_owned));
        let tests = after("test result: ").map(|text| counts(&text)).unwrap_or_default();
        // A filter that matches nothing would pass without having tested anything.
        let passed = *end == End::Exit(0) && !tests.starts_with("0 ") && !tests.is_empty();
        let verdict = match end {
            End::Exit(0) if passed => Verdict::Passed,
            End::BadFlags => Verdict::Unknown,
            _ => Verdict::Failed,
        };
        let outcome = match end {
            End::Exit(0) if !passed => "no test ran".to_owned(),
            End::Exit(0) if kernel.expectation == Expectation::Refused => "refused, as it should be".to_owned(),
            _ => end.to_string(),
        };
        Self { kernel: kernel.name(), release: release.unwrap_or_default(), outcome, tests, took, log, verdict }
    }

    /// Prints the end of the console's log.
    pub fn show_log(&self) {
        let console = std::fs::read(&self.log).unwrap_or_default();
        let console = String::from_utf8_lossy(&console).replace('\r', "");
        let lines: Vec<_> = console.lines().collect();
        let first = lines.len().saturating_sub(SHOWN);
        eprintln!("{}\n(all of it: {})", lines[first..].join("\n"), self.log.display());
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kernel, release, outcome, tests, took, .. } = self;
        write!(formatter, "{kernel:<15} {release:<32} {outcome:<25} {tests:<24} {:>5.0} s", took.as_secs_f64())
    }
}

/// The rows under a heading.
pub fn table(rows: &[Row]) -> String {
    let heading = format!("{:<15} {:<32} {:<25} {:<24} {:>7}", "Kernel", "Release", "Outcome", "Tests", "Time");
    rows.iter().fold(heading, |table, row| format!("{table}\n{row}"))
}

/// `ok. 12 passed; 0 failed; 0 ignored; …` in short.
fn counts(result: &str) -> String {
    let numbers = result.split(". ").nth(1).unwrap_or(result);
    numbers.split("; ").take(2).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::kernels::KERNELS;

    /// The test program's own summary is read.
    #[test]
    fn results_are_counted() {
        let result = "ok. 12 passed; 0 failed; 0 ignored; 0 measured; 62 filtered out; finished in 8.15s";
        assert_eq!(counts(result), "12 passed, 0 failed");
    }

    /// A machine in which no test ran has failed, whatever its status; one that the emulator has spoilt says nothing.
    #[test]
    fn ends_are_judged() {
        let verdict = |end| Row::new(&KERNELS[1], &end, Duration::ZERO, PathBuf::from("/nonexistent")).verdict;
        assert_eq!(verdict(End::Exit(0)), Verdict::Failed);
        assert_eq!(verdict(End::NotUp), Verdict::Failed);
        assert_eq!(verdict(End::BadFlags), Verdict::Unknown);
    }
}
