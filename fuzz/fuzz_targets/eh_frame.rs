//! Files with hostile unwind information: no panic, and whatever table comes of it can be searched anywhere.
#![no_main]

use libfuzzer_sys::fuzz_target;
use memtrace::unwind::UnwindTable;

fuzz_target!(|image: &[u8]| {
    if let Ok(Some(table)) = UnwindTable::of_image(image) {
        for offset in (0..u32::MAX).step_by(1 << 24).chain(0..4096).chain([u32::MAX]) {
            let _ = table.rule_at(offset);
        }
    }
});
