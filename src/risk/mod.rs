//! Risk: rules that people steer. Facts in, a decision with its reasons out.
//!
//! # Words
//!
//! | | |
//! |---|---|
//! | [`Stage`](crate::facts::Stage) | the kind of activity that is decided on, before it is done |
//! | [`Facts`](crate::facts::Facts) | what is known of the activity; stated by whoever starts it |
//! | [`Counter`] | a number about earlier activities (how many, how much, how many different), over a window that slides along |
//! | [`CounterValues`] | what the counters said, once, for one activity |
//! | rule | a condition, and the [`Action`] that is called for when it holds: it *fires* |
//! | [`RuleSet`] | the rules of one file; it never changes, a changed file is another set |
//! | [`Decision`] | what was decided, with everything that went into it and all rules that fired |
//! | [`Evaluation`] | a decision on its way to where it is stored |
//! | shadow | a rule in the shadow is looked at and recorded and decides nothing |
//!
//! # The file
//!
//! `risk-rules.yaml`. Risk officers read and change it; its comments are the language's manual and are tested. Reading it (`file/`) tells every mistake at once
//! with its line and column, also of those inside expressions, and makes a set only of a file without any. `zhangfang risk check` does it before anybody is
//! affected.
//!
//! Expressions are CEL (a public language that always ends and errs instead of guessing), reduced to what rules need and checked at load: known names, types,
//! whole numbers, no loops, bounded length and depth. A crate's parser reads a text that may be hostile, so it is given a thread with a large stack, and a panic in
//! it is one more mistake of the file.
//!
//! # Stages and actions
//!
//! | | allow | verify | review | block |
//! |---|---|---|---|---|
//! | `login` | x | x | | x |
//! | `payment.create` | x | x | x | x |
//! | `points.credit` | x | | x | x |
//! | `redeem` | x | | x | x |
//! | `refund` | x | | x | x |
//!
//! *verify*: a challenge that the customer answers; after that the activity goes on, and for some minutes (`verify.valid_for`) rules that verify are content. *review*: the
//! activity is done and its points wait until a person or a time-out (`review`) decides. The other pairs are mistakes of the file.
//!
//! # How a decision is made
//!
//! [`RuleSet::evaluate`] is pure: the same set, facts, numbers and answered challenge give the same decision, on any machine and in any year. That is what makes
//! stored decisions worth storing: they can be made again to prove them, or by other rules to see what those would change.
//!
//! 1. Every rule of the stage is looked at, in the order of the file. Its condition and its expression must both hold. A condition about something that the
//!    activity does not have (no device, no amount) does not hold. Numbers include the activity itself, as if it were done.
//! 2. A rule that fires is *live*, or in the *shadow*: because it says so, or because the customer is outside its roll-out. Who is inside is a hash of customer
//!    and rule: for ever the same, other customers for every rule, and a larger share keeps those of a smaller one. Activities of nobody are outside.
//! 3. A live rule that allows overrules all rules of later priority, and no other: 1 is first, equal priorities do not touch each other.
//! 4. With an answered challenge, live rules that verify ask for nothing.
//! 5. Of what is left live, the most severe action is taken; without any, the activity is allowed. All that fired is told, with its effect and its reason, in
//!    which there are numbers and the file's own words, and nothing about a person.
//!
//! Invariants: the action is the most severe among the [`Effect::Live`]; adding a rule in the shadow changes no action; the numbers stand in the order of
//! [`RuleSet::counter_usages`].
//!
//! # When numbers cannot be had
//!
//! Counters live where they may be lost. A rule that needs one that is not there does what its `on_missing` says; `allow` is to do nothing, also for a rule that
//! allows: what is not known excuses nobody. A file says it per rule or for all, or is refused. At `points.credit` what is said for all counts only if it is
//! *review* or *block*, and is *review* otherwise: points are not given by accident. If an expression has no value (a division by zero, an overflow), that is
//! a number that cannot be had.
//!
//! # What counts
//!
//! Activities that are done. A request is one activity however often it is repeated: its key is looked for
//! before risk is asked, and two of one key at once are one [`ActivityKey`]. An activity is counted as it is asked
//! about, which is the only way in which of eleven at once one is the eleventh; once it is known that
//! it was not done, because a rule stopped it or because the books refused it, that is taken back
//! ([`Evaluation::conclude`]; `counters.rs` says what becomes of it when somebody dies in between). So what is
//! counted is what is stored, decision by decision, and a [`Backtest`] that counts again finds the
//! same numbers. Counters that say `attempts` also count what was only tried. A counter of points
//! that are credited says whether it means those of payments, of back ends or both ([`ActivityFilter`]).
//!
//! # What it costs
//!
//! A set is made once and then only read: lists are hash sets or sorted ranges, equal counters of different rules are one, what a stage asks is known beforehand.
//! A rule that does not fire allocates nothing. The context of expressions is made at most once for a decision, when the first of them is reached.
//!
//! # What is stored
//!
//! `risk_decisions`, by the operation that does the activity and in its commit: no activity without its decision, no decision on an activity that was not done, whatever is
//! killed in between. Its id is derived from the activity and the stage, so there is one. The row has the set's number, the facts, the numbers and all that
//! fired; the set's text is stored once. Facts hold personal data and go nowhere else: `Debug` shows neither them nor what a set's lists name.
//! What a rule wants reviewed waits in `risk_reviews` ([`ReviewRow`]) for a person or a time-out. The points are a pending entry meanwhile; what the decision does to
//! them is for those who stand above (`payments::review`).
//!
//! Tables owned: `risk_decisions`, `risk_reviews`, `risk_rule_sets`, `risk_rules_in_force`, `risk_challenges`.

