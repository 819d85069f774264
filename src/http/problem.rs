//! What went wrong, as the client sees it: `application/problem+json` (RFC 9457).

use std::collections::BTreeMap;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::{
    IntoResponses, ToSchema as _,
    openapi::{self, ContentBuilder, Ref, RefOr, ResponseBuilder},
};

use crate::{
    primitives::{
        ChallengeId, DecisionId, Money, OrderNo, PointsTransactionId, RefundNo, ReviewId,
    },
    risk::Mistake,
};

/// Names the problem for programs: never changed once published.
pub(super) type Code = &'static str;

/// A problem on its way out. It becomes a body in the middleware, which knows the trace id; so
/// everything here is the program's own text.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: Code,
    /// For developers.
    pub(super) title: &'static str,
    /// For users, in Chinese.
    pub(super) detail: &'static str,
    /// Which field, and what it should be.
    pub(super) field: Option<FieldProblem>,
    /// Seconds after which it is worth trying again.
    pub(super) retry_after: Option<u32>,
    /// Members that a few codes have. Boxed: a problem is an error type and must stay small.
    pub(super) extension: Option<Box<Extension>>,
}

/// Extension members (RFC 9457, 3.2), by code.
#[derive(Debug, Clone, Default)]
pub(super) struct Extension {
    /// What is wrong with a file of risk rules.
    pub(super) mistakes: Vec<Mistake>,
    /// What risk decided, to quote when asking for help.
    pub(super) decision: Option<DecisionId>,
    /// What to answer before asking again.
    pub(super) challenge: Option<ChallengeId>,
    /// The order that stands in the way.
    pub(super) order: Option<OrderNo>,
    /// What a key or reference belongs to, beside an order.
    pub(super) refund: Option<RefundNo>,
    pub(super) points_transaction: Option<PointsTransactionId>,
    pub(super) review: Option<ReviewId>,
    /// How much of the order can still be refunded.
    pub(super) refundable: Option<Money>,
}

/// The field of the request that is not what it should be.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(super) struct FieldProblem {
    #[schema(example = "contact_phone")]
    name: String,
    #[schema(example = "a phone number of 7 to 20 digits")]
    expected: String,
}

/// The body of every answer of 400 and more.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemBody {
    /// Leads to the code's explanation.
    #[serde(rename = "type")]
    #[schema(example = "/problems/collection_code_disabled")]
    kind: String,
    /// For developers, in English.
    title: &'static str,
    status: u16,
    /// Stable, for programs.
    #[schema(example = "collection_code_disabled")]
    code: &'static str,
    /// For users, in Chinese.
    detail: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<FieldProblem>,
    /// With `risk_rules_invalid`: everything that is wrong with the file, in its order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mistakes: Vec<Mistake>,
    /// With `risk_blocked` and `risk_verification_required`: quote it when asking for help.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "rd_019a8b3e5c5f7a0e8b6f1d2c3e4f2a02")]
    decision: Option<DecisionId>,
    /// With `risk_verification_required`: answer it, then repeat the request with the same key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "ch_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    challenge: Option<ChallengeId>,
    /// With `order_already_paid` and other conflicts: the order that it is about. With
    /// `idempotency_key_reused`: the order that was made with the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "06D8R5MKTS7J0T4V3C9Q2W00")]
    order_no: Option<OrderNo>,
    /// With `idempotency_key_reused`: the refund that the key was used for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "06D8R5MKTS7J0T4V3C9Q2W00")]
    refund_no: Option<RefundNo>,
    /// With `reference_reused`: the points transaction that the reference names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "pt_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    points_transaction_id: Option<PointsTransactionId>,
    /// With `idempotency_key_reused`: the review that the key was used for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "rv_019a8b3e5c5f7a0e8b6f1d2c3e4f2a00")]
    review_id: Option<ReviewId>,
    /// With `refund_exceeds_refundable`: how much of the order can still be refunded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>, minimum = 0, example = 700)]
    refundable_fen: Option<Money>,
    /// Quote it when asking for help.
    trace_id: String,
}

impl Problem {
    pub(super) const fn new(
        status: StatusCode,
        code: Code,
        title: &'static str,
        detail: &'static str,
    ) -> Self {
        Self {
            status,
            code,
            title,
            detail,
            field: None,
            retry_after: None,
            extension: None,
        }
    }

