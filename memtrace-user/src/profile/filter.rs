//! Which samples are looked at: tracemalloc's filters, for names of any kind.
//!
//! As in `Snapshot.filter_traces()`: a sample is left out when there are inclusive filters and none matches it, and when
//! any exclusive one matches it. What a filter on code looks at is the frame that names the sample's site, or, when all
//! frames are asked for, any frame of its stack.

use std::{fmt, sync::Arc};

use super::{Domain, Place, ProcessName, function_path::function_path, path_key::file_name};

/// What a filter looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FilterKind {
    /// Name of the function: the whole one, or without return type and parameters.
    Function,
    /// Source file: its path as the compiler recorded it, or its name.
    File,
    /// Executable or library: its path or its name.
    Module,
    /// Process: its id, its command line, or the name of the program.
    Process,
    /// Thread: its id or its name.
    Thread,
    /// Layer of memory, as `malloc`.
    Domain,
}

/// One line a kind: its word on the command line.
const KINDS: [(FilterKind, &str); 6] = [
    (FilterKind::Function, "function"),
    (FilterKind::File, "file"),
    (FilterKind::Module, "module"),
    (FilterKind::Process, "process"),
    (FilterKind::Thread, "thread"),
    (FilterKind::Domain, "domain"),
];

impl FilterKind {
    /// Every kind.
    pub fn all() -> impl Iterator<Item = Self> {
        KINDS.iter().map(|(kind, _)| *kind)
    }

    /// Its word: `function`.
    #[must_use]
    pub fn word(self) -> &'static str {
        KINDS[self as usize].1
    }
}

/// Whether a name is meant.
type Matcher = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// One pattern on names of one kind.
#[derive(Clone)]
pub struct Filter {
    kind: FilterKind,
    matches: Matcher,
}

impl Filter {
    /// A filter that matches when the function says so for one of the names that [`FilterKind`] lists.
    pub fn new(kind: FilterKind, matches: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self { kind, matches: Arc::new(matches) }
    }

    fn matches_place(&self, place: &Place) -> bool {
        let path = |path: &str| (self.matches)(path) || (self.matches)(file_name(path));
        match self.kind {
            FilterKind::Function => place
                .function
                .as_deref()
                .is_some_and(|function| (self.matches)(function) || (self.matches)(function_path(function))),
            FilterKind::File => place.file.as_deref().is_some_and(path),
            FilterKind::Module => place.module.as_deref().is_some_and(path),
            FilterKind::Process | FilterKind::Thread | FilterKind::Domain => false,
        }
    }

    fn matches_owner(&self, owner: &Owner) -> bool {
        match self.kind {
            FilterKind::Process => owner.process.as_ref().is_some_and(|process| {
                let program = file_name(process.command.split(' ').next().unwrap_or_default());
                [&process.command, program, &process.pid.to_string()].into_iter().any(|name| (self.matches)(name))
            }),
            FilterKind::Thread => owner
                .thread
                .as_ref()
                .is_some_and(|(name, tid)| (self.matches)(name) || (self.matches)(&tid.to_string())),
            FilterKind::Domain => (self.matches)(owner.domain.name()),
            FilterKind::Function | FilterKind::File | FilterKind::Module => false,
        }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Filter").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Whose a sample is, and in which layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) process: Option<ProcessName>,
    pub(super) thread: Option<(Arc<str>, u32)>,
    pub(super) domain: Domain,
}

/// Filters that apply together.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// With any of these, only samples that one of them matches are looked at.
    pub include: Vec<Filter>,
    /// No sample that one of these matches is looked at.
    pub exclude: Vec<Filter>,
    /// Samples of other layers than this domain's are not looked at.
    pub domain: Option<Domain>,
    /// Filters on code look at every frame, not only at the one that names the site.
    pub all_frames: bool,
}

/// Which lists of filters have one that matches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Verdict {
    included: bool,
    excluded: bool,
}

impl Verdict {
    pub(super) fn or(self, other: Self) -> Self {
        Self { included: self.included || other.included, excluded: self.excluded || other.excluded }
    }
}

