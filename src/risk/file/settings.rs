//! `defaults`, `verify` and `review`.

use super::{Reader, fields::Fields, mistake::Mistakes, node::Node};
use crate::{
    primitives::Points,
    risk::{
        Action,
        rules::{REVIEW_TIMEOUT_MAX, Settings, TimeoutDecision},
    },
};

/// What a rule says that does not say it itself.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Defaults {
    pub(super) on_missing: Option<Action>,
}

impl Reader<'_> {
    pub(super) fn defaults(&mut self, node: Option<&Node>) {
        let known = ["on_missing"];
        let fields = node.and_then(|node| Fields::of(node, "defaults", &known, &mut self.mistakes));
        let on_missing = fields.and_then(|fields| fields.get("on_missing"));
        self.defaults.on_missing =
            on_missing.and_then(|node| node.action("on_missing", &mut self.mistakes));
    }
}

pub(super) fn read(file: &Fields<'_>, mistakes: &mut Mistakes) -> Settings {
    let mut settings = Settings::default();
    if let Some(node) = file.get("verify")
        && let Some(fields) = Fields::of(node, "verify", &["valid_for"], mistakes)
        && let Some(node) = fields.need("valid_for", mistakes)
        && let Some(valid_for) = node.window("valid_for", &(10..=86_400), mistakes)
    {
        settings.verify_valid_seconds = valid_for.0;
    }
    let known = ["timeout", "on_timeout", "second_person_above_points"];
    let Some(node) = file.get("review") else {
        return settings;
    };
    let Some(fields) = Fields::of(node, "review", &known, mistakes) else {
        return settings;
    };
    let review = &mut settings.review;
    if let Some(node) = fields.get("timeout")
        && let Some(timeout) = node.window("timeout", &(10..=REVIEW_TIMEOUT_MAX), mistakes)
    {
        review.timeout_seconds = timeout.0;
    }
    let ends = [
        ("approve", TimeoutDecision::Approve),
        ("reject", TimeoutDecision::Reject),
    ];
    if let Some(node) = fields.get("on_timeout")
        && let Some(decision) = node.word("on_timeout", &ends, mistakes)
    {
        review.on_timeout = decision;
    }
    if let Some(node) = fields.get("second_person_above_points")
        && let Some(points) = node.number("second_person_above_points", &(0..=i64::MAX), mistakes)
        && let Ok(points) = Points::parse(points)
    {
        review.second_person_above_points = points;
    }
    settings
}

impl Node {
    pub(super) fn action(&self, what: &str, mistakes: &mut Mistakes) -> Option<Action> {
        self.word(
            what,
            &Action::ALL.map(|action| (action.name(), action)),
            mistakes,
        )
    }
}
