//! The HTTP API for mini-programs, the console, WeChat's callbacks and monitoring.
//!
//! - [`router()`] has every route on one page. The OpenAPI document comes from the same lines, so
//!   there is no route without its page in the document.
//! - One folder per audience, one file per endpoint: its request, its response, its text. A handler
//!   extracts, calls, converts, returns; it decides nothing.
//! - `extract`: everything is parsed into types before a handler runs. A caller (`extract::Auth`)
//!   cannot be used without naming the [`Permission`](crate::auth::Permission) that the use needs.
//! - `json`: one rule for all bodies: objects are objects, nothing is null, and what makes two of
//!   them the same. `query`: one for all queries: which parameter is wrong, and what it can be.
//! - `origin`: the caller's address and device, for risk. They are passed on, and are neither
//!   logged nor returned.
//! - `problem` and `error`: every answer of 400 and more is `application/problem+json` (RFC 9457),
//!   the framework's own included. `error` alone turns the slices' errors into status, code and
//!   sentence, without a `_` arm. An internal error shows nothing but the trace id. Only the
//!   callbacks answer differently, in WeChat's format. Each code has its page in `problems`, where
//!   a problem's `type` leads.
//! - `refine`: the document says for programs what types and descriptions say for people: patterns,
//!   words, lengths in bytes. Tests hold it against every answer that they get.
//! - `limit`: the rate limits, which route has which, and that they are checked before the handler
//!   runs. WeChat's callbacks have none.
//! - `server`: the connections themselves: who gets one, for how long, and whom the reserve is for.
//! - `middleware`: limits of size and time for each request, before a handler sees it. Trace id,
//!   span, log line, metrics, and the problem's body. The log has no query strings and no bodies.
//!
//! When a client disconnects, its handler's future is dropped at any `await`. That is safe, as a
//! crash is: transactions run in tasks of their own ([`Db::run`](crate::db::Db::run)), operations
//! are decided once queued, and keys make repeating safe.

mod admin;
mod auth;
mod callbacks;
mod client_address;
mod customer;
mod error;
mod expiring;
mod extract;
mod incoming;
mod json;
mod last_usable;
mod limit;
mod merchant;
mod merchant_profile;
mod middleware;
mod open;
mod openapi;
mod origin;
mod parameters;
mod points_balance;
mod points_rule;
mod problem;
mod problems;
mod public;
mod query;
mod refine;
mod refund_request;
mod replay;
mod router;
mod search;
mod server;
mod sharing;

pub use router::{document, router};
pub use server::serve;
