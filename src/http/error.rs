//! The slices' errors as problems. No `_` here: a new variant does not compile until someone
//! decides what the client sees.

use std::error::Error;

use axum::http::StatusCode;

use super::problem::{Extension, Problem};
use crate::{
    auth::{AuthError, LoginFailure},
    customers::{AnswerError, CustomerError},
    db::DbError,
    deliveries::{DeliveryError, InvalidSetting},
    idempotency::{InvalidKey, OnceError},
    merchants::{DrawingFailure, InvalidField, InvalidTransition, MerchantError},
    payments::{ExceptionError, PaymentError, PolicyError, RefundError, ReplayError},
    points::{PointsError, RuleError, SetRuleError},
    primitives::WithCauses,
    risk::{LoadError, ReloadError, ReviewError, Stop},
    sharing::SharingError,
};

/// Something of ours is broken: said once here, with its causes; the client gets the trace id.
pub(super) fn broken(error: &(dyn Error + 'static)) -> Problem {
    tracing::error!(error = %WithCauses(error), "a request failed");
    Problem::internal()
}

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        let unavailable = |code, title| {
            Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                code,
                title,
                "系统繁忙，请稍后再试",
            )
            .retry_after(1)
        };
        match &error {
            DbError::Overloaded => {
                unavailable("overloaded", "Too many requests wait; nothing was done")
            }
            DbError::Contention(_) => {
                unavailable("contended", "Too many writers; nothing was done")
            }
            DbError::Stopping => {
                unavailable("stopping", "The service is stopping; nothing was done")
            }
            DbError::ClockOff => unavailable(
                "unavailable",
                "The service's clock is wrong; nothing was done",
            ),
            DbError::Unavailable(_) | DbError::ReadOnly | DbError::Timeout(_) => {
                tracing::warn!(error = %WithCauses(&error), "the database is away");
                unavailable("unavailable", "Outcome unknown: repeat with the same key")
            }
            DbError::Inconsistent(_) | DbError::Unreadable(_) => {
                tracing::error!(error = %WithCauses(&error), "a request met what cannot be");
                Self::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "books_inconsistent",
                    "What is stored contradicts itself or cannot be read: somebody must look",
                    "数据异常，需人工处理；如需帮助，请提供追踪号",
                )
            }
            DbError::Violation(_) | DbError::Sql(_) | DbError::Migrate(_) => broken(&error),
        }
    }
}

impl From<LoginFailure> for Problem {
    fn from(failure: LoginFailure) -> Self {
        match failure {
            LoginFailure::BadCode => Self::new(
                StatusCode::UNAUTHORIZED,
                "login_code_invalid",
                "The login code is invalid, used or expired: call wx.login again",
                "登录已失效，请重新登录",
            ),
            LoginFailure::Blocked => Self::new(
                StatusCode::FORBIDDEN,
                "login_blocked",
                "WeChat blocks this user",
                "该微信账号存在风险，无法登录",
            ),
            LoginFailure::TooFrequent => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "login_too_frequent",
                "Too many logins of this user",
                "登录过于频繁，请稍后再试",
            )
            .retry_after(60),
            LoginFailure::Unavailable(reason) => {
                tracing::warn!(reason, "WeChat login is unavailable");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "login_unavailable",
                    "WeChat login is unavailable",
                    "微信登录暂不可用，请稍后再试",
                )
                .retry_after(3)
            }
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        let unauthorized = |code, title| {
            Self::new(
                StatusCode::UNAUTHORIZED,
                code,
                title,
                "登录已失效，请重新登录",
            )
        };
        match error {
            AuthError::TokenInvalid => {
                unauthorized("token_invalid", "The access token is not valid")
            }
            AuthError::TokenExpired => {
                unauthorized("token_expired", "The access token has expired")
            }
            AuthError::RefreshInvalid => {
                unauthorized("refresh_token_invalid", "The refresh token is not valid")
            }
            AuthError::RefreshExpired => {
                unauthorized("refresh_token_expired", "The refresh token has expired")
            }
            AuthError::RefreshReused => unauthorized(
                "refresh_token_reused",
                "The refresh token was used before; everything that its login led to is revoked",
            ),
            AuthError::Login(failure) => failure.into(),
            AuthError::Db(error) => error.into(),
        }
    }
}

