//! A call stack as lines of text, innermost first: recursion folded, the end said in plain words.

use super::frames::location_lines;
use crate::profile::{Location, Modules, Ranking, Site, SiteStack, StackEnd, SymbolTable};

/// Longest cycle of calls that is recognised as recursion.
const LONGEST_CYCLE: usize = 8;

/// One line of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackLine {
    /// What it says; escaped, not cut.
    pub text: String,
    /// It is the frame that names the site.
    pub names_site: bool,
    /// It is about the stack (repetition, end), not a frame of it.
    pub is_note: bool,
}

impl StackLine {
    fn note(text: String) -> Self {
        Self { text, names_site: false, is_note: true }
    }
}

/// The lines of the heaviest stack of a site, the frame that names the site marked where it comes first.
#[must_use]
pub fn heaviest(site: &Site, ranking: &Ranking, symbols: &SymbolTable, modules: &Modules) -> Vec<StackLine> {
    let Some(stack) = site.stacks.first() else { return Vec::new() };
    let mut lines = Vec::new();
    let mut marked = false;
    for part in fold(&stack.stack) {
        match part {
            Part::Frame(location) => {
                let first = lines.len();
                let texts = location_lines(location, symbols, modules);
                lines.extend(texts.into_iter().map(|text| StackLine { text, names_site: false, is_note: false }));
                if !marked && Some(location) == site.location {
                    lines[first + naming_frame(location, ranking, symbols)].names_site = true;
                    marked = true;
                }
            }
            Part::Again { frames, times } => lines.push(StackLine::note(again(frames, times))),
        }
    }
    lines.extend(end_note(stack).map(|note| StackLine::note(note.into())));
    lines
}

/// Which of the frames at the site's location names it.
fn naming_frame(location: Location, ranking: &Ranking, symbols: &SymbolTable) -> usize {
    let frames = symbols.frames(location);
    let named = ranking.frame(location, symbols);
    named.and_then(|named| frames.iter().position(|frame| std::ptr::eq(frame, named))).unwrap_or(0)
}

fn end_note(stack: &SiteStack) -> Option<&'static str> {
    if stack.stack.is_empty() { Some("counted, but no call stack could be recorded") } else { end(stack.end) }
}

/// Why there are no further callers; nothing when there are none.
pub(super) fn end(end: StackEnd) -> Option<&'static str> {
    match end {
        StackEnd::Whole => None,
        StackEnd::Truncated => Some("… and more callers: cut at --max-frames"),
        StackEnd::Incomplete => Some("… callers unknown: the stack could not be followed further"),
    }
}

/// A frame, or the repetition of the frames just before.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<T> {
    Frame(T),
    Again { frames: usize, times: usize },
}

/// What stands for repeated frames.
pub(super) fn again(frames: usize, times: usize) -> String {
    if frames == 1 {
        format!("… the same {times} more times")
    } else {
        format!("… these {frames} frames {times} more times")
    }
}

/// Folds runs of three or more of one cycle; the shortest cycle wins.
pub(super) fn fold<T: PartialEq + Clone>(stack: &[T]) -> Vec<Part<T>> {
    let mut parts = Vec::new();
    let mut rest = stack;
    while !rest.is_empty() {
        let (frames, times) = cycle(rest).unwrap_or((1, 1));
        parts.extend(rest[..frames].iter().cloned().map(Part::Frame));
        if times > 1 {
            parts.push(Part::Again { frames, times: times - 1 });
        }
        rest = &rest[frames * times..];
    }
    parts
}

/// Length of the cycle that the stack starts with and how often it comes in a row, at least three times.
fn cycle<T: PartialEq>(stack: &[T]) -> Option<(usize, usize)> {
    (1..=LONGEST_CYCLE.min(stack.len() / 3)).find_map(|frames| {
        let first = &stack[..frames];
        let times = stack.chunks_exact(frames).take_while(|chunk| *chunk == first).count();
        (times >= 3).then_some((frames, times))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::ModuleId;

    fn at(offset: u64) -> Location {
        Location { module: ModuleId(1), offset }
    }

    fn stack(offsets: &[u64]) -> Vec<Location> {
        offsets.iter().copied().map(at).collect()
    }

    /// Calls of a function by itself and by turns are folded; twice is not yet recursion worth folding.
    #[test]
    fn recursion_is_folded() {
        let frame = |offset| Part::Frame(at(offset));
        assert_eq!(
            fold(&stack(&[1, 2, 2, 2, 2, 3])),
            [frame(1), frame(2), Part::Again { frames: 1, times: 3 }, frame(3)]
        );
        assert_eq!(fold(&stack(&[1, 2, 1, 2, 1, 2])), [frame(1), frame(2), Part::Again { frames: 2, times: 2 }]);
        assert_eq!(fold(&stack(&[1, 1, 2])), [frame(1), frame(1), frame(2)]);
    }

    proptest! {
        /// Unfolding gives the stack back: no frame is lost.
        #[test]
        fn unfolding_gives_the_stack_back(offsets in prop::collection::vec(0..3_u64, 0..60)) {
            let original = stack(&offsets);
            let mut unfolded: Vec<Location> = Vec::new();
            for part in fold(&original) {
                match part {
                    Part::Frame(location) => unfolded.push(location),
                    Part::Again { frames, times } => {
                        let again = unfolded[unfolded.len() - frames..].repeat(times);
                        unfolded.extend(again);
                    }
                }
            }
            prop_assert_eq!(unfolded, original);
        }
    }
}
