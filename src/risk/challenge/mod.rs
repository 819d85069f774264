//! Challenges: what a customer answers before an activity goes on.
//!
//! Risk says *verify* where it would rather know that the customer has the phone in hand. The activity is not done; the customer is given a challenge, proves to be
//! there with a fresh `wx.login` code, and repeats the activity with the same key. Then the same rules are asked again about the same inputs and, being answered, want
//! nothing more ([`Risk::reevaluate_answered`](super::Risk::reevaluate_answered)); nothing is counted twice.
//!
//! ```text
//!            the customer's own code
//!   open ─────────────────────────────▶ answered    counts for every activity of the customer at that stage, as long as the rules say
//!    │ │  5 codes of somebody else
//!    │ └─────────────────────────────▶ failed
//!    └─ its time is over ────────────▶ expired
//! ```
//!
//! | state \ event | own code | somebody else's code | asked for again |
//! |---|---|---|---|
//! | open, in time | answered | one attempt more; failed with the fifth | the same challenge |
//! | open, too late | expired | expired | expired, and a new one |
//! | answered | nothing changes | nothing changes | a new one (when the answer no longer counts) |
//! | expired, failed | refused | refused | a new one |
//!
//! - A customer has one open challenge at a stage, however many requests ask at once and by whichever process: the key `risk_challenges_open` decides.
//! - The challenge and the decision that asked for it are one commit, and the answer is another. Killed in between, the challenge is open; killed after the answer, it
//!   counts. Neither changes money or points.
//! - Two answers at once queue at the row's lock: the first decides, the second finds it decided.
//! - Who asks is told neither the rule nor its reason. The id is random and useless to others: only the person themselves can answer.
//!
//! Table owned: `risk_challenges`. It is written after `risk_decisions` and before everything else of an activity.

mod answer;
mod state;
mod stop;
mod store;

pub(crate) use answer::answer_challenge_in;
pub use answer::{AnswerChallenge, ChallengeAnswer, find_challenge};
pub use state::{Challenge, ChallengeState};
pub use stop::Stop;
pub(crate) use stop::{evaluate_challengeable, open_challenge_in};
