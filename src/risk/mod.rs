//! Risk: evaluates rules that operators write. Takes facts, returns a decision with its reasons.
//!
//! # Words
//!
//! | | |
//! |---|---|
//! | activity | what a customer or a back end is about to do, and risk decides on before it is done |
//! | [`Stage`](crate::facts::Stage) | the kind of activity |
//! | [`Facts`](crate::facts::Facts) | what is known of the activity; stated by whoever starts it |
//! | [`Counter`] | a number about earlier activities (how many, how much, how many different) over a sliding window |
//! | [`CounterValues`] | the counters' values for one activity |
//! | rule | a condition, and the [`Action`] to take when it holds: then the rule *fires* |
//! | [`RuleSet`] | the rules of one file, immutable; a changed file is another set |
//! | [`Decision`] | the action, with all its inputs and all rules that fired |
//! | [`Evaluation`] | the result of [`Risk::evaluate`]: the decision, until it is stored, and what was counted for it |
//! | shadow | a rule in shadow is evaluated and recorded, and has no influence on the decision |
//!
//! # The file
//!
//! Risk officers read and change `risk-rules.yaml`; its comments are the manual of the language and
//! are tested. The reader (`file/`) reports all mistakes at once, with line and column, also those
//! inside expressions, and returns a set only for a file without mistakes. `zhangfang risk check`
//! does this without a service.
//!
//! Expressions are CEL, a public language without unbounded loops, reduced to what rules need and
//! checked at load: known names, types, whole numbers, no loops, bounded length and depth. The
//! parser is a third-party crate and its input may be hostile, so it runs on a thread with a large
//! stack, and a panic in it is reported as a mistake of the file.
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
//! *verify*: a challenge that the customer answers; after that the activity goes on, and for some
//! minutes (`verify.valid_for`) rules that verify do not ask again. *review*: the activity is done
//! and its points wait until a person or a time-out (`review`) decides. A file with another pair is
//! refused.
//!
//! # How a decision is made
//!
//! [`RuleSet::evaluate`] is pure: the same set, facts, numbers and answered challenge give the same
//! decision, on any machine and in any year. So a stored decision can be evaluated again, by its
//! own rules to verify it or by other rules to see what those would change.
//!
//! 1. Every rule of the stage is evaluated, in the order of the file. Its condition and its
//!    expression must both hold. A condition about something that the activity does not have (no
//!    device, no amount) does not hold. Numbers include the activity itself, as if it were done.
//! 2. A rule that fires is *live*, or in the *shadow*: because it says so, or because the customer
//!    is outside its roll-out. Who is inside is a hash of customer and rule: stable, different for
//!    each rule, and a larger share contains a smaller one. Activities without a customer are
//!    outside.
//! 3. A live rule that allows overrules all rules of later priority, and no other: 1 is first,
//!    rules of equal priority do not overrule each other.
//! 4. With an answered challenge, live rules that verify have no effect.
//! 5. Of the rules that are still live, the most severe action is taken; without any, the activity
//!    is allowed. All rules that fired are recorded with their effect and reason, which holds
//!    numbers and the file's own words and no personal data.
//!
//! Invariants: the action is the most severe among the [`Effect::Live`]; adding a rule in the
//! shadow changes no action; the values stand in the order of [`RuleSet::counter_usages`].
//!
//! # When counters are missing
//!
//! Counters are in Redis and may be missing. A rule that needs a missing one takes its `on_missing`
//! action; `allow` means that the rule does not fire, also for a rule that allows. A file must
//! state it per rule or as a default. At `points.credit` a default other than *review* or *block*
//! counts as *review*, so that points are not credited by accident. An expression without a value
//! (a division by zero, an overflow) counts as a missing counter.
//!
//! # What is counted
//!
//! Activities are counted if they are done. A repeated request is the same activity: its
//! idempotency key is looked up before risk is asked, and two concurrent requests with one key have
//! the same [`ActivityKey`]. An activity is counted when it is evaluated, so that each of eleven
//! concurrent ones sees another number; when it turns out not to be done, because a rule stopped it
//! or the operation was refused, the count is reverted ([`Evaluation::conclude`]; `counters.rs`
//! says what happens when a process dies in between). So the counters agree with the stored
//! decisions, and a [`Backtest`] that counts again finds the same numbers. Counters with `attempts`
//! also count activities that were not done. A counter of credited points says whether it counts
//! those of payments, of back ends or both ([`ActivityFilter`]).
//!
//! # Cost
//!
//! A set is compiled once: lists are hash sets or sorted ranges, equal counters of different rules
//! are one, and the counters of each stage are known beforehand. A rule that does not fire
//! allocates nothing. The context of expressions is made at most once for a decision, when the
//! first expression is reached.
//!
//! # What is stored
//!
//! A decision is stored in `risk_decisions` by the operation that does the activity and in its
//! commit, so that neither exists without the other. Its id is derived from the activity and the
//! stage, so there is one. The row has the set's number, the facts, the counter values and all
//! rules that fired; the set's text is stored once. Facts hold personal data and are stored nowhere
//! else: `Debug` shows neither them nor the members of lists. A review is a row of `risk_reviews`
//! ([`ReviewRow`]) until a person or the time-out decides. The points are a pending entry
//! meanwhile; `payments/reviews/` posts or voids it.
//!
//! Tables owned: `risk_decisions`, `risk_reviews`, `risk_rule_sets`, `risk_rules_in_force`,
//! `risk_challenges`.

