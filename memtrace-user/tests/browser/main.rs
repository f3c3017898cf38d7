//! Exported pictures and pages in a browser: headless Chromium opens them, and real clicks and keys drive them.

mod devtools;
mod page;
mod picture;
mod scene;