impl Filters {
    /// Whether every sample passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.include.is_empty() && self.exclude.is_empty() && self.domain.is_none()
    }

    /// Whether any filter looks at domains.
    #[must_use]
    pub fn look_at_domains(&self) -> bool {
        self.domain.is_some()
            || self.include.iter().chain(&self.exclude).any(|filter| filter.kind == FilterKind::Domain)
    }

    /// Whether any filter looks at call stacks.
    pub(super) fn look_at_code(&self) -> bool {
        let is_of_code =
            |filter: &Filter| matches!(filter.kind, FilterKind::Function | FilterKind::File | FilterKind::Module);
        self.include.iter().chain(&self.exclude).any(is_of_code)
    }

    pub(super) fn of_place(&self, place: &Place) -> Verdict {
        self.verdict(|filter| filter.matches_place(place))
    }

    pub(super) fn of_owner(&self, owner: &Owner) -> Verdict {
        let Verdict { included, excluded } = self.verdict(|filter| filter.matches_owner(owner));
        let is_of_other = self.domain.is_some_and(|domain| !domain.is_beside(owner.domain));
        Verdict { included, excluded: excluded || is_of_other }
    }

    /// Whether a sample passes of which this is known.
    pub(super) fn passes(&self, verdict: Verdict) -> bool {
        !verdict.excluded && (verdict.included || self.include.is_empty())
    }

    fn verdict(&self, matches: impl Fn(&Filter) -> bool) -> Verdict {
        Verdict { included: self.include.iter().any(&matches), excluded: self.exclude.iter().any(&matches) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(kind: FilterKind, name: &'static str) -> Filter {
        Filter::new(kind, move |other| other == name)
    }

    /// The table is indexed by the kind, so its lines must be in the order of the enum.
    #[test]
    fn table_is_in_the_order_of_the_enum() {
        for (index, kind) in FilterKind::all().enumerate() {
            assert_eq!(kind as usize, index);
        }
    }

    /// A function is meant with or without its parameters, a file by path or name, a process by id, program or command.
    #[test]
    fn each_kind_looks_at_its_names() {
        let place = Place {
            function: Some("void ns::f<int>(int)".into()),
            file: Some("/src/a.cc".into()),
            line: 3,
            module: Some("/usr/bin/app".into()),
            offset: None,
        };
        let owner = Owner {
            process: Some(ProcessName { command: "/usr/bin/app -x".into(), pid: 12, started_at: None }),
            thread: Some(("worker".into(), 13)),
            domain: Domain::Malloc,
        };
        let matching = [
            (FilterKind::Function, &["void ns::f<int>(int)", "ns::f<int>"][..]),
            (FilterKind::File, &["/src/a.cc", "a.cc"]),
            (FilterKind::Module, &["/usr/bin/app", "app"]),
            (FilterKind::Process, &["12", "app", "/usr/bin/app -x"]),
            (FilterKind::Thread, &["13", "worker"]),
            (FilterKind::Domain, &["malloc"]),
        ];
        for (kind, names) in matching {
            for (other, other_names) in matching {
                for name in other_names {
                    let filter = filter(kind, name);
                    let expected = names.contains(name);
                    assert_eq!(
                        filter.matches_place(&place) || filter.matches_owner(&owner),
                        expected,
                        "{kind:?} {other:?} {name}"
                    );
                }
            }
        }
    }

    /// One inclusive filter that matches is enough; an exclusive one outweighs it.
    #[test]
    fn exclusive_filters_outweigh() {
        let place = Place { function: Some("f".into()), module: Some("m".into()), ..Place::default() };
        let passes = |include: &[Filter], exclude: &[Filter]| {
            let filters = Filters { include: include.to_vec(), exclude: exclude.to_vec(), ..Filters::default() };
            filters.passes(filters.of_place(&place))
        };
        let (f, g, m) =
            (filter(FilterKind::Function, "f"), filter(FilterKind::Function, "g"), filter(FilterKind::Module, "m"));
        assert!(passes(&[], &[]));
        assert!(passes(&[g.clone(), f.clone()], &[]));
        assert!(!passes(std::slice::from_ref(&g), &[]));
        assert!(!passes(&[f], &[m]));
        assert!(passes(&[], &[g]));
    }
}
