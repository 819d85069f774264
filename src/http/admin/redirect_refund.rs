//! `POST /api/v1/admin/refunds/{refund_no}/redirect`

use axum::{Json, extract::State, http::StatusCode};
use serde::Deserialize;

use super::refund::get_refund;
use crate::{
    app::App,
    http::{
        extract::{self, Auth, Operator, Path, needs},
        problem::{Problem, Problems},
    },
    payments::{self, BankCard, RedirectOutcome, RefundView},
    primitives::{Length, RefundNo, Secret, Text},
};

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RedirectRequest {
    /// A card of the customer. Absent: to the merchant's own settlement account, and the merchant
    /// pays the customer some other way.
    #[serde(default)]
    card: Option<CardRequest>,
}

/// Sent to WeChat encrypted; kept nowhere and shown to nobody.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct CardRequest {
    /// WeChat's code of the bank.
    #[schema(example = "ICBC_DEBIT", pattern = "^[A-Z0-9_]{1,32}$")]
    bank_type: String,
    #[schema(value_type = String, example = "6222020200112233", pattern = "^[0-9]{8,32}$")]
    number: Secret<String>,
    #[schema(value_type = String, example = "王伟", min_length = 1, max_length = 50)]
    holder: Secret<String>,
}

impl CardRequest {
    fn card(self) -> Result<BankCard, Problem> {
        let code =
            |letter: u8| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == b'_';
        if !(1..=32).contains(&self.bank_type.len()) || !self.bank_type.bytes().all(code) {
            let expected = "WeChat's code of the bank, such as ICBC_DEBIT";
            return Err(Problem::field("card.bank_type", expected));
        }
        let number = self.number.expose();
        if !(8..=32).contains(&number.len()) || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Problem::field("card.number", "8 to 32 digits"));
        }
        let holder = Text::parse(self.holder.expose(), Length::Characters(1, 50))
            .map_err(|_| Problem::field("card.holder", "1 to 50 characters"))?;
        Ok(BankCard {
            bank_type: self.bank_type,
            holder: Secret::new(holder.into_string()),
            number: self.number,
        })
    }
}

/// Send an abnormal refund elsewhere
///
/// The customer's bank did not take the money (异常退款). Where the order's refunds come to more
/// than the policy's `refund_review_above_fen` two people must want the same: the first one is
/// answered 202, and the second one sends the same request, card included, within a day; `redirect`
/// of the refund says who wants what. Who sends what where is in the audit log before WeChat is
/// asked.
///
/// Needs no key, and gets none: a key keeps a hash of its request, and a card's number can be
/// guessed from one. WeChat knows the refund by its number, and only an abnormal one is sent
/// elsewhere.
#[utoipa::path(
    post,
    path = "/api/v1/admin/refunds/{refund_no}/redirect",
    operation_id = "admin_redirect_refund",
    tag = "admin",
    security(("access_token" = ["payments:refund"])),
    params(("refund_no" = String, Path)),
    request_body(
        content = RedirectRequest,
        examples(
            ("card" = (summary = "To another card", value = json!({"card": {"bank_type": "ICBC_DEBIT", "number": "6222020200112233", "holder": "王伟"}}))),
            ("merchant" = (summary = "To the merchant's settlement account", value = json!({}))),
        ),
    ),
    responses(
        (status = 200, description = "On its way", body = RefundView),
        (status = 202, description = "A second person must say the same", body = RefundView),
        Problems,
    ),
)]
pub(in crate::http) async fn redirect_refund(
    State(app): State<App>,
    auth: Auth<Operator, needs::RefundPayments>,
    Path(refund_no): Path<RefundNo>,
    extract::Json(request): extract::Json<RedirectRequest>,
) -> Result<(StatusCode, Json<RefundView>), Problem> {
    let operator = auth.caller();
    let card = request.card.map(CardRequest::card).transpose()?;
    let refund = get_refund(&app, operator, refund_no).await?;
    let (tenant, by) = (operator.tenant, auth.principal().actor());
    let redirected = payments::redirect_refund(app.payments(), tenant, refund.id, card, by).await?;
    let (status, refund) = match redirected {
        RedirectOutcome::Sent(refund) => (StatusCode::OK, refund),
        RedirectOutcome::AwaitsSecond(refund) => (StatusCode::ACCEPTED, refund),
    };
    Ok((status, Json(RefundView::from(&refund))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(bank_type: &str, number: &str, holder: &str) -> Result<BankCard, Problem> {
        let json = serde_json::json!({ "card": { "bank_type": bank_type, "number": number, "holder": holder } });
        let request: RedirectRequest = serde_json::from_value(json).unwrap();
        request.card.unwrap().card()
    }

    #[test]
    fn a_card_is_checked_and_never_repeated() {
        assert_eq!(
            card("ICBC_DEBIT", "6222020200112233", " 王伟 ")
                .unwrap()
                .holder,
            Secret::new("王伟".to_owned())
        );
        for (bank, number, holder) in [
            ("icbc", "6222020200112233", "王伟"),
            ("ICBC_DEBIT", "6222 0202 0011 2233", "王伟"),
            ("ICBC_DEBIT", "6222020200112233", " "),
            ("ICBC_DEBIT", "6222020200112233", "王\u{3164}伟"),
        ] {
            let shown = format!("{:?}", card(bank, number, holder).unwrap_err());
            assert!(
                shown.contains("card.") && !shown.contains("6222"),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_card_does_not_print() {
        let json =
            r#"{"card":{"bank_type":"ICBC_DEBIT","number":"6222020200112233","holder":"王伟"}}"#;
        let request: RedirectRequest = serde_json::from_str(json).unwrap();
        let shown = format!("{request:?}");
        assert!(
            !shown.contains("6222") && !shown.contains("王伟"),
            "{shown}"
        );
    }
}
