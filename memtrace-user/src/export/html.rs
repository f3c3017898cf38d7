//! One page that needs nothing else: a flame graph to zoom and search, and a table of call sites to sort.
//!
//! The page, its style and its scripts are files of their own in `html/`, put together here. The data is one block of
//! JSON that no browser takes for markup; the page's policy runs these scripts alone, by their hash, and loads nothing.

use std::io::Write;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{
    Export, ExportError, Exporter, caption,
    frames::{ExportFrame, Naming},
    safe_json,
    tree::{Stack, StackTree},
};
use crate::{profile::SortBy, report::escape::escape};

const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = concat!(
    include_str!("html/data.js"),
    include_str!("html/flame.js"),
    include_str!("html/table.js"),
    include_str!("html/page.js"),
);

/// The format.
#[derive(Debug)]
pub(super) struct Html;

impl Exporter for Html {
    fn name(&self) -> &'static str {
        "html"
    }

    fn purpose(&self) -> &'static str {
        "one page with flame graph, table and search, that needs no network"
    }

    fn write(&self, export: &Export<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        let tree = StackTree::new(export.snapshot, None, Naming { lines: export.lines, places: true });
        let mut rest = PAGE;
        while let Some((before, name, after)) = split_hole(rest) {
            out.write_all(before.as_bytes())?;
            match name {
                "title" => out.write_all(html_text(&caption::subject(export.snapshot)).as_bytes())?,
                "style" => out.write_all(STYLE.as_bytes())?,
                "script" => out.write_all(SCRIPT.as_bytes())?,
                "style-hash" => out.write_all(hash(STYLE).as_bytes())?,
                "script-hash" => out.write_all(hash(SCRIPT).as_bytes())?,
                "data" => safe_json::write(&Data::of(export, &tree), out)?,
                other => unreachable!("page.html has a hole {other} that nothing fills"),
            }
            rest = after;
        }
        out.write_all(rest.as_bytes())?;
        Ok(())
    }
}

/// The text before the first `{{name}}`, the name, and what follows.
fn split_hole(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("{{")?;
    let (name, after) = rest.split_once("}}")?;
    Some((before, name, after))
}

/// As a content security policy names an inline script or style.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

fn html_text(text: &str) -> String {
    escape(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What the page's script reads. Tables are columns of numbers: a page of 100,000 stacks stays small.
#[derive(Serialize)]
struct Data {
    facts: Vec<(&'static str, String)>,
    /// Word, label and whether it counts bytes, of each column of `stacks.values`.
    values: Vec<(&'static str, &'static str, bool)>,
    /// Index in `values` of the one to begin with.
    value: usize,
    texts: Vec<String>,
    /// Indexes in `texts` (module and file: one more, 0 is none) and the line.
    frames: FrameColumns,
    /// Depth-first; the root, which is no frame, is the first.
    nodes: NodeColumns,
    /// Stacks by their node.
    stacks: StackColumns,
}

#[derive(Default, Serialize)]
struct FrameColumns {
    name: Vec<usize>,
    module: Vec<usize>,
    file: Vec<usize>,
    line: Vec<u32>,
}

#[derive(Serialize)]
struct NodeColumns {
    frame: Vec<u32>,
    size: Vec<u32>,
}

#[derive(Serialize)]
struct StackColumns {
    node: Vec<u32>,
    site: Vec<u32>,
    values: Vec<Vec<u64>>,
}

impl Data {
    fn of(export: &Export<'_>, tree: &StackTree) -> Self {
        let (texts, frames) = frame_columns(&tree.frames);
        let column = |value: SortBy| tree.stacks.iter().map(|stack| value.value(&stack.stats)).collect();
        let of_stacks = |field: fn(&Stack) -> u32| tree.stacks.iter().map(field).collect();
        let facts = caption::facts(export.snapshot);
        Self {
            facts: facts.into_iter().map(|(name, text)| (name, escape(&text).into_owned())).collect(),
            values: SortBy::all().map(|value| (caption::word(value), value.label(), value.is_bytes())).collect(),
            value: export.value as usize,
            texts,
            frames,
            nodes: NodeColumns {
                frame: tree.nodes.iter().map(|node| node.frame).collect(),
                size: tree.nodes.iter().map(|node| node.size).collect(),
            },
            stacks: StackColumns {
                node: of_stacks(|stack| stack.node),
                site: of_stacks(|stack| stack.site),
                values: SortBy::all().map(column).collect(),
            },
        }
    }
}

/// Each text once, and the frames by the indexes of their texts.
fn frame_columns(frames: &[ExportFrame]) -> (Vec<String>, FrameColumns) {
    let mut texts: Vec<String> = Vec::new();
    let mut known = std::collections::HashMap::new();
    let mut index = |text: &std::sync::Arc<str>| {
        *known.entry(std::sync::Arc::clone(text)).or_insert_with(|| {
            texts.push(escape(text).into_owned());
            texts.len() - 1
        })
    };
    let mut columns = FrameColumns::default();
    for frame in frames {
        columns.name.push(index(&frame.name));
        columns.module.push(frame.module.as_ref().map_or(0, |text| index(text) + 1));
        columns.file.push(frame.file.as_ref().map_or(0, |text| index(text) + 1));
        columns.line.push(frame.line);
    }
    (texts, columns)
}
