//! Which frame names a call site: the first one, innermost first, outside allocators, wrappers and runtime libraries.

use std::sync::Arc;

use super::{
    Frame, Location, ModuleId, Modules, SymbolTable, function_path::function_path, pattern::PatternSet, plumbing,
    python::python_modules,
};
use crate::number_hash::{NumberHash, NumberMap};

/// What a frame says about who wanted the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The program's own code, or a library that is no runtime: names the site.
    Code,
    /// A runtime library: names the site when there is no code of the program in the stack.
    Runtime,
    /// An allocation wrapper, or the start of a thread: names the site only when there is nothing else.
    Plumbing,
}

/// Decides by function and module name, with the tables of `plumbing.rs`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SiteNamer(Arc<Tables>);

#[derive(Debug)]
struct Tables {
    plumbing: PatternSet,
    runtime_functions: PatternSet,
    runtime_modules: PatternSet,
}

impl Default for SiteNamer {
    fn default() -> Self {
        Self(Arc::new(Tables {
            plumbing: PatternSet::new(&[plumbing::WRAPPERS, plumbing::THREAD_STARTS].concat()),
            runtime_functions: PatternSet::new(plumbing::RUNTIME_FUNCTIONS),
            runtime_modules: PatternSet::new(plumbing::RUNTIME_MODULES),
        }))
    }
}

impl SiteNamer {
    /// Index of the frame that names the stack, `None` for a stack without frames. For many stacks of one profile
    /// use [`Self::reader`], which remembers what it found.
    ///
    /// Where Python runs, it is the innermost line of Python that wanted the memory: what is called from there, the
    /// interpreter or a library in C, is seen in the stack.
    ///
    /// A stack of runtime frames and wrappers alone is named by the innermost runtime frame: it is what asked for
    /// the memory (`_IO_file_doallocate`, `_dl_allocate_tls`), where the outermost is always the thread's start.
    /// A stack of wrappers alone is named by its innermost frame.
    #[must_use]
    pub fn site(&self, stack: &[Location], symbols: &SymbolTable, modules: &Modules) -> Option<usize> {
        self.reader(symbols, modules).site(stack)
    }

    /// Names the stacks of one profile.
    #[must_use]
    pub fn reader<'a>(&'a self, symbols: &'a SymbolTable, modules: &'a Modules) -> SiteReader<'a> {
        SiteReader {
            namer: self,
            symbols,
            modules,
            python: python_modules(modules),
            locations: NumberMap::with_capacity_and_hasher(symbols.len(), NumberHash::default()),
            files: NumberMap::default(),
        }
    }

    /// Of the functions inlined at a location, the innermost that is no plumbing; else the physical one.
    #[must_use]
    pub fn frame<'a>(&self, location: Location, symbols: &'a SymbolTable) -> Option<&'a Frame> {
        let frames = symbols.frames(location);
        if let [only] = frames {
            return Some(only);
        }
        let names_site =
            |frame: &&Frame| frame.function.as_deref().is_some_and(|name| self.function(name) == Role::Code);
        frames.iter().find(names_site).or(frames.last())
    }

    fn function(&self, symbol: &str) -> Role {
        let path = function_path(symbol);
        match path.strip_prefix('<') {
            Some(rest) if !rest.is_empty() => self.rust_impl(rest),
            _ => self.path(path),
        }
    }

    /// `Type as Trait>::f` and `Type>::f`: the program's own when the type or the trait is.
    fn rust_impl(&self, rest: &str) -> Role {
        let kind = without_reference(rest);
        let has_path = |text: &str| text.contains("::");
        match split_trait(rest) {
            // Only the standard library may add functions to types that have no path: `<[T]>::to_vec`.
            (kind, None) if !has_path(kind) => Role::Runtime,
            (bare, Some(of_trait)) if !has_path(bare) => self.path(of_trait),
            (_, Some(of_trait)) if self.path(of_trait) == Role::Code => Role::Code,
            _ => self.path(kind),
        }
    }

    fn path(&self, path: &str) -> Role {
        if self.0.plumbing.matches(path) {
            Role::Plumbing
        } else if self.0.runtime_functions.matches(path) {
            Role::Runtime
        } else {
            Role::Code
        }
    }

    fn is_runtime_module(&self, path: &str) -> bool {
        let file_name = path.rsplit('/').next().unwrap_or(path);
        path == "[vdso]" || self.0.runtime_modules.matches(file_name)
    }
}