impl From<CustomerError> for Problem {
    fn from(error: CustomerError) -> Self {
        match error {
            CustomerError::NotFound => Self::not_found(),
            CustomerError::Blocked => Self::new(
                StatusCode::FORBIDDEN,
                "customer_blocked",
                "The customer is blocked",
                "该账号已被停用，请联系平台",
            ),
            CustomerError::Stopped(stop) => stop.into(),
            CustomerError::Auth(error) => error.into(),
            CustomerError::Db(error) => error.into(),
        }
    }
}

/// Says neither which rule nor why: whoever tries to get around the rules must not learn them here.
impl From<Stop> for Problem {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Blocked(decision) => Self::new(
                StatusCode::FORBIDDEN,
                "risk_blocked",
                "Not allowed for reasons of safety; nothing was done",
                "出于安全考虑，本次操作未能完成。请稍后再试；如有疑问，请向客服提供本次编号",
            )
            .with(Extension {
                decision: Some(decision),
                ..Extension::default()
            }),
            Stop::Unverified {
                decision,
                challenge,
            } => Self::new(
                StatusCode::FORBIDDEN,
                "risk_verification_required",
                "The customer has to answer the challenge; then repeat the request with the same key. Nothing was done",
                "为保障账户安全，请确认是您本人操作，然后重试",
            )
            .with(Extension {
                decision: Some(decision),
                challenge: Some(challenge),
                ..Extension::default()
            }),
        }
    }
}

impl From<AnswerError> for Problem {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::NotFound => Self::new(
                StatusCode::NOT_FOUND,
                "challenge_not_found",
                "The challenge does not exist",
                "验证请求不存在",
            ),
            AnswerError::Expired => Self::new(
                StatusCode::CONFLICT,
                "challenge_expired",
                "The challenge's time is over: repeat the request to get another",
                "验证已超时，请重新操作",
            ),
            AnswerError::Failed => Self::new(
                StatusCode::CONFLICT,
                "challenge_failed",
                "The challenge failed: repeat the request to get another",
                "验证失败次数过多，请重新操作",
            ),
            AnswerError::SomebodyElse => Self::new(
                StatusCode::FORBIDDEN,
                "challenge_not_answered",
                "The login code is another person's",
                "验证未通过，请用本人微信重试",
            ),
            AnswerError::Login(failure) => failure.into(),
            AnswerError::Customer(error) => error.into(),
            AnswerError::Db(error) => error.into(),
        }
    }
}

impl From<InvalidField> for Problem {
    fn from(error: InvalidField) -> Self {
        Self::field(error.field, error.expected)
    }
}

impl From<InvalidTransition> for Problem {
    fn from(refused: InvalidTransition) -> Self {
        let InvalidTransition { from, only, .. } = refused;
        Self {
            field: Self::field("state", format!("{only}; it is {from}")).field,
            ..Self::new(
                StatusCode::CONFLICT,
                "merchant_state_conflict",
                "The merchant's state does not allow it",
                "商户当前状态不允许此操作",
            )
        }
    }
}

