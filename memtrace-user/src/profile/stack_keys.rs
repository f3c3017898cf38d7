//! Reads stacks as numbers of places, and numbers whole stacks.

use std::sync::Arc;

use super::{
    CallStack, GroupBy, GroupName, Location, Place, SiteReader, StackEnd,
    filter::{Filters, Verdict},
    frame_keys::FrameKeys,
    tally::{GroupOptions, Samples, SiteRule, StackFrames},
};
use crate::number_hash::{NumberHash, NumberMap};

/// What is known of a location: its frames are a part of [`StackReader::numbers`].
#[derive(Debug, Clone, Copy)]
struct Known {
    start: u32,
    end: u32,
    /// Index of the frame that names a site here.
    own: u32,
}

/// Reads the stacks of one profile.
pub(super) struct StackReader<'a> {
    samples: Samples<'a>,
    options: &'a GroupOptions,
    sites: SiteReader<'a>,
    known: NumberMap<Location, Known>,
    /// Numbers of frames, location by location, and what the filters say of each.
    numbers: Vec<u32>,
    verdicts: Vec<Verdict>,
    /// The frames of the stack that was read last.
    frames: Vec<u32>,
    /// The last stack that each number was met on, to count recursion once.
    last_met: Vec<u32>,
    stacks: u32,
}

impl<'a> StackReader<'a> {
    pub(super) fn new(samples: &Samples<'a>, options: &'a GroupOptions) -> Self {
        Self {
            samples: *samples,
            options,
            sites: options.namer.reader(samples.symbols, samples.modules),
            known: NumberMap::with_capacity_and_hasher(samples.symbols.len(), NumberHash::default()),
            numbers: Vec::new(),
            verdicts: Vec::new(),
            frames: Vec::new(),
            last_met: Vec::new(),
            stacks: 0,
        }
    }

    /// The frames of a stack as far as the options ask for them.
    pub(super) fn read(&mut self, stack: &CallStack, keys: &mut FrameKeys) -> StackFrames<'_> {
        let Some((site, verdict)) = self.site(stack, keys) else {
            return StackFrames { site: None, all: &[], verdict: Verdict::default() };
        };
        let all_verdicts = self.options.filters.all_frames && !self.options.filters.is_empty();
        let mut verdict = verdict;
        self.frames.clear();
        if self.options.cumulative || all_verdicts || self.options.by == GroupBy::Stack {
            self.stacks += 1;
            for location in stack.iter() {
                let known = self.known(*location, keys);
                if all_verdicts {
                    verdict = self.verdict_of_all(known, verdict);
                }
                self.take_frames(known);
            }
        }
        StackFrames { site: Some(site), all: &self.frames, verdict }
    }

    /// The frames from the one that names the stack outwards, every time that they come; none for a stack without frames.
    pub(super) fn outwards(&mut self, stack: &CallStack, keys: &mut FrameKeys) -> (Vec<u32>, Verdict) {
        let mut verdict = Verdict::default();
        let mut places = Vec::new();
        let Some(site) = self.site_index(stack) else { return (places, verdict) };
        for (index, location) in stack.iter().enumerate() {
            let known = self.known(*location, keys);
            let named = self.naming_frame(known);
            if index == site {
                verdict = verdict.or(self.verdicts[named]);
                places.extend_from_slice(&self.numbers[named..known.end as usize]);
            } else if index > site {
                places.extend_from_slice(&self.numbers[known.start as usize..known.end as usize]);
            }
            if self.options.filters.all_frames {
                verdict = self.verdict_of_all(known, verdict);
            }
        }
        (places, verdict)
    }

    /// Number of the frame that names the stack, and what the filters say of it.
    fn site(&mut self, stack: &CallStack, keys: &mut FrameKeys) -> Option<(u32, Verdict)> {
        let location = stack[self.site_index(stack)?];
        let known = self.known(location, keys);
        let index = self.naming_frame(known);
        Some((self.numbers[index], self.verdicts[index]))
    }

    fn site_index(&mut self, stack: &CallStack) -> Option<usize> {
        match self.options.site {
            SiteRule::Code => self.sites.site(stack),
            SiteRule::Leaf => (!stack.is_empty()).then_some(0),
        }
    }

    fn naming_frame(&self, known: Known) -> usize {
        match self.options.site {
            SiteRule::Code => known.own as usize,
            SiteRule::Leaf => known.start as usize,
        }
    }

    fn verdict_of_all(&self, known: Known, verdict: Verdict) -> Verdict {
        let verdicts = &self.verdicts[known.start as usize..known.end as usize];
        verdicts.iter().fold(verdict, |sum, one| sum.or(*one))
    }

    fn take_frames(&mut self, known: Known) {
        let numbers = &self.numbers[known.start as usize..known.end as usize];
        if !self.options.cumulative {
            self.frames.extend_from_slice(numbers);
            return;
        }
        for number in numbers {
            let index = *number as usize;
            if index >= self.last_met.len() {
                self.last_met.resize(index + 1, 0);
            }
            if self.last_met[index] != self.stacks {
                self.last_met[index] = self.stacks;
                self.frames.push(*number);
            }
        }
    }

    fn known(&mut self, location: Location, keys: &mut FrameKeys) -> Known {
        if let Some(known) = self.known.get(&location) {
            return *known;
        }
        let start = self.numbers.len();
        let (symbols, modules) = (self.samples.symbols, self.samples.modules);
        let frames = symbols.frames(location);
        let some = frames.iter().map(Some).chain(frames.is_empty().then_some(None));
        for frame in some {
            self.numbers.push(keys.number(location, frame, modules));
            self.verdicts.push(verdict(&self.options.filters, location, frame, &self.samples));
        }
        let own = self.options.namer.frame(location, symbols);
        let own = own.and_then(|own| frames.iter().position(|frame| std::ptr::eq(frame, own))).unwrap_or(0);
        let number = |index: usize| u32::try_from(index).expect("fewer than 2^32 frames");
        let known = Known { start: number(start), end: number(self.numbers.len()), own: number(start + own) };
        self.known.insert(location, known);
        known
    }
}

/// Filters look at all names of a frame, whatever the grouping leaves out.
fn verdict(filters: &Filters, location: Location, frame: Option<&super::Frame>, samples: &Samples<'_>) -> Verdict {
    if filters.is_empty() {
        return Verdict::default();
    }
    let source = frame.and_then(|frame| frame.source.as_ref());
    filters.of_place(&Place {
        function: frame.and_then(|frame| frame.function.clone()),
        file: source.map(|source| source.file.clone()),
        line: 0,
        module: Some(samples.modules.path(location.module).clone()),
        offset: None,
    })
}

/// Numbers of whole stacks.
#[derive(Debug, Default)]
pub(super) struct StackKeys {
    numbers: NumberMap<(Box<[u32]>, StackEnd), u32>,
    stacks: Vec<(Box<[u32]>, StackEnd)>,
}

impl StackKeys {
    pub(super) fn number(&mut self, frames: &[u32], end: StackEnd) -> u32 {
        let next = u32::try_from(self.stacks.len()).expect("fewer than 2^32 stacks");
        let key = (Box::from(frames), end);
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        self.stacks.push(key.clone());
        self.numbers.insert(key, next);
        next
    }

    pub(super) fn name(&self, number: u32, keys: &FrameKeys) -> GroupName {
        let (frames, end) = &self.stacks[number as usize];
        GroupName::Stack { frames: frames.iter().map(|frame| Arc::clone(keys.place(*frame))).collect(), end: *end }
    }
}