/// `&mut T`, `*const T`, `&dyn T`, `[T]` and `(T,` all begin with what says whose they are: `T`.
fn without_reference(kind: &str) -> &str {
    let mut kind = kind;
    loop {
        let shorter = kind.trim_start_matches(['<', '&', '*', '[', '(']);
        let words = ["mut ", "const ", "dyn "];
        let shorter = words.iter().find_map(|word| shorter.strip_prefix(word)).unwrap_or(shorter);
        if shorter.len() == kind.len() {
            return kind;
        }
        kind = shorter;
    }
}

/// Splits `Type as Trait>::f` at the ` as ` that belongs to the outermost bracket; no trait in `Type>::f`.
fn split_trait(text: &str) -> (&str, Option<&str>) {
    let mut depth = 0_u32;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'<' | b'(' | b'[' => depth += 1,
            b'>' if at > 0 && text.as_bytes()[at - 1] == b'-' => {}
            b'>' if depth == 0 => return (&text[..at], None),
            b'>' | b')' | b']' => depth = depth.saturating_sub(1),
            b' ' if depth == 0 && text[at..].starts_with(" as ") => return (&text[..at], Some(&text[at + 4..])),
            _ => {}
        }
    }
    (text, None)
}

/// Names stacks and remembers the role of every location and file it has seen.
#[derive(Debug)]
pub struct SiteReader<'a> {
    namer: &'a SiteNamer,
    symbols: &'a SymbolTable,
    modules: &'a Modules,
    /// Modules with lines of Python.
    python: Vec<ModuleId>,
    locations: NumberMap<Location, Role>,
    files: NumberMap<ModuleId, bool>,
}

