//! Damaged and hostile files are refused with a clear error, or read safely, in bounded memory and time.

use std::io::{self, Read};

use super::{
    super::{
        SnapshotProblem,
        limits::Budget,
        proto,
        proto::{Label, ValueType, profile},
        read,
        read::read_within,
        wire::put_bytes,
        write,
    },
    made_of::Made,
};

/// What is said of a file.
fn refusal(file: &[u8]) -> String {
    let problem = read(file).expect_err("it is refused");
    problem.to_string()
}

/// A profile of one stack that is as it should be.
fn sound() -> Made {
    let mut made = Made::ours();
    made.mapping(1, 0x1000, "/srv/app").function(1, "main").location(1, 1, 0x1010, 1);
    made
}

/// References to what is not there, ids that are 0 or given twice: each is named.
#[test]
fn wrong_ids_are_named() {
    let sample = |made: &mut Made, stack: &[u64]| made.sample(stack, &[1, 10, 1, 10], &[]).bytes.clone();
    assert_eq!(read(&*sample(&mut sound(), &[1, 1])).unwrap().total().live_bytes(), 10);
    for (bytes, expected) in [
        (sample(&mut sound(), &[2]), "there is no location 2"),
        (sample(&mut sound(), &[0]), "there is no location 0"),
        (sample(&mut sound(), &[u64::MAX]), "there is no location 18446744073709551615"),
        (sound().location(2, 9, 1, 1).bytes.clone(), "there is no mapping 9"),
        (sound().location(2, 1, 1, 9).bytes.clone(), "there is no function 9"),
        (sound().location(1, 1, 1, 1).bytes.clone(), "two locations have the id 1"),
        (sound().location(0, 1, 1, 1).bytes.clone(), "a location has the id 0"),
        (sound().function(1, "again").bytes.clone(), "two functions have the id 1"),
        (sound().mapping(1, 0, "again").bytes.clone(), "two mappings have the id 1"),
    ] {
        assert_eq!(refusal(&bytes), format!("is damaged: {expected}"));
    }
    let name = proto::Function { id: 2, name: 99, ..proto::Function::default() };
    assert_eq!(refusal(&sound().message(profile::FUNCTION, &name).bytes), "is damaged: there is no string 99");
    let name = proto::Function { id: 2, name: -1, ..proto::Function::default() };
    assert_eq!(refusal(&sound().message(profile::FUNCTION, &name).bytes), "is damaged: there is no string -1");
}

/// Counts that no sum can hold are refused, so that no later sum overflows; negative ones are a difference.
#[test]
fn impossible_counts_are_refused() {
    let of = |values: &[&[i64]]| {
        let mut made = sound();
        for values in values {
            made.sample(&[1], values, &[]);
        }
        made.bytes
    };
    assert!(read(&*of(&[&[i64::MAX; 4]])).is_ok());
    assert_eq!(refusal(&of(&[&[i64::MAX; 4], &[1; 4]])), "is damaged: its numbers add up to more than 2^63");
    assert!(refusal(&of(&[&[1, 1, -1, 1]])).contains("difference of two profiles"));
    assert!(refusal(&of(&[&[i64::MIN; 4]])).contains("difference of two profiles"));
    assert_eq!(
        refusal(&of(&[&[1; 3]])),
        "is damaged: its samples have other numbers of values than it has sample types"
    );
    assert_eq!(refusal(&of(&[&[1; 4], &[1; 5]])), "is damaged: its samples have different numbers of values");
    assert_eq!(refusal(&of(&[&vec![1; 5000]])), "is damaged: a sample has too many values");
}

/// Numbers in comments are held to the same limit; those beyond it are kept as comments and mean nothing.
#[test]
fn impossible_numbers_in_comments_mean_nothing() {
    let mut made = sound();
    for text in
        ["memtrace.format=1", "memtrace.process.1.peak_bytes=18446744073709551615", "memtrace.lost.live-full=-1"]
    {
        made.comment(text);
    }
    made.comment("memtrace.lost.live-full=9223372036854775807")
        .comment("memtrace.lost.missed-free=9223372036854775807");
    made.comment("memtrace.lost.live-full=9223372036854775807");
    let snapshot = read(&*made.bytes).unwrap();
    assert_eq!(snapshot.about.losses.total(), u64::MAX);
    assert_eq!(snapshot.processes[0].totals, None);
    assert_eq!(snapshot.about.comments.len(), 2);
}

/// A length of four gigabytes is not believed.
#[test]
fn announced_lengths_are_not_believed() {
    for length in [1_u64 << 32, u64::MAX, 1 << 26, (1 << 26) + 1] {
        let mut bytes = sound().bytes;
        bytes.push(u8::try_from(profile::STRING << 3 | 2).unwrap());
        prost::encoding::encode_varint(length, &mut bytes);
        bytes.extend_from_slice(b"short");
        let expected = if length > 1 << 26 { "is damaged" } else { "is incomplete" };
        assert!(refusal(&bytes).starts_with(expected));
    }
}

/// A stream that repeats without end, as what a gzip bomb unpacks to.
struct Endless<'a> {
    head: &'a [u8],
    round: &'a [u8],
    at: usize,
}

impl Read for Endless<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.head.is_empty() {
            return self.head.read(buffer);
        }
        for byte in buffer.iter_mut() {
            *byte = self.round[self.at % self.round.len()];
            self.at += 1;
        }
        Ok(buffer.len())
    }
}

