//! Zhangfang 账房: the payment-and-points ledger for a tenant with many merchants.
//!
//! Customers scan a merchant's code and pay through WeChat; the merchant sees the money arrive; the
//! customer is credited points; every fen and every point can be proven. One process, stateless but
//! for a short queue in memory; MySQL holds the truth, Redis what may be lost.
//!
//! # The map
//!
//! Modules stand in the order in which they may know each other: each uses what stands above it.
//!
//! | | |
//! |---|---|
//! | [`primitives`] | money, points, ids, time: values without I/O |
//! | [`config`] | settings, read and checked once at start |
//! | [`telemetry`] | logs and metrics |
//! | [`db`] | pool, transactions, and the group commit ([`db::batch`]): how everything hot is written |
//! | [`cache`] | Redis: what may vanish at any time |
//! | [`audit`] | who did what |
//! | [`outbox`] | events, told in the commit in which they happened |
//! | [`idempotency`] | keys of the ordinary transactions |
//! | [`facts`] | who does what, where, with how much, from where: what limits, points and risk know of an activity |
//! | [`limits`] | who may ask how often: in process, and shared through Redis |
//! | [`ledger`] | accounts, transfers, pending and resolved |
//! | [`tenants`] | the tenants that share a database |
//! | [`risk`] | rules that people steer: facts in, a decision with its reasons out |
//! | [`points`] | what a payment earns; what a customer has |
//! | [`auth`] | tokens, sessions, permissions; the port to WeChat's login |
//! | [`customers`], [`merchants`] | people who pay; merchants, their staff and their collection codes |
//! | [`payments`] | order, prepay, callback, settlement; the port to the channel |
//! | [`sharing`] | what of a payment goes to others than the merchant; the port to the channel's profit sharing |
//! | [`deliveries`] | what is told to others after a payment; the port to WeChat's messages and shipping reports |
//! | [`verify`] | the invariants, on the database alone |
//! | [`wechat`] | WeChat behind the ports |
//! | [`app`] | the composition root |
//! | [`http`], [`jobs`], [`cli`] | the edges: programs, time, people |
//!
//! The journey of one payment is told in `docs/architecture.md`.

pub mod primitives;

pub mod config;
pub mod telemetry;

pub mod db;

pub mod cache;

pub mod audit;
pub mod outbox;

pub mod idempotency;

pub mod facts;

pub mod limits;

pub mod ledger;

pub mod tenants;

pub mod risk;

pub mod points;

pub mod auth;
pub mod customers;
pub mod merchants;
pub mod payments;
pub mod sharing;

pub mod deliveries;

pub mod verify;

pub mod wechat;

pub mod app;

pub mod cli;
pub mod http;
pub mod jobs;
