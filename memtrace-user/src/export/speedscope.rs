//! speedscope's own file format: a "sampled" profile with a weight a stack.
//!
//! The schema is published with speedscope (`file-format-schema.json`); a test checks the output against it.

use std::io::Write;

use serde::{Serialize, Serializer};

use super::{
    Export, ExportError, Exporter, caption,
    frames::{ExportFrame, Naming},
    safe_json,
    tree::{Stack, StackTree},
};
use crate::profile::SortBy;

/// The format.
#[derive(Debug)]
pub(super) struct Speedscope;

impl Exporter for Speedscope {
    fn name(&self) -> &'static str {
        "speedscope"
    }

    fn purpose(&self) -> &'static str {
        "for the viewer at speedscope.app"
    }

    fn write(&self, export: &Export<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        let tree = StackTree::new(export.snapshot, None, Naming { lines: export.lines, places: true });
        let stacks: Vec<Stack> =
            tree.stacks.iter().filter(|stack| export.value.value(&stack.stats) > 0).copied().collect();
        let title = caption::title(export.snapshot, export.value);
        let file = File {
            schema: "https://www.speedscope.app/file-format-schema.json",
            exporter: concat!("memtrace ", env!("CARGO_PKG_VERSION")),
            name: &title,
            active_profile_index: 0,
            shared: Shared { frames: tree.frames.iter().map(Frame::from).collect() },
            profiles: [Profile {
                kind: "sampled",
                name: export.value.label(),
                unit: if export.value.is_bytes() { "bytes" } else { "none" },
                start_value: 0,
                end_value: tree.totals(|stack| export.value.value(&stack.stats))[0],
                samples: Samples { tree: &tree, stacks: &stacks },
                weights: Weights { stacks: &stacks, value: export.value },
            }],
        };
        safe_json::write(&file, out)?;
        Ok(())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    exporter: &'static str,
    name: &'a str,
    active_profile_index: u32,
    shared: Shared<'a>,
    profiles: [Profile<'a>; 1],
}

#[derive(Serialize)]
struct Shared<'a> {
    frames: Vec<Frame<'a>>,
}

#[derive(Serialize)]
struct Frame<'a> {
    name: &'a str,
    /// The source file; where that is not known, the file that the code lies in.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

impl<'a> From<&'a ExportFrame> for Frame<'a> {
    fn from(frame: &'a ExportFrame) -> Self {
        Self {
            name: &frame.name,
            file: frame.file.as_deref().or(frame.module.as_deref()),
            line: Some(frame.line).filter(|line| *line > 0),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Profile<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    name: &'static str,
    unit: &'static str,
    start_value: u64,
    end_value: u64,
    samples: Samples<'a>,
    weights: Weights<'a>,
}

/// The frames of each stack, made while they are written.
struct Samples<'a> {
    tree: &'a StackTree,
    stacks: &'a [Stack],
}

impl Serialize for Samples<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.stacks.iter().map(|stack| self.tree.path(stack.node)))
    }
}

struct Weights<'a> {
    stacks: &'a [Stack],
    value: SortBy,
}

impl Serialize for Weights<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.stacks.iter().map(|stack| self.value.value(&stack.stats)))
    }
}
