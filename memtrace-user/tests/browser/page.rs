//! The HTML page: it draws, zooms, searches, sorts, and takes names for nothing but names.

use serde_json::json;

use crate::{
    devtools::{Browser, point},
    scene::{HOSTILE, Scene, hostile},
};

/// `main` with `parse` (75 % of the bytes, 30 blocks) and `serve` (25 %, 100 blocks).
fn scene() -> Scene {
    let mut scene = Scene::new("/bin/app --serve");
    scene.add(&["main", "parse", "grow"], 30, 1024);
    scene.add(&["main", "serve", "reply"], 100, 102);
    scene.add(&["main", "serve"], 1, 40);
    scene
}

/// Opens the page of a scene; the file has to live only until it is loaded.
fn open(scene: &Scene) -> Browser {
    let (_directory, page) = scene.export("html");
    let mut browser = Browser::start();
    browser.open(&page);
    assert_eq!(browser.complaints(), [""; 0]);
    assert_eq!(browser.loaded().len(), 1, "{:?}", browser.loaded());
    browser
}

/// Names of the frames that are drawn, row by row.
fn drawn(browser: &mut Browser) -> String {
    let rows = "flame.boxes.map((row) => row.map((box) => nodeName(box.node)).join(' ')).join(' / ')";
    browser.evaluate(rows).as_str().expect("names").to_owned()
}

/// Where a frame is drawn.
fn place(browser: &mut Browser, name: &str) -> (f64, f64) {
    let find = format!(
        "(() => {{ const area = flame.canvas.getBoundingClientRect();
            for (const [row, boxes] of flame.boxes.entries()) for (const {{ node, left, width }} of boxes)
              if (nodeName(node) === {}) return [area.x + left + width / 2, area.y + (row + 0.5) * flame.row]; }})()",
        json!(name)
    );
    point(&browser.evaluate(&find))
}

fn click_frame(browser: &mut Browser, name: &str) {
    let (x, y) = place(browser, name);
    browser.click(x, y);
}

/// First cell of the table that says a number, and the names of all rows.
fn sites(browser: &mut Browser) -> String {
    let names = "[...document.querySelectorAll('#sites tbody tr button')].map((name) => name.textContent).join(' ')";
    browser.evaluate(names).as_str().expect("names").to_owned()
}

