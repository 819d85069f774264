//! Everything is parsed into types before a handler runs, and what does not parse is a problem of
//! ours, not of the framework's.

use std::{marker::PhantomData, str::FromStr};

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, MatchedPath, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    json::{self, Refusal, Tree},
    problem::Problem,
    query,
};
use crate::{
    app::App,
    auth::{AuthError, OperatorRole, Permission, Principal, StaffRole},
    idempotency::{Claim, IdempotencyKey},
    primitives::{CustomerId, MerchantId, PageLimit, Secret, StaffId, TenantId},
};

// --- who calls

/// A caller of one audience whose token was verified. It can be used only by naming what for: in
/// its type, which is asked before anything else of the request is read, bodies above all; or,
/// where there is nothing to read, by [`Auth::may`].
#[derive(Debug)]
pub(super) struct Auth<A, P = CheckedLater> {
    caller: A,
    principal: Principal,
    needs: PhantomData<P>,
}

/// A permission as a type.
pub(super) trait Needs {
    const PERMISSION: Option<Permission>;
}

/// A permission that is asked for at once.
pub(super) trait CheckedFirst: Needs {}

/// The permission is asked for later: [`Auth::may`].
#[derive(Debug)]
pub(super) struct CheckedLater;

impl Needs for CheckedLater {
    const PERMISSION: Option<Permission> = None;
}

/// Permissions as types, for those who read a body.
pub(super) mod needs {
    use super::{CheckedFirst, Needs, Permission};

    macro_rules! permissions {
        ($($name:ident),* $(,)?) => {$(
            #[derive(Debug)]
            pub(in crate::http) struct $name;

            impl Needs for $name {
                const PERMISSION: Option<Permission> = Some(Permission::$name);
            }

            impl CheckedFirst for $name {}
        )*};
    }

    permissions!(
        AwardPoints,
        DecideMerchants,
        DecideRefund,
        DecideRefunds,
        DecideReviews,
        DeductPoints,
        HoldPoints,
        Pay,
        ReadPointsRule,
        RefundPayments,
        RegisterMerchant,
        RequestRefund,
        ResolveExceptions,
        CollectPayment,
        WriteCodes,
        WriteDeliveries,
        WritePaymentPolicy,
        WritePointsRule,
        WriteSharing,
    );
}

/// A kind of caller.
pub(super) trait Audience: Sized {
    fn of(principal: &Principal) -> Option<Self>;
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Customer {
    pub(super) tenant: TenantId,
    pub(super) id: CustomerId,
}

#[derive(Debug, Clone, Copy)]
#[expect(
    dead_code,
    reason = "who exactly it was matters to the audit log, which asks the principal"
)]
pub(super) struct Staff {
    pub(super) tenant: TenantId,
    pub(super) id: StaffId,
    pub(super) merchant: MerchantId,
    pub(super) role: StaffRole,
}

#[derive(Debug, Clone, Copy)]
#[expect(dead_code, reason = "the role's permissions were asked for already")]
pub(super) struct Operator {
    pub(super) tenant: TenantId,
    pub(super) role: OperatorRole,
}

impl Audience for Customer {
    fn of(principal: &Principal) -> Option<Self> {
        match *principal {
            Principal::Customer { tenant, id } => Some(Self { tenant, id }),
            Principal::Staff { .. } | Principal::Operator { .. } => None,
        }
    }
}

impl Audience for Staff {
    fn of(principal: &Principal) -> Option<Self> {
        match *principal {
            Principal::Staff {
                tenant,
                id,
                merchant,
                role,
            } => Some(Self {
                tenant,
                id,
                merchant,
                role,
            }),
            Principal::Customer { .. } | Principal::Operator { .. } => None,
        }
    }
}

impl Audience for Operator {
    fn of(principal: &Principal) -> Option<Self> {
        match *principal {
            Principal::Operator { tenant, role, .. } => Some(Self { tenant, role }),
            Principal::Customer { .. } | Principal::Staff { .. } => None,
        }
    }
}

impl<A: Copy> Auth<A> {
    /// The caller, if the role has the permission.
    pub(super) fn may(&self, permission: Permission) -> Result<A, Problem> {
        if self.principal.may(permission) {
            Ok(self.caller)
        } else {
            Err(forbidden())
        }
    }
}

impl<A: Copy, P: CheckedFirst> Auth<A, P> {
    /// The caller, whose role has the permission.
    pub(super) const fn caller(&self) -> A {
        self.caller
    }
}

impl<A, P> Auth<A, P> {
    /// Who does it.
    pub(super) const fn principal(&self) -> &Principal {
        &self.principal
    }
}

