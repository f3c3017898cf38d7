//! What the commands write, for eyes and for programs, and what they refuse.

use insta::assert_snapshot;

use super::{files, json, memtrace, output};

/// A report lists lines, with what the file says about itself above them.
#[test]
fn report_by_line() {
    assert_snapshot!(output(&files(), &["report", "before.pb.gz"]));
}

/// Each other grouping has its own names.
#[test]
fn report_by_everything_else() {
    let directory = files();
    for by in ["function", "file", "module", "process", "thread", "domain", "stack"] {
        let text = output(&directory, &["report", "before.pb.gz", "--group-by", by]);
        let list = text.split_once("\n\n").map_or("", |(_, list)| list);
        assert_snapshot!(format!("report_by_{by}"), list);
    }
}

/// Cumulative counting counts callers, a recursive one once; the rest is counted, not summed.
#[test]
fn report_cumulative() {
    let arguments = ["report", "before.pb.gz", "-g", "function", "--cumulative", "--top", "6"];
    assert_snapshot!(output(&files(), &arguments));
}

/// Trees go from sites to callers or from starts to sites.
#[test]
fn report_tree() {
    let directory = files();
    for way in ["callers", "callees"] {
        let text = output(&directory, &["report", "before.pb.gz", "--tree", way]);
        assert_snapshot!(format!("report_tree_{way}"), text.split_once("\n\n").map_or("", |(_, tree)| tree));
    }
}

/// Several files add up; each says what it is, losses included.
#[test]
fn report_of_several_files() {
    assert_snapshot!(output(&files(), &["report", "before.pb.gz", "after.pb.gz", "worker.pb.gz", "-g", "process"]));
    assert_snapshot!(output(&files(), &["report", "before.pb.gz", "after.pb.gz", "-g", "module", "-s", "alloc-bytes"]));
}