impl SiteReader<'_> {
    /// As [`SiteNamer::site`].
    pub fn site(&mut self, stack: &[Location]) -> Option<usize> {
        // Most profiles have none.
        if !self.python.is_empty()
            && let Some(index) = stack.iter().position(|location| self.python.contains(&location.module))
        {
            return Some(index);
        }
        let mut runtime = None;
        for (index, location) in stack.iter().enumerate() {
            match self.role(*location) {
                Role::Code => return Some(index),
                Role::Runtime => runtime = runtime.or(Some(index)),
                Role::Plumbing => {}
            }
        }
        runtime.or((!stack.is_empty()).then_some(0))
    }

    fn role(&mut self, location: Location) -> Role {
        if let Some(role) = self.locations.get(&location) {
            return *role;
        }
        let role = self.find_role(location);
        self.locations.insert(location, role);
        role
    }

    /// By the physical function, not those inlined into it, so that a site stays the same when lines get known.
    fn find_role(&mut self, location: Location) -> Role {
        let function = self.symbols.frames(location).last().and_then(|frame| frame.function.as_deref());
        let role = function.map_or(Role::Code, |name| self.namer.function(name));
        let (namer, modules) = (self.namer, self.modules);
        let is_runtime = *self
            .files
            .entry(location.module)
            .or_insert_with(|| namer.is_runtime_module(modules.path(location.module)));
        if role == Role::Code && is_runtime { Role::Runtime } else { role }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::Scene, *};

    /// The name of the frame that names a stack of `function@module`.
    fn named(frames: &[&str]) -> String {
        let mut scene = Scene::default();
        let stack = scene.stack(frames);
        let index = SiteNamer::default().site(&stack, &scene.symbols, &scene.modules).expect("the stack has frames");
        frames[index].to_owned()
    }

    /// The first frame outside wrappers and runtime libraries names the site.
    #[test]
    fn first_frame_of_the_program_names_the_site() {
        for (frames, name) in [
            (["strdup@libc.so.6", "xstrdup@/bin/app", "parse@/bin/app", "main@/bin/app"], "parse@/bin/app"),
            (
                [
                    "operator new(unsigned long)@/usr/lib/libstdc++.so.6.0.30",
                    "std::vector<int>::_M_realloc_insert(int)@app",
                    "void std::f<int>()@app",
                    "add(int)@app",
                ],
                "add(int)@app",
            ),
            (
                [
                    "alloc::raw_vec::finish_grow@app",
                    "<alloc::vec::Vec<T> as core::iter::Extend<T>>::extend@app",
                    "<T as alloc::slice::hack::ConvertVec>::to_vec@app",
                    "app::run@app",
                ],
                "app::run@app",
            ),
            (
                ["PyObject_Malloc@python3", "list_resize@python3", "main@python3", "_start@python3"],
                "list_resize@python3",
            ),
            (["0x10@/lib/ld-musl-x86_64.so.1", "0x20@app", "0x30@app", "0x40@app"], "0x20@app"),
        ] {
            assert_eq!(named(&frames), name);
        }
    }

    /// A type or trait of the program's own makes a function the program's own, whatever the other is.
    #[test]
    fn own_trait_on_a_standard_type_is_own_code() {
        let namer = SiteNamer::default();
        for (symbol, role) in [
            ("<alloc::vec::Vec<T> as app::Load>::load", Role::Code),
            ("<app::Rows as core::clone::Clone>::clone", Role::Code),
            ("<alloc::vec::Vec<T> as core::clone::Clone>::clone", Role::Plumbing),
            ("<&mut alloc::vec::Vec<T> as core::iter::IntoIterator>::into_iter", Role::Plumbing),
            ("<[T]>::to_vec", Role::Runtime),
            ("std::string app_make<int>(int)", Role::Code),
            ("<", Role::Code),
        ] {
            assert_eq!(namer.function(symbol), role, "{symbol}");
        }
    }

    /// The innermost line of Python names the site, whatever native code it has called.
    #[test]
    fn line_of_python_names_the_site() {
        let frames = ["resize@/lib/_speed.so", "helper@[python]@a.py:3", "main@[python]@a.py:9", "main@python3"];
        assert_eq!(named(&frames), "helper@[python]@a.py:3");
    }

    /// Without code of the program, the innermost runtime frame names the site; the thread's start never does.
    #[test]
    fn runtime_frame_names_a_stack_of_runtime_frames() {
        assert_eq!(
            named(&["malloc@libc.so.6", "_IO_file_doallocate@libc.so.6", "_start@app"]),
            "_IO_file_doallocate@libc.so.6"
        );
        assert_eq!(named(&["xmalloc@app", "_start@app"]), "xmalloc@app");
    }

    /// A stack without frames has no name.
    #[test]
    fn no_frames_no_name() {
        assert_eq!(SiteNamer::default().site(&[], &SymbolTable::default(), &Modules::default()), None);
    }

    /// The innermost function inlined at the site that is no plumbing is shown, not the one it was inlined into.
    #[test]
    fn inlined_function_is_shown() {
        let mut scene = Scene::default();
        let at = scene.location("main@app");
        let frame = |name: &str, inlined| Frame { function: Some(name.into()), source: None, inlined };
        scene.symbols.insert(
            at,
            [frame("alloc::vec::from_elem", true), frame("app::rows", true), frame("app::main", false)].into(),
        );
        let shown = SiteNamer::default().frame(at, &scene.symbols).and_then(|frame| frame.function.clone());
        assert_eq!(shown.as_deref(), Some("app::rows"));
    }
}