/// A click zooms into a frame, a click on a caller and the button zoom out, and the status line says what is pointed at.
#[test]
fn clicks_zoom() {
    let mut browser = open(&scene());
    assert_eq!(browser.text("h1"), "763 /bin/app --serve");
    assert_eq!(drawn(&mut browser), "all / main / parse serve / grow reply");
    let (x, y) = place(&mut browser, "parse");
    browser.move_to(x, y);
    assert_eq!(browser.text("#status"), "parse /src/app.c [/bin/app]: 30.0 KiB (30,720 B), 75.0% of all; 0 B itself");
    let pixel = "flame.canvas.getContext('2d').getImageData(5, 27, 1, 1).data[3]";
    assert_eq!(browser.evaluate(pixel), 255, "the frame `main` is painted");
    click_frame(&mut browser, "serve");
    assert_eq!(drawn(&mut browser), "all / main / serve / reply");
    assert_eq!(browser.evaluate("flame.boxes[2][0].width === flame.scroll.clientWidth"), true);
    assert!(browser.text("#status").ends_with("25.0% of all; 100.0% of the zoomed frame; 40 B itself"));
    click_frame(&mut browser, "main");
    assert_eq!(drawn(&mut browser), "all / main / parse serve / grow reply");
    click_frame(&mut browser, "reply");
    browser.click_on("#reset");
    assert_eq!(drawn(&mut browser), "all / main / parse serve / grow reply");
    assert_eq!(browser.evaluate("page.reset.disabled"), true);
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Everything that the mouse can do in the graph, the keyboard can.
#[test]
fn keys_move_and_zoom() {
    let mut browser = open(&scene());
    browser.evaluate("flame.canvas.focus()");
    let pointed = |browser: &mut Browser| browser.evaluate("nodeName(flame.pointed)").as_str().unwrap().to_owned();
    let path = [("ArrowDown", "main"), ("ArrowDown", "parse"), ("ArrowRight", "serve"), ("ArrowRight", "serve")];
    for (key, name) in path {
        browser.key(key);
        assert_eq!(pointed(&mut browser), name);
    }
    browser.key("Enter");
    assert_eq!(drawn(&mut browser), "all / main / serve / reply");
    browser.key("ArrowUp");
    assert_eq!(pointed(&mut browser), "main");
    browser.key("Escape");
    assert_eq!(drawn(&mut browser), "all / main / parse serve / grow reply");
}

/// Searching says the share of what matches, each stack once, marks it, and leaves its sites in the table.
#[test]
fn search_marks_and_filters() {
    let mut browser = open(&scene());
    browser.key("/");
    browser.type_text("SERVE");
    assert_eq!(browser.evaluate("document.activeElement.id"), "search");
    assert_eq!(browser.text("#matched"), "Matched: 25.0%, 10.0 KiB");
    assert_eq!(sites(&mut browser), "serve");
    assert_eq!(browser.text("#shown"), "1 of 1 that match, of 3");
    browser.key("Escape");
    assert_eq!(browser.text("#matched"), "");
    assert_eq!(sites(&mut browser), "grow reply serve");
    browser.click_on("#sites tbody tr:nth-child(1) button");
    assert_eq!(browser.text("#matched"), "Matched: 75.0%, 30.0 KiB");
}

/// The table sorts by any column, both ways; another value changes graph and table.
#[test]
fn table_sorts_and_values_change() {
    let mut browser = open(&scene());
    browser.click_on("#sites th:nth-child(2) button");
    assert_eq!(sites(&mut browser), "reply grow serve");
    assert_eq!(browser.evaluate("document.querySelector('[aria-sort]').textContent"), "live blocks ▼");
    browser.click_on("#sites th:nth-child(2) button");
    assert_eq!(sites(&mut browser), "serve grow reply");
    browser.click_on("#sites th:last-child button");
    assert_eq!(sites(&mut browser), "grow reply serve");
    browser.evaluate("page.value.value = 'live-blocks', page.value.dispatchEvent(new Event('change'))");
    browser.drawn();
    assert_eq!(browser.text("#status"), "all: 131, 100.0% of all");
    assert_eq!(sites(&mut browser), "reply grow serve");
    assert_eq!(browser.evaluate("Math.round(flame.boxes[2][0].width / flame.scroll.clientWidth * 131)"), 30);
}

/// Names of a hostile program are shown as text and run nothing.
#[test]
fn hostile_names_are_text() {
    let mut browser = open(&hostile());
    assert_eq!(browser.evaluate("typeof window.hacked"), "undefined");
    assert_eq!(browser.evaluate("document.scripts.length"), 2);
    assert_eq!(browser.evaluate("document.images.length"), 0);
    let shown = drawn(&mut browser);
    for name in &HOSTILE[..3] {
        assert!(shown.contains(name), "{shown}");
        click_frame(&mut browser, name);
        browser.click_on("#reset");
    }
    assert!(shown.contains("line\\u{2028}\\u{2029}\\u{202e}ends"), "{shown}");
    assert_eq!(browser.evaluate("typeof window.hacked"), "undefined");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// A page of 100,000 stacks draws what can be seen and no more, and searches all of it.
#[test]
fn many_stacks_stay_usable() {
    let mut scene = Scene::new("big");
    for number in 0..100_000 {
        scene.add_numbered(number, 18, 10);
    }
    let mut browser = open(&scene);
    assert!(browser.evaluate("data.stacks.node.length").as_u64().unwrap() >= 100_000);
    let boxes = browser.evaluate("flame.boxes.flat().length").as_u64().unwrap();
    assert!((18..20_000).contains(&boxes), "{boxes} frames drawn");
    browser.click_on("#search");
    browser.type_text("function_3");
    assert!(browser.text("#matched").starts_with("Matched: "));
    assert!(browser.evaluate("document.querySelectorAll('*').length").as_u64().unwrap() < 3000);
}