impl From<MerchantError> for Problem {
    fn from(error: MerchantError) -> Self {
        match error {
            MerchantError::NotFound => Self::new(
                StatusCode::NOT_FOUND,
                "merchant_not_found",
                "The merchant does not exist",
                "商户不存在",
            ),
            MerchantError::NotStaff => Self::new(
                StatusCode::FORBIDDEN,
                "not_merchant_staff",
                "The person is not on the staff of a merchant",
                "您还不是商户成员，请先申请入驻",
            ),
            MerchantError::AlreadyRegistered => Self::new(
                StatusCode::CONFLICT,
                "merchant_already_registered",
                "The person has a merchant, or one that waits for approval",
                "您已有商户或入驻申请",
            ),
            MerchantError::NotApproved => Self::new(
                StatusCode::CONFLICT,
                "merchant_not_approved",
                "The merchant is not approved",
                "商户尚未通过审核或已停用",
            ),
            MerchantError::NumberTaken(holder) => Self {
                field: Self::field(
                    "sub_mchid",
                    match holder {
                        Some(holder) => {
                            format!("a number that no other merchant has; {holder} has it")
                        }
                        None => "a number that no merchant of another tenant has".to_owned(),
                    },
                )
                .field,
                ..Self::new(
                    StatusCode::CONFLICT,
                    "sub_mchid_taken",
                    "Another merchant has this number at WeChat",
                    "该微信支付商户号已属于其他商户",
                )
            },
            MerchantError::CodeNotFound => Self::new(
                StatusCode::NOT_FOUND,
                "collection_code_not_found",
                "The collection code does not exist",
                "收款码不存在",
            ),
            MerchantError::CodeDisabled => Self::new(
                StatusCode::CONFLICT,
                "collection_code_disabled",
                "The collection code is disabled, or its merchant suspended",
                "收款码已停用",
            ),
            MerchantError::Field(error) => error.into(),
            MerchantError::Transition(error) => error.into(),
            MerchantError::Picture(error) => broken(&error),
            MerchantError::Drawing(failure) => failure.into(),
            MerchantError::Customer(error) => error.into(),
            MerchantError::Auth(error) => error.into(),
            MerchantError::Db(error) => error.into(),
        }
    }
}

impl From<DrawingFailure> for Problem {
    fn from(failure: DrawingFailure) -> Self {
        match failure {
            // An operator has to set another page; the reason was logged where WeChat gave it.
            DrawingFailure::Refused { .. } => Self::new(
                StatusCode::CONFLICT,
                "mini_program_code_refused",
                "WeChat refused to draw the mini-program code",
                "微信无法生成小程序码，请联系平台",
            ),
            DrawingFailure::Unavailable(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "mini_program_code_unavailable",
                "WeChat does not draw the mini-program code now",
                "微信暂无响应，请稍后再试",
            )
            .retry_after(3),
        }
    }
}

impl From<DeliveryError> for Problem {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::NotFound => Self::new(
                StatusCode::NOT_FOUND,
                "delivery_not_found",
                "The delivery does not exist",
                "投递记录不存在",
            ),
            DeliveryError::Delivered => Self::new(
                StatusCode::CONFLICT,
                "delivery_delivered",
                "It has been delivered already",
                "该投递已完成，无需重试",
            ),
            DeliveryError::Db(error) => error.into(),
        }
    }
}

impl From<InvalidSetting> for Problem {
    fn from(error: InvalidSetting) -> Self {
        Self::field(error.field, error.expected)
    }
}

/// `of`: what the key belongs to, where its caller may see that.
fn key_reused(of: Extension) -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "idempotency_key_reused",
        "The idempotency key was used for another request",
        "请求标识已被用于其他请求",
    )
    .with(of)
}

impl From<InvalidKey> for Problem {
    fn from(_: InvalidKey) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "idempotency_key_invalid",
            "The Idempotency-Key is 1 to 255 visible ASCII characters",
            "请求标识不正确",
        )
    }
}

impl<E: Error + Into<Self>> From<OnceError<E>> for Problem {
    fn from(error: OnceError<E>) -> Self {
        match error {
            OnceError::KeyReused => key_reused(Extension::default()),
            OnceError::Unwritable(error) => broken(&error),
            OnceError::Work(error) => error.into(),
            OnceError::Db(error) => error.into(),
        }
    }
}

