//! What a login code stands for, and which codes were used.

use std::collections::{HashSet, VecDeque};
use std::sync::Mutex;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::lock::lock;

/// The openid of the user behind `sim-<name>`: 28 characters and an `o` first, as real ones.
pub fn openid_for(name: &str) -> String {
    let hash = digest(&SHA256, name.as_bytes());
    let text = URL_SAFE_NO_PAD.encode(hash.as_ref());
    format!("o{}", &text[..27])
}

/// The codes that were used, the last hundred thousand of them.
#[derive(Debug, Default)]
pub(super) struct UsedCodes(Mutex<(HashSet<String>, VecDeque<String>)>);

impl UsedCodes {
    /// Whether this is the first use.
    pub(super) fn first_use(&self, code: &str) -> bool {
        let mut used = lock(&self.0);
        let (known, order) = &mut *used;
        if !known.insert(code.to_owned()) {
            return false;
        }
        order.push_back(code.to_owned());
        if order.len() > 100_000
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openids_are_stable_and_look_real() {
        assert_eq!(openid_for("demo-customer-1"), openid_for("demo-customer-1"));
        assert_ne!(openid_for("demo-customer-1"), openid_for("demo-customer-2"));
        let openid = openid_for("张三");
        assert!(openid.len() == 28 && openid.starts_with('o'));
    }
}
