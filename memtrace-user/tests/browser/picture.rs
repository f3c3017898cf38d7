//! The SVG flame graph: it opens as a picture, zooms, and takes names for nothing but names.

use crate::{
    devtools::{Browser, point},
    scene::{HOSTILE, Scene, hostile},
};

fn open(scene: &Scene) -> Browser {
    let (_directory, picture) = scene.export("svg");
    let mut browser = Browser::start();
    browser.open(&picture);
    assert_eq!(browser.complaints(), [""; 0]);
    assert_eq!(browser.evaluate("document.documentElement.nodeName"), "svg");
    browser
}

/// A click on a frame zooms, and the label at the top zooms out.
#[test]
fn picture_zooms() {
    let mut scene = Scene::new("/bin/app");
    scene.add(&["main", "parse"], 30, 1024);
    scene.add(&["main", "serve"], 10, 1024);
    let mut browser = open(&scene);
    let frame = "[...document.querySelectorAll('#frames g')].find((g) => g.textContent.startsWith('serve (10,240 bytes, 25.00%)'))";
    let width = format!("{frame}.querySelector('rect').getBoundingClientRect().width");
    let narrow = browser.evaluate(&width).as_f64().expect("a width");
    let (x, y) = browser.middle(&format!("{frame}.querySelector('rect')"));
    browser.click(x, y);
    let wide = browser.evaluate(&width).as_f64().expect("a width");
    assert!((wide / narrow - 4.0).abs() < 0.1, "{narrow} became {wide}");
    let label = "(() => { const area = document.getElementById('unzoom').getBoundingClientRect(); \
                 return [area.x + area.width / 2, area.y + area.height / 2]; })()";
    let (x, y) = point(&browser.evaluate(label));
    browser.click(x, y);
    assert_eq!(browser.evaluate(&width).as_f64(), Some(narrow));
}

/// A picture of hostile names is well-formed, shows them as text and runs nothing of them.
#[test]
fn hostile_names_are_text() {
    let mut browser = open(&hostile());
    assert_eq!(browser.evaluate("typeof window.hacked"), "undefined");
    assert_eq!(browser.evaluate("document.querySelectorAll('parsererror, img').length"), 0);
    let titles =
        browser.evaluate("[...document.querySelectorAll('#frames title')].map((t) => t.textContent).join('|')");
    let titles = titles.as_str().expect("titles");
    for name in &HOSTILE[..2] {
        assert!(titles.contains(name), "{titles}");
    }
}