/// Messages without end are given up at a limit, whatever they are of.
#[test]
fn endless_files_are_given_up() {
    let head = sound().bytes;
    let message = |field, content: &[u8]| {
        let mut bytes = Vec::new();
        put_bytes(field, content, &mut bytes);
        bytes
    };
    let sample = Made::default().sample(&[1; 40], &[0; 4], &[]).bytes.clone();
    let location = Made::default().location(5, 0, 0, 1).bytes.clone();
    let rounds = [
        message(profile::STRING, &[b'a'; 4096]),
        message(profile::STRING, b""),
        message(profile::FUNCTION, b""),
        message(profile::MAPPING, b""),
        message(profile::COMMENT, &[0; 4096]),
        message(profile::SAMPLE_TYPE, b""),
        sample,
        location,
    ];
    for round in rounds {
        let file = Endless { head: &head, round: &round, at: 0 };
        let problem = read_within(file, Budget::of_memory(16 << 20)).expect_err("given up");
        let expected = matches!(problem, SnapshotProblem::TooLarge(_) | SnapshotProblem::Damaged(_));
        assert!(expected, "{round:?}: {problem}");
    }
}

/// Frames are limited, however few bytes they take: of one stack, and of all samples.
#[test]
fn deep_stacks_are_limited() {
    let deep = |count: usize| {
        let mut made = sound();
        made.sample(&vec![1; count], &[1, 1, 1, 1], &[]).bytes.clone()
    };
    assert_eq!(read(&*deep(1 << 16)).unwrap().samples[0].stack.len(), 1 << 16);
    assert_eq!(refusal(&deep((1 << 16) + 1)), "is too large: a stack has more than 65536 frames");
    let mut many = sound();
    let stack = vec![1; 1 << 16];
    for _ in 0..1 << 10 {
        many.sample(&stack, &[0; 4], &[]);
    }
    assert!(read(&*many.bytes).is_ok());
    // Inlined functions count as frames.
    let mut inlined = sound();
    let lines = vec![proto::Line { function_id: 1, line: 1 }; 1 << 10];
    inlined.message(profile::LOCATION, &proto::Location { id: 2, mapping_id: 1, address: 1, lines });
    assert_eq!(
        refusal(&inlined.sample(&[2; 65], &[1; 4], &[]).bytes),
        "is too large: a stack has more than 65536 frames"
    );
}

/// Labels in absurd numbers, or that lead nowhere, do no harm.
#[test]
fn absurd_labels_do_no_harm() {
    let mut made = sound();
    let key = made.string(b"pid");
    let labels: Vec<Label> = (0..100_000).map(|number| Label { key, number, ..Label::default() }).collect();
    made.sample(&[1], &[1, 10, 1, 10], &labels);
    let snapshot = read(&*made.bytes).unwrap();
    assert_eq!((snapshot.processes[0].info.pid, snapshot.processes.len()), (99_999, 1));
    let nowhere = Label { key: 1 << 40, ..Label::default() };
    assert!(refusal(&sound().sample(&[1], &[1; 4], &[nowhere]).bytes).contains("there is no string"));
}

/// Text that is no UTF-8 is read as far as it can be; escape sequences stay in the names, which views escape.
#[test]
fn odd_names_are_kept() {
    let mut made = sound();
    let name = made.string(b"\x1b[31m\xff\xfename");
    made.message(profile::FUNCTION, &proto::Function { id: 2, name, ..proto::Function::default() });
    made.location(2, 1, 0x1020, 2).sample(&[2], &[1; 4], &[]);
    let snapshot = read(&*made.bytes).unwrap();
    let frames = snapshot.symbols.frames(snapshot.samples[0].stack[0]);
    assert_eq!(frames[0].function.as_deref(), Some("\u{1b}[31m\u{fffd}\u{fffd}name"));
    let mut again = Vec::new();
    write(&mut again, &snapshot).unwrap();
    assert!(read(&*again).is_ok());
}

/// What is no profile of memory is told what it is.
#[test]
fn other_files_are_told_apart() {
    let cpu = Made::of_types(&["samples/count", "cpu/nanoseconds"]).bytes;
    for (bytes, expected) in [
        (&b""[..], "is empty"),
        (b"heap profile: 1: 2 [3: 4] @ heapprofile\n", "is a heap profile in an older format, as text"),
        (b"{\"json\": true}", "is no pprof profile"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0", "is no pprof profile"),
        (&[0; 100], "is no pprof profile"),
        (b"\x1f\x8b", "is incomplete: it ends in the middle of the profile"),
        (&cpu, "is no heap profile: its sample types are samples (count), cpu (nanoseconds)"),
    ] {
        assert_eq!(refusal(bytes), expected);
    }
    let newer = Made::ours().comment("memtrace.format=2").bytes.clone();
    assert!(refusal(&newer).starts_with("is of format 2, which a later memtrace wrote"));
    let many = Made::of_types(&["x/y"; 65]).bytes;
    assert_eq!(refusal(&many), "is damaged: more than 64 sample types");
    let long = Made::of_types(&[&format!("{}/count", "é".repeat(1000))]).bytes;
    assert!(refusal(&long).len() < 200);
}

/// The order of messages is free, and a default may come before what it names.
#[test]
fn order_of_messages_is_free() {
    let mut made = Made::default();
    made.sample(&[1], &[7], &[]).location(1, 0, 0x10, 0);
    put_bytes(profile::STRING, b"", &mut made.bytes);
    put_bytes(profile::STRING, b"inuse_space", &mut made.bytes);
    put_bytes(profile::STRING, b"bytes", &mut made.bytes);
    made.message(profile::SAMPLE_TYPE, &ValueType { kind: 1, unit: 2 });
    assert_eq!(read(&*made.gzip()).unwrap().total().live_bytes(), 7);
}
