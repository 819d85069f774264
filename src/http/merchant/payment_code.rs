//! `GET /api/v1/merchant/payments/{order_no}/code.svg` and `.png`

use axum::{
    extract::State,
    http::{HeaderName, StatusCode, header},
};

use super::payment::own_order;
use crate::{
    app::App,
    auth::Permission,
    http::{
        extract::{Auth, Path, Staff},
        problem::{Problem, Problems},
    },
    merchants::{MerchantError, Picture},
    payments::{OrderState, PayMethod, PaymentError},
    primitives::OrderNo,
};

/// What the customer scans, as SVG
///
/// Of a payment that the merchant shows, while it can be paid. 409 `payment_code_absent` when
/// WeChat's address in it has died: repeat the creation with the same key, which gives a new one.
#[utoipa::path(
    get,
    path = "/api/v1/merchant/payments/{order_no}/code.svg",
    operation_id = "merchant_payment_code_svg",
    tag = "merchant",
    security(("access_token" = ["merchant_payments:collect"])),
    params(("order_no" = String, Path)),
    responses((status = 200, description = "The picture", body = String, content_type = "image/svg+xml"), Problems),
)]
pub(in crate::http) async fn svg(
    State(app): State<App>,
    auth: Auth<Staff>,
    Path(order_no): Path<OrderNo>,
) -> Result<([(HeaderName, &'static str); 2], String), Problem> {
    let picture = picture(&app, auth.may(Permission::CollectPayment)?, order_no).await?;
    Ok((of_kind("image/svg+xml"), picture.svg()))
}

/// What the customer scans, as PNG
///
/// Of a payment that the merchant shows, while it can be paid.
#[utoipa::path(
    get,
    path = "/api/v1/merchant/payments/{order_no}/code.png",
    operation_id = "merchant_payment_code_png",
    tag = "merchant",
    security(("access_token" = ["merchant_payments:collect"])),
    params(("order_no" = String, Path)),
    responses((status = 200, description = "The picture", body = Vec<u8>, content_type = "image/png"), Problems),
)]
pub(in crate::http) async fn png(
    State(app): State<App>,
    auth: Auth<Staff>,
    Path(order_no): Path<OrderNo>,
) -> Result<([(HeaderName, &'static str); 2], Vec<u8>), Problem> {
    let picture = picture(&app, auth.may(Permission::CollectPayment)?, order_no).await?;
    let bytes = picture.png().map_err(MerchantError::from)?;
    Ok((of_kind("image/png"), bytes))
}

/// The address in it changes and lasts hours: nobody keeps the picture.
const fn of_kind(kind: &'static str) -> [(HeaderName, &'static str); 2] {
    [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-store"),
    ]
}

async fn picture(app: &App, staff: Staff, order_no: OrderNo) -> Result<Picture, Problem> {
    let view = own_order(app, staff, order_no).await?;
    let order = &view.order;
    let code_url = match (&order.state, order.method) {
        (OrderState::Prepaid(_) | OrderState::Created, _) if order.expires_at <= app.now() => {
            return Err(PaymentError::OrderExpired(order_no).into());
        }
        // WeChat keeps the address for two hours, and an order may last longer: a dead one would
        // only be scanned in vain.
        (OrderState::Prepaid(prepay_id), PayMethod::Native) if prepay_id.lasts(app.now()) => {
            prepay_id.id.expose()
        }
        (OrderState::Created | OrderState::Prepaid(_), PayMethod::Native) => return Err(no_code()),
        (OrderState::Created | OrderState::Prepaid(_), PayMethod::MiniProgram) => {
            return Err(no_code());
        }
        (OrderState::Paid(_) | OrderState::PartlyRefunded(_) | OrderState::Refunded(_), _) => {
            return Err(PaymentError::AlreadyPaid(order_no).into());
        }
        (OrderState::Closed { .. }, _) => return Err(PaymentError::OrderClosed(order_no).into()),
        (OrderState::Expired { .. }, _) => return Err(PaymentError::OrderExpired(order_no).into()),
    };
    let amount = order.amount.to_string();
    Ok(Picture::new(code_url, &view.merchant_name, &amount).map_err(MerchantError::from)?)
}

const fn no_code() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "payment_code_absent",
        "The payment has nothing to scan, or not any more: only one that the merchant shows has, for two hours; repeat its creation with the same key",
        "该订单没有付款码",
    )
}
