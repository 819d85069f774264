//! What a tenant wants told, and how it is set.

use std::fmt;

use super::{DeliveryKind, Handover, InvalidSetting, MessageTemplate, settings_store};
use crate::{
    audit::{self, Actor, AuditAction},
    db::{DbError, Tx, Work},
    merchants::ProgramVersion,
    primitives::TenantId,
};

/// What a tenant wants told. At first nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliverySettings {
    /// How goods reach the customers, for the shipping report; none: no reports.
    pub shipping: Option<Handover>,
    pub payment_message: Option<MessageTemplate>,
    pub refund_message: Option<MessageTemplate>,
    /// Notice of points that will expire; none: no notice.
    pub expiry_notice: Option<ExpiryNotice>,
    /// What a message opens, with `?order_no=..` after it; none: nothing.
    pub message_page: Option<PagePath>,
    /// What a collection code opens; none: the main page.
    pub code_page: Option<PagePath>,
    /// Which edition of the mini-program messages and codes open.
    pub program: ProgramVersion,
}

/// When customers are told that points will expire, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiryNotice {
    /// Before the first day on which the points have expired, 1 to [`ExpiryNotice::DAYS_MAX`].
    days: u16,
    template: MessageTemplate,
}

impl ExpiryNotice {
    pub const DAYS_MAX: u16 = 90;

    /// Fails when only one of the two is given.
    pub fn parse(
        days: Option<u16>,
        template: Option<MessageTemplate>,
    ) -> Result<Option<Self>, InvalidSetting> {
        let invalid = |field: &str, expected| InvalidSetting {
            field: field.to_owned(),
            expected,
        };
        let few = |days: &u16| (1..=Self::DAYS_MAX).contains(days);
        match (days, template) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(invalid("expiry_notice_days", "1 to 90, with a message")),
            (Some(days), _) if !few(&days) => Err(invalid("expiry_notice_days", "1 to 90")),
            (Some(_), None) => Err(invalid("expiry_message", "a template, with the days")),
            (Some(days), Some(template)) => Ok(Some(Self { days, template })),
        }
    }

    pub const fn days(&self) -> u16 {
        self.days
    }

    pub const fn template(&self) -> &MessageTemplate {
        &self.template
    }
}

impl DeliverySettings {
    pub const fn wants(&self, kind: DeliveryKind) -> bool {
        match kind {
            DeliveryKind::ShippingInfo => self.shipping.is_some(),
            DeliveryKind::PaymentMessage => self.payment_message.is_some(),
            DeliveryKind::RefundMessage => self.refund_message.is_some(),
            DeliveryKind::ExpiryMessage => self.expiry_notice.is_some(),
        }
    }
}

/// A page of the mini-program, such as `pages/order/index`: without a leading `/` and without a
/// query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PagePath(String);

impl PagePath {
    /// `field` names the setting in the error.
    pub fn parse(field: &str, path: &str) -> Result<Self, InvalidSetting> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
        let sound =
            (1..=128).contains(&path.len()) && path.bytes().all(is_plain) && !path.starts_with('/');
        if sound {
            Ok(Self(path.to_owned()))
        } else {
            Err(InvalidSetting {
                field: field.to_owned(),
                expected: "a page such as pages/order/index, without a leading / and without a query",
            })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Puts settings in force, in the place of all that were.
#[derive(Debug)]
pub struct SetDeliverySettings {
    pub tenant: TenantId,
    pub settings: DeliverySettings,
    pub by: Actor,
}

impl Work for SetDeliverySettings {
    const NAME: &'static str = "deliveries.set_settings";
    type Reply = ();
    type Error = DbError;

    async fn run(&self, tx: &mut Tx) -> Result<(), DbError> {
        settings_store::put(tx, self.tenant, &self.settings, &self.by).await?;
        let template = |template: &Option<MessageTemplate>| {
            template.as_ref().map(|template| template.id().to_owned())
        };
        let set = AuditAction::DeliverySettingsSet {
            shipping: self.settings.shipping.map_or("off", Handover::name),
            payment_template: template(&self.settings.payment_message),
            refund_template: template(&self.settings.refund_message),
            expiry_template: self.settings.expiry_notice.as_ref().map(|notice| {
                let (days, id) = (notice.days(), notice.template().id());
                format!("{id}, {days} days before")
            }),
        };
        audit::record(tx, self.tenant, &self.by, set, "delivery_settings").await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_a_path_and_nothing_else() {
        let page = |path: &str| PagePath::parse("message_page", path);
        assert!(page("pages/order/index").is_ok());
        for bad in [
            "",
            "/pages/order",
            "pages/order?id=1",
            "pages/订单",
            "a b",
            &"a".repeat(129),
        ] {
            assert_eq!(page(bad).unwrap_err().field, "message_page", "{bad}");
        }
    }

    #[test]
    fn a_notice_has_a_template_and_some_days() {
        let template = || {
            let fields = [(super::super::Fact::Points, "number1".to_owned())];
            MessageTemplate::parse(super::super::MessageKind::Expiry, "T", fields).ok()
        };
        let parse = |days, template| {
            ExpiryNotice::parse(days, template)
                .map(|notice| notice.map(|notice| notice.days()))
                .map_err(|error| error.field)
        };
        assert_eq!(parse(None, None), Ok(None));
        assert_eq!(parse(Some(7), template()), Ok(Some(7)));
        for days in [None, Some(0), Some(91)] {
            assert_eq!(
                parse(days, template()),
                Err("expiry_notice_days".to_owned())
            );
        }
        assert_eq!(parse(Some(7), None), Err("expiry_message".to_owned()));
    }

    #[test]
    fn at_first_nothing_is_wanted() {
        for kind in DeliveryKind::ALL {
            assert!(!DeliverySettings::default().wants(kind));
        }
    }
}
