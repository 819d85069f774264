//! Challenges: a customer proves to be present before an activity goes on.
//!
//! A *verify* decision asks for proof that the customer has the phone in hand. The activity is not
//! done; the customer gets a challenge, answers it with a fresh `wx.login` code, and repeats the
//! activity with the same key. Then the same rules are evaluated again on the same inputs, and
//! rules that verify have no effect
//! ([`Risk::reevaluate_answered`](super::Risk::reevaluate_answered)); nothing is counted twice.
//!
//! ```text
//!            the customer's own code
//!   open ─────────────────────────────▶ answered    counts for every activity of the customer at that stage, as long as the rules say
//!    │ │  5 codes of somebody else
//!    │ └─────────────────────────────▶ failed
//!    └─ 15 minutes have passed ──────▶ expired
//! ```
//!
//! | state \ event | own code | somebody else's code | asked for again |
//! |---|---|---|---|
//! | open, in time | answered | one attempt more; failed with the fifth | the same challenge |
//! | open, too late | expired | expired | expired, and a new one |
//! | answered | nothing changes | nothing changes | a new one (when the answer no longer counts) |
//! | expired, failed | refused | refused | a new one |
//!
//! - A customer has one open challenge at a stage, however many requests ask at once and by
//!   whichever process: the key `risk_challenges_open` decides.
//! - The challenge and the decision that asked for it are one commit, and the answer is another. A
//!   crash in between leaves the challenge open; after the answer, it counts. Neither changes money
//!   or points.
//! - Two concurrent answers queue at the row's lock: the first decides, the second finds it
//!   decided.
//! - The customer is told neither the rule nor its reason. The id is random and useless to others:
//!   only the customer can answer.
//!
//! Table owned: `risk_challenges`. It is written after `risk_decisions` and before everything else
//! of an activity.

mod answer;
mod state;
mod stop;
mod store;

pub(crate) use answer::answer_challenge_in;
pub use answer::{AnswerChallenge, ChallengeAnswer, find_challenge};
pub(crate) use state::ChallengeStateKind;
pub use state::{Challenge, ChallengeState};
pub use stop::Stop;
pub(crate) use stop::{evaluate_challengeable, open_challenge_in};