impl From<PaymentError> for Problem {
    fn from(error: PaymentError) -> Self {
        match error {
            PaymentError::CodeUnknown => MerchantError::CodeNotFound.into(),
            PaymentError::CodeDisabled => MerchantError::CodeDisabled.into(),
            PaymentError::MerchantNotActive => Self::new(
                StatusCode::CONFLICT,
                "merchant_not_active",
                "The merchant does not take payments",
                "商户暂停收款",
            ),
            PaymentError::AmountRequired => Self {
                code: "amount_required",
                detail: "请输入金额",
                ..Self::field("amount_fen", "an amount: the code leaves it open")
            },
            PaymentError::AmountNotAllowed { expected } => Self {
                code: "amount_not_allowed",
                detail: "金额与收款码不符",
                ..Self::field(
                    "amount_fen",
                    format!("{} or nothing: the code is for that", expected.get()),
                )
            },
            PaymentError::AmountOutOfRange { min, max } => Self {
                code: "amount_out_of_range",
                detail: "金额超出范围",
                ..Self::field("amount_fen", format!("{} to {}", min.get(), max.get()))
            },
            PaymentError::KeyReused(order) => key_reused(Extension {
                order,
                ..Extension::default()
            }),
            PaymentError::OrderNotFound => Self::new(
                StatusCode::NOT_FOUND,
                "order_not_found",
                "The order does not exist",
                "订单不存在",
            ),
            PaymentError::OrderClosed(order) => Self::new(
                StatusCode::CONFLICT,
                "order_closed",
                "The order is closed: make a new one with a new key",
                "订单已关闭，请重新下单",
            )
            .about(order),
            PaymentError::PaymentInProgress(order) => Self::new(
                StatusCode::CONFLICT,
                "order_payment_in_progress",
                "The customer is paying at this moment: look again in a few seconds",
                "顾客正在支付，请稍后再试",
            )
            .about(order),
            PaymentError::AnswerMismatch(reason) => {
                tracing::error!(reason, "WeChat's answer does not fit the order");
                Self::new(
                    StatusCode::BAD_GATEWAY,
                    "wechat_answer_mismatch",
                    "WeChat's answer does not fit the order: nothing was changed",
                    "微信支付返回的信息与订单不符",
                )
            }
            PaymentError::OrderExpired(order) => Self::new(
                StatusCode::CONFLICT,
                "order_expired",
                "The order can no longer be paid: make a new one with a new key",
                "订单已过期，请重新下单",
            )
            .about(order),
            PaymentError::AlreadyPaid(order) => Self::new(
                StatusCode::CONFLICT,
                "order_already_paid",
                "The order is paid already",
                "订单已支付，请勿重复付款",
            )
            .about(order),
            // A definite no is not a 502: repeating it changes nothing. The reason was logged where
            // WeChat gave it.
            PaymentError::ChannelRefused(_) => Self::new(
                StatusCode::CONFLICT,
                "channel_refused",
                "WeChat Pay refused the payment",
                "微信支付暂时无法受理该订单",
            ),
            PaymentError::ChannelUnknown(_) => Self::new(
                StatusCode::BAD_GATEWAY,
                "channel_unknown",
                "WeChat Pay does not answer, or not so that it is understood: repeat with the same key",
                "微信支付暂无响应，请重试",
            )
            .retry_after(1),
            PaymentError::Stopped(stop) => stop.into(),
            PaymentError::Transition(error) => broken(&error),
            PaymentError::Db(error) => error.into(),
        }
    }
}