mod active_rules;
mod backtest;
mod challenge;
mod counter;
mod counter_key;
mod counters;
mod decision;
mod decisions_on;
mod evaluation;
mod file;
mod handle;
mod keyboard;
mod list_decisions;
mod open_review;
mod pending_count;
mod replay_counter;
mod review;
mod review_store;
mod rule_sets;
mod rules;
mod rules_file;
mod store;
mod stream;
mod watch_file;

pub use active_rules::{ActiveRules, Firings, LoadError, Loaded, ReloadError, StartError};
pub use backtest::{ActionChange, Backtest, BacktestReport, RuleComparison};
pub(crate) use challenge::ChallengeStateKind;
pub use challenge::{
    AnswerChallenge, Challenge, ChallengeAnswer, ChallengeState, Stop, find_challenge,
};
pub(crate) use challenge::{answer_challenge_in, evaluate_challengeable, open_challenge_in};
pub use counter::{
    ActivityFilter, ActivityKind, Attribute, Counter, CounterUsage, CounterValues, Measure, Per,
};
pub use counter_key::describe_counter;
pub use counters::{ActivityKey, COUNT, DISTINCT_MAX};
pub use decision::{Action, Decision, Effect, FiredRule};
pub(crate) use decisions_on::read_decision;
pub use decisions_on::{decisions_of_any_tenant, decisions_on};
pub use evaluation::Evaluation;
pub use file::{Mistake, Position, RuleFileErrors};
pub use handle::Risk;
pub use list_decisions::{
    DecisionCursor, DecisionFilter, StoredDecision, find_decision, list_decisions,
};
pub use open_review::{NewReview, open_review, rules_wanting_review};
pub use review::{
    Approval, CLAIM_SECONDS, ReviewDecision, ReviewError, ReviewKind, ReviewPolicy, ReviewRow,
    ReviewState, ReviewStateKind, ReviewStatus,
};
pub use review_store::{ClaimDueReviews, ReviewFilter, Reviews, find_review, list_reviews};
pub(crate) use review_store::{REVIEW_COLUMNS, read_review};
pub use rule_sets::{ReloadedBy, StoredRuleSet, find_rule_set, find_rule_set_text, list_rule_sets};
pub use rules::{
    REVIEW_TIMEOUT_MAX, ReviewSettings, RuleSet, RuleStage, RuleSummary, Settings, TimeoutDecision,
    actions_at,
};
pub use stream::{count_decisions, stream_decisions};
