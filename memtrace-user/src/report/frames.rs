//! How a place in the code is said: `function (file:line) [module]`, or `module+0xoffset` without a symbol.

use super::{elide, escape::escape};
use crate::profile::{Frame, Location, Modules, Ranking, SourceLine, SymbolTable};

/// What stands for the site of allocations without a stack.
pub const NO_STACK: &str = "[no stack]";

/// Name of a site on one line, in parts, so that the least telling part goes first when there is no room. The file is
/// without its directories: the stack below has the whole path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SiteName {
    /// Function, or `module+0xoffset`.
    pub function: String,
    /// ` (file:line)`, or nothing.
    pub place: String,
    /// ` [module]`, or nothing.
    pub module: String,
}

impl SiteName {
    /// The name of a site; `None` is the site of what was recorded without a stack.
    #[must_use]
    pub fn of(location: Option<Location>, ranking: &Ranking, symbols: &SymbolTable, modules: &Modules) -> Self {
        let Some(location) = location else { return Self { function: NO_STACK.into(), ..Self::default() } };
        let frame = ranking.frame(location, symbols);
        let Some((function, source)) = frame.and_then(|frame| Some((frame.function.as_deref()?, &frame.source))) else {
            return Self { function: bare(location, modules), ..Self::default() };
        };
        Self {
            function: escape(function).into_owned(),
            place: source.as_ref().map(|line| place(base_name(&line.file), line.line)).unwrap_or_default(),
            module: format!(" [{}]", module_name(location, modules)),
        }
    }

    /// The name in so many columns: without its module if need be, then with a shortened function, then without its
    /// place as well.
    #[must_use]
    pub fn fit(&self, columns: usize) -> String {
        /// A function shortened to less says nothing.
        const LEAST_FUNCTION: usize = 12;
        let Self { function, place, module } = self;
        let (of_function, of_place) = (elide::width(function), elide::width(place));
        if of_function + of_place + elide::width(module) <= columns {
            format!("{function}{place}{module}")
        } else if of_function.min(LEAST_FUNCTION) + of_place <= columns {
            format!("{}{place}", elide::middle(function, columns - of_place))
        } else {
            elide::middle(function, columns)
        }
    }
}

/// The frames of a location, innermost first, one text each. Inlined functions say so in place of the module.
#[must_use]
pub fn location_lines(location: Location, symbols: &SymbolTable, modules: &Modules) -> Vec<String> {
    let frames = symbols.frames(location);
    if frames.is_empty() {
        return vec![bare(location, modules)];
    }
    frames.iter().map(|frame| frame_line(frame, location, modules)).collect()
}

fn frame_line(frame: &Frame, location: Location, modules: &Modules) -> String {
    let Some(function) = frame.function.as_deref() else { return bare(location, modules) };
    let source = frame.source.as_ref().map(full_place).unwrap_or_default();
    let tag = if frame.inlined { "inlined".into() } else { module_name(location, modules) };
    format!("{}{source} [{tag}]", escape(function))
}

fn bare(location: Location, modules: &Modules) -> String {
    format!("{}+{:#x}", module_name(location, modules), location.offset)
}

fn module_name(location: Location, modules: &Modules) -> String {
    let name = base_name(modules.path(location.module));
    // Pseudo files as `[vdso]` bring their own brackets.
    escape(name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name)).into_owned()
}

fn full_place(line: &SourceLine) -> String {
    place(&line.file, line.line)
}

fn place(file: &str, line: u32) -> String {
    let file = escape(file);
    if line == 0 { format!(" ({file})") } else { format!(" ({file}:{line})") }
}

/// The last part of a path; the path itself where that is empty.
#[must_use]
pub fn base_name(path: &str) -> &str {
    path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::SiteName;

    /// The module goes first, then the middle of the function, then the place; the result always fits.
    #[test]
    fn least_telling_part_goes_first() {
        let name = SiteName {
            function: "serialize_response".into(),
            place: " (reply.c:120)".into(),
            module: " [server]".into(),
        };
        assert_eq!(name.fit(80), "serialize_response (reply.c:120) [server]");
        assert_eq!(name.fit(35), "serialize_response (reply.c:120)");
        assert_eq!(name.fit(27), "serial…sponse (reply.c:120)");
        assert_eq!(name.fit(18), "serialize_response");
        assert_eq!(name.fit(9), "seri…onse");
    }
}