impl From<RefundError> for Problem {
    fn from(error: RefundError) -> Self {
        let conflict = |code, title, detail| Self::new(StatusCode::CONFLICT, code, title, detail);
        let forbidden = |code, title, detail| Self::new(StatusCode::FORBIDDEN, code, title, detail);
        match error {
            RefundError::OrderNotFound => PaymentError::OrderNotFound.into(),
            RefundError::NotFound => Self::new(
                StatusCode::NOT_FOUND,
                "refund_not_found",
                "The refund does not exist",
                "退款单不存在",
            ),
            RefundError::NotPaid => conflict(
                "order_not_paid",
                "The order is not paid: there is nothing to refund",
                "订单尚未支付，无法退款",
            ),
            RefundError::RefundedElsewhere => conflict(
                "refunded_elsewhere",
                "WeChat says that something of it was refunded elsewhere, and not how much: an operator of the tenant states the number of that refund first",
                "该订单已在别处退款，金额尚未确认，请联系平台",
            ),
            RefundError::BadNumber => Self::field(
                "out_refund_no",
                "1 to 64 letters, digits and _-|*@, as WeChat shows it",
            ),
            RefundError::ExceedsRefundable { left } => Self {
                code: "refund_exceeds_refundable",
                title: "More than can still be refunded of the order",
                detail: "退款金额超出可退金额",
                ..Self::field("amount_fen", format!("at most {}", left.get()))
            }
            .with(Extension {
                refundable: Some(left),
                ..Extension::default()
            }),
            RefundError::NothingToRefund => Self {
                detail: "退款金额不正确",
                ..Self::field("amount_fen", "1 or more")
            },
            RefundError::TooMany => conflict(
                "refund_too_many",
                "An order is refunded at most 50 times",
                "该订单退款次数已达上限",
            ),
            RefundError::TooOld => conflict(
                "refund_too_old",
                "The payment is more than a year old: WeChat no longer refunds it",
                "支付已超过一年，无法原路退款",
            ),
            RefundError::BadReason => Self::field(
                "reason",
                "1 to 80 bytes of text in one line, without backticks",
            ),
            RefundError::PointsSpent { due, available } => Self {
                field: Self::field(
                    "points",
                    format!("{due} that can be taken back; there are {available}"),
                )
                .field,
                ..conflict(
                    "refund_points_spent",
                    "The customer has spent points that would have to come back, and the policy refuses such refunds",
                    "顾客的积分已被使用，不足以退回",
                )
            },
            RefundError::AlreadyDecided(state) => Self {
                field: Self::field(
                    "state",
                    format!("awaiting_approval; it is {}", state.name()),
                )
                .field,
                ..conflict(
                    "refund_already_decided",
                    "The refund does not wait for a decision, or no longer",
                    "该退款已处理",
                )
            },
            RefundError::SamePerson => forbidden(
                "refund_needs_second_person",
                "Whoever asked for a refund does not decide on it",
                "退款须由他人复核",
            ),
            RefundError::AboveYourLimit => forbidden(
                "refund_above_limit",
                "The order would give back more than this person decides",
                "该订单的退款总额超出您的审批权限",
            ),
            RefundError::NotAbnormal => conflict(
                "refund_not_abnormal",
                "Only an abnormal refund can be sent elsewhere",
                "只有异常退款才能改变去向",
            ),
            RefundError::MerchantSuspended => Self::new(
                StatusCode::FORBIDDEN,
                "merchant_suspended",
                "The merchant is suspended: the tenant gives its customers money back",
                "商户已被暂停，退款请联系平台",
            ),
            RefundError::NotWithdrawable(state) => Self {
                field: Self::field(
                    "state",
                    format!("accepted or returning; it is {}", state.name()),
                )
                .field,
                ..conflict(
                    "refund_not_withdrawable",
                    "WeChat has the refund, or it is over, or it still waits for a second person: only one that WeChat has not taken can be withdrawn",
                    "该退款无法撤回",
                )
            },
            RefundError::CallInProgress => conflict(
                "refund_call_in_progress",
                "WeChat was told of the refund a moment ago and may still take it: try again in a minute, or in ten if it did not answer",
                "退款请求正在处理，请稍后再试",
            ),
            RefundError::KeyReused(refund) => key_reused(Extension {
                refund,
                ..Extension::default()
            }),
            RefundError::ChannelRefused(code) => {
                tracing::warn!(code, "WeChat refuses what was asked of a refund");
                Self::new(
                    StatusCode::CONFLICT,
                    "channel_refused",
                    "WeChat Pay refused it",
                    "微信支付未受理该请求",
                )
            }
            RefundError::AnswerMismatch(reason) => PaymentError::AnswerMismatch(reason).into(),
            RefundError::ChannelUnknown => PaymentError::ChannelUnknown(String::new()).into(),
            RefundError::Stopped(stop) => stop.into(),
            RefundError::Booking(error) => broken(&error),
            RefundError::Db(error) => error.into(),
        }
    }
}

impl From<PolicyError> for Problem {
    fn from(error: PolicyError) -> Self {
        match error {
            PolicyError::BadOrderMinutes => Self::field("order_minutes", "1 to 1440"),
            PolicyError::BadFee => Self::field("fee_ppm", "0 to 100000"),
            PolicyError::Db(error) => error.into(),
        }
    }
}

