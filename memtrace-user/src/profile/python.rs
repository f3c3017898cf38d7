//! Lines of Python in a profile: their locations are in a module of their own, and numbered as they were met.

use super::{ModuleId, Modules, Place, Snapshot};

/// The module of Python's lines.
pub const PYTHON_MODULE: &str = "[python]";

/// The modules that hold Python's lines: one a process.
#[must_use]
pub(super) fn python_modules(modules: &Modules) -> Vec<ModuleId> {
    modules.iter().filter(|(_, module)| &*module.path == PYTHON_MODULE).map(|(id, _)| id).collect()
}

/// Takes the native frames out of the stacks that have Python frames; the others stay as they are.
pub fn keep_python_frames(snapshot: &mut Snapshot) {
    let modules = python_modules(&snapshot.modules);
    for sample in &mut snapshot.samples {
        let python = sample.stack.iter().filter(|location| modules.contains(&location.module));
        let python: Vec<_> = python.copied().collect();
        if !python.is_empty() {
            sample.stack = python.into();
        }
    }
}

impl Place {
    /// Whether it is in Python code.
    #[must_use]
    pub fn is_python(&self) -> bool {
        self.module.as_deref() == Some(PYTHON_MODULE)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{GroupBy, GroupOptions, Groups, Samples, SortBy, fixture::Scene},
        *,
    };

    /// One line is one group, whatever functions are on it; two files of one name are two; and by function, the file counts.
    #[test]
    fn lines_are_files_and_numbers() {
        let mut scene = Scene::default();
        scene.sample(
            &["malloc@libc.so.6", "f.<listcomp>@[python]@/a/__init__.py:3", "f@[python]@/a/__init__.py:3"],
            3,
            10,
            0,
        );
        scene.sample(&["f@[python]@/a/__init__.py:3", "main@python3"], 5, 10, 0);
        scene.sample(&["f@[python]@/b/__init__.py:3", "main@python3"], 7, 10, 0);
        scene.sample(&["native@python3"], 11, 10, 0);
        let snapshot = scene.snapshot();
        let sums = |by| {
            let options = GroupOptions { by, ..GroupOptions::default() };
            let groups = Groups::of(&[Samples::from(&snapshot)], &options, SortBy::LiveBytes);
            groups.groups.iter().map(|group| group.stats.live_blocks()).collect::<Vec<_>>()
        };
        assert_eq!(sums(GroupBy::Line), [11, 8, 7]);
        assert_eq!(sums(GroupBy::Function), [11, 7, 5, 3]);
    }

    /// Native frames go from stacks that have others, and no sample is lost.
    #[test]
    fn native_frames_can_be_left_out() {
        let mut scene = Scene::default();
        scene.sample(&["malloc@libc.so.6", "f@[python]@a.py:3", "eval@python3", "g@[python]@a.py:9"], 3, 10, 0);
        scene.sample(&["native@python3", "main@python3"], 11, 10, 0);
        let mut snapshot = scene.snapshot();
        keep_python_frames(&mut snapshot);
        assert_eq!(snapshot.samples.iter().map(|sample| sample.stack.len()).collect::<Vec<_>>(), [2, 2]);
        assert_eq!(snapshot.total(), scene.profile().totals.stats);
    }
}
