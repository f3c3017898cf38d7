//! Totals of real programs, against valgrind's count of the same commands.
//!
//! Both runs get the same environment, down to the libraries that valgrind preloads (which do nothing outside it):
//! programs copy their environment, and the dynamic loader's tables grow with the libraries. valgrind counts as
//! memtrace does: bytes asked for, a realloc as a free and an allocation.

use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt as _,
    path::Path,
    process::{Command, Stdio},
};

use memtrace::tracer::TracerOptions;

use crate::{
    numbers::{Fixed, Use},
    support::options,
};

/// What valgrind prints: allocations, frees, bytes allocated.
type HeapUsage = (u64, u64, u64);

/// Finds no errors and traces no children: only counts. What the C library frees only because valgrind asks it to is
/// left alone.
const VALGRIND: [&str; 7] = [
    "--tool=memcheck",
    "--undef-value-errors=no",
    "--leak-check=no",
    "--run-libc-freeres=no",
    "--run-cxx-freeres=no",
    "--trace-children=no",
    "--log-file=valgrind.log",
];

/// A command under valgrind, in a directory of its own and with nothing but this environment.
fn valgrind(words: &[&str], environment: &[(String, OsString)], directory: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(VALGRIND).args(words).env_clear().envs(environment.iter().cloned()).current_dir(directory);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// The environment that a program gets from valgrind.
fn environment_under_valgrind(environment: &[(String, OsString)], directory: &Path) -> Vec<(String, OsString)> {
    let output = valgrind(&["/usr/bin/env", "-0"], environment, directory).output().expect("valgrind runs");
    let assignments = output.stdout.split(|&byte| byte == 0).filter(|text| !text.is_empty());
    let pair = |text: &[u8]| {
        let at = text.iter().position(|&byte| byte == b'=').expect("an assignment");
        let name = String::from_utf8(text[..at].to_vec()).expect("a UTF-8 name");
        (name, OsString::from_vec(text[at + 1..].to_vec()))
    };
    assignments.map(pair).collect()
}

/// The numbers of the line "total heap usage: 1,234 allocs, 1,200 frees, 56,789 bytes allocated".
fn heap_usage(log: &str) -> HeapUsage {
    let line = log.lines().find(|line| line.contains("total heap usage:")).unwrap_or_else(|| panic!("{log}"));
    let numbers = line.split_once("usage:").expect("found above").1.replace(',', "");
    let mut numbers = numbers.split_whitespace().filter_map(|word| word.parse().ok());
    let mut next = || numbers.next().expect("three numbers");
    (next(), next(), next())
}

/// Runs a command under both; returns valgrind's numbers and memtrace's.
fn measure(words: &[&str], settings: &[(&str, &str)], directory: &Path) -> [HeapUsage; 2] {
    let fixed = [("LC_ALL", "C"), ("PATH", "/usr/bin:/bin"), ("HOME", "/nonexistent")];
    let mut environment: Vec<(String, OsString)> =
        fixed.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), value.into())).collect();
    environment.push(("PWD".into(), directory.into()));
    let seen = environment_under_valgrind(&environment, directory);
    let status = valgrind(words, &environment, directory).stdout(Stdio::null()).status().expect("valgrind runs");
    assert!(status.success(), "{words:?} fails under valgrind");
    let log = fs::read_to_string(directory.join("valgrind.log")).expect("valgrind's log");
    let command = Fixed { words: words.to_vec(), environment: seen, directory, output: Path::new("/dev/null") };
    let outcome = command.run_traced(&TracerOptions { through_exit: true, ..options() });
    assert!(outcome.status.success(), "{words:?} fails under memtrace");
    outcome.assert_consistent();
    assert_eq!(outcome.losses(), []);
    let Use { allocated, freed } = outcome.usage();
    let [valgrind, memtrace] = [heap_usage(&log), (allocated.0, freed.0, allocated.1)];
    println!("{}: valgrind {valgrind:?}, memtrace {memtrace:?}", words[0]);
    [valgrind, memtrace]
}

/// Asserts that both count the same.
fn expect_equal(words: &[&str], settings: &[(&str, &str)], directory: &Path) {
    let [valgrind, memtrace] = measure(words, settings, directory);
    assert!(valgrind.0 > 0);
    assert_eq!(memtrace, valgrind, "{words:?}");
}

