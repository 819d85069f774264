//! What is written down about one request.

use aws_lc_rs::digest;

use super::IdempotencyKey;
use crate::primitives::TenantId;

/// One intention of one caller on one route, with a hash of its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub(crate) id: [u8; 16],
    pub(crate) tenant: TenantId,
    pub(crate) request_hash: [u8; 16],
}

impl Claim {
    /// `actor` names the caller, `route` the endpoint (its template); `input` is what distinguishes
    /// one request from another: the path as called and the body as received.
    pub fn new(
        tenant: TenantId,
        actor: &str,
        route: &str,
        key: &IdempotencyKey,
        input: &[&[u8]],
    ) -> Self {
        let tenant_text = tenant.to_string();
        let parts = [
            tenant_text.as_bytes(),
            actor.as_bytes(),
            route.as_bytes(),
            key.as_str().as_bytes(),
        ];
        Self {
            id: first_half(&parts),
            tenant,
            request_hash: first_half(input),
        }
    }
}

/// 128 bits of SHA-256 over the parts, each with its length before it, so that no two lists of
/// parts read the same.
pub(crate) fn first_half(parts: &[&[u8]]) -> [u8; 16] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    let mut half = [0; 16];
    half.copy_from_slice(&context.finish().as_ref()[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(actor: &str, route: &str, body: &[u8]) -> Claim {
        let key = IdempotencyKey::parse("k").unwrap();
        Claim::new(TenantId(1), actor, route, &key, &[b"/path", body])
    }

    #[test]
    fn callers_and_routes_do_not_share_keys() {
        let first = claim("a", "/codes", b"{}");
        assert_eq!(first, claim("a", "/codes", b"{}"));
        assert_ne!(first.id, claim("b", "/codes", b"{}").id);
        assert_ne!(first.id, claim("a", "/registrations", b"{}").id);
        assert_ne!(claim("a/", "codes", b"").id, claim("a", "/codes", b"").id);
    }

    #[test]
    fn another_body_is_the_same_intention_with_another_input() {
        let (first, second) = (claim("a", "/codes", b"{}"), claim("a", "/codes", b"{ }"));
        assert_eq!(first.id, second.id);
        assert_ne!(first.request_hash, second.request_hash);
    }
}
