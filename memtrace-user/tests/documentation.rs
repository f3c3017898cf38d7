//! What the documentation promises of itself.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All files of a kind below a directory.
fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    let (directories, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let below = directories.iter().flat_map(|directory| self::files(directory, extension));
    let here = files.into_iter().filter(|path| path.extension().is_some_and(|found| found == extension));
    here.chain(below).collect()
}

/// The messages of a source file's `#[error("…")]`, with … for what they take in.
fn messages(source: &str) -> impl Iterator<Item = String> + '_ {
    source.split("#[error(").skip(1).filter_map(|rest| {
        let text = rest.trim_start().strip_prefix('"')?;
        let (end, _) = text.match_indices('"').find(|(at, _)| !text[..*at].ends_with('\\'))?;
        let text = &text[..end];
        // A backslash at the end of a line joins it with the next.
        let joined: String = text.split("\\\n").map(str::trim_start).collect();
        Some(without_parts(&joined))
    })
}

fn without_parts(message: &str) -> String {
    let mut parts = message.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "…" + part.split_once('}').map_or("", |(_, rest)| rest))
}

/// Each message of an error is in docs/troubleshooting.md, by its words.
#[test]
fn every_message_is_explained() {
    let page = fs::read_to_string(workspace().join("docs/troubleshooting.md")).expect("the page");
    let sources = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "rs");
    let sources: Vec<_> = sources.iter().map(|path| fs::read_to_string(path).expect("a source file")).collect();
    let all: Vec<String> = sources.iter().flat_map(|source| messages(source)).collect();
    assert!(all.len() > 90, "{} messages were found", all.len());
    let has_words = |message: &&String| message.chars().any(char::is_alphabetic);
    let missing: Vec<_> = all.iter().filter(has_words).filter(|message| !page.contains(*message)).collect();
    assert!(missing.is_empty(), "not in docs/troubleshooting.md: {missing:#?}");
}

/// Each link of the documentation to a file leads to one.
#[test]
fn links_lead_somewhere() {
    let mut pages = files(&workspace().join("docs"), "md");
    pages.extend(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| workspace().join(name)));
    for page in pages {
        let text = fs::read_to_string(&page).expect("a page");
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        for link in links.filter(|link| !link.contains("://")) {
            let file = link.split('#').next().expect("a split has a first part");
            let place = page.parent().expect("a directory").join(file);
            assert!(file.is_empty() || place.exists(), "{}: {link}", page.display());
        }
    }
}
