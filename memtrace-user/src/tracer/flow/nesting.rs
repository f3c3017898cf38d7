//! Whether an allocator's function calls others that are probed, so that its end has to be awaited even where it is of no
//! interest itself.

use std::ops::ControlFlow;

use super::exits::ExitsError;
use super::{Called, CodeWalk, Step};

impl CodeWalk<'_> {
    /// Whether a function may call one of `others`, or is seen to call what cannot be known: a function of another file, or,
    /// with `by_pointer`, what a pointer says. Also where the code cannot be followed. (What it calls may call further;
    /// allocators do not go back to their own entrances from there.)
    #[must_use]
    pub fn may_call(&mut self, entry: u64, others: &[u64], by_pointer: bool) -> bool {
        let found = self.follow(entry, |walk, at, step| {
            let calls = match step.call {
                Some(Called::At(address)) => walk.leads_to(address, others),
                Some(Called::Computed) => Ok(by_pointer),
                None => Ok(false),
            };
            // A jump to one of them, too.
            let is_other = at != entry && others.contains(&at);
            match calls {
                Ok(false) if !is_other && !step.leads_away => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        });
        !matches!(found, Ok(None))
    }

    /// Whether a call of an address comes to one of `others`, or through the linkage table to another file.
    fn leads_to(&mut self, address: u64, others: &[u64]) -> Result<bool, ExitsError> {
        let mut at = address;
        // A mark for indirect branches, a jump to the linkage table, another mark, a jump through the table.
        for _ in 0..4 {
            if others.contains(&at) {
                return Ok(true);
            }
            match self.step(at)? {
                Step { leads_away: true, .. } => return Ok(true),
                Step { next: Some(next), is_mark: true, .. } => at = next,
                Step { branch: Some(branch), next: None, .. } => at = branch,
                _ => break,
            }
        }
        Ok(false)
    }
}