    /// Our fault, and nothing more is said.
    pub(super) const fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "Internal error",
            "系统出错，请稍后再试；如需帮助，请提供追踪号",
        )
    }

    pub(super) const fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "Not found",
            "找不到请求的内容",
        )
    }

    pub(super) fn field(name: impl Into<String>, expected: impl Into<String>) -> Self {
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "field_invalid",
            "A field is not what it should be",
            "填写的内容不符合要求",
        );
        problem.field = Some(FieldProblem {
            name: name.into(),
            expected: expected.into(),
        });
        problem
    }

    /// A query that cannot be read, because of this parameter.
    pub(super) fn query(name: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: "query_invalid",
            title: "The query is not what is expected here",
            ..Self::field(name, expected)
        }
    }

    #[must_use]
    pub(super) fn with(mut self, extension: Extension) -> Self {
        self.extension = Some(Box::new(extension));
        self
    }

    /// It is about this order.
    #[must_use]
    pub(super) fn about(self, order: OrderNo) -> Self {
        self.with(Extension {
            order: Some(order),
            ..Extension::default()
        })
    }

    #[must_use]
    pub(super) const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// The request did not arrive in the time that a request has.
    pub(super) const fn too_slow() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_too_slow",
            "The request did not arrive in time; nothing was done",
            "请求发送超时，请检查网络后重试",
        )
    }

    /// More connections than are served.
    pub(super) const fn crowded() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_connections",
            "Too many connections; nothing was done",
            "系统繁忙，请稍后再试",
        )
        .retry_after(1)
    }

    pub(super) const fn http_1_only() -> Self {
        Self::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "http_version_unsupported",
            "HTTP/1.1 is spoken here",
            "请求协议版本不受支持",
        )
    }

    /// For an answer that the framework made without a body of ours.
    pub(super) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                status,
                "method_not_allowed",
                "The path exists, but not with this method",
                "请求方法不正确",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(
                status,
                "body_too_large",
                "The body is too large",
                "请求内容过大",
            ),
            StatusCode::REQUEST_TIMEOUT => Self::too_slow(),
            StatusCode::URI_TOO_LONG => Self::new(
                status,
                "uri_too_long",
                "The address of the request is too long",
                "请求地址过长",
            ),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Self::new(
                status,
                "headers_too_large",
                "The headers of the request are too large",
                "请求头过大",
            ),
            StatusCode::GATEWAY_TIMEOUT => Self::new(
                status,
                "timeout",
                "No answer in time; the outcome is unknown: repeat with the same key",
                "处理超时，请稍后重试",
            )
            .retry_after(1),
            status if status.is_server_error() => Self {
                status,
                ..Self::internal()
            },
            status => Self::new(
                status,
                "request_invalid",
                "The request is not valid",
                "请求无法处理",
            ),
        }
    }

    /// The body as it goes over the wire.
    pub(super) fn body(self, trace_id: &str) -> Vec<u8> {
        let Extension {
            mistakes,
            decision,
            challenge,
            order,
            refund,
            points_transaction,
            review,
            refundable,
        } = self.extension.map(|boxed| *boxed).unwrap_or_default();
        let body = ProblemBody {
            kind: format!("/problems/{}", self.code),
            title: self.title,
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail,
            field: self.field,
            mistakes,
            decision,
            challenge,
            order_no: order,
            refund_no: refund,
            points_transaction_id: points_transaction,
            review_id: review,
            refundable_fen: refundable,
            trace_id: trace_id.to_owned(),
        };
        serde_json::to_vec(&body).unwrap_or_default() // strings and numbers always are JSON
    }

    /// The answer as it goes over the wire.
    pub(super) fn write(self, trace_id: &str) -> Response {
        let (status, retry_after) = (self.status, self.retry_after);
        let mut response = Response::new(Body::from(self.body(trace_id)));
        *response.status_mut() = status;
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        if let Some(seconds) = retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// Without a body yet: see [`Problem::write`].
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What every endpoint may answer instead.
pub(super) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let schema = Ref::from_schema_name(ProblemBody::name());
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let problem = ResponseBuilder::new()
            .description("A problem; see its `code`")
            .content("application/problem+json", content)
            .build();
        BTreeMap::from([("default".to_owned(), RefOr::T(problem))])
    }
}
