//! Readers of the formats, each as plain as can be: the sum of what they find must be that of the snapshot.

use serde_json::Value;

use crate::profile::SortBy;

/// The sum over an output, as its readers would take it.
pub(super) fn sum(format: &str, text: &str, value: SortBy) -> u64 {
    match format {
        "folded" => text.lines().map(|line| number(line.rsplit_once(' ').unwrap().1)).sum(),
        "svg" => svg(text),
        "speedscope" => speedscope(&json(text)),
        "firefox" => firefox(&json(text), value),
        "json" => sum_of(&json(text)["samples"], |sample| &sample[column(value)]),
        "csv" => csv(text, value),
        "html" => html(text, value),
        other => panic!("a reader is missing for {other}"),
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

pub(super) fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("valid JSON")
}

fn sum_of<'a>(list: &'a Value, field: impl Fn(&'a Value) -> &'a Value) -> u64 {
    list.as_array().expect("an array").iter().map(|item| field(item).as_u64().expect("a number")).sum()
}

/// Name of a value's column in json and csv.
fn column(value: SortBy) -> &'static str {
    match value {
        SortBy::LiveBytes => "live_bytes",
        SortBy::LiveBlocks => "live_blocks",
        SortBy::AllocatedBytes => "allocated_bytes",
        SortBy::AllocatedBlocks => "allocated_blocks",
        SortBy::FreedBytes => "freed_bytes",
    }
}

/// The sum over the frames at the bottom, from their titles: `name (1,234 bytes, 12.3%)`.
fn svg(text: &str) -> u64 {
    let all = text.split("<title>all (").nth(1).expect("a root frame").split(' ').next().expect("a number");
    let attribute = text.split("total_samples=\"").nth(1).expect("a total").split('"').next().expect("a number");
    assert_eq!(all.replace(',', ""), attribute);
    number(attribute)
}

fn speedscope(file: &Value) -> u64 {
    let profile = &file["profiles"][0];
    let sum = sum_of(&profile["weights"], |weight| weight);
    assert_eq!(profile["samples"].as_array().unwrap().len(), profile["weights"].as_array().unwrap().len());
    assert_eq!(profile["endValue"].as_u64(), Some(sum));
    sum
}

/// Blocks are weights of samples, bytes those of allocations; freed bytes are given back.
fn firefox(file: &Value, value: SortBy) -> u64 {
    let weights = |thread: &Value| -> Vec<i64> {
        let table = if value.is_bytes() { &thread["nativeAllocations"] } else { &thread["samples"] };
        table["weight"].as_array().map_or_else(Vec::new, |list| list.iter().map(|w| w.as_i64().unwrap()).collect())
    };
    let all = file["threads"].as_array().unwrap().iter().flat_map(weights);
    let wanted = all.filter(|weight| (value == SortBy::FreedBytes) == (*weight < 0));
    wanted.map(i64::unsigned_abs).sum()
}

fn csv(text: &str, value: SortBy) -> u64 {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let index = reader.headers().unwrap().iter().position(|name| name == column(value)).expect("a column");
    reader.records().map(|record| number(&record.unwrap()[index])).sum()
}

/// The page's block of data.
pub(super) fn html_data(text: &str) -> Value {
    let block = text.split("id=\"data\">").nth(1).expect("a block of data").split("</script>").next();
    json(block.expect("an end of the block"))
}

fn html(text: &str, value: SortBy) -> u64 {
    sum_of(&html_data(text)["stacks"]["values"][value as usize], |number| number)
}
