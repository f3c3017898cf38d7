//! How a frame of an exported call stack is named.

use std::{collections::HashMap, sync::Arc};

use crate::{
    profile::{Frame, Location, Modules, Snapshot, SourceLine, SymbolTable},
    report::frames::base_name,
};

/// What tells frames apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Naming {
    /// Lines of one function are different frames.
    pub(super) lines: bool,
    /// Frames carry module and file beside their name; else the name is all there is, and says the line itself.
    pub(super) places: bool,
}

/// A frame as a format writes it. Texts are as the program has them: see [`crate::report::escape`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ExportFrame {
    /// Function; `[module+0x1f]` for code without a name; something in brackets for what is no code.
    pub(super) name: Arc<str>,
    /// Path of the file that the code lies in.
    pub(super) module: Option<Arc<str>>,
    /// Source file.
    pub(super) file: Option<Arc<str>>,
    /// Line in it; 0 when not known or not told apart.
    pub(super) line: u32,
}

/// Index of a frame in a [`FrameTable`].
pub(super) type FrameId = u32;

/// Every frame once.
#[derive(Debug, Default)]
pub(super) struct FrameTable {
    frames: Vec<ExportFrame>,
    ids: HashMap<ExportFrame, FrameId>,
}

impl FrameTable {
    /// The id of a frame, which is added if it is new.
    pub(super) fn add(&mut self, frame: ExportFrame) -> FrameId {
        if let Some(id) = self.ids.get(&frame) {
            return *id;
        }
        let id = FrameId::try_from(self.frames.len()).expect("fewer than 2^32 frames fit in memory");
        self.frames.push(frame.clone());
        self.ids.insert(frame, id);
        id
    }

    /// The id of a frame that is no code.
    pub(super) fn add_named(&mut self, name: &str) -> FrameId {
        self.add(ExportFrame { name: name.into(), ..ExportFrame::default() })
    }

    /// The frame of an id that was given.
    pub(super) fn get(&self, id: FrameId) -> &ExportFrame {
        &self.frames[id as usize]
    }

    /// All frames by their ids.
    pub(super) fn into_frames(self) -> Vec<ExportFrame> {
        self.frames
    }
}

/// Names the locations of one snapshot.
#[derive(Debug)]
pub(super) struct Namer<'a> {
    symbols: &'a SymbolTable,
    modules: &'a Modules,
    naming: Naming,
    known: HashMap<Location, Arc<[FrameId]>>,
}

impl<'a> Namer<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, naming: Naming) -> Self {
        Self { symbols: &snapshot.symbols, modules: &snapshot.modules, naming, known: HashMap::new() }
    }

    /// The frames of a location, outermost first: the function, then those inlined into it.
    pub(super) fn location(&mut self, location: Location, table: &mut FrameTable) -> Arc<[FrameId]> {
        if let Some(known) = self.known.get(&location) {
            return Arc::clone(known);
        }
        let frames = self.symbols.frames(location);
        let ids: Arc<[FrameId]> = if frames.is_empty() {
            [table.add(self.bare(location))].into()
        } else {
            frames.iter().rev().map(|frame| table.add(self.frame(location, frame))).collect()
        };
        self.known.insert(location, Arc::clone(&ids));
        ids
    }

    /// One frame of a location.
    pub(super) fn frame(&self, location: Location, frame: &Frame) -> ExportFrame {
        let Some(function) = &frame.function else { return self.bare(location) };
        let source = frame.source.as_ref();
        if !self.naming.places {
            let name = match source.filter(|_| self.naming.lines) {
                Some(source) => format!("{function} ({})", line_text(source)).into(),
                None => Arc::clone(function),
            };
            return ExportFrame { name, ..ExportFrame::default() };
        }
        ExportFrame {
            name: Arc::clone(function),
            module: Some(Arc::clone(self.modules.path(location.module))),
            file: source.map(|source| Arc::clone(&source.file)),
            line: source.filter(|_| self.naming.lines).map_or(0, |source| source.line),
        }
    }

    /// A location without a name. Its offset keeps functions apart that nobody can name.
    pub(super) fn bare(&self, location: Location) -> ExportFrame {
        let path = self.modules.path(location.module);
        let module = base_name(path);
        // Pseudo files as `[vdso]` bring their own brackets.
        let module = module.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(module);
        let name = format!("[{module}+{:#x}]", location.offset).into();
        ExportFrame { name, module: self.naming.places.then(|| Arc::clone(path)), ..ExportFrame::default() }
    }
}

/// `file.c:12`, or `file.c` where the line is not known.
fn line_text(source: &SourceLine) -> String {
    let file = base_name(&source.file);
    if source.line == 0 { file.to_owned() } else { format!("{file}:{}", source.line) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::fixture::Scene;

    fn names(naming: Naming, scene: &mut Scene, frame: &str) -> Vec<ExportFrame> {
        let location = scene.location(frame);
        let (snapshot, mut table) = (scene.snapshot(), FrameTable::default());
        let ids = Namer::new(&snapshot, naming).location(location, &mut table);
        ids.iter().map(|id| table.get(*id).clone()).collect()
    }

    /// A frame is its function; with lines, the place follows; code without a name says module and offset.
    #[test]
    fn frames_say_function_line_or_offset() {
        let mut scene = Scene::default();
        let mut name = |lines, frame| names(Naming { lines, places: false }, &mut scene, frame)[0].name.to_string();
        assert_eq!(name(false, "parse@/bin/app@/src/parse.c:7"), "parse");
        assert_eq!(name(true, "parse@/bin/app@/src/parse.c:7"), "parse (parse.c:7)");
        assert_eq!(name(true, "scan@/bin/app@/src/scan.c:0"), "scan (scan.c)");
        assert_eq!(name(true, "0x1f@/lib/libz.so.1"), "[libz.so.1+0x1f]");
        assert_eq!(name(false, "0x2a@[vdso]"), "[vdso+0x2a]");
    }

    /// Inlined functions are frames of their own, inside the function that they were inlined into.
    #[test]
    fn inlined_functions_are_frames() {
        let mut scene = Scene::default();
        let at = scene.location("main@app");
        let frame = |name: &str, inlined| Frame { function: Some(name.into()), source: None, inlined };
        scene.symbols.insert(at, [frame("inner", true), frame("outer", true), frame("main", false)].into());
        let named = names(Naming { lines: false, places: true }, &mut scene, "main@app");
        assert_eq!(named.iter().map(|frame| &*frame.name).collect::<Vec<_>>(), ["main", "outer", "inner"]);
        assert_eq!(named[0].module.as_deref(), Some("app"));
    }
}
