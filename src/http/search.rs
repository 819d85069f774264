//! What lists of payments and refunds are searched by.

use serde::Deserialize;

use super::{extract::PageQuery, problem::Problem};
use crate::{
    app::App,
    payments::{self, Refund, RefundError, RefundStateKind, Search},
    primitives::{MerchantId, Money, OrderNo, Page, RefundNo, TenantId, Timestamp},
};

/// Days between the ends of a search by amount: amounts have no order in the books, so what is
/// between them is read.
const AMOUNT_DAYS_MAX: i64 = 31;

const DAY_MICROS: i64 = 86_400_000_000;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchParams {
    /// Only what WeChat knows under this number of a payment (`transaction_id`).
    #[param(
        example = "4200002026112100000000000001",
        pattern = "^[0-9A-Za-z]{1,32}$"
    )]
    wechat_transaction_id: Option<String>,
    /// Only what is of exactly this amount. Needs `created_from`, and `created_to` (or now) within
    /// 31 days of it.
    #[param(minimum = 1, example = 1200)]
    amount_fen: Option<i64>,
    /// Only what was made at this time or later. In an address `+` is written `%2B`.
    #[param(value_type = Option<String>, format = DateTime, example = "2026-11-21T00:00:00+08:00")]
    created_from: Option<Timestamp>,
    /// Only what was made before this time.
    #[param(value_type = Option<String>, format = DateTime, example = "2026-11-22T00:00:00+08:00")]
    created_to: Option<Timestamp>,
}

/// For refunds alone.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RefundSearchParams {
    /// Only the refunds of this order.
    #[param(value_type = Option<String>)]
    order_no: Option<OrderNo>,
    /// Only refunds in this state.
    #[param(inline, example = "awaiting_approval")]
    state: Option<RefundStateKind>,
    /// Only the refund that WeChat knows under this number (`refund_id`).
    #[param(
        example = "50300002026112100000000000001",
        pattern = "^[0-9A-Za-z]{1,32}$"
    )]
    wechat_refund_id: Option<String>,
    /// Only what WeChat knows under this number of whoever asked for the refund (`out_refund_no`,
    /// 商户退款单号): ours, or that of another system or the merchant platform. One of ours that
    /// was ended here and made by WeChat all the same has two rows.
    #[param(
        example = "06D8R5MKTS7J0T4V3C9Q2W00",
        pattern = "^[0-9A-Za-z_|*@-]{1,64}$"
    )]
    out_refund_no: Option<String>,
}

impl SearchParams {
    pub(super) fn search(self, now: Timestamp) -> Result<Search, Problem> {
        let amount = self.amount_fen.map(Money::parse).transpose();
        let amount = amount
            .ok()
            .filter(|amount| amount.is_none_or(|amount| !amount.is_zero()));
        let amount = amount.ok_or_else(|| Problem::field("amount_fen", "1 or more"))?;
        let (from, to) = (self.created_from, self.created_to);
        if let (Some(from), Some(to)) = (from, to)
            && to <= from
        {
            return Err(Problem::field("created_to", "after created_from"));
        }
        if amount.is_some() {
            let span = from.map(|from| to.unwrap_or(now).micros().saturating_sub(from.micros()));
            if span.is_none_or(|span| span > AMOUNT_DAYS_MAX * DAY_MICROS) {
                let expected = "with amount_fen: a time, at most 31 days before created_to or now";
                return Err(Problem::field("created_from", expected));
            }
        }
        Ok(Search {
            wechat_transaction_id: number("wechat_transaction_id", self.wechat_transaction_id)?,
            wechat_refund_id: None,
            out_refund_no: None,
            order: None,
            amount,
            from,
            to,
        })
    }
}

impl RefundSearchParams {
    /// A page of the refunds of a tenant, or of one of its merchants.
    pub(super) async fn page(
        self,
        app: &App,
        (tenant, merchant): (TenantId, Option<MerchantId>),
        rest: SearchParams,
        page: &PageQuery,
    ) -> Result<Page<Refund>, Problem> {
        let search = Search {
            wechat_refund_id: number("wechat_refund_id", self.wechat_refund_id)?,
            out_refund_no: asker_number(self.out_refund_no)?,
            order: self.order_no.map(OrderNo::id),
            ..rest.search(app.now())?
        };
        let (db, limit) = (app.db(), page.limit);
        let before = page.before()?.map(RefundNo::id);
        let refunds =
            payments::list_refunds(db, tenant, merchant, self.state, &search, before, limit)
                .await?;
        Ok(Page::cut(refunds, limit, |refund| refund.no().to_string()))
    }
}

/// A number of whoever asked WeChat for a refund.
fn asker_number(text: Option<String>) -> Result<Option<String>, Problem> {
    if text.as_deref().is_none_or(payments::is_out_refund_no) {
        Ok(text)
    } else {
        Err(RefundError::BadNumber.into())
    }
}

/// A number of WeChat's. What cannot be one is not looked for.
fn number(field: &'static str, text: Option<String>) -> Result<Option<String>, Problem> {
    let sound = text.as_deref().is_none_or(|text| {
        (1..=32).contains(&text.len()) && text.bytes().all(|letter| letter.is_ascii_alphanumeric())
    });
    if sound {
        Ok(text)
    } else {
        Err(Problem::field(field, "1 to 32 letters and digits"))
    }
}