/// Asserts that what differs, and has its cause in the program, is no more than a thousandth.
fn expect_near(memtrace: u64, valgrind: u64) {
    assert!(memtrace.abs_diff(valgrind) * 1000 <= valgrind, "{memtrace}, {valgrind} by valgrind");
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

/// Runs a command that prepares something.
fn prepare(words: &[&str], settings: &[(&str, &str)], directory: &Path) -> Vec<u8> {
    let mut command = Command::new(words[0]);
    let output = command.args(&words[1..]).envs(settings.iter().copied()).current_dir(directory).output();
    let output = output.expect("the program runs");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// git, on a generated repository, as it is on every machine.
const GIT: [(&str, &str); 6] = [
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_AUTHOR_DATE", "2024-01-01T00:00:00Z"),
    ("GIT_COMMITTER_DATE", "2024-01-01T00:00:00Z"),
    ("GIT_PAGER", "cat"),
    ("EMAIL", "nobody@example.org"),
];

fn repository(directory: &Path) {
    let git = |words: &[&str]| prepare(&[&["/usr/bin/git", "-c", "user.name=nobody"], words].concat(), &GIT, directory);
    git(&["init", "--quiet"]);
    for commit in 0..15_u32 {
        for file in 0..4 {
            let lines = (0..200).map(|line| format!("{}\n", (line * 7 + file) % (commit + 3)));
            fs::write(directory.join(format!("file{file}")), lines.collect::<String>()).expect("a file");
        }
        git(&["add", "."]);
        git(&["commit", "--quiet", "--message", &format!("commit {commit}")]);
    }
    fs::write(directory.join("file0"), "changed\n").expect("a file");
    // The index is as new as the files: a later moment makes git read all of them again, in both runs.
    git(&["status"]);
}

/// git log with patches.
#[test]
fn git_log() {
    let directory = directory();
    repository(directory.path());
    expect_equal(&["/usr/bin/git", "--no-pager", "log", "-p", "--stat"], &GIT, directory.path());
}

/// git diff of the working tree.
#[test]
fn git_diff() {
    let directory = directory();
    repository(directory.path());
    expect_equal(&["/usr/bin/git", "--no-pager", "diff", "HEAD~5"], &GIT, directory.path());
}

/// sqlite3 on a generated table.
#[test]
fn sqlite3() {
    let statements = "create table t(a integer primary key, b text);
        with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000)
        insert into t select i, printf('row %d', i * 7919 % 3001) from n;
        create index b on t(b);
        select count(*), max(b) from t where b like 'row 1%';
        select b, count(*) from t group by substr(b, 1, 6) order by 2 desc limit 10;";
    expect_equal(&["/usr/bin/sqlite3", ":memory:", statements], &[], directory().path());
}

/// perl: a hash, sorting, substitutions.
#[test]
fn perl() {
    let script = r#"
        my %lines;
        $lines{$_ % 997} .= "x$_" for 1..20000;
        my @sorted = sort { length $lines{$a} <=> length $lines{$b} or $a <=> $b } keys %lines;
        s/x(\d)/y$1$1/g for values %lines;
        print scalar(@sorted), join ",", @sorted[0..9];"#;
    let settings = [("PERL_HASH_SEED", "0"), ("PERL_PERTURB_KEYS", "0")];
    expect_equal(&["/usr/bin/perl", "-e", script], &settings, directory().path());
}

/// Debian's python3, with every object from malloc. Blocks and frees are the same but for the few that depend on addresses
/// and times, which differ from run to run (seen: none, or one of 68 bytes). Bytes are not: an integer takes 4 bytes for
/// each 30 bits, and the import locks keep the thread's identifier, an address, which is small under valgrind.
#[test]
fn python3() {
    let script = r#"
import json, re
data = {str(i): [i] * (i % 7) for i in range(1000)}
text = json.dumps(data)
assert json.loads(text) == data
print(len(set(re.findall(r"\d+", text))))"#;
    let settings = [("PYTHONMALLOC", "malloc"), ("PYTHONHASHSEED", "0"), ("PYTHONDONTWRITEBYTECODE", "1")];
    let [valgrind, memtrace] = measure(&["/usr/bin/python3", "-c", script], &settings, directory().path());
    assert!(memtrace.0.abs_diff(valgrind.0) <= 4, "{memtrace:?}, {valgrind:?}");
    assert_eq!(memtrace.0 - memtrace.1, valgrind.0 - valgrind.1, "blocks left, {memtrace:?}, {valgrind:?}");
    expect_near(memtrace.2, valgrind.2);
}

/// Bytes of a table in which cc1's garbage collector finds the pages of 16 MiB of addresses (gcc/ggc-page.cc).
const CC1_PAGE_TABLE: u64 = 32768;

/// The C compiler proper. All is the same but the number of page tables, which differs by where its memory lies: from run
/// to run, and under valgrind.
#[test]
fn cc1() {
    let directory = directory();
    let compiler = prepare(&["gcc", "-print-prog-name=cc1"], &[], directory.path());
    let compiler = String::from_utf8(compiler).expect("a path");
    let function =
        |n: u32| format!("int f{n}(int a, int *b) {{ for (int i = {n}; i < a; i++) b[i] += a * i; return *b; }}\n");
    fs::write(directory.path().join("source.c"), (0..100).map(function).collect::<String>()).expect("a file");
    // Its garbage collector's limits follow the machine's memory unless they are told.
    let limits = ["--param=ggc-min-expand=30", "--param=ggc-min-heapsize=4096"];
    let words = [&[compiler.trim(), "-quiet", "-O1", "source.c", "-o", "/dev/null"], &limits[..]].concat();
    let [valgrind, memtrace] = measure(&words, &[], directory.path());
    assert_eq!(memtrace.1, valgrind.1);
    let without_tables = |(blocks, _, bytes): HeapUsage| bytes.wrapping_sub(blocks * CC1_PAGE_TABLE);
    assert_eq!(without_tables(memtrace), without_tables(valgrind), "{memtrace:?}, {valgrind:?}");
    expect_near(memtrace.0, valgrind.0);
    expect_near(memtrace.2, valgrind.2);
}

/// jq on a generated document.
#[test]
fn jq() {
    let directory = directory();
    let item = |n: u32| format!(r#"{{"n":{n},"name":"{}","list":[{n},{}]}}"#, "x".repeat(n as usize % 50), n * 3);
    let items: Vec<String> = (0..1000).map(item).collect();
    fs::write(directory.path().join("items.json"), format!("[{}]", items.join(","))).expect("a file");
    let filter = "map(select(.n % 3 == 0)) | group_by(.name) | map({(.[0].name): (map(.n) | add)}) | add";
    expect_equal(&["/usr/bin/jq", "-c", filter, "items.json"], &[], directory.path());
}

/// xz compressing, with one thread.
#[test]
fn xz() {
    let directory = directory();
    let lines: Vec<String> = (0..5000_u32).map(|n| format!("{} line {n}", n * n)).collect();
    fs::write(directory.path().join("text"), lines.join("\n")).expect("a file");
    expect_equal(&["/usr/bin/xz", "--threads=1", "-3", "--stdout", "text"], &[], directory.path());
}
