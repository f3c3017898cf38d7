//! Types that the BPF programs and user space share: the layout of every map and event, and nothing else.
//!
//! Every type is `#[repr(C)]` with explicit padding, and holds no `bool`, enum or reference, so any bytes that the
//! kernel hands over are a valid value.
#![no_std]

pub mod call;
pub mod copy;
pub mod event;
pub mod kernel_function;
pub mod live;
pub mod loss;
pub mod mapping;
pub mod process;
pub mod python;
pub mod sampling;
pub mod selection;
pub mod share;
pub mod site;
pub mod steps;
pub mod unwind;
