//! Reads any bytes as a snapshot file, and writes and reads again what came out.

#![no_main]

use libfuzzer_sys::fuzz_target;
use memtrace::snapshot::{read, write};

fuzz_target!(|data: &[u8]| {
    let Ok(snapshot) = read(data) else { return };
    let mut written = Vec::new();
    write(&mut written, &snapshot).expect("a vector has room");
    let again = read(&*written).expect("what was written is read");
    assert_eq!(again.total(), snapshot.total());
    assert_eq!(again.samples.len(), snapshot.samples.len());
});