impl From<ExceptionError> for Problem {
    fn from(error: ExceptionError) -> Self {
        match error {
            ExceptionError::NotFound => Self::new(
                StatusCode::NOT_FOUND,
                "exception_not_found",
                "The exception does not exist",
                "异常记录不存在",
            ),
            ExceptionError::AlreadyResolved => Self::new(
                StatusCode::CONFLICT,
                "exception_already_resolved",
                "The exception is resolved already",
                "该异常已处理",
            ),
            ExceptionError::BadResolution => {
                Self::field("resolution", "1 to 200 characters in one line")
            }
            ExceptionError::Db(error) => error.into(),
        }
    }
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::NotFound => Self::new(
                StatusCode::NOT_FOUND,
                "callback_not_found",
                "The callback does not exist",
                "回调记录不存在",
            ),
            ReplayError::Unverified(error) => {
                tracing::info!(
                    reason = error.reason(),
                    "a callback that is played again is unverified"
                );
                Self::new(
                    StatusCode::CONFLICT,
                    "callback_unverified",
                    "With the keys of today the callback is unverified: nothing was done",
                    "该回调未通过验证，未作处理",
                )
            }
            ReplayError::Db(error) => error.into(),
        }
    }
}

impl From<ReviewError> for Problem {
    fn from(error: ReviewError) -> Self {
        let conflict = |code, title, detail| Self::new(StatusCode::CONFLICT, code, title, detail);
        match error {
            ReviewError::NotFound => Self::new(
                StatusCode::NOT_FOUND,
                "review_not_found",
                "The review does not exist",
                "审核记录不存在",
            ),
            ReviewError::AlreadyDecided(_) => conflict(
                "review_already_decided",
                "The review is decided already",
                "该审核已处理",
            ),
            ReviewError::ClaimedByAnother => conflict(
                "review_claimed",
                "Somebody else has claimed the review",
                "该审核已被他人领取",
            ),
            ReviewError::NotClaimedByCaller => conflict(
                "review_not_claimed",
                "The review is not claimed by the caller",
                "您没有领取该审核",
            ),
            ReviewError::SamePerson => Self::new(
                StatusCode::FORBIDDEN,
                "review_needs_second_person",
                "Whoever asked for the points or approved first does not approve: another person is needed",
                "该审核须由他人复核",
            ),
            ReviewError::NoteNeeded | ReviewError::InvalidNote => Self::field(
                "note",
                "one line of up to 200 characters; a rejection needs one",
            ),
            ReviewError::KeyReused(review) => key_reused(Extension {
                review: Some(review),
                ..Extension::default()
            }),
            ReviewError::Ledger(error) => broken(&error),
            ReviewError::Db(error) => error.into(),
        }
    }
}

impl From<RuleError> for Problem {
    fn from(error: RuleError) -> Self {
        match error {
            RuleError::BadRatio => Self::field("ratio", "0 to 10000 with at most four decimals"),
            RuleError::MaxBelowMin => Self::field("amount_max_fen", "at least amount_min_fen"),
            RuleError::BadValidity => Self::field(
                "validity",
                "1 to 36500 days, 0 to 1200 months, or 0 to 100 years",
            ),
        }
    }
}

impl From<SetRuleError> for Problem {
    fn from(error: SetRuleError) -> Self {
        match error {
            SetRuleError::Terms(error) => error.into(),
            SetRuleError::BadBeginning => {
                Self::field("effective_from", "now or up to 366 days ahead")
            }
            SetRuleError::NotOverridden => Self::new(
                StatusCode::NOT_FOUND,
                "points_rule_not_overridden",
                "The merchant has no points rule of its own to withdraw",
                "该商户没有单独的积分规则",
            ),
            SetRuleError::Db(error) => error.into(),
        }
    }
}

