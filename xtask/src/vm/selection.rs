//! Which tests run in a machine.

use super::Arguments;
use super::kernels::{Expectation, Kernel};

/// Tests that run everywhere: they need no program but those that are taken along.
const TESTS: [&str; 12] = [
    "accounting::",
    "errors::",
    "family::",
    "harm::",
    "isolation::",
    "mappings::",
    "python::",
    "sampling::",
    "smoke::",
    "stacks::",
    "targets::",
    "threads::",
];
/// Of these, what cannot run: there is no such compiler, or no such program.
const SKIPPED: [&str; 8] = [
    "exceptions",
    "no_allocator",
    "static_and_stripped",
    "thirty_two_bit",
    "closed_pipe",
    "calls_in_signal_handlers_do_not_disturb",
    "of_node",
    "of_servers",
];
/// The quick selection.
const QUICK: [&str; 10] = [
    "smoke::",
    "targets::",
    "the_peak_is_exact",
    "the_peak_of_threads",
    "realloc_ends",
    "stacks_of_every_depth",
    "a_forked_child_counts",
    "mappings_are_exact_from_the_start",
    "lines_hold_what_tracemalloc_says",
    "sums_are_estimated",
];
/// What the quick selection leaves out on recent kernels, where loading the programs takes three times as long in emulation.
const LEFT_TO_OLDER: [&str; 5] =
    ["realloc_ends", "the_peak_is_exact", "sums_are_estimated", "stacks_of_every_depth", "targets::python3"];
/// The one test on a kernel that is too old.
const REFUSAL: &str = "old_kernels_are_refused";

/// The shell script that runs the tests.
pub fn script(kernel: &Kernel, arguments: &Arguments) -> String {
    let filters: Vec<&str> = match kernel.expectation {
        Expectation::Refused => vec!["--ignored", REFUSAL],
        Expectation::Works if !arguments.filters.is_empty() => arguments.filters.iter().map(String::as_str).collect(),
        Expectation::Works if arguments.all => TESTS.to_vec(),
        Expectation::Works => QUICK.to_vec(),
    };
    let left_out: &[&str] = if arguments.is_quick() && kernel.is_recent() { &LEFT_TO_OLDER } else { &[] };
    let skipped: Vec<String> = SKIPPED.iter().chain(left_out).map(|name| format!("--skip {name}")).collect();
    format!(
        "export MEMTRACE_TEST_PREBUILT=1 MEMTRACE_TEST_ROUNDS=1000\nulimit -c 0\nexec /tests --test-threads 1 {} {}\n",
        skipped.join(" "),
        filters.join(" ")
    )
}
