//! What holds for every format: sums, names of hostile programs, nothing to show.

mod hostile;
mod read_back;
mod schema;
mod sums;

use super::{Export, Exporter, FORMATS, write};
use crate::profile::{ProcessIndex, Snapshot, StackEnd, ThreadIndex, TracedProcess, TracedThread, fixture::Scene};

/// A snapshot with two processes, threads, inlined and nameless code, stacks without end and without frames.
fn varied() -> Snapshot {
    let mut scene = Scene::default();
    let run = ["grow@/bin/app@/src/grow.rs:7", "run@/bin/app@/src/run.rs:30", "main@/bin/app@/src/main.rs:3"];
    scene.sample(&run, 10, 4096, 4).thread = Some(ThreadIndex(0));
    scene.sample(&run, 3, 4096, 0).thread = Some(ThreadIndex(1));
    scene.sample(&["grow@/bin/app@/src/grow.rs:9", "main@/bin/app@/src/main.rs:4"], 5, 100, 5);
    scene.sample(&["0x1f@/lib/libz.so.1", "main@/bin/app@/src/main.rs:3"], 7, 33, 2);
    scene.sample(&["grow@/bin/other", "main@/bin/other"], 2, 1_000_000, 1).process = ProcessIndex(1);
    scene.sample(&["f@/bin/app"], 1, 12, 0).end = StackEnd::Truncated;
    scene.sample(&["g@/bin/app"], 1, 13, 0).end = StackEnd::Incomplete;
    scene.sample(&[], 6, 17, 3);
    scene.process.pid = 763;
    scene.process.command = "/bin/app --serve".into();
    let mut snapshot = scene.snapshot();
    let mut other = TracedProcess::default();
    (other.info.pid, other.info.command) = (764, "/bin/other".into());
    snapshot.processes.push(other);
    let thread = |tid, name: &str| TracedThread { tid, name: name.into() };
    snapshot.threads = vec![thread(763, "app"), thread(770, "worker")];
    snapshot
}

fn format(name: &str) -> &'static dyn Exporter {
    *FORMATS.iter().find(|format| format.name() == name).expect("a format of that name")
}

fn text(format: &dyn Exporter, export: &Export<'_>) -> String {
    let mut out = Vec::new();
    write(format, export, &mut out).expect("a vector takes everything");
    String::from_utf8(out).expect("every format is UTF-8")
}