impl From<PointsError> for Problem {
    fn from(error: PointsError) -> Self {
        let conflict = |code, title, detail, field: Self| Self {
            field: field.field,
            ..Self::new(StatusCode::CONFLICT, code, title, detail)
        };
        match error {
            PointsError::Field { field, expected } => Self::field(field, expected),
            PointsError::CustomerUnknown => Self::new(
                StatusCode::NOT_FOUND,
                "customer_not_found",
                "The customer does not exist",
                "顾客不存在",
            ),
            PointsError::CustomerBlocked => CustomerError::Blocked.into(),
            PointsError::MerchantUnknown => Self {
                code: "merchant_not_of_points_transaction",
                detail: "商户不存在或与订单不符",
                ..Self::field(
                    "merchant_id",
                    "a merchant of the tenant; the order's, if one is named",
                )
            },
            PointsError::OrderNotTheirs => Self {
                code: "order_not_of_customer",
                detail: "订单不存在或不属于该顾客",
                ..Self::field("order_no", "an order of this customer")
            },
            PointsError::ReferenceReused(points_transaction) => Self {
                code: "reference_reused",
                detail: "该业务单号已被用于其他请求",
                ..Self::field("reference", "one that was not used for another request")
            }
            .with(Extension {
                points_transaction: Some(points_transaction),
                ..Extension::default()
            }),
            PointsError::Insufficient { available } => conflict(
                "points_insufficient",
                "The customer has fewer points that can be spent",
                "可用积分不足",
                Self::field("points", format!("at most {}", available.get())),
            ),
            PointsError::Blocked => Self::new(
                StatusCode::FORBIDDEN,
                "risk_blocked",
                "Risk blocked it; the points transaction is stored as refused",
                "该操作存在风险，已被拦截",
            ),
            PointsError::NotFound => Self::new(
                StatusCode::NOT_FOUND,
                "points_transaction_not_found",
                "The points transaction does not exist, or is another back end's",
                "积分操作记录不存在",
            ),
            PointsError::State(state) => conflict(
                "points_transaction_state_conflict",
                "The points transaction's state does not allow it",
                "积分操作当前状态不允许此操作",
                Self::field("state", format!("held; it is {}", state.name())),
            ),
            PointsError::CaptureTooMuch { held } => Self {
                detail: "核销积分超出冻结积分",
                ..Self::field("points", format!("1 to {}", held.get()))
            },
            PointsError::NotReturnable => Self {
                code: "points_transaction_not_returnable",
                detail: "该积分操作不能退回",
                ..Self::field("points_transaction_id", "a deduction or a redemption")
            },
            PointsError::NotDone(state) => conflict(
                "points_transaction_state_conflict",
                "The points transaction's state does not allow it",
                "积分操作当前状态不允许此操作",
                Self::field("state", format!("done; it is {}", state.name())),
            ),
            PointsError::ReturnTooMuch { left } => conflict(
                "return_exceeds_taken",
                "More points than it took and are not returned yet",
                "退回积分超出可退数量",
                Self::field("points", format!("at most {}", left.get())),
            ),
            // Sums that do not fit: nobody has so many points.
            PointsError::Ledger(error) => broken(&error),
            PointsError::Db(error) => error.into(),
        }
    }
}

impl From<SharingError> for Problem {
    fn from(error: SharingError) -> Self {
        match error {
            SharingError::MerchantNotFound => MerchantError::NotFound.into(),
            SharingError::MerchantNotApproved => MerchantError::NotApproved.into(),
            SharingError::ReceiverNotFound => Self::new(
                StatusCode::NOT_FOUND,
                "sharing_receiver_not_found",
                "The receiver does not exist, or is another merchant's",
                "分账接收方不存在",
            ),
            SharingError::ReceiverInUse => Self::new(
                StatusCode::CONFLICT,
                "sharing_receiver_in_use",
                "The sharing rule in force names the receiver: change the rule first",
                "分账规则正在使用该接收方，请先修改规则",
            ),
            SharingError::ReceiverNotActive => Self::new(
                StatusCode::CONFLICT,
                "sharing_receiver_not_active",
                "A receiver of the rule is not active: add it again",
                "分账接收方未生效，请重新添加",
            ),
            SharingError::TooMuch { ratio_max_ppm } => Self {
                code: "sharing_ratio_too_high",
                detail: "分账比例超出上限",
                ..Self::field(
                    "parts",
                    format!("{ratio_max_ppm} millionths in all at most"),
                )
            },
            SharingError::Field { field, expected } => Self::field(field, expected),
            SharingError::NotFound => Self::new(
                StatusCode::NOT_FOUND,
                "sharing_not_found",
                "The order does not exist, or nothing of it is shared (yet)",
                "该订单没有分账",
            ),
            SharingError::NothingToRetry => Self::new(
                StatusCode::CONFLICT,
                "sharing_nothing_to_retry",
                "Nothing of the sharing waits to be tried again",
                "没有需要重试的分账",
            ),
            // The reason was logged where WeChat gave it.
            SharingError::ChannelRefused(_) => Self::new(
                StatusCode::CONFLICT,
                "sharing_channel_refused",
                "WeChat Pay refused it",
                "微信支付未受理该操作",
            ),
            SharingError::ChannelUnknown => Self::new(
                StatusCode::BAD_GATEWAY,
                "sharing_channel_unknown",
                "WeChat Pay does not answer: repeat the request",
                "微信支付暂无响应，请重试",
            )
            .retry_after(1),
            SharingError::Db(error) => error.into(),
        }
    }
}

