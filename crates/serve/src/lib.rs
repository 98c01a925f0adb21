//! An OpenAI-compatible HTTP endpoint over any engine's worker.
//!
//! One worker computes one request after the other, in the order in which they came, or several at once where it can and was asked
//! to; the others wait in a queue (`queue`). The thread that owns the worker (`engine`) turns each request into tokens
//! (`perform`), cuts what comes of it at stop strings (`running`, `stops`) and sends events; the HTTP side reads requests (`request`, `chat`, `completions`), renders chat templates (`template`) and
//! makes events into JSON or a stream of it (`reply`, `stream`). Every request is computed from scratch: no prefix is kept.
//! What a client has not taken is kept for it up to a bound; one that takes nothing for too long is given up (`connection`).
//!
//! Which model and engine, what is printed and which signals stop it is the caller's business.

mod chat;
mod completions;
mod connection;
mod engine;
mod error;
mod perform;
mod queue;
mod reply;
mod request;
mod router;
mod running;
mod server;
mod stops;
mod stream;
mod template;
mod text;

pub use engine::{Launch, Model};
pub use error::ApiError;
pub use server::{Error, Settings, Stop, serve};
