//! What a user pays with: the prepay id of a JSAPI order, the code of a native one.
//!
//! Both carry the order's position among all orders, so no index is needed to find it, and the second in
//! which they were given out: they are good for two hours, whatever the order's own time to pay.

use time::{Duration, OffsetDateTime};

use super::clock::compact;
use super::error::PayError;

const LIFE: Duration = Duration::hours(2);
const CODE_URL: &str = "weixin://wxpay/bizpayurl?pr=";

/// 36 characters: `wx` and the token.
pub(super) fn prepay_id(position: u64, unique: u64, now: OffsetDateTime) -> String {
    format!("wx{}", token(position, unique, now))
}

/// What the merchant draws as a QR code.
pub(super) fn code_url(position: u64, unique: u64, now: OffsetDateTime) -> String {
    format!("{CODE_URL}{}", token(position, unique, now))
}

/// Returns the position of the order behind a prepay id that is not too old.
pub(super) fn position_of_prepay_id(id: &str, now: OffsetDateTime) -> Result<u64, PayError> {
    let token = id.strip_prefix("wx").ok_or(PayError::UnknownOrder)?;
    position(token, now)?.ok_or(PayError::PrepayExpired)
}

/// Returns the position of the order behind a native code that is not too old.
pub(super) fn position_of_code_url(code: &str, now: OffsetDateTime) -> Result<u64, PayError> {
    let token = code.strip_prefix(CODE_URL).ok_or(PayError::UnknownOrder)?;
    position(token, now)?.ok_or(PayError::CodeExpired)
}

/// The second, 13 hex digits of the position and 7 that make it unlike the last.
fn token(position: u64, unique: u64, now: OffsetDateTime) -> String {
    format!(
        "{}{:013x}{:07x}",
        compact(now),
        position,
        unique & 0xfff_ffff
    )
}

/// `None` if the token is too old.
fn position(token: &str, now: OffsetDateTime) -> Result<Option<u64>, PayError> {
    if token.len() != 34 || !token.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(PayError::UnknownOrder);
    }
    let (issued, rest) = token.split_at(14);
    let position = u64::from_str_radix(&rest[..13], 16).map_err(|_| PayError::UnknownOrder)?;
    let earliest = compact(now.saturating_sub(LIFE));
    Ok((issued >= earliest.as_str()).then_some(position))
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_token_leads_to_its_place_for_two_hours() {
        let now = datetime!(2026-11-21 12:00:00 UTC);
        let (id, code) = (prepay_id(77, 1, now), code_url(78, 2, now));
        assert_eq!(id.len(), 36);
        let last = now + LIFE;
        assert_eq!(position_of_prepay_id(&id, last), Ok(77));
        assert_eq!(position_of_code_url(&code, last), Ok(78));
        let late = last + Duration::seconds(1);
        assert_eq!(
            position_of_prepay_id(&id, late),
            Err(PayError::PrepayExpired)
        );
        assert_eq!(
            position_of_code_url(&code, late),
            Err(PayError::CodeExpired)
        );
        for odd in [
            "",
            "wx",
            "wx20261121",
            &code,
            &format!("{id}0"),
            "wx面面面面面面面面面面面a",
        ] {
            assert_eq!(
                position_of_prepay_id(odd, now),
                Err(PayError::UnknownOrder),
                "{odd}"
            );
        }
    }
}
