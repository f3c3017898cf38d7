//! A flame graph as one SVG that zooms and searches in a browser, by inferno.
//!
//! With a base, width is the value after, and colour the change: red grew, blue shrank. What is too narrow to be drawn
//! counts to the frame below it, so a stack that is gone colours the last caller that is left.

use std::io::Write;

use inferno::flamegraph::{
    self, Direction, Options, Palette, TextTruncateDirection,
    color::{BackgroundColor, BasicPalette},
};

use super::{Export, ExportError, Exporter, caption, folded, tree::StackTree};
use crate::report::{elide, escape::escape};

/// The narrowest frame that is drawn, in percent of the width: a quarter of a pixel. Keeps the file small.
const MIN_WIDTH: f64 = 0.02;
/// What is too narrow and has no caller that could stand for it.
const NARROW: &str = "[too narrow to draw]";

/// The format.
#[derive(Debug)]
pub(super) struct Svg;

impl Exporter for Svg {
    fn name(&self) -> &'static str {
        "svg"
    }

    fn purpose(&self) -> &'static str {
        "a flame graph to zoom and search in a browser; with --base, red grew and blue shrank"
    }

    fn compares(&self) -> bool {
        true
    }

    fn write(&self, export: &Export<'_>, out: &mut dyn Write) -> Result<(), ExportError> {
        let tree = StackTree::new(export, false);
        let total = total(&tree, export)?;
        if total.after == 0 {
            return Ok(write_empty(&heading(export), out)?);
        }
        let lines = lines(&tree, export);
        // In the order of the tree. Inferno's own order, by text, would tear a frame apart where a name with a blank
        // sorts between its stacks; as a "flame chart" it takes lines as they come, the last one first.
        let reversed = lines.iter().rev().map(String::as_str);
        flamegraph::from_lines(&mut options(export, &total), reversed, out)?;
        Ok(())
    }
}

/// Sums over all stacks.
#[derive(Debug, Clone, Copy)]
struct Total {
    before: u64,
    after: u64,
}

/// The sums; refused where inferno's signed arithmetic would overflow.
fn total(tree: &StackTree, export: &Export<'_>) -> Result<Total, ExportError> {
    let value = export.value;
    let before = tree.totals(|stack| value.value(&stack.before)).first().copied().unwrap_or(0);
    let after = tree.totals(|stack| value.value(&stack.stats)).first().copied().unwrap_or(0);
    if before.max(after) > i64::MAX.unsigned_abs() {
        return Err(ExportError::TooLarge { format: "svg", value: value.label() });
    }
    Ok(Total { before, after })
}

fn heading(export: &Export<'_>) -> String {
    /// As many characters of the title's size as are as wide as the picture.
    const WIDTH: usize = 110;
    let title = caption::title(export.snapshot, export.value);
    elide::middle(&escape(&title), WIDTH)
}

fn options(export: &Export<'_>, total: &Total) -> Options<'static> {
    let amount = |number| caption::amount(export.value, number);
    let mut facts = vec![match export.base {
        Some(_) => format!("before {}, after {} (red grew, blue shrank)", amount(total.before), amount(total.after)),
        None => amount(total.after),
    }];
    facts.extend(caption::facts(export.snapshot).into_iter().map(|(name, text)| format!("{name}: {text}")));
    let mut options = Options::default();
    options.colors = Palette::Basic(BasicPalette::Mem);
    options.bgcolors = export.base.is_some().then_some(BackgroundColor::Grey);
    options.title = heading(export);
    options.subtitle = Some(escape(&facts.join("; ")).into_owned());
    options.count_name = if export.value.is_bytes() { "bytes" } else { "blocks" }.into();
    options.min_width = MIN_WIDTH;
    options.deterministic = true;
    options.flame_chart = true;
    // Callers at the top, as in the page: a picture of deep stacks is taller than a screen, and begins with its roots.
    options.direction = Direction::Inverted;
    options.text_truncate_direction = TextTruncateDirection::Right;
    options
}

/// Folded lines of what is wide enough, in the order of the tree. What is not goes to the frame that encloses it.
fn lines(tree: &StackTree, export: &Export<'_>) -> Vec<String> {
    let value = export.value;
    let totals = tree.totals(|stack| value.value(&stack.stats));
    let mut own = vec![(0_u64, 0_u64); tree.nodes.len()];
    for stack in &tree.stacks {
        own[stack.node as usize] = (value.value(&stack.before), value.value(&stack.stats));
    }
    let is_wide = |node: usize| is_wide(totals[node], totals[0]);
    for node in (1..own.len()).rev().filter(|node| !is_wide(*node)) {
        let (before, after) = std::mem::take(&mut own[node]);
        let parent = &mut own[tree.nodes[node].parent as usize];
        *parent = (parent.0.saturating_add(before), parent.1.saturating_add(after));
    }
    let labels: Vec<String> = tree.frames.iter().map(|frame| folded::label(&frame.name)).collect();
    let path = |node: u32| match tree.path(node) {
        path if path.is_empty() => NARROW.to_owned(),
        path => path.iter().map(|frame| labels[*frame as usize].as_str()).collect::<Vec<_>>().join(";"),
    };
    let line = |(node, (before, after)): (u32, &(u64, u64))| match export.base {
        Some(_) => format!("{} {before} {after}", path(node)),
        None => format!("{} {after}", path(node)),
    };
    (0..).zip(&own).filter(|(_, (before, after))| *before > 0 || *after > 0).map(line).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a width in pixels")]
fn is_wide(value: u64, total: u64) -> bool {
    value > 0 && value as f64 * 100.0 >= total as f64 * MIN_WIDTH
}

/// A picture that says that there is nothing to draw; inferno's would call it an error.
fn write_empty(title: &str, out: &mut dyn Write) -> std::io::Result<()> {
    let text = title.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    writeln!(
        out,
        "<?xml version=\"1.0\" standalone=\"no\"?>\n<svg version=\"1.1\" width=\"1200\" height=\"60\" \
         xmlns=\"http://www.w3.org/2000/svg\">\n<text x=\"600\" y=\"35\" text-anchor=\"middle\" \
         font-family=\"monospace\">{text}: none</text>\n</svg>"
    )
}
