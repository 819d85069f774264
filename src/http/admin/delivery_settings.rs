//! `GET` and `PUT /api/v1/admin/delivery-settings`

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    auth::Permission,
    deliveries::{
        DeliverySettings, ExpiryNotice, Fact, Handover, InvalidSetting, MessageKind,
        MessageTemplate, PagePath, SetDeliverySettings,
    },
    http::{
        extract::{self, Auth, Operator, needs},
        problem::{Problem, Problems},
    },
    merchants::ProgramVersion,
};

/// What is told to others after a payment. What is left out is switched off.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DeliverySettingsBody {
    /// How goods reach the customers, reported to WeChat after each payment (发货信息管理).
    #[serde(default)]
    #[schema(inline)]
    shipping: Shipping,
    /// To the customer who has paid.
    #[serde(default)]
    payment_message: Option<MessageTemplateBody>,
    /// To the customer whose refund has arrived.
    #[serde(default)]
    refund_message: Option<MessageTemplateBody>,
    /// To the customer whose points will expire; only points and a time are told.
    #[serde(default)]
    expiry_message: Option<MessageTemplateBody>,
    /// How many days before the first day without them, with `expiry_message`.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 90, example = 7)]
    expiry_notice_days: Option<u16>,
    /// The mini-program's page that a message opens, with `?order_no=..` after it.
    #[serde(default)]
    #[schema(example = "pages/order/index")]
    message_page: Option<String>,
    /// The mini-program's page that a collection code opens; absent: its main page.
    #[serde(default)]
    #[schema(example = "pages/pay/index")]
    code_page: Option<String>,
    /// Which edition of the mini-program messages and codes open.
    #[serde(default)]
    #[schema(inline)]
    program: Program,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum Shipping {
    /// Nothing is reported.
    #[default]
    Off,
    /// 自提: taken along at the counter.
    SelfPickup,
    /// 虚拟商品: nothing to carry.
    Virtual,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
enum Program {
    Developer,
    Trial,
    #[default]
    Formal,
}

/// A template of a subscribe message and which of its fields tells what.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = MessageTemplate)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct MessageTemplateBody {
    /// WeChat's id of the template.
    #[schema(example = "uDmJ3sZ0a1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r")]
    template_id: String,
    fields: MessageFields,
}

/// Fields as they are called in the template; their kind must fit the fact. At least one.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct MessageFields {
    /// The merchant's name: a `thing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "thing1")]
    merchant: Option<String>,
    /// Paid or refunded: an `amount` or a `number`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "amount2")]
    amount: Option<String>,
    /// When it was paid or refunded, or the first day on which the points have expired: a `time` or
    /// a `date`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "time3")]
    at: Option<String>,
    /// A `character_string`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "character_string4")]
    order_no: Option<String>,
    /// Earned by the payment, or about to expire: a `number` or a `character_string`. Not of a
    /// refund.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "number5")]
    points: Option<String>,
}

impl From<&DeliverySettings> for DeliverySettingsBody {
    fn from(settings: &DeliverySettings) -> Self {
        let page = |page: &Option<PagePath>| page.as_ref().map(ToString::to_string);
        Self {
            shipping: match settings.shipping {
                None => Shipping::Off,
                Some(Handover::SelfPickup) => Shipping::SelfPickup,
                Some(Handover::Virtual) => Shipping::Virtual,
            },
            payment_message: settings.payment_message.as_ref().map(Into::into),
            refund_message: settings.refund_message.as_ref().map(Into::into),
            expiry_message: settings
                .expiry_notice
                .as_ref()
                .map(|notice| notice.template().into()),
            expiry_notice_days: settings.expiry_notice.as_ref().map(ExpiryNotice::days),
            message_page: page(&settings.message_page),
            code_page: page(&settings.code_page),
            program: match settings.program {
                ProgramVersion::Developer => Program::Developer,
                ProgramVersion::Trial => Program::Trial,
                ProgramVersion::Formal => Program::Formal,
            },
        }
    }
}

impl From<&MessageTemplate> for MessageTemplateBody {
    fn from(template: &MessageTemplate) -> Self {
        let field = |fact| template.field(fact).map(str::to_owned);
        Self {
            template_id: template.id().to_owned(),
            fields: MessageFields {
                merchant: field(Fact::Merchant),
                amount: field(Fact::Amount),
                at: field(Fact::At),
                order_no: field(Fact::OrderNo),
                points: field(Fact::Points),
            },
        }
    }
}

impl MessageTemplateBody {
    fn template(self, kind: MessageKind) -> Result<MessageTemplate, InvalidSetting> {
        let fields = Fact::ALL.into_iter().zip([
            self.fields.merchant,
            self.fields.amount,
            self.fields.at,
            self.fields.order_no,
            self.fields.points,
        ]);
        let told = fields.filter_map(|(fact, field)| Some((fact, field?)));
        MessageTemplate::parse(kind, &self.template_id, told)
    }
}