const fn forbidden() -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "forbidden",
        "The token does not permit this",
        "没有权限执行此操作",
    )
}

impl<A: Audience, P: Needs> FromRequestParts<App> for Auth<A, P> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        // The limits may have asked before.
        let principal = match parts.extensions.remove::<Principal>() {
            Some(principal) => principal,
            None => verified(&parts.headers, app)?,
        };
        let caller = A::of(&principal).ok_or_else(forbidden)?;
        tracing::Span::current().record("caller", tracing::field::display(principal.actor()));
        if !P::PERMISSION.is_none_or(|permission| principal.may(permission)) {
            return Err(forbidden());
        }
        Ok(Self {
            caller,
            principal,
            needs: PhantomData,
        })
    }
}

/// Whoever the token names, if it is verified.
pub(super) fn verified(headers: &HeaderMap, app: &App) -> Result<Principal, Problem> {
    Ok(app.tokens().verify(bearer(headers)?, app.db().now())?)
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = Problem::new(
        StatusCode::UNAUTHORIZED,
        "token_missing",
        "Authorization: Bearer <access token> is required",
        "请先登录",
    );
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| missing.clone())?;
    // Whoever is in front may have looked at the other.
    if values.next().is_some() {
        return Err(Problem {
            title: "Authorization is given once",
            ..AuthError::TokenInvalid.into()
        });
    }
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or_else(|| missing.clone())?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim())
    } else {
        Err(missing)
    }
}

// --- what is asked

/// A JSON body, read by the rules of [`json`]. Types of requests refuse fields that they do not
/// know.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let body = read_body(request, state).await?;
        Ok(Self(parse_json(is_json, &body)?.0))
    }
}

/// A POST that makes something: its key, and its body both as type and as a claim's input.
/// No `Debug`, here and on [`Json`]: a body may hold personal data.
pub(super) struct Keyed<T> {
    pub(super) body: T,
    pub(super) key: IdempotencyKey,
    route: String,
    path: String,
    /// What it says, however it is written.
    said: String,
}

impl<T> Keyed<T> {
    /// The claim under which the effect is made. The path belongs to the input: approving another
    /// merchant with the same key is another request. Of the body what it says counts, not how it
    /// is written: programs that repeat a request write it anew.
    pub(super) fn claim(&self, principal: &Principal) -> Claim {
        let input = [self.path.as_bytes(), self.said.as_bytes()];
        let actor = principal.actor();
        Claim::new(
            principal.tenant(),
            &actor.to_string(),
            &self.route,
            &self.key,
            &input,
        )
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Keyed<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let key = idempotency_key(request.headers())?;
        let path = request.uri().path().to_owned();
        let matched = request.extensions().get::<MatchedPath>();
        let route = matched.map_or_else(|| path.clone(), |route| route.as_str().to_owned());
        let is_json = is_json(request.headers());
        let raw = read_body(request, state).await?;
        let (body, tree) = parse_json(is_json, &raw)?;
        Ok(Self {
            body,
            key,
            route,
            path,
            said: tree.canonical(),
        })
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<IdempotencyKey, Problem> {
    let value = headers.get("idempotency-key").ok_or(Problem::new(
        StatusCode::BAD_REQUEST,
        "idempotency_key_missing",
        "The header Idempotency-Key is required",
        "缺少请求标识",
    ))?;
    // Which of two it is nobody would know.
    if headers.get_all("idempotency-key").iter().nth(1).is_some() {
        return Err(Problem {
            title: "The Idempotency-Key is given once",
            ..crate::idempotency::InvalidKey.into()
        });
    }
    let text = value.to_str().map_err(|_| crate::idempotency::InvalidKey)?;
    Ok(IdempotencyKey::parse(text)?)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

async fn read_body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    let mut codings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    if !codings.all(plain) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content_encoding_unsupported",
            "The body must be sent as it is, without Content-Encoding",
            "请求格式不正确",
        ));
    }
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection| Problem::of_status(rejection.status()))
}

fn parse_json<T: DeserializeOwned>(is_json: bool, body: &[u8]) -> Result<(T, Tree), Problem> {
    if !is_json {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content_type_unsupported",
            "Content-Type: application/json is required",
            "请求格式不正确",
        ));
    }
    // The words name fields and may quote the caller's own values: for the caller, never for the
    // log.
    json::read(body).map_err(|refusal| match refusal {
        Refusal::Syntax(said) => Problem {
            status: StatusCode::BAD_REQUEST,
            code: "json_invalid",
            title: "The body is not JSON",
            detail: "请求内容不正确",
            ..Problem::field("body", said)
        },
        Refusal::Shape { at, expected } => Problem {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: "json_unexpected",
            title: "The JSON is not what is expected here",
            detail: "请求内容不正确",
            ..Problem::field(at, expected)
        },
    })
}

