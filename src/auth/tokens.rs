//! Access tokens.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use super::{AuthError, OperatorRole, Permission, Principal, StaffRole};
use crate::primitives::{MerchantId, TenantId, Timestamp};

const ISSUER: &str = "zhangfang";
const AUDIENCE: &str = "zhangfang-api";
/// How far two machines' clocks may be apart.
const LEEWAY_SECONDS: i64 = 30;

/// Issues and verifies access tokens.
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    access_seconds: i64,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("access_seconds", &self.access_seconds)
            .finish_non_exhaustive()
    }
}

/// A token and how long it is good for. Its text is a credential: it goes to its bearer and nowhere
/// else.
#[derive(Clone)]
pub struct AccessToken {
    pub text: String,
    pub seconds: i64,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("seconds", &self.seconds)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    Customer,
    MerchantStaff,
    Admin,
    Auditor,
    Service,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    /// A typed id, or an operator's name.
    sub: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    tenant: u32,
    role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    merchant: Option<MerchantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    staff_role: Option<StaffRole>,
    /// For the apps; see the module's text.
    #[serde(default)]
    permissions: Vec<String>,
}

impl Tokens {
    pub fn new(secret: &[u8], access_seconds: i64) -> Self {
        // One algorithm: a token that names another, or none, is not looked at further.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "nbf", "exp"]);
        // The library would ask the machine's clock; `verify` compares with the instant that it is
        // given.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
            access_seconds,
        }
    }

    pub fn issue(&self, principal: &Principal, now: Timestamp) -> AccessToken {
        self.issue_lasting(principal, self.access_seconds, now)
    }

    /// For a person at the command line.
    pub fn issue_operator(
        &self,
        tenant: TenantId,
        role: OperatorRole,
        minutes: i64,
        now: Timestamp,
    ) -> AccessToken {
        self.issue_named_operator(tenant, role.name(), role, minutes, now)
    }

    /// For a person whose name matters: one who asks for a refund is not the one who agrees to it.
    pub fn issue_named_operator(
        &self,
        tenant: TenantId,
        name: &str,
        role: OperatorRole,
        minutes: i64,
        now: Timestamp,
    ) -> AccessToken {
        let operator = Principal::Operator {
            tenant,
            name: name.to_owned(),
            role,
        };
        self.issue_lasting(&operator, minutes.saturating_mul(60), now)
    }

    fn issue_lasting(&self, principal: &Principal, seconds: i64, now: Timestamp) -> AccessToken {
        let claims = Claims::of(principal, seconds, now);
        let text = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .expect("claims of plain text and numbers are JSON, and an HMAC takes any key");
        AccessToken { text, seconds }
    }

    /// Verifies a token as of `now`.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Principal, AuthError> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|_| AuthError::TokenInvalid)?
            .claims;
        if claims.nbf > now.seconds().saturating_add(LEEWAY_SECONDS) {
            return Err(AuthError::TokenInvalid);
        }
        if claims.exp.saturating_add(LEEWAY_SECONDS) <= now.seconds() {
            return Err(AuthError::TokenExpired);
        }
        claims.principal().ok_or(AuthError::TokenInvalid)
    }
}

impl Claims {
    fn of(principal: &Principal, seconds: i64, now: Timestamp) -> Self {
        let (role, sub, merchant, staff_role) = match principal {
            Principal::Customer { id, .. } => (Role::Customer, id.to_string(), None, None),
            Principal::Staff {
                id, merchant, role, ..
            } => (
                Role::MerchantStaff,
                id.to_string(),
                Some(*merchant),
                Some(*role),
            ),
            Principal::Operator { name, role, .. } => {
                let role = match role {
                    OperatorRole::Admin => Role::Admin,
                    OperatorRole::Auditor => Role::Auditor,
                    OperatorRole::Service => Role::Service,
                };
                (role, name.clone(), None, None)
            }
        };
        let permissions = principal
            .permissions()
            .iter()
            .copied()
            .map(Permission::name);
        Self {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub,
            iat: now.seconds(),
            nbf: now.seconds(),
            exp: now.seconds().saturating_add(seconds),
            tenant: principal.tenant().0,
            role,
            merchant,
            staff_role,
            permissions: permissions.map(str::to_owned).collect(),
        }
    }

