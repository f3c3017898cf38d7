//! Numbers for the call stacks of one process, the same in every reading: what a view keeps of a stack from one reading
//! to the next (earlier counters, marks, history) lies in plain vectors by these numbers.

use super::{
    CallStack, Domain, Location, ProcessIndex, Profile, SiteNamer, StackEnd, StackSample, SymbolTable, ThreadIndex,
};
use crate::number_hash::NumberMap;

/// A call stack that has been met.
#[derive(Debug, Clone)]
pub struct NumberedStack {
    /// The frames, innermost first.
    pub stack: CallStack,
    /// Whether the frames reach the start of the thread.
    pub end: StackEnd,
    /// Layer of memory.
    pub domain: Domain,
    /// Whose it is.
    pub process: ProcessIndex,
    /// The allocating thread, where threads are told apart.
    pub thread: Option<ThreadIndex>,
    /// The frame that names it; `None` without frames.
    pub site: Option<Location>,
}

/// What a stack is recognised by: where its frames lie in memory, which they do not leave while they are kept here.
/// Stacks without frames are one.
type Key = ((usize, u32), (u32, u32));

/// The stacks met so far.
#[derive(Debug, Default)]
pub struct StackNumbers {
    stacks: Vec<NumberedStack>,
    numbers: NumberMap<Key, u32>,
    /// Numbers of the last reading's samples. Readings list stacks in the order in which they were recorded, so nearly
    /// all samples are found where they were before.
    of_samples: Vec<u32>,
    /// Stacks that the last reading has other frames of than the one before.
    changed: Vec<u32>,
}

impl StackNumbers {
    /// The stacks, by number.
    #[must_use]
    pub fn stacks(&self) -> &[NumberedStack] {
        &self.stacks
    }

    /// Numbers of the last reading's samples, in their order.
    #[must_use]
    pub fn of_samples(&self) -> &[u32] {
        &self.of_samples
    }

    /// Stacks that could be followed further in the last reading than before: they have other frames.
    #[must_use]
    pub fn changed(&self) -> &[u32] {
        &self.changed
    }

    /// Takes a reading in; new stacks get the next numbers.
    ///
    /// # Panics
    /// With more than 2^32 stacks.
    pub fn update(&mut self, profile: &Profile, symbols: &SymbolTable, namer: &SiteNamer) {
        let mut reader = namer.reader(symbols, &profile.modules);
        self.changed.clear();
        for (index, sample) in profile.samples.iter().enumerate() {
            let before = self.of_samples.get(index).copied();
            if before.is_some_and(|number| self.is(number, sample)) {
                self.stacks[before.unwrap_or_default() as usize].end = sample.end;
                continue;
            }
            let next = u32::try_from(self.stacks.len()).expect("fewer than 2^32 stacks");
            let mut number = *self.numbers.entry(key(sample)).or_insert(next);
            if number == next {
                let site = reader.site(&sample.stack).map(|index| sample.stack[index]);
                let stack = numbered(sample, site);
                match before.filter(|number| self.was_followed_further(*number, sample)) {
                    Some(same) => {
                        self.numbers.insert(key(sample), same);
                        self.stacks[same as usize] = stack;
                        self.changed.push(same);
                        number = same;
                    }
                    None => self.stacks.push(stack),
                }
            }
            match self.of_samples.get_mut(index) {
                Some(place) => *place = number,
                None => self.of_samples.push(number),
            }
        }
        self.of_samples.truncate(profile.samples.len());
    }

    fn is(&self, number: u32, sample: &StackSample) -> bool {
        let known = &self.stacks[number as usize];
        let same_frames = CallStack::ptr_eq(&known.stack, &sample.stack) || known.stack.is_empty();
        same_frames
            && known.stack.len() == sample.stack.len()
            && (known.process, known.thread, known.domain) == (sample.process, sample.thread, sample.domain)
    }

    /// A stack that could be followed in part only may be followed further later on. It keeps its place among the
    /// samples, and its innermost frame.
    fn was_followed_further(&self, number: u32, sample: &StackSample) -> bool {
        let known = &self.stacks[number as usize];
        known.end == StackEnd::Incomplete && !known.stack.is_empty() && known.stack.first() == sample.stack.first()
    }
}

fn key(sample: &StackSample) -> Key {
    let frames = if sample.stack.is_empty() { 0 } else { sample.stack.as_ptr().addr() };
    let thread = sample.thread.map_or(u32::MAX, |thread| thread.0);
    ((frames, sample.domain as u32), (sample.process.0, thread))
}

fn numbered(sample: &StackSample, site: Option<Location>) -> NumberedStack {
    let StackSample { stack, end, domain, process, thread, .. } = sample.clone();
    NumberedStack { stack, end, domain, process, thread, site }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::Scene, *};

    /// A stack keeps its number, wherever it stands in later readings; stacks without frames are one.
    #[test]
    fn numbers_stay() {
        let mut scene = Scene::default();
        scene.sample(&["a@app"], 1, 8, 0);
        scene.sample(&[], 1, 8, 0);
        let namer = SiteNamer::default();
        let mut numbers = StackNumbers::default();
        numbers.update(&scene.profile(), &scene.symbols, &namer);
        assert_eq!(numbers.of_samples(), [0, 1]);
        // A new stack comes before the one without frames, which is always last.
        let without_stack = scene.samples.pop().expect("two samples");
        scene.sample(&["b@app"], 1, 8, 0);
        scene.samples.push(StackSample { stack: [].into(), ..without_stack });
        numbers.update(&scene.profile(), &scene.symbols, &namer);
        assert_eq!(numbers.of_samples(), [0, 2, 1]);
        assert_eq!(numbers.stacks().len(), 3);
    }

    /// A stack that is followed further between two readings stays the same stack, under its new site.
    #[test]
    fn a_stack_followed_further_keeps_its_number() {
        let mut scene = Scene::default();
        scene.sample(&["xmalloc@app"], 1, 8, 0).end = StackEnd::Incomplete;
        let namer = SiteNamer::default();
        let mut numbers = StackNumbers::default();
        numbers.update(&scene.profile(), &scene.symbols, &namer);
        scene.samples[0].stack = scene.stack(&["xmalloc@app", "load@app"]);
        numbers.update(&scene.profile(), &scene.symbols, &namer);
        assert_eq!((numbers.of_samples(), numbers.changed()), (&[0][..], &[0][..]));
        assert_eq!(numbers.stacks()[0].site, Some(scene.location("load@app")));
    }
}
