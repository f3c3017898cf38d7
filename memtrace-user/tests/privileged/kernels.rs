//! What memtrace says to kernels that it does not run on.

use crate::binary::memtrace;

/// A kernel below the floor is refused by name, before anything else is said or done, and the remedy is named.
#[test]
#[ignore = "for a kernel below 5.15: `cargo xtask vm-test` runs it on one"]
fn old_kernels_are_refused() {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let expected = format!(
        "memtrace: error: kernel {} is too old: memtrace needs 5.15 or newer\n\
         hint: boot a newer kernel; every supported distribution offers one\n",
        release.trim()
    );
    for words in [&["run", "--", "true"][..], &["attach", "--pid", "1"]] {
        let output = memtrace(words).output().expect("memtrace starts");
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(1), &*expected));
    }
}
