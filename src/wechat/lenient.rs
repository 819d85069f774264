//! Lenient deserialisation of what WeChat sends.
//!
//! Members that are meaningful in a state must be present and well-formed, or the whole message is
//! rejected. Other members may be missing, `null`, empty or of another form: WeChat has sent unpaid
//! orders with an `amount` without `total`, with an empty `success_time`, and with a `payer` of
//! `null`. Since only the state says which members are meaningful, they are read as optional, and
//! the code that reads the state requires those that it needs.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::value::RawValue;

/// The member, if it is there and of the form that we know. Never fails on well-formed JSON.
pub(super) fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    from: D,
) -> Result<Option<T>, D::Error> {
    let raw = <&RawValue>::deserialize(from)?;
    Ok(serde_json::from_str(raw.get()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Some {
        #[serde(default, deserialize_with = "lenient")]
        number: Option<i64>,
    }

    #[test]
    fn what_is_not_of_the_form_is_as_if_it_were_missing() {
        let read = |text: &str| serde_json::from_str::<Some>(text).map(|some| some.number);
        assert_eq!(read(r#"{"number":7}"#).unwrap(), Option::Some(7));
        for odd in [
            "{}",
            r#"{"number":null}"#,
            r#"{"number":""}"#,
            r#"{"number":"7"}"#,
            r#"{"number":7.5}"#,
            r#"{"number":{"deep":[1]}}"#,
        ] {
            assert_eq!(read(odd).unwrap(), None, "{odd}");
        }
        assert!(read(r#"{"number":}"#).is_err());
    }
}