mod active_rules;
mod backtest;
mod challenge;
mod counter;
mod counter_key;
mod counters;
mod decision;
mod decisions_on;
mod file;
mod handle;
mod list_decisions;
mod pending_count;
mod replay_counter;
mod review;
mod review_store;
mod rule_sets;
mod rules;
mod rules_file;
mod store;
mod stream;

pub use active_rules::{ActiveRules, Firings, LoadError, Loaded, ReloadError, StartError};
pub use backtest::{ActionChange, Backtest, BacktestReport, RuleComparison};
pub use challenge::{
    AnswerChallenge, Challenge, ChallengeAnswer, ChallengeState, Stop, find_challenge,
};
pub(crate) use challenge::{answer_challenge_in, evaluate_challengeable, open_challenge_in};
pub use counter::{
    ActivityFilter, ActivityKind, Attribute, Counter, CounterUsage, CounterValues, Measure, Per,
};
pub use counter_key::describe_counter;
pub use counters::{ActivityKey, COUNT, DISTINCT_MAX};
pub use decision::{Action, Decision, Effect, Evaluation, FiredRule, UnknownAction};
pub use decisions_on::decisions_on;
pub(crate) use decisions_on::read_decision;
pub use file::{Mistake, Position, RuleFileErrors};
pub use handle::Risk;
pub use list_decisions::{
    DecisionCursor, DecisionFilter, StoredDecision, find_decision, list_decisions,
};
pub use review::{
    Approval, CLAIM_SECONDS, NewReview, ReviewDecision, ReviewError, ReviewKind, ReviewPolicy,
    ReviewRow, ReviewState, open_review, rules_wanting_review,
};
pub use review_store::{
    ClaimDueReviews, REVIEW_STATES, ReviewFilter, Reviews, find_review, list_reviews,
};
pub(crate) use review_store::{REVIEW_COLUMNS, read_review};
pub use rule_sets::{ReloadedBy, StoredRuleSet, find_rule_set, find_rule_set_text, list_rule_sets};
pub use rules::{
    REVIEW_TIMEOUT_MAX, ReviewSettings, RuleSet, RuleStage, RuleSummary, Settings, TimeoutDecision,
    actions_at,
};
pub use stream::{count_decisions, stream_decisions};
