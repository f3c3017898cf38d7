//! The sum over an output is that of the snapshot, whatever the format, the value and the shape.

use proptest::prelude::*;

use super::{Export, FORMATS, format, read_back::sum, text, varied};
use crate::profile::{ProcessIndex, Snapshot, SortBy, ThreadIndex, fixture::Scene};

fn check(snapshot: &Snapshot, value: SortBy, lines: bool) {
    let total = value.value(&snapshot.total());
    for format in FORMATS {
        let export = Export { value, lines, per_thread: lines, ..Export::of(snapshot) };
        let output = text(format, &export);
        if format.name() == "svg" && total == 0 {
            assert!(output.contains(": none</text>"));
        } else {
            assert_eq!(sum(format.name(), &output, value), total, "{} {value:?}", format.name());
        }
    }
}

/// Each format adds up to the snapshot, for each value, with lines and without.
#[test]
fn formats_add_up() {
    for value in SortBy::all() {
        check(&varied(), value, false);
        check(&varied(), value, true);
    }
}

/// A snapshot without a sample, or with nothing of the value, is exported like any other.
#[test]
fn nothing_is_exported_as_nothing() {
    check(&Snapshot::default(), SortBy::LiveBytes, false);
    let mut scene = Scene::default();
    scene.sample(&["main@app"], 3, 10, 3);
    check(&scene.snapshot(), SortBy::LiveBytes, false);
}

/// A flame graph leaves out what is too narrow to see, and still shows every byte of it in the frame below.
#[test]
fn narrow_frames_are_not_lost() {
    let mut scene = Scene::default();
    for index in 0..20_000 {
        scene.sample(&[&format!("f{index}@app"), "main@app"], 1, 1, 0);
        scene.sample(&[&format!("g{index}@app")], 1, 1, 0);
    }
    let snapshot = scene.snapshot();
    let svg = text(format("svg"), &Export::of(&snapshot));
    assert!(svg.len() < 100_000, "{} bytes", svg.len());
    assert!(svg.contains("<title>main (20,000 bytes, 50.00%)") && svg.contains("[too narrow to draw] (20,000 bytes"));
    check(&snapshot, SortBy::LiveBytes, false);
}

/// Of two snapshots, folded lines carry both numbers, and a stack in one of them alone has a 0 for the other.
#[test]
fn folded_difference_carries_both_numbers() {
    let scene = |frames: &[(&str, u64)]| {
        let mut scene = Scene::default();
        for (frame, bytes) in frames {
            scene.sample(&[frame, "main@app"], 1, *bytes, 0);
        }
        scene.snapshot()
    };
    let (before, after) = (scene(&[("gone@app", 5), ("kept@app", 7)]), scene(&[("new@app", 3), ("kept@app", 9)]));
    let export = Export { base: Some(&before), ..Export::of(&after) };
    assert_eq!(text(format("folded"), &export), "main;gone 5 0\nmain;kept 7 9\nmain;new 0 3\n");
    let svg = text(format("svg"), &export);
    assert!(svg.contains("before 12 B, after 12 B"));
    // What is gone has no width; its caller shows the loss.
    assert!(!svg.contains("<title>gone") && svg.contains("<title>new (3 bytes, 25.00%; +25.00%)"));
}

/// A long command line does not make the title wider than the picture.
#[test]
fn title_fits_the_picture() {
    let mut scene = Scene::default();
    scene.process.command = "/bin/app --with argument ".repeat(40);
    scene.sample(&["main@app"], 1, 10, 0);
    let svg = text(format("svg"), &Export::of(&scene.snapshot()));
    let title = svg.split("id=\"title\"").nth(1).and_then(|rest| rest.split(['>', '<']).nth(1)).expect("a title");
    assert!(title.starts_with("live bytes of /bin/app") && title.chars().count() <= 110, "{title}");
}

/// A name that sorts between the stacks of another does not tear that one's frame apart.
#[test]
fn frames_stay_in_one_piece() {
    let mut scene = Scene::default();
    scene.sample(&["main@app"], 1, 10, 0);
    scene.sample(&["x@app", "main helper@app"], 1, 10, 0);
    scene.sample(&["y@app", "main@app"], 1, 10, 0);
    let svg = text(format("svg"), &Export::of(&scene.snapshot()));
    assert_eq!(svg.matches("<title>main (20 bytes").count(), 1, "{svg}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Random snapshots add up in every format.
    #[test]
    fn random_snapshots_add_up(
        samples in proptest::collection::vec((0_usize..6, 0_usize..4, 0_u32..3, 0_u64..9, 1_u64..1 << 40, 0_u64..9), 0..40),
        value in 0_usize..5,
    ) {
        let frames = ["main@app", "f@app@f.c:1", "f@app@f.c:2", "0x20@lib", "f@other"];
        let mut scene = Scene::default();
        for (depth, first, process, allocated, size, freed) in samples {
            let stack: Vec<&str> = (0..depth).map(|index| frames[(first + index * index) % frames.len()]).collect();
            let sample = scene.sample(&stack, allocated, size, freed.min(allocated));
            sample.process = ProcessIndex(process);
            sample.thread = (first == 3).then_some(ThreadIndex(process));
        }
        check(&scene.snapshot(), SortBy::all().nth(value).unwrap(), value.is_multiple_of(2));
    }
}