impl DeliverySettingsBody {
    fn settings(self) -> Result<DeliverySettings, InvalidSetting> {
        let template = |kind, body: Option<MessageTemplateBody>| {
            body.map(|body| body.template(kind)).transpose()
        };
        let page =
            |name, path: Option<String>| path.map(|path| PagePath::parse(name, &path)).transpose();
        Ok(DeliverySettings {
            shipping: match self.shipping {
                Shipping::Off => None,
                Shipping::SelfPickup => Some(Handover::SelfPickup),
                Shipping::Virtual => Some(Handover::Virtual),
            },
            payment_message: template(MessageKind::Payment, self.payment_message)?,
            refund_message: template(MessageKind::Refund, self.refund_message)?,
            expiry_notice: ExpiryNotice::parse(
                self.expiry_notice_days,
                template(MessageKind::Expiry, self.expiry_message)?,
            )?,
            message_page: page("message_page", self.message_page)?,
            code_page: page("code_page", self.code_page)?,
            program: match self.program {
                Program::Developer => ProgramVersion::Developer,
                Program::Trial => ProgramVersion::Trial,
                Program::Formal => ProgramVersion::Formal,
            },
        })
    }
}

/// What is told to others
///
/// After a payment and after a refund. At first nothing.
#[utoipa::path(
    get,
    path = "/api/v1/admin/delivery-settings",
    operation_id = "admin_get_delivery_settings",
    tag = "admin",
    security(("access_token" = ["deliveries:read"])),
    responses((status = 200, description = "The settings", body = DeliverySettingsBody), Problems),
)]
pub(in crate::http) async fn get_delivery_settings(
    State(app): State<App>,
    auth: Auth<Operator>,
) -> Result<Json<DeliverySettingsBody>, Problem> {
    let operator = auth.may(Permission::ReadDeliveries)?;
    let settings = app.deliveries().settings.current(operator.tenant).await?;
    Ok(Json(DeliverySettingsBody::from(&*settings)))
}

/// Change what is told to others
///
/// Replaces all of it, everywhere within a second. What is planned already and is switched off now
/// is dropped.
#[utoipa::path(
    put,
    path = "/api/v1/admin/delivery-settings",
    operation_id = "admin_set_delivery_settings",
    tag = "admin",
    security(("access_token" = ["deliveries:write"])),
    request_body(
        content = DeliverySettingsBody,
        examples(
            ("messages" = (summary = "Messages and shipping reports", value = json!({
                "shipping": "self_pickup",
                "payment_message": {
                    "template_id": "uDmJ3sZ0a1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r",
                    "fields": {"merchant": "thing1", "amount": "amount2", "at": "time3", "points": "number5"}
                },
                "refund_message": {
                    "template_id": "tR3fUnDa1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7rS",
                    "fields": {"merchant": "thing1", "amount": "amount2", "order_no": "character_string4"}
                },
                "expiry_message": {
                    "template_id": "eXp1rYa1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7rSt",
                    "fields": {"points": "number1", "at": "date2"}
                },
                "expiry_notice_days": 7,
                "message_page": "pages/order/index",
                "code_page": "pages/pay/index",
                "program": "formal"
            }))),
            ("shipping" = (summary = "Shipping reports alone", value = json!({"shipping": "self_pickup"}))),
            ("nothing" = (summary = "Nothing", value = json!({}))),
        ),
    ),
    responses((status = 200, description = "In force", body = DeliverySettingsBody), Problems),
)]
pub(in crate::http) async fn set_delivery_settings(
    State(app): State<App>,
    auth: Auth<Operator, needs::WriteDeliveries>,
    extract::Json(request): extract::Json<DeliverySettingsBody>,
) -> Result<Json<DeliverySettingsBody>, Problem> {
    let operator = auth.caller();
    let settings = request.settings()?;
    let answer = DeliverySettingsBody::from(&settings);
    app.db()
        .run(SetDeliverySettings {
            tenant: operator.tenant,
            settings,
            by: auth.principal().actor(),
        })
        .await?;
    app.deliveries().settings.forget(operator.tenant);
    Ok(Json(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> DeliverySettingsBody {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn settings_are_given_back_as_they_were_set() {
        let json = r#"{"shipping":"self_pickup","payment_message":{"template_id":"TPL_1-a","fields":{"merchant":"thing1","points":"number2"}},"refund_message":null,"expiry_message":{"template_id":"TPL_2","fields":{"at":"date1","points":"number2"}},"expiry_notice_days":7,"message_page":"pages/order/index","code_page":null,"program":"trial"}"#;
        let settings = read(json).settings().unwrap();
        let again = serde_json::to_string(&DeliverySettingsBody::from(&settings)).unwrap();
        assert_eq!(again, json);
        assert_eq!(read("{}").settings().unwrap(), DeliverySettings::default());
    }

    #[test]
    fn a_wrong_setting_is_named() {
        let named = |json: &str| format!("{:?}", Problem::from(read(json).settings().unwrap_err()));
        let wrong = named(r#"{"refund_message":{"template_id":"T","fields":{"amount":"thing1"}}}"#);
        assert!(wrong.contains("refund_message.fields.amount"), "{wrong}");
        assert!(named(r#"{"expiry_notice_days":7}"#).contains("expiry_message"));
        assert!(named(r#"{"code_page":"/pages/pay"}"#).contains("code_page"));
        assert!(serde_json::from_str::<DeliverySettingsBody>(r#"{"shiping":"off"}"#).is_err());
    }
}