/// A path's parameters. One that does not parse names nothing that exists.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(Problem::not_found()),
        }
    }
}

/// A parameter of a path that is read with [`FromStr`].
pub(super) fn parse<T: FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}

/// The code of `wx.login`. What WeChat gives is plain and short; the rest need not be sent to it.
pub(super) fn login_code(code: &Secret<String>) -> Result<&str, Problem> {
    let code = code.expose().as_str();
    let sound = (1..=128).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_graphic());
    if sound {
        Ok(code)
    } else {
        Err(Problem::field("code", "what wx.login gave"))
    }
}

/// A query's parameters.
#[derive(Debug)]
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(query::read(parts.uri.query().unwrap_or_default())?))
    }
}

/// Which page is asked for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageParams {
    /// How many items, 20 unless said.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page, checked.
#[derive(Debug)]
pub(super) struct PageQuery {
    pub(super) limit: PageLimit,
    cursor: Option<String>,
}

impl PageQuery {
    /// Where the page begins, as the list's own kind of cursor.
    pub(super) fn before<C: FromStr>(&self) -> Result<Option<C>, Problem> {
        let problem = |_| Problem {
            status: StatusCode::BAD_REQUEST,
            code: "cursor_invalid",
            title: "The cursor is not one of this list",
            ..Problem::field("cursor", "next_cursor of the page before")
        };
        self.cursor
            .as_deref()
            .map(C::from_str)
            .transpose()
            .map_err(problem)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PageQuery {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(params) = Query::<PageParams>::from_request_parts(parts, state).await?;
        let limit = PageLimit::parse(params.limit);
        let limit = limit.ok_or_else(|| Problem::field("limit", "1 to 100"))?;
        let cursor = params.cursor.filter(|cursor| !cursor.is_empty());
        Ok(Self { limit, cursor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Sample {
        code: String,
    }

    #[test]
    fn json_is_strict() {
        let code = |is_json, body: &str| {
            parse_json::<Sample>(is_json, body.as_bytes())
                .map(|_| ())
                .map_err(|problem| problem.code)
        };
        assert_eq!(code(true, r#"{"code":"a"}"#), Ok(()));
        assert_eq!(
            code(true, r#"{"code":"a","amount":1}"#),
            Err("json_unexpected")
        );
        assert_eq!(code(true, "{}"), Err("json_unexpected"));
        assert_eq!(code(true, "{"), Err("json_invalid"));
        assert_eq!(code(true, ""), Err("json_invalid"));
        assert_eq!(
            code(false, r#"{"code":"a"}"#),
            Err("content_type_unsupported")
        );
    }

    #[test]
    fn a_bearer_token_is_found_whatever_the_scheme_is_written_like() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer(&headers)
                .map(str::to_owned)
                .map_err(|problem| problem.code)
        };
        assert_eq!(of("Bearer a.b.c"), Ok("a.b.c".to_owned()));
        assert_eq!(of("bearer a.b.c"), Ok("a.b.c".to_owned()));
        assert_eq!(of("Basic a"), Err("token_missing"));
        assert_eq!(of("Bearer"), Err("token_missing"));
        assert_eq!(bearer(&HeaderMap::new()).unwrap_err().code, "token_missing");
        let mut headers = HeaderMap::new();
        headers.append(header::AUTHORIZATION, "Bearer a.b.c".parse().unwrap());
        headers.append(header::AUTHORIZATION, "Bearer a.b.c".parse().unwrap());
        assert_eq!(bearer(&headers).unwrap_err().code, "token_invalid");
    }

    #[test]
    fn a_key_is_required_and_checked() {
        let mut headers = HeaderMap::new();
        assert_eq!(
            idempotency_key(&headers).unwrap_err().code,
            "idempotency_key_missing"
        );
        headers.insert("idempotency-key", "a b".parse().unwrap());
        assert_eq!(
            idempotency_key(&headers).unwrap_err().code,
            "idempotency_key_invalid"
        );
        headers.insert("idempotency-key", "a-b".parse().unwrap());
        assert_eq!(idempotency_key(&headers).unwrap().as_str(), "a-b");
        headers.append("idempotency-key", "a-b".parse().unwrap());
        let twice = idempotency_key(&headers).unwrap_err();
        assert_eq!(twice.code, "idempotency_key_invalid");
        assert_eq!(twice.title, "The Idempotency-Key is given once");
    }
}
