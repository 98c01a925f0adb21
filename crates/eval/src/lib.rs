//! What a quantization costs in accuracy: task sets are put to an endpoint, scored, and compared.
//!
//! `environment` says which task sets there are, `task` reads them, `endpoint` starts and stops the server, `client` talks to
//! it, `native` asks and scores our own sets (`score`), `external` runs `vf-eval` and `lm_eval` and reads what they write,
//! `case` evaluates one engine and quantization on one environment, `journal` keeps each answer as it comes, `result` is the file that stays, `keep` says which need not be made again, `table` the CSV of all of them, `stats` and
//! `compare` say what differs and how sure that is.
//!
//! `distance` needs no task: perplexity and KL divergence from the original model, asked of the workers themselves.
//!
//! Nothing here prints; which engines and quantizations there are and what a person sees is the `tokometer` binary's business.

pub mod case;
pub mod client;
pub mod compare;
pub mod distance;
pub mod endpoint;
pub mod environment;
mod error;
pub mod external;
pub mod journal;
pub mod keep;
pub mod native;
pub mod result;
pub mod score;
pub mod stats;
pub mod table;
pub mod task;

pub use client::Client;
pub use environment::Environment;
pub use error::{Error, Result};
pub use result::EvalResult;
pub use task::{Example, TaskSet};
