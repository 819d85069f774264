//! A refund, and all that the demo saw of it.

use super::{answer::Refund, plan::Asker};

/// A refund and all that was seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefundSeen {
    /// None when asking failed.
    pub(super) refund_no: Option<String>,
    /// None for what the policy does by itself.
    pub(super) asker: Option<Asker>,
    pub(super) whole: bool,
    pub(super) amount_fen: i64,
    /// What the second person said, if one was needed.
    pub(super) agreed: Option<bool>,
    /// The customer's bank did not take it, and an operator sent it elsewhere.
    pub(super) redirected: bool,
    /// WeChat's answer was not to be had or not verified, at least once.
    pub(super) unsure: bool,
    pub(super) state: String,
    pub(super) points_back: i64,
    /// Why the demo could not go on with it.
    pub(super) failure: Option<String>,
}

impl RefundSeen {
    pub(super) fn planned(asker: Option<Asker>, amount_fen: i64) -> Self {
        Self {
            refund_no: None,
            asker,
            whole: true,
            amount_fen,
            agreed: None,
            redirected: false,
            unsure: false,
            state: String::new(),
            points_back: 0,
            failure: None,
        }
    }

    pub(super) fn note(&mut self, refund: &Refund) {
        self.refund_no = Some(refund.number.clone());
        self.amount_fen = refund.amount_fen;
        self.points_back = refund.points_back;
        self.unsure |= refund.was_unsure();
        refund.state.clone_into(&mut self.state);
    }

    pub(super) fn has_arrived(&self) -> bool {
        self.state == "succeeded"
    }

    /// How WeChat's side must see it; none when WeChat must not know it.
    pub(super) fn wechat_status(&self) -> Option<&'static str> {
        match self.state.as_str() {
            "succeeded" => Some("SUCCESS"),
            "closed" => Some("CLOSED"),
            "abnormal" => Some("ABNORMAL"),
            "processing" => Some("PROCESSING"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wechat_must_not_know_a_refund_that_was_rejected() {
        let in_state = |state: &str| RefundSeen {
            state: state.to_owned(),
            ..RefundSeen::planned(Some(Asker::Merchant), 100)
        };
        assert_eq!(in_state("rejected").wechat_status(), None);
        assert_eq!(in_state("failed").wechat_status(), None);
        assert_eq!(in_state("succeeded").wechat_status(), Some("SUCCESS"));
        assert!(in_state("succeeded").has_arrived());
        assert!(!in_state("closed").has_arrived());
    }

    #[test]
    fn a_refund_that_wechat_once_did_not_answer_stays_known_as_such() {
        let refund = |history: &str| -> Refund {
            let json = format!(
                r#"{{"refund_no":"R1","state":"processing","amount_fen":5,"points_back":0,"history":{history}}}"#
            );
            serde_json::from_str(&json).unwrap()
        };
        let mut seen = RefundSeen::planned(Some(Asker::Operator), 5);
        seen.note(&refund(r#"[{"why":"asked"},{"why":null}]"#));
        assert!(!seen.unsure);
        seen.note(&refund(r#"[{"why":"no_answer"}]"#));
        seen.note(&refund("[]"));
        assert!(seen.unsure);
    }
}
