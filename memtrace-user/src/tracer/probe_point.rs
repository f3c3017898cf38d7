//! Where in a function a probe is cheapest and still sees every call.