/// Filters take in or leave out by the frame that names the site, or by all frames.
#[test]
fn filters_select() {
    let directory = files();
    let groups = |arguments: &[&str]| {
        let report = json(&directory, &[&["report", "before.pb.gz", "-g", "function"], arguments].concat());
        let groups = report["groups"].as_array().cloned().unwrap_or_default();
        groups.iter().map(|group| group["function"].as_str().unwrap_or("-").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(groups(&["--include", "file:parse.c"]), ["node_new"]);
    assert_eq!(groups(&["--include", "file:/build/*/r*.c"]), ["name"]);
    assert_eq!(groups(&["--include", "file:/build/*/r*.c", "--all-frames"]), ["vec_grow", "name"]);
    assert_eq!(groups(&["--exclude", "module:rowsd"]), ["-", "-"]);
    assert_eq!(
        groups(&["--include", "function:n*", "--include", "function:vec_*", "--exclude", "function:name"]),
        ["vec_grow", "node_new"]
    );
    assert_eq!(groups(&["--include", "process:4711", "--exclude", "domain:malloc"]), [""; 0]);
}

/// A comparison lists what changed, across a moved and rebuilt binary and another process.
#[test]
fn diff_by_line() {
    assert_snapshot!(output(&files(), &["diff", "before.pb.gz", "after.pb.gz"]));
}

/// Whole processes are matched by what they run.
#[test]
fn diff_by_process() {
    let text = output(&files(), &["diff", "before.pb.gz", "after.pb.gz", "-g", "process"]);
    assert!(text.contains("1 of 1 process by change of live bytes:"), "{text}");
}

/// A file compared with itself has nothing to say.
#[test]
fn diff_of_one_file() {
    let text = output(&files(), &["diff", "after.pb.gz", "after.pb.gz"]);
    assert!(text.ends_with("Nothing has changed in 6 lines.\n"), "{text}");
    assert!(text.contains("(0 B) in"), "{text}");
}

/// Growth beyond the limit is an error, after the list; up to it, none.
#[test]
fn growth_fails() {
    let directory = files();
    let run = |limit: &str| memtrace(&directory, &["diff", "before.pb.gz", "after.pb.gz", "--fail-above", limit]);
    let report = json(&directory, &["diff", "before.pb.gz", "after.pb.gz"]);
    let growth = report["live_growth"].as_u64().expect("it has grown");
    assert_eq!(growth, 128 * 65_536 + 64 * 4_096 - 20_000 * 48 - 3 * 1_024);
    assert_eq!(run(&growth.to_string()).0, Some(0));
    let (code, output, errors) = run(&(growth - 1).to_string());
    assert_eq!(code, Some(1));
    assert!(output.contains("by change of live bytes"), "{output}");
    let expected = format!(
        "memtrace: error: live memory has grown by {growth} bytes, more than --fail-above {} bytes\n\
         hint: the list has the groups that changed most first\n",
        growth - 1
    );
    assert_eq!(errors, expected);
}

/// JSON has every field that docs/report.md names.
#[test]
fn json_documents() {
    let directory = files();
    for (name, arguments) in [
        ("report_json", &["report", "worker.pb.gz", "-f", "json"][..]),
        ("tree_json", &["report", "worker.pb.gz", "--tree", "callers", "-f", "json"]),
        ("diff_json", &["diff", "before.pb.gz", "after.pb.gz", "-f", "json", "--top", "1"]),
    ] {
        assert_snapshot!(name, output(&directory, arguments));
    }
}

/// CSV has a header and a record a group.
#[test]
fn csv_records() {
    let directory = files();
    for (name, arguments) in [
        ("report_csv", &["report", "before.pb.gz", "-f", "csv", "--top", "3"][..]),
        ("report_stack_csv", &["report", "worker.pb.gz", "-f", "csv", "-g", "stack"]),
        ("tree_csv", &["report", "worker.pb.gz", "--tree", "callees", "-f", "csv"]),
        ("diff_csv", &["diff", "before.pb.gz", "after.pb.gz", "-f", "csv", "--top", "2"]),
    ] {
        assert_snapshot!(name, output(&directory, arguments));
    }
}

/// No format lets a name drive a terminal, and JSON still has the name.
#[test]
fn hostile_names() {
    let directory = files();
    for format in ["text", "json", "csv"] {
        let text = output(&directory, &["report", "hostile.pb.gz", "-f", format]);
        assert!(!text.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{text}");
    }
    let report = json(&directory, &["report", "hostile.pb.gz"]);
    assert_eq!(report["groups"][0]["function"], "f\u{1b}[31m\u{202e}gpj.exe");
}

/// A file without samples has a head and a plain sentence.
#[test]
fn empty_profile() {
    assert_snapshot!(output(&files(), &["report", "empty.pb.gz"]));
}

/// Errors name the file and say what to do.
#[test]
fn unreadable_files_are_named() {
    let directory = files();
    std::fs::write(directory.path().join("text.txt"), "no profile").expect("written");
    for (arguments, expected) in [
        (&["report", "none.pb.gz"][..], "memtrace: error: none.pb.gz: "),
        (&["report", "before.pb.gz", "text.txt"], "memtrace: error: text.txt: is no pprof profile\nhint: "),
        (&["report", "."], "memtrace: error: .: is a directory\nhint: "),
        (&["diff", "before.pb.gz", "text.txt"], "memtrace: error: text.txt: is no pprof profile\nhint: "),
    ] {
        let (code, output, errors) = memtrace(&directory, arguments);
        assert_eq!((code, output.as_str()), (Some(1), ""));
        assert!(errors.starts_with(expected), "{errors}");
    }
}

/// Arguments that make no sense are refused before any file is read, with what would.
#[test]
fn senseless_arguments_are_explained() {
    let directory = files();
    for (arguments, expected) in [
        (
            &["--cumulative", "-g", "stack"][..],
            "memtrace: error: --cumulative does not go with --group-by stack\nhint: ",
        ),
        (
            &["--tree", "callers", "-g", "process"],
            "memtrace: error: --tree does not go with --group-by process\nhint: ",
        ),
        (
            &["--tree", "callers", "--cumulative"],
            "error: the argument '--tree <WAY>' cannot be used with '--cumulative'",
        ),
        (
            &["--include", "fnction:x"],
            "error: invalid value 'fnction:x' for '--include <KIND:PATTERN>': `fnction` is no kind",
        ),
        (
            &["--include", "function:[a"],
            "error: invalid value 'function:[a' for '--include <KIND:PATTERN>': `[a` is no",
        ),
    ] {
        let (code, output, errors) = memtrace(&directory, &[&["report", "none.pb.gz"], arguments].concat());
        assert_eq!((code, output.as_str()), (Some(2), ""), "{errors}");
        assert!(errors.starts_with(expected), "{errors}");
    }
}
