//! Layers of memory side by side: sums and lists are of one, as a block lies in pages that another counts.

use super::{AllocStats, Domain, StackSample};

/// The domain that sums and lists are of where none is asked for: blocks, or where there are none but mappings, what the
/// program has mapped.
#[must_use]
pub fn main_domain<'a>(samples: impl IntoIterator<Item = &'a StackSample>) -> Domain {
    samples.into_iter().map(|sample| sample.domain.layer()).min().unwrap_or_default()
}

/// Sum over the samples of a domain; a block of a mapping is what one call has mapped.
#[must_use]
pub fn sum_of_domain(samples: &[StackSample], domain: Domain) -> AllocStats {
    samples.iter().filter(|sample| sample.domain.is_beside(domain)).map(|sample| sample.stats).sum()
}

/// Sums of the domains beside the main one that have samples.
#[must_use]
pub fn other_domains(samples: &[StackSample]) -> Vec<(Domain, AllocStats)> {
    let main = main_domain(samples);
    let has_samples = |domain: &Domain| samples.iter().any(|sample| sample.domain == *domain);
    let others = Domain::all().filter(|domain| !domain.is_beside(main)).filter(has_samples);
    others.map(|domain| (domain, sum_of_domain(samples, domain))).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Coverage, StackEnd, fixture::Scene},
        *,
    };

    /// Blocks come first; without any, what is mapped does. No sum is over two.
    #[test]
    fn domains_are_not_added_up() {
        let mut scene = Scene::default();
        assert_eq!(main_domain(&scene.samples), Domain::Malloc);
        scene.sample(&["a@app"], 2, 4096, 0).domain = Domain::Mmap;
        assert_eq!(main_domain(&scene.samples), Domain::Mmap);
        scene.sample(&["b@app"], 3, 10, 1);
        scene.sample(&["b@app"], 1, 4096, 0).domain = Domain::Allocator;
        assert_eq!(main_domain(&scene.samples), Domain::Malloc);
        assert_eq!(sum_of_domain(&scene.samples, Domain::Malloc).live_bytes(), 20);
        let others = other_domains(&scene.samples).into_iter().map(|(domain, stats)| (domain, stats.live_bytes()));
        assert_eq!(others.collect::<Vec<_>>(), [(Domain::Mmap, 8192), (Domain::Allocator, 4096)]);
    }

    /// Python's blocks are blocks: they are in the sum of these, and no other layer.
    #[test]
    fn blocks_of_python_are_in_the_sum() {
        let mut scene = Scene::default();
        scene.sample(&["a@app"], 1, 20, 0).domain = Domain::Python;
        assert_eq!(main_domain(&scene.samples), Domain::Malloc);
        scene.sample(&["b@app"], 1, 5, 0);
        scene.sample(&["c@app"], 1, 4096, 0).domain = Domain::Mmap;
        scene.samples[1].end = StackEnd::Incomplete;
        let coverage = Coverage::of(&scene.samples);
        assert!((coverage.whole, coverage.incomplete) == (0.8, 0.2), "{coverage:?}");
        assert_eq!(sum_of_domain(&scene.samples, Domain::Malloc).live_bytes(), 25);
        let others = other_domains(&scene.samples);
        assert_eq!(others.into_iter().map(|(domain, _)| domain).collect::<Vec<_>>(), [Domain::Mmap]);
    }
}
