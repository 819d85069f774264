//! Every statement on `delivery_settings`.

use std::collections::BTreeMap;

use sqlx::{FromRow, types::Json};

use super::{
    DeliverySettings, ExpiryNotice, Fact, Handover, MessageTemplate, PagePath, message::MessageKind,
};
use crate::{
    audit::Actor,
    db::{Db, DbError, Tx},
    merchants::ProgramVersion,
    primitives::TenantId,
};

/// Facts by name, with their fields.
type Fields = Json<BTreeMap<String, String>>;

#[derive(FromRow)]
struct Row {
    shipping: String,
    payment_template: Option<String>,
    payment_fields: Option<Fields>,
    refund_template: Option<String>,
    refund_fields: Option<Fields>,
    expiry_notice_days: Option<u16>,
    expiry_template: Option<String>,
    expiry_fields: Option<Fields>,
    message_page: Option<String>,
    code_page: Option<String>,
    program: String,
}

impl TryFrom<Row> for DeliverySettings {
    type Error = DbError;

    fn try_from(row: Row) -> Result<Self, DbError> {
        let broken = DbError::Inconsistent;
        let page = |path: Option<String>| {
            path.map(|path| PagePath::parse("page", &path))
                .transpose()
                .map_err(|_| broken("a page in the delivery settings"))
        };
        let shipping = match row.shipping.as_str() {
            "off" => None,
            name => {
                let handover = Handover::from_name(name);
                Some(handover.ok_or(broken("the shipping of the delivery settings"))?)
            }
        };
        Ok(Self {
            shipping,
            payment_message: template(
                MessageKind::Payment,
                row.payment_template,
                row.payment_fields,
            )?,
            refund_message: template(MessageKind::Refund, row.refund_template, row.refund_fields)?,
            expiry_notice: ExpiryNotice::parse(
                row.expiry_notice_days,
                template(MessageKind::Expiry, row.expiry_template, row.expiry_fields)?,
            )
            .map_err(|_| broken("the expiry notice of the delivery settings"))?,
            message_page: page(row.message_page)?,
            code_page: page(row.code_page)?,
            program: ProgramVersion::from_name(&row.program)
                .ok_or(broken("the program of the delivery settings"))?,
        })
    }
}

fn template(
    kind: MessageKind,
    id: Option<String>,
    fields: Option<Fields>,
) -> Result<Option<MessageTemplate>, DbError> {
    let broken = || DbError::Inconsistent("a template in the delivery settings");
    let (Some(id), Some(Json(fields))) = (id, fields) else {
        return Ok(None);
    };
    let fields: Option<Vec<_>> = fields
        .into_iter()
        .map(|(fact, field)| Some((Fact::from_name(&fact)?, field)))
        .collect();
    let template = MessageTemplate::parse(kind, &id, fields.ok_or_else(broken)?);
    template.map(Some).map_err(|_| broken())
}

pub(super) async fn find(db: &Db, tenant: TenantId) -> Result<Option<DeliverySettings>, DbError> {
    let row: Option<Row> = sqlx::query_as(
        "/* deliveries.find_settings */ SELECT shipping, payment_template, payment_fields, refund_template, refund_fields, \
         expiry_notice_days, expiry_template, expiry_fields, message_page, code_page, program FROM delivery_settings WHERE tenant_id = ?",
    )
    .bind(tenant)
    .fetch_optional(db.pool())
    .await?;
    row.map(DeliverySettings::try_from).transpose()
}

pub(super) async fn put(
    tx: &mut Tx,
    tenant: TenantId,
    settings: &DeliverySettings,
    by: &Actor,
) -> Result<(), DbError> {
    let now = tx.now();
    let id = |template: &Option<MessageTemplate>| {
        template.as_ref().map(|template| template.id().to_owned())
    };
    let fields = |template: &Option<MessageTemplate>| {
        template.as_ref().map(|template| {
            let fields = template.fields().iter();
            let fields = fields.map(|(fact, field)| (fact.name().to_owned(), field.clone()));
            Json(fields.collect::<BTreeMap<_, _>>())
        })
    };
    let expiry_message = settings
        .expiry_notice
        .as_ref()
        .map(|notice| notice.template().clone());
    sqlx::query(
        "/* deliveries.put_settings */ INSERT INTO delivery_settings \
         (tenant_id, shipping, payment_template, payment_fields, refund_template, refund_fields, \
         expiry_notice_days, expiry_template, expiry_fields, message_page, code_page, program, updated_at, updated_by) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE shipping = VALUES(shipping), \
         payment_template = VALUES(payment_template), payment_fields = VALUES(payment_fields), \
         refund_template = VALUES(refund_template), refund_fields = VALUES(refund_fields), \
         expiry_notice_days = VALUES(expiry_notice_days), expiry_template = VALUES(expiry_template), expiry_fields = VALUES(expiry_fields), message_page = VALUES(message_page), \
         code_page = VALUES(code_page), program = VALUES(program), updated_at = VALUES(updated_at), updated_by = VALUES(updated_by)",
    )
    .bind(tenant)
    .bind(settings.shipping.map_or("off", Handover::name))
    .bind(id(&settings.payment_message))
    .bind(fields(&settings.payment_message))
    .bind(id(&settings.refund_message))
    .bind(fields(&settings.refund_message))
    .bind(settings.expiry_notice.as_ref().map(ExpiryNotice::days))
    .bind(id(&expiry_message))
    .bind(fields(&expiry_message))
    .bind(settings.message_page.as_ref().map(PagePath::as_str))
    .bind(settings.code_page.as_ref().map(PagePath::as_str))
    .bind(settings.program.name())
    .bind(now)
    .bind(by)
    .execute(tx.conn())
    .await?;
    Ok(())
}
