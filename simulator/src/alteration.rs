//! What may be wrong with a callback that is sent.

/// What is done to a callback before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alteration {
    /// Nothing.
    Genuine,
    /// Truly signed, but it tells of one fen more.
    WrongAmount,
    /// Truly signed, but it tells of another merchant.
    WrongMerchant,
    /// The ciphertext changed after it was signed.
    Tampered,
    /// Signed with a key that is not WeChat's (the merchant's own), in WeChat's name.
    WrongKey,
    /// Truly signed, six minutes ago.
    StaleTime,
    /// Truly signed, six minutes from now.
    FutureTime,
    /// WeChat's own signature probe: `WECHATPAY/SIGNTEST/…`.
    Probe,
}

impl Alteration {
    /// Whether a receiver must refuse it on the headers and bytes alone, whatever it says.
    pub fn is_forgery(self) -> bool {
        match self {
            Self::Genuine | Self::WrongAmount | Self::WrongMerchant => false,
            Self::Tampered | Self::WrongKey | Self::StaleTime | Self::FutureTime | Self::Probe => {
                true
            }
        }
    }
}
