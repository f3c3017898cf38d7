//! Outputs against what their viewers publish about them.

use serde_json::Value;

use super::{Export, format, read_back::json, text, varied};
use crate::profile::SortBy;

/// The speedscope format is valid by the schema that speedscope 1.25 publishes (MIT licence), and frames exist.
#[test]
fn speedscope_is_valid_by_its_schema() {
    let schema = json(include_str!("speedscope-schema.json"));
    let validator = jsonschema::validator_for(&schema).expect("speedscope's schema is a schema");
    assert!(!validator.is_valid(&json(r#"{"shared": {"frames": [{}]}, "profiles": []}"#)));
    for value in SortBy::all() {
        let file = json(&text(format("speedscope"), &Export { value, lines: true, ..Export::of(&varied()) }));
        let errors: Vec<String> = validator.iter_errors(&file).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0]);
        let frames = file["shared"]["frames"].as_array().unwrap().len() as u64;
        let samples = file["profiles"][0]["samples"].as_array().unwrap();
        assert!(samples.iter().flat_map(|stack| stack.as_array().unwrap()).all(|id| id.as_u64().unwrap() < frames));
    }
}

/// The tables of a Firefox profile are as its format describes them: columns as long as the table says, indexes that
/// lead somewhere, callers before what they call, a process for each thread and a counter for each process.
#[test]
fn firefox_tables_fit_together() {
    for value in SortBy::all() {
        let file = json(&text(format("firefox"), &Export { value, ..Export::of(&varied()) }));
        let threads = file["threads"].as_array().unwrap();
        assert_eq!(threads.len(), 2);
        assert_eq!(file["counters"].as_array().unwrap().len(), 2);
        assert_eq!(file["meta"]["symbolicated"], true);
        for thread in threads {
            check_thread(&file, thread, value);
        }
    }
}

fn check_thread(file: &Value, thread: &Value, value: SortBy) {
    let shared = if file["shared"]["stackTable"].is_object() { &file["shared"] } else { thread };
    let tables = ["stackTable", "frameTable", "funcTable"];
    let [stacks, frames, funcs] = tables.map(|name| length(&shared[name]));
    let strings = &file["shared"]["stringArray"];
    let strings = strings.as_array().or(thread["stringArray"].as_array()).expect("strings").len() as u64;
    below(&shared["stackTable"]["frame"], frames);
    below(&shared["frameTable"]["func"], funcs);
    below(&shared["funcTable"]["name"], strings);
    for (index, prefix) in shared["stackTable"]["prefix"].as_array().unwrap().iter().enumerate() {
        assert!(prefix.as_u64().is_none_or(|prefix| prefix < index as u64));
    }
    let samples = if value.is_bytes() { &thread["nativeAllocations"] } else { &thread["samples"] };
    if samples.is_object() {
        length(samples);
        below(&samples["stack"], stacks);
    }
}

/// The length of a table, which every column of it has.
fn length(table: &Value) -> u64 {
    let length = table["length"].as_u64().expect("a length");
    for (name, column) in table.as_object().unwrap() {
        assert!(column.as_array().is_none_or(|column| column.len() as u64 == length), "{name}");
    }
    length
}

fn below(column: &Value, end: u64) {
    assert!(column.as_array().unwrap().iter().all(|index| index.as_u64().is_none_or(|index| index < end)));
}
