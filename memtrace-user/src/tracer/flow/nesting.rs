//! Whether an allocator's function calls others that are probed, so that its end has to be awaited even where it is of no
//! interest itself.

use std::ops::ControlFlow;

use super::{Called, CodeWalk};

impl CodeWalk<'_> {
    /// Whether a function may call one of `others`, or is seen to call what cannot be known: a function of another file, or,
    /// with `by_pointer`, what a pointer says. Also where the code cannot be followed. (What it calls may call further;
    /// allocators do not go back to their own entrances from there.)
    #[must_use]
    pub fn may_call(&mut self, entry: u64, others: &[u64], by_pointer: bool) -> bool {
        let found = self.follow(entry, |walk, at, step| {
            let calls = match step.call {
                Some(Called::At(address)) => walk.leads_to(address, others),
                Some(Called::Foreign) => true,
                Some(Called::Computed) => by_pointer,
                None => false,
            };
            // A jump to one of them, too.
            let is_other = at != entry && others.contains(&at);
            if calls || is_other || step.leads_away { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        !matches!(found, Ok(None))
    }

    /// Whether a call of an address comes to one of `others`, or through the linkage table to another file.
    fn leads_to(&mut self, address: u64, others: &[u64]) -> bool {
        let (places, leads_away) = self.jumps(address);
        leads_away || others.contains(&address) || places.iter().any(|place| others.contains(place))
    }
}