impl From<ReloadError> for Problem {
    fn from(error: ReloadError) -> Self {
        let invalid =
            |code, title, detail| Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, title, detail);
        match error {
            ReloadError::Off => Self::new(
                StatusCode::NOT_FOUND,
                "risk_off",
                "Risk is switched off here: there are no rules",
                "风控未启用",
            ),
            // The path and the reason were logged.
            ReloadError::Load(LoadError::Unreadable(_)) => invalid(
                "risk_rules_unreadable",
                "The file of risk rules cannot be read; the old rules stay in force",
                "无法读取风控规则文件，原规则继续生效",
            ),
            ReloadError::Load(LoadError::Mistakes(errors)) => invalid(
                "risk_rules_invalid",
                "The risk rules have mistakes; the old rules stay in force",
                "风控规则有误，原规则继续生效",
            )
            .with(Extension {
                mistakes: errors.mistakes().to_vec(),
                ..Extension::default()
            }),
            ReloadError::Load(LoadError::Db(error)) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_our_fault_says_nothing() {
        let problem = Problem::from(DbError::Inconsistent("a negative lot of customer 17"));
        assert_eq!(problem.status, StatusCode::INTERNAL_SERVER_ERROR);
        let shown = format!("{problem:?}");
        assert!(!shown.contains("lot") && !shown.contains("17"), "{shown}");
    }

    #[test]
    fn a_wrong_field_is_named_and_its_content_is_not_repeated() {
        let problem = Problem::from(MerchantError::Field(InvalidField {
            field: "contact_phone",
            expected: "a phone number",
        }));
        assert_eq!(problem.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(format!("{problem:?}").contains("contact_phone"));
    }

    #[test]
    fn a_definite_refusal_of_wechats_is_not_a_502() {
        let code = || "PARAM_ERROR".to_owned();
        let refused = DrawingFailure::Refused { code: code() };
        for problem in [
            Problem::from(PaymentError::ChannelRefused(code())),
            RefundError::ChannelRefused(code()).into(),
            SharingError::ChannelRefused(code()).into(),
            refused.into(),
        ] {
            assert_eq!(problem.status, StatusCode::CONFLICT);
            assert_eq!(problem.retry_after, None);
        }
    }

    #[test]
    fn an_answer_that_we_reject_is_not_called_a_refusal_of_wechats() {
        for problem in [
            Problem::from(PaymentError::AnswerMismatch("wrong_amount")),
            RefundError::AnswerMismatch("wrong_amount").into(),
        ] {
            assert_eq!(problem.status, StatusCode::BAD_GATEWAY);
            assert_eq!(problem.code, "wechat_answer_mismatch");
        }
    }

    #[test]
    fn an_unknown_outcome_asks_to_be_repeated() {
        for error in [
            PaymentError::ChannelUnknown("HTTP 502".to_owned()),
            DbError::Unavailable(None).into(),
        ] {
            let problem = Problem::from(error);
            assert!(problem.status.is_server_error());
            assert_eq!(problem.retry_after, Some(1));
        }
    }
}
