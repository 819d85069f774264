//! The parts of the OpenAPI document that belong to no single route.

use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

use super::{problem::ProblemBody, refine};

/// The document, with what stands in types and descriptions said for programs as well: see
/// [`refine`].
pub(super) fn refined(document: &utoipa::openapi::OpenApi) -> serde_json::Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    refine::refine(&mut document);
    document
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "账房 Zhangfang",
        description = "Payments and points of many merchants.\n\n\
            Amounts are whole fen (`amount_fen`), points whole numbers, times RFC 3339. Lists are read by cursor: give `next_cursor` back as \
            `cursor` until it is absent.\n\n\
            A POST that makes something needs an `Idempotency-Key` of 1 to 255 visible ASCII characters: the same key with the same body gives the same \
            answer (marked `Idempotency-Replayed: true` where it was kept), with another body 422 `idempotency_key_reused`. Back ends name what they do with \
            points by a `reference` in the body instead. When an answer is lost or is 502, 503 or 504, repeat with the same key; what has no key is repeated as it is.\n\n\
            Two bodies are the same when they say the same, whatever their spaces and the order of their members. In a body nothing is `null`: what is not said is left out. A \
            field or a parameter that an operation does not know is refused.\n\n\
            Errors are `application/problem+json` with a stable `code`.\n\n\
            Who asks too often is answered 429 `rate_limited` with `Retry-After` in seconds, and nothing was done. `RateLimit-Limit`, `RateLimit-Remaining`, \
            `RateLimit-Reset` (seconds) and `RateLimit-Policy` (`5;w=60`) say how things stand.\n\n\
            Examples are as they are sent. Ids, numbers and codes in them are nobody's: put in your own. Log in as `sim-demo-customer-1` or \
            `sim-merchant-owner-1` where WeChat is simulated.",
    ),
    servers((url = "/", description = "The service that this page is from")),
    components(schemas(ProblemBody)),
    modifiers(&AccessToken),
    tags(
        (name = "auth", description = "Log in and stay in"),
        (name = "customer", description = "For the customers' mini-program"),
        (name = "merchant", description = "For the merchants' mini-program"),
        (name = "admin", description = "For the tenant's operators"),
        (name = "open", description = "For back ends of third parties"),
        (name = "public", description = "For everybody"),
        (name = "wechat", description = "For WeChat Pay"),
    )
)]
pub(super) struct Api;

struct AccessToken;

impl Modify for AccessToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some(
                "An access token, without `Bearer`. `POST /api/v1/auth/wechat/login` gives one to customers (`as` is \
                `customer`) and to owners and clerks of merchants (`merchant`); `zhangfang token --tenant demo --role \
                admin --name lin --minutes 60` prints one for an `admin`, an `auditor` or a back end (`service`). Each \
                operation says which roles may.",
            ))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("access_token", SecurityScheme::Http(scheme));
    }
}
