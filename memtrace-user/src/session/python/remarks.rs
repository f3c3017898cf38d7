//! What is said of Python in the sentences of reports and views.

use crate::{profile::ProcessTotals, python::Pooled};

/// What is shown of a program that has ended.
pub(super) const ENDED: &str = "shown is what the program held when its last line, its threads and its exit handlers were done: \
    what Python frees as it takes itself apart is not recorded (with --through-exit it is)";

/// Why no kernel before 5.17 walks its frames.
pub(super) const NO_LOOP: &str = "this kernel has no bpf_loop, which came with Linux 5.17";

/// What is seen of an interpreter with allocator hooks.
pub(super) const HOOKED: &str = "Python runs with allocator hooks (as -X dev and tracemalloc install them): each object that it asks \
    for from now on is seen, at the size asked for";

/// When the hooks are gone.
pub(super) const UNHOOKED: &str = "Python's allocator hooks have been taken away (tracemalloc.stop()?): objects from before that \
    are freed since are still shown as live, and new ones of up to 512 bytes are not seen";

/// What cannot be seen while the interpreter has its own allocator, and how much that is as far as it is known. `from_start` is of
/// a command: one that does not look like Python has not been told to use malloc.
pub(super) fn pooled(held: Option<Pooled>, from_start: bool) -> String {
    let held = held.map_or_else(String::new, |Pooled { blocks, bytes, pool_bytes }| {
        format!(": {blocks} of them hold {}, in {}", mebibytes(bytes), mebibytes(pool_bytes))
    });
    let remedy = if from_start {
        "with PYTHONMALLOC=malloc in the command's environment each is"
    } else {
        "`memtrace run` sees each, as PYTHONMALLOC=malloc does"
    };
    format!(
        "Python's objects of up to 512 bytes lie in pools of its own (pymalloc) and are not seen one by one{held}; {remedy}"
    )
}

/// What `tracemalloc` would say of a program that has been recorded from its interpreter's beginning.
pub(super) fn beyond_start(before: u64, totals: &ProcessTotals) -> String {
    let [live, peak] = [totals.current_bytes, totals.peak_bytes].map(|bytes| mebibytes(bytes.saturating_sub(before)));
    format!(
        "Python held {} before it began with the program; beyond that {live} are live, peak {peak}: to be compared with a \
         tracemalloc that the program starts",
        mebibytes(before)
    )
}

#[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
fn mebibytes(bytes: u64) -> String {
    format!("{:.2} MiB", bytes as f64 / f64::from(1 << 20))
}
