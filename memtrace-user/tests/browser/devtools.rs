//! A headless Chromium, driven by the `DevTools` protocol over a pipe: messages of JSON, each ended by a NUL.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Chromium reads commands from descriptor 3 and answers on 4. It ends when the pipe is closed; `timeout` ends one that
/// hangs. Without a sandbox, as that does not work for root; without `/dev/shm`, which containers have little of.
const START: &str = "exec timeout --kill-after=5 120 chromium --headless --no-sandbox --disable-gpu \
    --disable-dev-shm-usage --disable-background-networking --disable-component-update --disable-sync --no-first-run \
    --host-resolver-rules='MAP * ~NOTFOUND' --remote-debugging-pipe --user-data-dir=\"$1\" about:blank \
    3<&0 4>&1 </dev/null >/dev/null 2>&1";

/// A browser with one tab.
pub struct Browser {
    process: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    session: Option<String>,
    last_id: u64,
    events: Vec<Value>,
    _profile: TempDir,
}

impl Browser {
    /// Starts one, with a tab of 1200 by 900 pixels.
    pub fn start() -> Self {
        let profile = tempfile::tempdir().expect("a directory for the profile");
        let mut command = Command::new("sh");
        command.args(["-c", START, "sh"]).arg(profile.path()).env("HOME", profile.path());
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh starts");
        let commands = process.stdin.take();
        let answers = BufReader::new(process.stdout.take().expect("a pipe"));
        let (session, events) = (None, Vec::new());
        let mut browser = Self { process, commands, answers, session, last_id: 0, events, _profile: profile };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.call("Target.attachToTarget", &attach);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        let size = json!({"width": 1200, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        browser.call("Emulation.setDeviceMetricsOverride", &size);
        browser
    }

    /// Opens a file and waits until it is loaded and drawn.
    pub fn open(&mut self, file: &Path) {
        self.events.clear();
        self.call("Page.navigate", &json!({"url": format!("file://{}", file.display())}));
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let event = self.read();
            self.events.push(event);
        }
        self.drawn();
    }

    /// Waits until what was changed is drawn.
    pub fn drawn(&mut self) {
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))).then(() => 0)");
    }

    /// The value of an expression in the page; a promise is waited for.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answer = self.call("Runtime.evaluate", &parameters);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// The text of an element.
    pub fn text(&mut self, selector: &str) -> String {
        let text = self.evaluate(&format!("document.querySelector({}).textContent", json!(selector)));
        text.as_str().unwrap_or_else(|| panic!("{selector} has no text")).to_owned()
    }

    /// Moves the mouse to a point and clicks.
    pub fn click(&mut self, x: f64, y: f64) {
        self.move_to(x, y);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", &event);
        }
        self.drawn();
    }

    /// Moves the mouse to a point.
    pub fn move_to(&mut self, x: f64, y: f64) {
        self.call("Input.dispatchMouseEvent", &json!({"type": "mouseMoved", "x": x, "y": y}));
        self.drawn();
    }

    /// Clicks the middle of an element.
    pub fn click_on(&mut self, selector: &str) {
        let (x, y) = self.middle(&format!("document.querySelector({})", json!(selector)));
        self.click(x, y);
    }

    /// Where the middle of an element is, once it is scrolled to.
    pub fn middle(&mut self, element: &str) -> (f64, f64) {
        let middle = "{ const area = element.getBoundingClientRect(); \
                      return [area.x + area.width / 2, area.y + area.height / 2]; }";
        let function =
            format!("((element) => {{ element.scrollIntoView({{block: 'nearest'}}); {middle} }})({element})");
        point(&self.evaluate(&function))
    }

    /// Presses a key, as `Enter` or `/`.
    pub fn key(&mut self, key: &str) {
        let text = if key.chars().count() == 1 { key } else { "" };
        self.call("Input.dispatchKeyEvent", &json!({"type": "keyDown", "key": key, "text": text}));
        self.call("Input.dispatchKeyEvent", &json!({"type": "keyUp", "key": key}));
        self.drawn();
    }

    /// Types a text where the cursor is.
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", &json!({"text": text}));
        self.drawn();
    }

    /// What the page did that it should not: exceptions, refused or failed loads, warnings of the browser.
    pub fn complaints(&self) -> Vec<String> {
        let bad =
            ["Runtime.exceptionThrown", "Log.entryAdded", "Network.loadingFailed", "Page.javascriptDialogOpening"];
        let is_bad = |event: &&Value| bad.iter().any(|method| event["method"] == *method);
        self.events.iter().filter(is_bad).map(Value::to_string).collect()
    }

    /// Addresses of everything that was loaded since the page was opened.
    pub fn loaded(&self) -> Vec<String> {
        let requests = self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        requests.filter_map(|event| event["params"]["request"]["url"].as_str().map(str::to_owned)).collect()
    }

    /// Sends a command and waits for its answer.
    pub fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.last_id += 1;
        let mut message = json!({"id": self.last_id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let commands = self.commands.as_mut().expect("open while the browser lives");
        write!(commands, "{message}\0").and_then(|()| commands.flush()).expect("chromium takes commands");
        loop {
            let answer = self.read();
            if answer["id"] == self.last_id {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    fn read(&mut self) -> Value {
        let mut message = Vec::new();
        self.answers.read_until(0, &mut message).expect("chromium answers");
        assert_eq!(message.pop(), Some(0), "chromium ended; does `chromium --headless` start here?");
        serde_json::from_slice(&message).expect("the protocol speaks JSON")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.process.wait();
    }
}

/// A pair of numbers.
pub fn point(value: &Value) -> (f64, f64) {
    let number = |index: usize| value[index].as_f64().unwrap_or_else(|| panic!("{value} is no point"));
    (number(0), number(1))
}