    fn principal(self) -> Option<Principal> {
        let tenant = TenantId(self.tenant);
        let operator = |name, role| Principal::Operator { tenant, name, role };
        Some(match self.role {
            Role::Customer => Principal::Customer {
                tenant,
                id: self.sub.parse().ok()?,
            },
            Role::MerchantStaff => Principal::Staff {
                tenant,
                id: self.sub.parse().ok()?,
                merchant: self.merchant?,
                role: self.staff_role?,
            },
            Role::Admin => operator(self.sub, OperatorRole::Admin),
            Role::Auditor => operator(self.sub, OperatorRole::Auditor),
            Role::Service => operator(self.sub, OperatorRole::Service),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::primitives::{CustomerId, Id, Lane, StaffId};

    const NOW: Timestamp = Timestamp::from_micros(1_795_000_000_000_000);

    fn tokens() -> Tokens {
        Tokens::new(b"a secret of at least thirty-two bytes", 900)
    }

    fn id() -> Id {
        Id::mint(1_795_000_000_000, 7, Lane(3))
    }

    fn everybody() -> [Principal; 5] {
        let tenant = TenantId(5);
        let operator = |role| Principal::Operator {
            tenant,
            name: "lin".to_owned(),
            role,
        };
        [
            Principal::Customer {
                tenant,
                id: CustomerId::new(id()),
            },
            Principal::Staff {
                tenant,
                id: StaffId::new(id()),
                merchant: MerchantId::new(id()),
                role: StaffRole::Clerk,
            },
            operator(OperatorRole::Admin),
            operator(OperatorRole::Auditor),
            operator(OperatorRole::Service),
        ]
    }

    #[test]
    fn a_token_names_its_bearer() {
        for principal in everybody() {
            let token = tokens().issue(&principal, NOW);
            assert_eq!(tokens().verify(&token.text, NOW).unwrap(), principal);
        }
    }

    #[test]
    fn a_token_ends_by_the_given_clock_with_some_leeway() {
        let token = tokens().issue(&everybody()[0], NOW).text;
        let verify = |seconds| tokens().verify(&token, NOW.plus_seconds(seconds));
        assert!(verify(900 + 29).is_ok());
        assert!(matches!(verify(900 + 30), Err(AuthError::TokenExpired)));
        assert!(verify(-30).is_ok());
        assert!(matches!(verify(-31), Err(AuthError::TokenInvalid)));
    }

    #[test]
    fn a_token_of_another_secret_algorithm_or_audience_is_not_valid() {
        let principal = &everybody()[0];
        let is_invalid =
            |token: &str| matches!(tokens().verify(token, NOW), Err(AuthError::TokenInvalid));
        let other = Tokens::new(b"another secret of thirty-two bytes", 900);
        assert!(is_invalid(&other.issue(principal, NOW).text));
        assert!(is_invalid(""));
        assert!(is_invalid("a.b.c"));

        let encode = |algorithm, claims: &Claims| {
            let key = EncodingKey::from_secret(b"a secret of at least thirty-two bytes");
            jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
        };
        let claims = || Claims::of(principal, 900, NOW);
        assert!(!is_invalid(&encode(Algorithm::HS256, &claims())));
        assert!(is_invalid(&encode(Algorithm::HS512, &claims())));
        assert!(is_invalid(&encode(
            Algorithm::HS256,
            &Claims {
                aud: "else".to_owned(),
                ..claims()
            }
        )));
        assert!(is_invalid(&encode(
            Algorithm::HS256,
            &Claims {
                iss: "else".to_owned(),
                ..claims()
            }
        )));
        let impostor = Claims {
            role: Role::MerchantStaff,
            ..claims()
        };
        assert!(is_invalid(&encode(Algorithm::HS256, &impostor)));

        // `{"alg":"none"}` with the right claims and no signature.
        let token = encode(Algorithm::HS256, &claims());
        let body = token.split('.').nth(1).unwrap();
        assert!(is_invalid(&format!("eyJhbGciOiJub25lIn0.{body}.")));
    }
}
