//! The command line of an image that runs, as it is read again and again: a process may change it at any time.
//!
//! It is asked for by the process's id, so that what is read may be the next image's, whose exec is not known yet: the kernel
//! puts the arguments in place before it tells of the exec. That is noticed when the exec is told.

use std::mem::replace;

/// A command line and the one before.
#[derive(Debug, Default)]
pub(super) struct CommandLine {
    /// What the image was called until it was called what it is now.
    before: Option<String>,
}

impl CommandLine {
    /// The image is called `read` now, and was called `known`.
    pub(super) fn see(&mut self, known: &mut String, read: String) {
        if *known != read {
            self.before = Some(replace(known, read));
        }
    }

    /// The image has been replaced by one that was executed as `next` (its beginning, if it is long): what it was called
    /// itself. The next one has not been called anything else yet.
    pub(super) fn at_exec(&mut self, known: &mut String, next: Option<&str>) {
        let before = self.before.take();
        if let (Some(before), Some(next)) = (before, next)
            && known.starts_with(next)
        {
            *known = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CommandLine;

    /// What an image was called in the end, of one that is called `first` and then executes `next`.
    fn called(first: &str, read: &[&str], next: Option<&str>) -> String {
        let (mut line, mut known) = (CommandLine::default(), first.to_owned());
        for read in read {
            line.see(&mut known, (*read).to_owned());
        }
        line.at_exec(&mut known, next);
        known
    }

    /// A process that changes its command line is called what it was called last.
    #[test]
    fn the_last_name_counts() {
        assert_eq!(called("server", &["server", "server: idle"], Some("cat")), "server: idle");
    }

    /// What was read of the next image, once or twice, is not the name of the one before.
    #[test]
    fn the_next_image_does_not_name_the_one_before() {
        assert_eq!(called("server", &["server", "cat x", "cat x"], Some("cat x")), "server");
        assert_eq!(called("server", &["cat x and so on"], Some("cat x")), "server");
    }

    /// A program that executes itself keeps its name.
    #[test]
    fn an_image_may_be_executed_again() {
        assert_eq!(called("server", &["server", "server"], Some("server")), "server");
        assert_eq!(called("server", &[], None), "server");
    }
}
