//! A call of the merchant API, as its handlers see it.

use http::Method;
use url::form_urlencoded;

use super::answer::Refusal;
use super::keys::KeyKind;

/// A request whose signature held.
pub(super) struct Call<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    pub(super) body: &'a [u8],
    /// The key that `Wechatpay-Serial` names: secret fields are encrypted to it.
    pub(super) serial: Option<KeyKind>,
    /// The name under which the caller reached this listener.
    pub(super) host: Option<&'a str>,
}

impl Call<'_> {
    /// Returns a parameter of the query; an empty one counts as absent.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
            .filter(|value| !value.is_empty())
    }

    /// Returns a parameter of the query; refuses the call when it is absent.
    pub(super) fn required_parameter(&self, name: &str) -> Result<String, Refusal> {
        self.parameter(name)
            .ok_or_else(|| Refusal::param(format!("缺少查询参数{name}")))
    }
}

/// Undoes percent-encoding: a path segment is a form without `=`. (Order numbers have no `+`.)
pub(super) fn decoded(segment: &str) -> String {
    form_urlencoded::parse(segment.as_bytes())
        .next()
        .map_or_else(String::new, |(text, _)| text.into())
}
