//! Where a request came from.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

/// Where a request came from, as far as it is known. Personal data: `Debug` shows only what is
/// known, not what it is.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The caller's address: the connection's, or what a trusted proxy says.
    pub address: Option<IpAddr>,
    pub device: Option<Device>,
}

/// What a mini-program calls the phone it runs on (header `Device-Id`): opaque, chosen by the
/// client, and so a hint and no proof. 1 to 64 of `A-Z a-z 0-9 . _ : -`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Device(String);

/// Text that does not name a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a device is named by 1 to 64 of A-Z, a-z, 0-9, '.', '_', ':' and '-'")]
pub struct InvalidDevice;

impl Device {
    pub fn parse(text: &str) -> Result<Self, InvalidDevice> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        if (1..=64).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidDevice)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Device {
    type Error = InvalidDevice;

    fn try_from(text: String) -> Result<Self, InvalidDevice> {
        Self::parse(&text)
    }
}

impl From<Device> for String {
    fn from(device: Device) -> Self {
        device.0
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Device")
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin")
            .field("address", &self.address.is_some())
            .field("device", &self.device.is_some())
            .finish()
    }
}

/// Returns the part of an address that identifies the network and not the subscriber.
pub fn masked(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            format!("{a}.{b}.{c}.x")
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:x")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_short_and_plain() {
        assert!(Device::parse("a1B2:c3.d4_e5-f6").is_ok());
        for bad in ["", "a b", "设备", "a\"b", &"x".repeat(65)] {
            assert_eq!(Device::parse(bad), Err(InvalidDevice), "{bad:?}");
        }
        assert!(serde_json::from_str::<Device>("\"a b\"").is_err());
    }

    #[test]
    fn an_origin_does_not_print_itself() {
        let origin = Origin {
            address: Some("203.0.113.7".parse().unwrap()),
            device: Some(Device::parse("phone-1").unwrap()),
        };
        let shown = format!("{origin:?}");
        assert!(
            !shown.contains("203") && !shown.contains("phone"),
            "{shown}"
        );
    }
}
