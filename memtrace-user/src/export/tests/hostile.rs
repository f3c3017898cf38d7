//! Names of hostile programs stay names in every format, and hostile numbers give an error or a true output.

use super::{Export, FORMATS, format, read_back, text};
use crate::{
    export::{ExportError, write},
    profile::{Snapshot, SortBy, fixture::Scene},
    report::escape,
};

/// Each would mean something to a terminal, a browser, an XML parser, a spreadsheet or a flame graph tool.
const NAMES: [&str; 16] = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "\"'`${alert(1)}`",
    "]]>&amp;&lt;&#0;",
    "a\u{2028}b\u{2029}c",
    "\u{1b}]0;title\u{7}\u{1b}[2J\u{9b}31m",
    "nul\0 \u{fffe}\u{ffff}\u{b}",
    "rtl\u{202e}gnp",
    "tag\u{e0041}\u{1f600}",
    "=cmd|' /C calc'!A0",
    "a,b\"c\"\nd\r\n",
    "x;y;z",
    "ends in a number 42",
    "# comment",
    "{{data}}{{script}}\\u0000\\",
];

/// A stack a name, with the name as function, file, module, command and thread.
fn hostile() -> Snapshot {
    let mut scene = Scene::default();
    for name in NAMES {
        let plain = name.replace('@', "");
        scene.sample(&[&format!("{plain}@{plain}@{plain}:3"), "main@app"], 1, 1000, 0);
    }
    scene.process.pid = 5;
    scene.process.command = NAMES.concat();
    let mut snapshot = scene.snapshot();
    snapshot.about.host = Some(NAMES.concat());
    snapshot.about.comments = NAMES.map(str::to_owned).to_vec();
    snapshot
}

/// No format writes a character that drives a terminal, hides, or that XML forbids; line ends are the only controls.
#[test]
fn outputs_hold_no_unsafe_characters() {
    let snapshot = hostile();
    for format in FORMATS {
        let output = text(format, &Export { lines: true, ..Export::of(&snapshot) });
        let offending = output.chars().find(|c| escape::is_unsafe(*c) && !matches!(c, '\n' | '\t'));
        assert_eq!(offending, None, "{}", format.name());
    }
}

/// JSON formats give names back unchanged.
#[test]
fn json_gives_names_back() {
    let snapshot = hostile();
    let speedscope = read_back::json(&text(format("speedscope"), &Export::of(&snapshot)));
    let frames = speedscope["shared"]["frames"].as_array().unwrap();
    let json = read_back::json(&text(format("json"), &Export::of(&snapshot)));
    let functions: Vec<_> =
        json["locations"].as_array().unwrap().iter().map(|at| &at["frames"][0]["function"]).collect();
    for name in NAMES {
        assert!(frames.iter().any(|frame| frame["name"] == *name), "{name:?}");
        assert!(functions.iter().any(|function| **function == *name), "{name:?}");
    }
}

/// In the page, names are in the data alone: the scripts are ours, and no markup comes from a name.
#[test]
fn page_has_no_markup_of_names() {
    let page = text(format("html"), &Export::of(&hostile()));
    assert_eq!(page.matches("<script").count(), 2);
    assert_eq!(page.matches("</script>").count(), 2);
    assert!(!page.contains("<img") && !page.contains("<!--"));
    let texts = read_back::html_data(&page)["texts"].to_string();
    assert!(texts.contains("alert(1)") && texts.contains("{{data}}"));
}

/// A spreadsheet takes no cell for a formula, and each record has all its fields.
#[test]
fn cells_are_no_formulas() {
    let output = text(format("csv"), &Export::of(&hostile()));
    for record in csv::Reader::from_reader(output.as_bytes()).records() {
        assert!(record.unwrap().iter().all(|cell| !cell.starts_with(['=', '+', '-', '@'])));
    }
}

/// A stack is one line of a folded file, with as many frames as it has.
#[test]
fn folded_lines_keep_their_frames() {
    let output = text(format("folded"), &Export::of(&hostile()));
    assert_eq!(output.lines().count(), NAMES.len());
    for line in output.lines() {
        assert!(line.starts_with("main;") && line.ends_with(" 1000") && line.matches(';').count() == 1, "{line}");
    }
}

/// Counts beyond what a format holds are refused by name, or written as they are; nothing overflows.
#[test]
fn greatest_numbers_are_held_or_refused() {
    let mut scene = Scene::default();
    scene.sample(&["main@app"], 0, 0, 0).stats.allocated_bytes = u64::MAX;
    scene.sample(&["f@app"], 0, 0, 0).stats.allocated_blocks = u64::MAX;
    scene.sample(&["f@app"], 0, 0, 0).stats.allocated_blocks = u64::MAX;
    scene.sample(&["g@app"], 0, 0, 0).stats.freed_bytes = u64::MAX;
    let snapshot = scene.snapshot();
    for value in SortBy::all() {
        for format in FORMATS {
            let result = write(format, &Export { value, ..Export::of(&snapshot) }, &mut std::io::sink());
            match format.name() {
                "svg" | "firefox" => assert!(
                    matches!(&result, Err(error @ ExportError::TooLarge { .. }) if error.hint().is_some()),
                    "{} {value:?}: {result:?}",
                    format.name()
                ),
                other => assert!(result.is_ok(), "{other} {value:?}"),
            }
        }
    }
}

/// A base is for formats that compare; the others say which do.
#[test]
fn base_is_refused_where_it_means_nothing() {
    let snapshot = Snapshot::default();
    let export = Export { base: Some(&snapshot), ..Export::of(&snapshot) };
    let error = write(format("csv"), &export, &mut std::io::sink()).unwrap_err();
    assert_eq!(error.to_string(), "csv shows one snapshot, not the difference of two");
    assert_eq!(error.hint().unwrap(), "leave out --base, or use one of: folded, svg");
}
