//! Uploads that mean harm, sent to a real service: each ends with a reason for people, and everything is as it was.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod damage;
mod lures;
mod outcome;
mod refusal;
mod trap;
